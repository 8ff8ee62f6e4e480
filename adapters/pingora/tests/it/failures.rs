//! Plugins that loop or trap, upstreams that are away or break off.

use portcullis_core::model::FailurePolicy;
use portcullis_core::testing::Script;
use portcullis_pingora::{BodyMode, Options};

use crate::http1::{get, post};
use crate::plugins::{ON_RESPONSE, ON_RESPONSE_BODY, faulty, file, scripted, tagger, with_policy};
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
        let page = proxy.exchange(get("/empty", ""));
        assert_eq!((page.status(), page.text().as_str()), (502, "page"), "{mode:?}");
        assert_eq!(page.get("x-tag"), Some("response"), "the proxy's page passes the plugins");
        assert_eq!(proxy.logged(), "early request peer 502 error");
        let proxy = Proxy::with(&[tagger(), file("header_tour", "")], setup());
        let answer = proxy.exchange(get("/half", ""));
        let is_page = answer.status() == 502 && answer.text() == "page";
        assert!(is_page || answer.status() == 200 && !answer.is_whole, "{mode:?}: {answer:?}");
        proxy.wait_for("completed", 1);
    }
}

#[test]
fn a_response_that_plugins_have_begun_to_see_is_not_asked_for_again() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let script = || Script::new().on(ON_RESPONSE, |_, _| 0).on(ON_RESPONSE_BODY, |_, _| 1);
        let options = Options::default().with_response_body(mode);
        let proxy = Proxy::optional(&[scripted("holder", script)], options);
        let answer = proxy.exchange(get("/half-once", ""));
        assert!(answer.status() == 502 && answer.text() == "page" || !answer.is_whole, "{mode:?}: {answer:?}");
        assert_eq!(proxy.upstream.seen().len(), 1, "the proxy would try again");
    }
}
