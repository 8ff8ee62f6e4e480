//! Plugins that trap: what becomes of streams and of others.

use crate::common::{
    Bench, answering, call_out, continue_both, plugin, recorder, respond, set_tick, ticking, trap, try_ticking,
    vm_counts, with_policy,
};
use portcullis_core::abi::{CallbackId, MapType};
use portcullis_core::model::FailurePolicy;
use portcullis_core::testing::Script;
use portcullis_core::vm::CallOutcome;

const HEADERS: CallbackId = CallbackId::on_request_headers;
const BODY: CallbackId = CallbackId::on_request_body;
const UNAVAILABLE: [&str; 2] = ["request done", "response :status=503 end"];
const CUT: [&str; 2] = ["request done", "reset local_response_after_headers"];

/// A guest that traps in a callback.
fn trapping(id: CallbackId) -> impl Fn() -> Script + Send + Sync {
    move || recorder(&[]).try_on(id, |_, _| Err(trap()))
}

/// Feeds a whole exchange; all effects.
fn exchange(bench: &mut Bench) -> Vec<String> {
    let mut all = bench.request(false);
    all.extend(bench.request_body("abc", false));
    all.extend(bench.request_body("de", false));
    all.extend(bench.request_trailers());
    all.extend(bench.response(false));
    all.extend(bench.response_body("fgh", false));
    all.extend(bench.response_body("ij", false));
    all.extend(bench.response_trailers());
    all
}

const COMPLETE: [&str; 8] = [
    "request :method=POST",
    "request body abc",
    "request body de",
    "request trailers t=1",
    "response :status=200",
    "response body fgh",
    "response body ij",
    "response trailers t=1",
];

const PHASES: [(CallbackId, usize, [&str; 2]); 7] = [
    (CallbackId::on_context_create, 0, UNAVAILABLE),
    (HEADERS, 0, UNAVAILABLE),
    (BODY, 1, UNAVAILABLE),
    (CallbackId::on_request_trailers, 3, UNAVAILABLE),
    (CallbackId::on_response_headers, 4, UNAVAILABLE),
    (CallbackId::on_response_body, 5, CUT),
    (CallbackId::on_response_trailers, 7, CUT),
];

#[test]
fn closed_answers_503_or_cuts_in_every_phase() {
    for (id, passed, end) in PHASES {
        for policy in [FailurePolicy::Closed, FailurePolicy::Reload] {
            let script = move || trap_once_created(id);
            let failing = with_policy(plugin("b", script), policy);
            let mut bench = Bench::new(&[plugin("a", || recorder(&[])), failing, plugin("c", || recorder(&[]))]);
            let expected: Vec<_> = COMPLETE.iter().take(passed).chain(&end).copied().collect();
            assert_eq!(exchange(&mut bench), expected, "{id}");
            let log = bench.finish();
            assert_eq!(log.iter().filter(|line| line.ends_with("delete")).count(), 2, "{id}: {log:?}");
            assert!(!log.iter().any(|line| line.starts_with("b:")), "{id}: nothing is called in a VM that failed");
            assert_eq!(vm_counts(&bench.worker), (2, 1));
        }
    }
}

#[test]
fn open_loses_nothing_in_every_phase() {
    for (id, _, _) in PHASES {
        let script = move || trap_once_created(id);
        let failing = with_policy(plugin("b", script), FailurePolicy::Open);
        let mut bench = Bench::new(&[plugin("a", || recorder(&[])), failing, plugin("c", || recorder(&[]))]);
        assert_eq!(exchange(&mut bench), COMPLETE, "{id}");
        bench.finish();
        bench.open();
        assert_eq!(exchange(&mut bench), COMPLETE, "{id}, a later stream");
        bench.finish();
    }
}

/// As [`trapping`], but a root may be created.
fn trap_once_created(id: CallbackId) -> Script {
    recorder(&[]).try_on(id, move |_, args| match (id, args) {
        (CallbackId::on_context_create, [_, 0]) => Ok(0),
        _ => Err(trap()),
    })
}

#[test]
fn open_passes_on_what_the_plugin_held() {
    let script = || {
        let mut count = 0;
        recorder(&[]).try_on(BODY, move |caller, _| {
            count += 1;
            caller.set_buffer(portcullis_core::abi::BufferType::HttpRequestBody, b"edited ");
            if count == 2 { Err(trap()) } else { Ok(1) }
        })
    };
    let mut bench = Bench::new(&[with_policy(plugin("a", script), FailurePolicy::Open), plugin("b", || recorder(&[]))]);
    assert_eq!(bench.request(false), ["request :method=POST"]);
    assert_eq!(bench.request_body("abc", false), [""; 0]);
    assert_eq!(bench.request_body("de", true), ["request body edited  end"]);
}

#[test]
fn open_releases_streams_that_wait_for_a_vm_that_fails_in_a_tick() {
    let script = || try_ticking(recorder(&[(HEADERS, &[1])]), |_| Err(trap()));
    let mut bench = Bench::new(&[with_policy(plugin("a", script), FailurePolicy::Open), plugin("b", || recorder(&[]))]);
    bench.request(false);
    bench.request_body("abc", false);
    let paused = bench.open();
    bench.request(true);
    assert_eq!(bench.tick(), ["request :method=POST end"]);
    assert_eq!(bench.worker_effects().len(), 2, "both are woken");
    bench.turn_to(paused);
    assert_eq!(bench.effects(), ["request :method=POST", "request body abc"]);
    assert_eq!(bench.request_body("de", true), ["request body de end"]);
    assert_eq!(bench.worker.next_tick(), None);
}

#[test]
fn closed_fails_streams_that_wait_and_no_others() {
    let script = || try_ticking(recorder(&[(HEADERS, &[1, 0])]), |_| Err(trap()));
    let mut bench = Bench::new(&[plugin("a", script)]);
    assert_eq!(bench.request(false), [""; 0]);
    let waiting = bench.open();
    bench.request(true);
    bench.response(false);
    assert_eq!(bench.tick(), [""; 0], "a stream that does not wait for the plugin goes on until it needs it");
    assert_eq!(bench.worker_effects(), ["wake another"]);
    assert_eq!(bench.response_body("abc", false), CUT);
    bench.turn_to(waiting);
    assert_eq!(bench.effects(), UNAVAILABLE);
}

#[test]
fn the_wishes_of_a_call_that_trapped_are_void() {
    let script = || {
        recorder(&[]).try_on(HEADERS, |caller, _| {
            set_tick(caller, 1000);
            call_out(caller);
            caller.local_response(403, "no");
            continue_both(caller);
            Err(trap())
        })
    };
    for (policy, expected) in
        [(FailurePolicy::Open, &["request :method=POST end"][..]), (FailurePolicy::Closed, &UNAVAILABLE)]
    {
        let mut bench = Bench::new(&[with_policy(plugin("a", script), policy)]);
        assert_eq!(bench.request(true), expected);
        assert_eq!(bench.worker_effects(), [""; 0]);
        assert_eq!(bench.worker.next_tick(), None);
    }
}

#[test]
fn callouts_of_a_vm_that_failed_are_cancelled() {
    let script = || {
        let script = recorder(&[]).on(HEADERS, |caller, _| i32::from(call_out(caller) > 0));
        try_ticking(answering(script, |_| {}), |_| Err(trap()))
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(true);
    let Some(portcullis_chain::Effect::Callout { id, .. }) = bench.worker.effect() else { panic!("no callout") };
    assert_eq!(bench.tick(), UNAVAILABLE);
    assert_eq!(bench.worker_effects(), ["cancel", "wake"]);
    bench.worker.callout_done(id, CallOutcome::Reset("late".to_owned()));
    assert_eq!(bench.worker_effects(), [""; 0]);
    assert_eq!(bench.effects(), [""; 0]);
}

#[test]
fn the_log_of_others_shows_the_request_that_failed() {
    let logging = || {
        recorder(&[]).on(CallbackId::on_log, |caller, _| {
            assert_eq!(caller.header(MapType::RequestHeaders, ":method"), Ok("POST".to_owned()));
            assert_eq!(caller.header(MapType::ResponseHeaders, ":status"), Ok("503".to_owned()));
            caller.log("seen");
            0
        })
    };
    for id in [CallbackId::on_context_create, HEADERS, BODY] {
        let failing = plugin("b", move || trap_once_created(id));
        let mut bench = Bench::new(&[plugin("a", logging), failing]);
        bench.request(false);
        bench.request_body("abc", true);
        assert_eq!(bench.finish().first().map(String::as_str), Some("a: seen"), "{id}");
    }
}

#[test]
fn others_in_other_vms_do_not_notice() {
    let mut bench = Bench::new(&[plugin("a", || ticking(recorder(&[(HEADERS, &[1])]), continue_both))]);
    assert_eq!(bench.request(true), [""; 0]);
    let failing = bench.worker.load(&[plugin("b", trapping(HEADERS))]);
    let chain = failing.unwrap_or_else(|error| panic!("{error:?}"));
    let chain = std::mem::replace(&mut bench.chain, chain);
    let waiting = bench.open();
    assert_eq!(bench.request(true), UNAVAILABLE);
    bench.chain = chain;
    bench.turn_to(waiting);
    assert_eq!(bench.effects(), [""; 0]);
    assert_eq!(bench.tick(), ["request :method=POST end"]);
    assert_eq!(vm_counts(&bench.worker), (1, 1));
}

#[test]
fn a_trap_at_the_end_of_a_stream_keeps_no_other_from_its_end() {
    for id in [CallbackId::on_log, CallbackId::on_done, CallbackId::on_delete] {
        let mut bench = Bench::new(&[plugin("a", trapping(id)), plugin("b", || recorder(&[]))]);
        bench.request(true);
        let log = bench.finish();
        let other: Vec<_> = log.iter().filter(|line| line.starts_with("b:")).collect();
        assert_eq!(other, ["b: log", "b: done", "b: delete"], "{id}");
    }
}

/// A gRPC client learns it as a gRPC status.
#[test]
fn grpc_clients_get_unavailable() {
    let mut bench = Bench::new(&[plugin("a", trapping(HEADERS))]);
    let headers = [("content-type", "application/grpc")];
    let effects = bench.headers(portcullis_core::model::Direction::Request, &headers, false);
    let expected = ["request done", "response :status=200 content-type=application/grpc grpc-status=14 end"];
    assert_eq!(effects, expected);
}

/// An answer that a plugin began is replaced when another plugin fails on it.
#[test]
fn a_local_reply_on_which_a_plugin_fails_is_503() {
    let deny = || Script::new().on(HEADERS, |caller, _| respond(caller, 403, "no", &[], -1));
    let mut bench = Bench::new(&[plugin("a", trapping(CallbackId::on_response_headers)), plugin("b", deny)]);
    assert_eq!(bench.request(true), UNAVAILABLE);
}
