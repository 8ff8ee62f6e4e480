//! Plugins that loop or trap, upstreams that are away or break off.

use portcullis_core::model::FailurePolicy;
use portcullis_pingora::{BodyMode, Options};

use crate::http1::{get, post};
use crate::plugins::{faulty, file, tagger, with_policy};
use crate::proxy::{Proxy, Setup, nobody};
use crate::upstream::Upstream;

#[test]
fn a_plugin_that_loops_or_traps_costs_its_stream_and_no_more() {
    for fault in ["(loop $again (br $again))", "(unreachable)"] {
        for work_stealing in [true, false] {
            let spec = with_policy(faulty("faulty", fault), FailurePolicy::Reload);
            let proxy = Proxy::with(&[spec], Setup { work_stealing, shards: 1, ..Setup::default() });
            assert_eq!(proxy.exchange(get("/empty", "")).status(), 200);
            assert_eq!(proxy.exchange(post("/echo", "", b"abc")).status(), 503, "{fault}");
            let proxy = Proxy::with(&[with_policy(faulty("faulty", fault), FailurePolicy::Open)], Setup::default());
            assert_eq!(proxy.exchange(post("/echo", "", b"abc")).text(), "abc", "{fault}");
        }
    }
}

#[test]
fn a_loop_does_not_keep_others_from_their_answers() {
    let loops = faulty("loops", "(loop $again (br $again))");
    let proxy = Proxy::with(&[with_policy(loops, FailurePolicy::Open)], Setup { shards: 2, ..Setup::default() });
    std::thread::scope(|scope| {
        let looping: Vec<_> =
            (0..4).map(|_| scope.spawn(|| proxy.exchange(post("/echo", "", b"abc")).status())).collect();
        for _ in 0..20 {
            assert_eq!(proxy.exchange(get("/empty", "")).status(), 200);
        }
        for client in looping {
            assert_eq!(client.join().unwrap(), 200);
        }
    });
}

#[test]
fn an_upstream_that_is_away_or_breaks_off_is_told_as_pingora_tells_it() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let setup = || Setup { options: Options::default().with_response_body(mode), ..Setup::default() };
        let proxy = Proxy::before(Upstream::start(), nobody(), &[tagger(), file("header_tour", "")], setup());
        assert_eq!(proxy.exchange(get("/empty", "")).status(), 502, "{mode:?}");
        assert_eq!(proxy.logged(), "request peer 502 error");
        let proxy = Proxy::with(&[tagger(), file("header_tour", "")], setup());
        let answer = proxy.exchange(get("/half", ""));
        assert_eq!((answer.status(), answer.is_whole), (200, false), "{mode:?}");
        proxy.wait_for("completed", 1);
    }
}
