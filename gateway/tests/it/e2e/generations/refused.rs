//! Configurations that cannot be served: the one from before serves on, and nothing is left of them.

use std::net::{TcpListener, TcpStream};

use super::{counting, saying_and, says};
use crate::e2e::harness::wat::module;
use crate::e2e::harness::{Gate, Setup, get, logs, plugin, run, until};
use crate::e2e::http2::certificate;

/// Traps in a worker where another plugin has been: the first one sets what it looks for. Tried apart, it finds nothing.
const SECOND_TRAPS: &str = r#"
  (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (if (i32.eqz (call $get $"n" (i32.const 16) (i32.const 20) (i32.const 24))) (then (unreachable)))
    (drop (call $set $"n" (i32.const 12) (i32.const 4) (i32.const 0)))
    (i32.const 1))
"#;

async fn serves_as_before(gate: &Gate, count: &str) {
    let answer = gate.h1().await.ask(get("/")).await;
    let headers = (answer.status, answer.header("x-count"), answer.header("x-says"));
    assert_eq!(headers, (200, count.to_owned(), "one".to_owned()));
    let held = gate.held();
    assert_eq!((held.len(), held[0].number), (1, 1));
    assert_eq!(gate.admin("/ready").await.status, 200);
}

#[test]
fn what_is_wrong_changes_nothing() {
    run(async {
        let setup = || says(Setup::echo().plugin("wrong-count", &counting(), ""), "wrong-says", "one");
        let gate = setup().start();
        serves_as_before(&gate, "1").await;
        let trapping = plugin(&[("configure", "(unreachable)")]);
        let refusing = plugin(&[("configure", "(i32.const 0)")]);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken_address = taken.local_addr().unwrap();
        let (cert, _) = certificate("reload-wrong");
        let (_, other_key) = certificate("reload-wrong-other");
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // A listener that would be there if the rest were right.
        let more = |rest: &str| {
            let text = setup().text();
            let new = "clusters:\n  - {name: new, echo: {}}\n";
            text.replace("clusters:\n", &format!("  - address: {free}\n    routes: [{{cluster: new}}]\n{rest}{new}"))
        };
        let listener =
            |address: &str, keys: &str| format!("  - address: {address}\n{keys}    routes: [{{cluster: new}}]\n");
        let tls = format!("    tls: {{certificate: {cert:?}, private_key: {other_key:?}}}\n");
        let broken = [
            (setup().plugin("wrong-trap", &trapping, "").text(), "unreachable"),
            (setup().plugin("wrong-refusal", &refusing, "").text(), "refused its configuration"),
            (more(&listener(&taken_address.to_string(), "")), "the port is in use"),
            (more(&listener("127.0.0.1:0", &tls)), "tls"),
            (more(&format!("    plugins: [{}]\n", Setup::plugin_entry("wrong-new", &trapping, ""))), "unreachable"),
            (setup().text().replace("admin: 127.0.0.1:0", "admin: 127.0.0.1:1"), "admin cannot change"),
        ];
        for (index, (text, expected)) in broken.iter().enumerate() {
            let error = gate.reload_text(text).await.unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
            assert!(TcpStream::connect(free).is_err(), "{expected}: a socket is left");
            serves_as_before(&gate, &(index + 2).to_string()).await;
        }
        // And then one that is right.
        let reloaded = gate.reload_text(&more("")).await.unwrap();
        assert_eq!((reloaded.generation, reloaded.started, reloaded.stayed), (2, 0, 2));
        assert!(TcpStream::connect(free).is_ok());
    });
}

#[test]
fn a_worker_that_cannot_start_a_plugin_leaves_all_workers_as_they_were() {
    run(async {
        let setup = || says(Setup::echo().workers(3).plugin("apart-count", &counting(), ""), "apart-says", "one");
        let gate = setup().start();
        let added = setup().plugin("apart-ends", &plugin(&[]), "").plugin("apart-second", &module(SECOND_TRAPS), "");
        let error = gate.reload(&added).await.unwrap_err();
        assert!(error.contains("plugins[3]") && error.contains("unreachable"), "{error}");
        assert_eq!(gate.held().len(), 1);
        for vms in ["apart-ends", "apart-second"] {
            let line = format!("portcullis_vms{{plugin=\"{vms}\",state=\"running\"}}");
            assert_eq!(gate.metric(&line).await, 0.0, "{vms}");
        }
        for _ in 0..6 {
            assert_eq!(gate.h1().await.ask(get("/")).await.header("x-says"), "one");
        }
        assert_eq!(gate.reload(&setup()).await.unwrap().generation, 2);
    });
}

#[test]
fn plugins_of_a_refused_reload_that_never_end_are_stopped() {
    run(async {
        let setup = || Setup::echo().workers(2);
        let text = |setup: Setup| setup.text().replace("shutdown_timeout: 5s", "shutdown_timeout: 100ms");
        let gate = Gate::start(&text(setup()));
        let stays = saying_and(&super::ends::ending(false));
        // It fails in the second worker, behind the other one.
        let broken = setup().plugin("unended", &stays, "").plugin("unended-second", &module(SECOND_TRAPS), "");
        let error = gate.reload_text(&text(broken)).await.unwrap_err();
        assert!(error.contains("plugins[1]") && error.contains("unreachable"), "{error}");
        until(|| logs::count("unended", "deleted") >= 2).await;
        assert_eq!(gate.metric("portcullis_vms{plugin=\"unended\",state=\"running\"}").await, 0.0);
    });
}

#[test]
fn a_reload_that_is_cancelled_changes_nothing() {
    use portcullis_gateway::serve::generation::{Cancel, Reload};
    run(async {
        let gate = says(Setup::echo(), "cancelled", "one").start();
        let cancel = Cancel::default();
        cancel.cancel();
        let config =
            portcullis_gateway::config::Config::parse("gateway.yaml", &says(Setup::echo(), "cancelled", "two").text());
        let reloader = gate.running.reloader();
        let error = tokio::task::spawn_blocking(move || reloader.reload(config.unwrap(), &cancel)).await.unwrap();
        assert!(error.unwrap_err().to_string().contains("cancelled"));
        assert_eq!(gate.h1().await.ask(get("/")).await.header("x-says"), "one");
    });
}

#[test]
fn a_gateway_that_has_stopped_reloads_no_more() {
    run(async {
        let gate = says(Setup::echo(), "stopped", "one").start();
        let reloader = gate.running.reloader();
        let stopped = gate.stop();
        until(|| stopped.is_finished()).await;
        let config = portcullis_gateway::config::Config::parse("gateway.yaml", &Setup::echo().text()).unwrap();
        use portcullis_gateway::serve::generation::{Cancel, Reload};
        let error = tokio::task::spawn_blocking(move || reloader.reload(config, &Cancel::default())).await.unwrap();
        assert!(error.unwrap_err().to_string().contains("stops"));
    });
}
