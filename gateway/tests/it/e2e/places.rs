//! The share of clients in the places of a plugin with `isolation: stream`, and in its time.

use tokio::task::JoinSet;

use crate::e2e::harness::{Client, Gate, Setup, get, logs, plugin, post, run, until};

fn gate(name: &str, more: &str, vm: &str, code: &str) -> Gate {
    let text = Setup::echo().plugin(name, &plugin(&[("request_headers", code)]), &format!("vm_more: 1{more}")).text();
    Gate::start(
        &text.replace("vm_config: {", &format!("vm_config: {{isolation: stream{vm}, ")).replace(", vm_more: 1", ""),
    )
}

/// Nine connections ask for more places than there are and keep them: a tenth one gets a place all the same.
#[test]
fn nine_connections_do_not_keep_a_tenth_out() {
    run(async {
        let code =
            "(if (local.get $end) (then (call $say $\"holds\")) (else (call $say $\"the tenth\"))) (i32.const 1)";
        let gate = gate("places_for_all", "", "", code);
        let mut asked = JoinSet::new();
        for _ in 0..9 {
            let Client::H2(sender) = gate.h2().await else { panic!("h2") };
            for _ in 0..256 {
                let mut client = Client::H2(sender.clone());
                asked.spawn(async move { client.try_ask(get("/")).await.map(|answer| answer.status) });
            }
        }
        until(|| logs::count("places_for_all", "holds") >= 2048).await;
        let mut tenth = gate.h1().await;
        tokio::select! {
            answer = tenth.ask(post("/", "data")) => panic!("it was answered {}", answer.status),
            () = until(|| logs::count("places_for_all", "the tenth") == 1) => {}
        }
        let answer = asked.join_next().await.unwrap().unwrap();
        assert_eq!(answer.ok(), Some(503), "one of the nine has lost a place, or has got none");
    });
}

/// A client whose streams loop keeps neither a worker nor the plugin from others: the plugin rests for that client.
#[test]
fn a_plugin_rests_for_a_client_whose_stream_loops() {
    run(async {
        let code = "(if (i32.eqz (local.get $end)) (then (loop $again (br $again)))) (i32.const 0)";
        let more = ", reload_config: {backoff: {base_interval: 1h, max_interval: 1h}}";
        let gate = gate("loops", more, ", limits: {deadline: 20ms}", code);
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/")).await.status, 200);
        for _ in 0..20 {
            assert_eq!(client.ask(post("/", "data")).await.status, 503);
        }
        assert_eq!(client.ask(get("/")).await.status, 503);
        assert_eq!(logs::count("loops", "failed: deadline"), 1);
        assert_eq!(logs::count("loops", "a stream has spent its deadline"), 1);
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200, "another client");
        let failures = "portcullis_plugin_failures_total{plugin=\"loops\",reason=\"deadline\"}";
        assert_eq!(gate.metric(failures).await, 1.0);
    });
}
