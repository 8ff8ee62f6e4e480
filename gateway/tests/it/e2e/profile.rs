//! `portcullis serve --profile`: where plugins spend their time with real requests.

use std::path::{Path, PathBuf};

use portcullis_gateway::config::Config;
use portcullis_gateway::serve::server::{EngineOptions, Gateway};
use serde_json::Value;

use crate::e2e::cli::{file, portcullis, serve, text};
use crate::e2e::harness::{Client, Gate, Setup, engine, get, guest, plugin, run};
use crate::e2e::record::{files, folder, stop, stop_gate};

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

/// The row of a name in a table.
fn row<'a>(plugin: &'a Value, table: &str, name: &str) -> &'a Value {
    let mut rows = plugin[table].as_array().unwrap().iter();
    rows.find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {plugin:#}"))
}

fn number(row: &Value, field: &str) -> u64 {
    row[field].as_u64().unwrap_or_else(|| panic!("{field}: {row}"))
}

/// Returns the rows of a plugin in a profile.
fn of<'a>(profile: &'a Value, plugin: &str) -> &'a Value {
    profile["plugins"].as_array().unwrap().iter().find(|entry| entry["plugin"] == plugin).unwrap()
}

/// A gateway in this process that is measured.
fn profiling(setup: &str, folder: &Path) -> Gate {
    let engine = engine();
    let options = EngineOptions { engine: Some(&engine), samples: true, ..EngineOptions::default() };
    let mut gateway = Gateway::prepare_with(Config::parse("gateway.yaml", setup).unwrap(), options).unwrap();
    gateway.profile(folder).unwrap();
    Gate { running: gateway.serve().unwrap() }
}

#[test]
fn calls_times_and_bytes_of_real_requests_are_in_the_profile() {
    run(async {
        let folder = folder("profile-tour");
        let path = folder.to_str().unwrap();
        let setup = Setup::echo().workers(2).plugin("my tour", &guest("header_tour"), "").text();
        let config = file("profile-tour.yaml", &setup);
        let server = serve(&config, &["--engine", &engine(), "--profile", path]);
        for _ in 0..5 {
            let mut client = Client::h1(server.address).await;
            for _ in 0..4 {
                assert_eq!(client.ask(get("/")).await.header("x-plugin"), "header_tour");
            }
        }
        let log = stop(server).await;
        assert!(log.contains("measuring where plugins spend their time"), "{log}");
        let profile = json(&folder, "profile.json");
        assert_eq!((&profile["profile"], &profile["units"]["time"]), (&1.into(), &"ns".into()), "{profile:#}");
        assert_eq!(profile["threads"], serde_json::json!(["worker-0", "worker-1"]));
        let tour = of(&profile, "my tour");
        assert_eq!((&tour["vm"], &tour["threads"]), (&"my tour".into(), &2.into()));
        assert_eq!(tour["engine"], engine());
        let headers = row(tour, "guest", "proxy_on_request_headers");
        assert_eq!((number(headers, "calls"), number(headers, "traps")), (20, 0));
        assert!(number(headers, "own") > 0 && number(headers, "own") <= number(headers, "total"), "{headers}");
        assert!(number(headers, "max") <= number(headers, "total"), "{headers}");
        assert_eq!(number(row(tour, "guest", "proxy_on_configure"), "calls"), 2, "once for each worker");
        assert!(number(row(tour, "guest", "(allocator)"), "calls") >= 20);
        // Each request has some 50 bytes of headers at least; each line is logged with its name.
        let pairs = row(tour, "hostcalls", "proxy_get_header_map_pairs");
        assert!(number(pairs, "calls") >= 20 && number(pairs, "bytes_in") > 20 * 50, "{pairs}");
        assert_eq!(number(pairs, "bytes_out"), 0, "{pairs}");
        assert!(number(row(tour, "hostcalls", "proxy_log"), "bytes_out") > 20 * 50);
        // Each nanosecond is in one row alone.
        let guest = tour["guest"].as_array().unwrap();
        let rows = guest.iter().chain(tour["hostcalls"].as_array().unwrap());
        assert_eq!(rows.map(|row| number(row, "own")).sum::<u64>(), number(tour, "time"));
        let callbacks = guest.iter().filter(|row| row["name"] != "(allocator)");
        assert_eq!(callbacks.map(|row| number(row, "total")).sum::<u64>(), number(tour, "time"));
        let readable = std::fs::read_to_string(folder.join("profile.txt")).unwrap();
        assert!(readable.contains(&format!("my tour on {}, 2 threads: ", engine())), "{readable}");
        assert!(readable.contains("\n  proxy_on_request_headers "), "{readable}");
        assert!(files(&folder, "part").is_empty());
        let samples = files(&folder, "json").len() - 1;
        let can = portcullis::engine::all().iter().any(|info| info.name == engine() && info.features.samples);
        assert_eq!(samples, if can { 2 } else { 0 }, "one for each VM");
        assert_eq!(log.contains("takes no samples of functions"), !can, "{log}");
    });
}

#[test]
fn functions_that_ran_are_in_the_samples() {
    run(async {
        let folder = folder("profile-samples");
        // Long enough for a sample where there are such; elsewhere it would only come near the deadline.
        let turns = if engine() == "wasmtime" { 30_000_000 } else { 1000 };
        let code = format!(
            "(local $left i32) (local.set $left (i32.const {turns}))
             (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))) (i32.const 0)"
        );
        let busy = plugin(&[("request_headers", &code)]);
        let gate = profiling(&Setup::echo().plugin("busy", &busy, "").text(), &folder);
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
        stop_gate(gate).await;
        let profile = json(&folder, "profile.json");
        assert_eq!(number(row(of(&profile, "busy"), "guest", "proxy_on_request_headers"), "calls"), 1);
        if engine() == "wasmtime" {
            let samples = json(&folder, "busy.worker-0.json");
            assert_eq!(samples["meta"]["product"], "busy");
            assert!(number(&samples["threads"][0]["samples"], "length") > 0, "{samples:#}");
            assert!(number(&samples["threads"][0]["funcTable"], "length") > 0, "{samples:#}");
        }
    });
}

#[test]
fn a_plugin_that_traps_is_in_the_profile() {
    run(async {
        let folder = folder("profile-trap");
        let trap = plugin(&[("request_headers", "unreachable")]);
        let more = "failure_policy: FAIL_OPEN";
        let gate = profiling(&Setup::echo().plugin("traps", &trap, more).text(), &folder);
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/")).await.status, 200);
        assert_eq!(client.ask(get("/")).await.status, 200);
        stop_gate(gate).await;
        let profile = json(&folder, "profile.json");
        let headers = row(of(&profile, "traps"), "guest", "proxy_on_request_headers").clone();
        assert_eq!((number(&headers, "calls"), number(&headers, "traps")), (1, 1));
    });
}

#[test]
fn what_is_recorded_is_not_measured() {
    run(async {
        let (measured, recorded) = (folder("profile-beside"), folder("profile-beside-record"));
        let config = file("profile-beside.yaml", &Setup::echo().plugin("tour", &guest("header_tour"), "").text());
        let folders = [measured.to_str().unwrap(), recorded.to_str().unwrap()];
        let server = serve(&config, &["--profile", folders[0], "--record", folders[1], "--record-sample", "2"]);
        for _ in 0..4 {
            let mut client = Client::h1(server.address).await;
            assert_eq!(client.ask(get("/")).await.header("x-plugin"), "header_tour");
        }
        stop(server).await;
        let profile = json(&measured, "profile.json");
        assert_eq!(profile["threads"], serde_json::json!(["worker-0"]));
        assert_eq!(number(row(of(&profile, "tour"), "guest", "proxy_on_request_headers"), "calls"), 2);
        let transcript = std::fs::read_to_string(recorded.join("tour.0.jsonl")).unwrap();
        assert_eq!(transcript.matches("\"name\":\"proxy_on_request_headers\"").count(), 2, "{transcript}");
    });
}

#[test]
fn perf_is_told_the_names_of_functions() {
    run(async {
        let config = file("perf-map.yaml", &Setup::echo().plugin("tour", &guest("header_tour"), "").text());
        let can = portcullis::engine::all().iter().any(|info| info.name == engine() && info.features.perf_map);
        if !can {
            let output = portcullis(&["serve", config.to_str().unwrap(), "--engine", &engine(), "--perf-map"]);
            let said = text(&output.stderr);
            assert!(said.contains("--perf-map: ") && said.contains("leave --perf-map out"), "{said}");
            return;
        }
        let server = serve(&config, &["--engine", &engine(), "--perf-map"]);
        let map = PathBuf::from(format!("/tmp/perf-{}.map", server.child.id()));
        let names = std::fs::read_to_string(&map).unwrap();
        std::fs::remove_file(map).unwrap();
        assert!(names.lines().any(|line| line.contains("proxy_on_request_headers")), "{names}");
        stop(server).await;
    });
}

#[test]
fn what_cannot_be_measured_says_what_to_do() {
    let config = file("profile-not.yaml", &Setup::echo().text());
    let output = portcullis(&["serve", config.to_str().unwrap(), "--profile", "/dev/null/profile"]);
    assert_ne!(output.status.code(), Some(0));
    let said = text(&output.stderr);
    assert!(said.contains("--profile: cannot write into /dev/null/profile: "), "{said}");
    assert!(said.contains("name a folder that this user may make or write to"), "{said}");
}
