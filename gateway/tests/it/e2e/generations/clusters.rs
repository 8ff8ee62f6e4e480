//! Clusters that come, go and change.

use super::says;
use crate::e2e::harness::{Setup, Upstream, get, reply, run, until};

#[test]
fn a_cluster_that_is_the_same_keeps_its_connections() {
    run(async {
        let (kept, other) =
            (Upstream::new(|_| async { reply(200, "kept") }), Upstream::new(|_| async { reply(200, "other") }));
        let with = |what: &str, second: &Upstream, more: &str| {
            let setup = says(Setup::to(&kept), "clusters", what).route("match: {path: /second}, cluster: second");
            setup.cluster("second", &format!("endpoints: [{}]{more}", second.address))
        };
        let gate = with("one", &other, "").start();
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/")).await.text(), "kept");
        assert_eq!(client.ask(get("/second")).await.text(), "other");
        gate.reload(&with("two", &other, "")).await.unwrap();
        assert_eq!((client.ask(get("/")).await.text(), client.ask(get("/second")).await.text()), ("kept", "other"));
        assert_eq!((kept.accepted(), other.accepted()), (1, 1), "the connections from before");
        // Another configuration of one of them: its connections are others, and those from before are closed.
        gate.reload(&with("two", &other, ", connect_timeout: 7s")).await.unwrap();
        assert_eq!((client.ask(get("/")).await.text(), client.ask(get("/second")).await.text()), ("kept", "other"));
        assert_eq!((kept.accepted(), other.accepted()), (1, 2));
        until(|| other.closed() == 1).await;
        // Another server.
        gate.reload(&with("two", &kept, "")).await.unwrap();
        assert_eq!(client.ask(get("/second")).await.text(), "kept");
        until(|| other.closed() == 2).await;
    });
}

#[test]
fn a_cluster_is_added_and_removed() {
    run(async {
        let added = Upstream::new(|_| async { reply(200, "added") });
        let with = Setup::echo()
            .route("match: {path: /added}, cluster: added")
            .cluster("added", &format!("endpoints: [{}]", added.address));
        let gate = Setup::echo().start();
        let mut client = gate.h1().await;
        assert_ne!(client.ask(get("/added")).await.text(), "added");
        gate.reload(&with).await.unwrap();
        assert_eq!(client.ask(get("/added")).await.text(), "added");
        gate.reload(&Setup::echo()).await.unwrap();
        assert_ne!(client.ask(get("/added")).await.text(), "added");
        until(|| added.closed() == 1).await;
    });
}
