//! How long requests and streams keep a configuration that was replaced.

use super::says;
use crate::e2e::harness::{Gate, Raw, Setup, get, run, until};
use crate::e2e::lifecycle::waiting;

fn tcp(cluster: &str, reload: &str) -> String {
    format!(
        "workers: 1\nreload: {{{reload}}}\nlisteners:\n  - {{address: 127.0.0.1:0, tcp_proxy: {{cluster: {cluster}}}}}\nclusters:\n  - \
         {{name: {cluster}, echo: {{}}}}\n"
    )
}

#[test]
fn a_tcp_stream_ends_when_it_has_lingered() {
    run(async {
        let gate = Gate::start(&tcp("a", "linger: 50ms"));
        let mut line = Raw::connect(gate.address()).await;
        line.write("one").await;
        line.read_to("one").await;
        gate.reload_text(&tcp("b", "linger: 50ms")).await.unwrap();
        assert_eq!(line.read_all().await, "");
        until(|| gate.held().len() == 1).await;
    });
}

#[test]
fn streams_of_the_oldest_generation_are_cut_for_another() {
    run(async {
        let gate = Gate::start(&tcp("a", "max_generations: 2, linger: 0s"));
        let mut lines = Vec::new();
        for cluster in ["b", "c", "d"] {
            let mut line = Raw::connect(gate.address()).await;
            line.write("here").await;
            line.read_to("here").await;
            lines.push(line);
            gate.reload_text(&tcp(cluster, "max_generations: 2, linger: 0s")).await.unwrap();
        }
        let [first, second, third] = &mut lines[..] else { panic!() };
        assert_eq!((first.read_all().await, second.read_all().await), (String::new(), String::new()));
        third.write("there").await;
        third.read_to("there").await;
        until(|| gate.held().iter().map(|held| held.number).collect::<Vec<_>>() == [3, 4]).await;
    });
}

#[test]
fn requests_of_the_oldest_generation_are_cut_for_another() {
    run(async {
        let (upstream, go) = waiting("/slow");
        let with = |what| {
            let text = says(Setup::to(&upstream), "cut", what).text();
            text.replace("shutdown_timeout", "reload: {max_generations: 2}\nshutdown_timeout")
        };
        let gate = Gate::start(&with("one"));
        let (mut h1, mut h2) = (gate.h1().await, gate.h2().await);
        let meanwhile = async {
            until(|| upstream.requests() == 2).await;
            gate.reload_text(&with("two")).await.unwrap();
            let mut kept = gate.h1().await;
            let third = async {
                until(|| upstream.requests() == 3).await;
                gate.reload_text(&with("three")).await.unwrap();
                until(|| gate.held().len() == 2).await;
                go.notify_one();
            };
            let (kept, ()) = tokio::join!(kept.ask(get("/slow")), third);
            assert_eq!((kept.status, kept.header("x-says")), (200, "two".to_owned()));
        };
        let (first, second, ()) = tokio::join!(h1.ask(get("/slow")), h2.ask(get("/slow")), meanwhile);
        for answer in [&first, &second] {
            assert_eq!((answer.status, answer.text()), (503, "the configuration was replaced"));
        }
        assert_eq!(h2.ask(get("/")).await.header("x-says"), "three", "the connection goes on");
    });
}
