//! Presets: real guests run with the rights of their kind, and nothing that they do is denied.

use http::HeaderValue;
use portcullis::rights::Preset;

use crate::e2e::cli::{file, portcullis, text};
use crate::e2e::harness::{Gate, Setup, Upstream, get, guest, logs, post, reply, run};

/// A plugin's key that gives it the rights of a preset.
fn rights(preset: Preset) -> String {
    let names: Vec<_> = preset.capabilities().held().map(|name| format!("{name}: {{}}")).collect();
    format!("capability_restriction_config: {{allowed_capabilities: {{{}}}}}", names.join(", "))
}

/// Stops a gateway and gives the lines that tell of denials to a plugin.
fn denials(gate: Gate, plugin: &str) -> Vec<String> {
    drop(gate);
    logs::of(plugin).into_iter().filter(|line| line.contains("denied ")).collect()
}

#[test]
fn header_tour_runs_with_headers() {
    run(async {
        let gate =
            Setup::echo().plugin("preset_tour", &guest("header_tour"), &rights(Preset::Headers)).workers(1).start();
        let mut client = gate.h1().await;
        let answer = client.ask(get("/x")).await;
        assert_eq!(answer.header("x-plugin"), "header_tour");
        assert_eq!(answer.json()["headers"]["x-plugin"], "header_tour");
        assert_eq!(client.ask(get("/hello")).await.text(), "Hello, World!\n");
        logs::wait("preset_tour", "completed").await;
        assert_eq!(denials(gate, "preset_tour"), [""; 0]);
    });
}

#[test]
fn body_rewrite_runs_with_bodies() {
    run(async {
        let more = format!("configuration: '<new>', {}", rights(Preset::Bodies));
        let gate = Setup::echo().plugin("preset_rewrite", &guest("body_rewrite"), &more).start();
        let mut request = post("/", "body");
        for header in ["x-body-rewrite", "x-response-rewrite"] {
            request.headers_mut().insert(header, HeaderValue::from_static("append"));
        }
        let answer = gate.h1().await.ask(request).await;
        assert!(answer.text().contains("body<new>") && answer.text().ends_with("<new>"), "{}", answer.text());
        assert_eq!(denials(gate, "preset_rewrite"), [""; 0]);
    });
}

#[test]
fn counter_runs_with_bodies() {
    run(async {
        let more = format!("configuration: '20', {}", rights(Preset::Bodies));
        let gate = Setup::echo().plugin("preset_counter", &guest("counter"), &more).start();
        assert_eq!(gate.h1().await.ask(post("/", "12345")).await.status, 200);
        for metric in ["counter_requests", "counter_request_bytes_histogram_count", "counter_ticks"] {
            crate::e2e::harness::within(async {
                while gate.metric(&format!("{metric}{{plugin=\"preset_counter\"}}")).await < 1.0 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        assert_eq!(denials(gate, "preset_counter"), [""; 0]);
    });
}

#[test]
fn auth_callout_runs_with_callouts_and_not_with_less() {
    run(async {
        let service = Upstream::new(|_| async { reply(200, "") });
        let ask = async |name: &str, preset| {
            let more = format!("configuration: auth, {}", rights(preset));
            let setup = Setup::echo().plugin(name, &guest("auth_callout"), &more);
            let gate = setup.cluster("auth", &format!("endpoints: [{}]", service.address)).start();
            let answer = gate.h1().await.ask(get("/")).await;
            (answer, denials(gate, name))
        };
        let (answer, denied) = ask("preset_auth", Preset::Callouts).await;
        assert_eq!((answer.status, &answer.json()["headers"]["x-auth"]), (200, &"ok".into()));
        assert_eq!(denied, [""; 0]);
        let (_, denied) = ask("preset_no_auth", Preset::Bodies).await;
        assert!(denied.iter().any(|line| line.contains("denied proxy_http_call")), "{denied:?}");
    });
}

/// The start of a VM belongs to no plugin: its lines are those of a process of its own.
#[test]
fn guests_of_every_language_start_and_run_with_headers() {
    run(async {
        for (name, header) in
            [("as_headers", "x-as-plugin"), ("c_headers", "x-c-plugin"), ("go_headers", "x-go-plugin")]
        {
            let plugin = format!("preset_{name}");
            let more = format!("root_id: {name}, {}", rights(Preset::Headers));
            let setup = Setup::echo().plugin(&plugin, &guest(name), &more);
            let config = file(&format!("{plugin}.yaml"), &setup.text());
            let output = portcullis(&["check", config.to_str().unwrap()]);
            let log = text(&output.stderr);
            assert!(output.status.success() && !log.contains("denied "), "{log}");
            let gate = setup.start();
            let answer = gate.h1().await.ask(get("/x")).await;
            assert_eq!(answer.json()["headers"][header], "seen /x", "{name}");
            assert_eq!(denials(gate, &plugin), [""; 0]);
        }
    });
}

#[test]
fn with_logging_a_plugin_starts_and_sees_no_traffic() {
    run(async {
        let gate = Setup::echo().plugin("preset_logging", &guest("header_tour"), &rights(Preset::Logging)).start();
        let answer = gate.h1().await.ask(get("/hello")).await;
        assert_eq!((answer.status, answer.header("x-plugin").as_str()), (200, ""));
        logs::wait("preset_logging", "completed").await;
        assert_eq!(denials(gate, "preset_logging"), [""; 0]);
    });
}

#[test]
fn presets_are_printed() {
    let output = portcullis(&["presets"]);
    assert_eq!(output.status.code(), Some(0));
    let text = text(&output.stdout);
    for preset in Preset::ALL {
        assert!(text.contains(&format!("\n{}: {}\n", preset.name(), preset.summary())), "{text}");
    }
    let lines = text.lines().filter(|line| line.starts_with("  "));
    assert_eq!(lines.count(), Preset::Callouts.capabilities().held().count());
}
