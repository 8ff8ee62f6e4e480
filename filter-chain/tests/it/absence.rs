//! Absence is not consent: the failure policy of a plugin answers where its root, VM or context does not exist.

use crate::common::{Bench, plugin, recorder, with_policy};
use portcullis_chain::ConnectionEffect;
use portcullis_core::abi::CallbackId;
use portcullis_core::model::{Direction, FailurePolicy, StreamInfo};

const UNAVAILABLE: [&str; 2] = ["request done", "response :status=503 end"];

#[test]
fn a_stream_in_flight_keeps_its_plugin_when_the_worker_is_shut_down() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[])), plugin("b", || recorder(&[]))]);
    bench.request(false);
    bench.journal();
    bench.worker.shut_down();
    assert_eq!(bench.journal(), ["a: done", "b: done"], "the roots are asked");
    assert_eq!(bench.worker.pending_roots(), 2, "and wait for the stream");
    assert_eq!(bench.request_body("abc", true), ["request body abc end"]);
    assert_eq!(bench.response(true), ["response :status=200 end"]);
    let seen = [
        "a: request body abc end",
        "b: request body abc end",
        "b: response headers 1 end",
        "a: response headers 1 end",
    ];
    assert_eq!(bench.journal(), seen);
    let ends = ["a: log", "b: log", "a: done", "a: delete", "b: done", "b: delete", "a: delete", "b: delete"];
    assert_eq!(bench.finish(), ends, "the stream's contexts, then the roots");
    assert_eq!(bench.worker.pending_roots(), 0);
}

/// Holds for a root that says later that it is done, too.
#[test]
fn a_root_that_asked_for_time_waits_for_streams_as_well() {
    let script = || {
        let script = recorder(&[]).on(CallbackId::on_done, |_, args| i32::from(args[0] != 1));
        script.on(CallbackId::on_request_body, |caller, _| {
            assert_eq!(portcullis_core::hostcall::entry::proxy_done(caller).ok(), Some(0));
            0
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(false);
    bench.worker.shut_down();
    bench.request_body("abc", true);
    assert_eq!(bench.response(true), ["response :status=200 end"]);
    assert_eq!(bench.journal().last().map(String::as_str), Some("a: response headers 1 end"));
    assert_eq!(bench.finish(), ["a: log", "a: delete", "a: delete"]);
    assert_eq!(bench.worker.pending_roots(), 0);
}

#[test]
fn a_stream_that_comes_to_a_plugin_that_has_ended_is_answered_by_its_policy() {
    for (policy, expected) in [
        (FailurePolicy::Closed, &UNAVAILABLE[..]),
        (FailurePolicy::Reload, &UNAVAILABLE),
        (FailurePolicy::Open, &["request :method=POST end"]),
    ] {
        let mut bench = Bench::new(&[with_policy(plugin("a", || recorder(&[])), policy)]);
        bench.worker.shut_down();
        assert_eq!(bench.request(true), expected);
        assert_eq!(bench.finish(), [""; 0], "nothing of it is called");
        let told =
            |line: &portcullis_core::testing::LoggedLine| line.from_host && line.message.contains("it has ended");
        assert!(bench.host.lines().iter().any(told), "the log says why");
    }
}

#[test]
fn a_connection_keeps_its_plugin_and_a_later_one_is_answered_by_the_policy() {
    for (policy, expected) in [(FailurePolicy::Closed, "Reset"), (FailurePolicy::Open, "Connect")] {
        let mut bench = Bench::new(&[with_policy(plugin("a", || recorder(&[])), policy)]);
        let chain = bench.chain.clone();
        let first = bench.worker.connect(&chain, StreamInfo::default().into_shared(), 10);
        bench.worker.shut_down();
        assert_eq!(bench.worker.pending_roots(), 1);
        bench.worker.data(first, Direction::Request, Default::default(), true);
        bench.journal();
        bench.worker.finish_connection(first);
        assert_eq!(bench.journal(), ["a: done", "a: log", "a: delete", "a: delete"]);
        let late = bench.worker.connect(&chain, StreamInfo::default().into_shared(), 10);
        let effect = bench.worker.connection_effect(late);
        let is_as_expected = match expected {
            "Reset" => matches!(effect, Some(ConnectionEffect::Reset { .. })),
            _ => matches!(effect, Some(ConnectionEffect::Connect)),
        };
        assert!(is_as_expected, "{policy:?}: {effect:?}");
    }
}

#[test]
fn a_chain_of_another_worker_lets_nothing_pass() {
    let open = with_policy(plugin("a", || recorder(&[])), FailurePolicy::Open);
    let mut bench = Bench::new(&[]);
    bench.chain = Bench::new(&[open]).chain;
    for _ in 0..2 {
        bench.open();
        assert_eq!(bench.request(true), UNAVAILABLE);
        bench.finish();
    }
    let chain = bench.chain.clone();
    let connection = bench.worker.connect(&chain, StreamInfo::default().into_shared(), 10);
    assert!(matches!(bench.worker.connection_effect(connection), Some(ConnectionEffect::Reset { .. })));
    assert_eq!(bench.host.lines().len(), 1, "told once");
}
