//! Plugins that move to another engine once they are compiled for it.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{
    Bench, answering, call_out, continue_both, per_stream, plugin, recorder, set_tick, trap, vm_counts, with_policy,
};
use portcullis_chain::{Backoff, Module, PluginSpec, Tier};
use portcullis_core::abi::{AbiVersion, CallbackId};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, FailurePolicy};
use portcullis_core::testing::{NullEngine, Script};

const HEADERS: CallbackId = CallbackId::on_request_headers;

/// A plugin, and what it waits for.
fn tiered(script: impl Fn() -> Script + Send + Sync + 'static) -> (PluginSpec, Arc<Tier>) {
    let tier = Arc::new(Tier::new("fast"));
    (plugin("a", script).with_tier(Some(Arc::clone(&tier))), tier)
}

/// The plugin is compiled; then it does this.
fn reach(tier: &Tier, script: impl Fn() -> Script + Send + Sync + 'static) {
    let module = NullEngine::new(script).module().unwrap();
    tier.publish(Module::from_compiled("fast", AbiVersion::V0_2_1, None, module));
}

/// Says in each request which code it is.
fn saying(what: &'static str) -> Script {
    recorder(&[])
        .on(HEADERS, move |caller, _| {
            caller.log(what);
            0
        })
        .on(CallbackId::on_response_headers, move |caller, _| {
            caller.log(&format!("{what} responds"));
            0
        })
}

#[test]
fn new_streams_move_and_old_ones_stay() {
    let (spec, tier) = tiered(|| saying("slow"));
    let mut bench = Bench::new(&[spec]);
    bench.request(true);
    assert_eq!((bench.worker.tier_up(), bench.journal()), (0, vec!["a: slow".to_owned()]), "it is not compiled");
    reach(&tier, || saying("fast"));
    assert_eq!(bench.worker.tier_up(), 1);
    assert_eq!(bench.journal(), [""; 0], "the old root is there as long as its streams");
    assert_eq!((bench.worker.tier_up(), vm_counts(&bench.worker)), (0, (2, 0)));
    let old = bench.open();
    bench.request(true);
    assert_eq!(bench.journal(), ["a: fast"]);
    let new = bench.turn_to(old);
    bench.response(true);
    assert_eq!(bench.journal(), ["a: slow responds"]);
    let end = ["a: log", "a: done", "a: delete"];
    assert_eq!(bench.finish(), [&end[..], &["a: done", "a: delete"]].concat(), "of the stream, and of the root");
    assert_eq!(vm_counts(&bench.worker), (1, 0), "the old VM goes with its last stream");
    bench.turn_to(new);
    bench.response(true);
    assert_eq!(bench.journal(), ["a: fast responds"]);
}

#[test]
fn a_stream_that_has_not_begun_begins_in_the_new_vm() {
    let (spec, tier) = tiered(|| saying("slow"));
    let mut bench = Bench::new(&[spec]);
    reach(&tier, || saying("fast"));
    bench.worker.tier_up();
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    assert_eq!(bench.request(true), ["request :method=POST end"]);
    assert!(bench.journal().ends_with(&["a: fast".to_owned()]));
}

#[test]
fn ticks_move_and_a_root_that_needs_time_has_it() {
    let ticking = |what: &'static str| {
        saying(what).on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000)).on(
            CallbackId::on_tick,
            move |caller, _| {
                caller.log(&format!("{what} ticks"));
                i32::from(entry::proxy_done(caller).is_ok())
            },
        )
    };
    // The old one says that it is not done; it is, in its next tick.
    let (spec, tier) = tiered(move || ticking("slow").on(CallbackId::on_done, |_, _| 0));
    let mut bench = Bench::new(&[spec]);
    reach(&tier, move || ticking("fast"));
    assert_eq!(bench.worker.tier_up(), 1);
    assert_eq!((vm_counts(&bench.worker), bench.worker.pending_roots()), ((2, 0), 2));
    bench.tick();
    let mut lines = bench.journal();
    lines.sort();
    assert_eq!(lines, ["a: delete", "a: fast ticks", "a: slow ticks"]);
    assert_eq!((vm_counts(&bench.worker), bench.worker.pending_roots()), ((1, 0), 1));
    bench.tick();
    assert_eq!(bench.journal(), ["a: fast ticks"]);
    bench.worker.shut_down();
    assert_eq!((bench.journal(), bench.worker.pending_roots()), (vec!["a: done".into(), "a: delete".into()], 0));
}

#[test]
fn a_callout_is_answered_where_it_was_made() {
    let calling = |what: &'static str| {
        let script = saying(what).on(HEADERS, |caller, _| {
            call_out(caller);
            1
        });
        answering(script, move |caller| {
            caller.log(what);
            continue_both(caller);
        })
    };
    let (spec, tier) = tiered(move || calling("slow"));
    let mut bench = Bench::new(&[spec]);
    bench.request(true);
    reach(&tier, move || calling("fast"));
    assert_eq!(bench.worker.tier_up(), 1);
    bench.worker_effects();
    assert_eq!(bench.answer_callout(), ["request :method=POST end"]);
    assert!(bench.journal().contains(&"a: slow".to_owned()));
    bench.finish();
    assert_eq!(vm_counts(&bench.worker), (1, 0));
}

#[test]
fn what_does_not_start_there_stays_and_is_not_tried_again() {
    let (spec, tier) = tiered(|| saying("slow"));
    let mut bench = Bench::new(&[spec]);
    reach(&tier, || saying("fast").on(CallbackId::on_configure, |_, _| 0));
    assert_eq!((bench.worker.tier_up(), bench.worker.tier_up()), (0, 0));
    let told = bench.host.messages().into_iter().filter(|line| line.contains("cannot move to fast, and stays")).count();
    assert_eq!((told, vm_counts(&bench.worker)), (1, (1, 0)));
    assert_eq!(bench.headers(Direction::Request, &[(":method", "POST")], true), ["request :method=POST end"]);
    assert_eq!(bench.journal(), ["a: slow"]);
}

#[test]
fn a_worker_that_starts_later_starts_there() {
    let (spec, tier) = tiered(|| saying("slow"));
    reach(&tier, || saying("fast"));
    let mut bench = Bench::new(&[spec]);
    bench.request(true);
    assert_eq!((bench.journal(), bench.worker.tier_up()), (vec!["a: fast".to_owned()], 0));
}

#[test]
fn what_a_failed_vm_leaves_is_not_taken_for_a_stream_that_has_its_place() {
    let (spec, tier) = tiered(|| saying("slow").try_on(CallbackId::on_response_headers, |_, _| Err(trap())));
    // One that needs time for its end would never be let go.
    let slow_to_end = || recorder(&[]).on(CallbackId::on_done, |_, _| 0);
    let mut bench = Bench::new(&[per_stream("b", slow_to_end), spec]);
    bench.request(true);
    reach(&tier, || saying("fast"));
    assert_eq!(bench.worker.tier_up(), 1);
    bench.response(true);
    bench.finish();
    assert_eq!(vm_counts(&bench.worker), (1, 0), "the old VM has failed, and went with its stream");
    bench.open();
    bench.request(true);
    bench.finish();
    assert_eq!((vm_counts(&bench.worker), bench.worker.pending_roots()), ((1, 0), 1));
}

#[test]
fn an_old_vm_that_fails_after_its_streams_goes_too() {
    let slow = || {
        saying("slow")
            .on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000))
            .on(CallbackId::on_done, |_, _| 0)
            .try_on(CallbackId::on_tick, |_, _| Err(trap()))
    };
    let (spec, tier) = tiered(slow);
    let mut bench = Bench::new(&[spec]);
    reach(&tier, || saying("fast"));
    assert_eq!((bench.worker.tier_up(), vm_counts(&bench.worker)), (1, (2, 0)));
    bench.tick();
    assert_eq!(vm_counts(&bench.worker), (1, 0));
}

#[test]
fn what_stays_is_made_anew_where_it_stays() {
    let slow = || saying("slow").try_on(CallbackId::on_request_trailers, |_, _| Err(trap()));
    let (spec, tier) = tiered(slow);
    let reload = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
    let mut bench = Bench::new(&[with_policy(spec, FailurePolicy::Reload).with_reload(reload)]);
    reach(&tier, || saying("fast").on(CallbackId::on_configure, |_, _| 0));
    assert_eq!(bench.worker.tier_up(), 0);
    for _ in 0..2 {
        bench.request(false);
        bench.request_trailers();
        assert_eq!(vm_counts(&bench.worker), (0, 1));
        bench.finish();
        bench.pass_second();
        bench.open();
        assert_eq!(bench.request(true), ["request :method=POST end"]);
        assert_eq!(vm_counts(&bench.worker), (1, 0));
        bench.finish();
        bench.open();
    }
}

#[test]
fn nothing_moves_that_has_been_asked_to_end() {
    let (spec, tier) = tiered(|| saying("slow").on(CallbackId::on_done, |_, _| 0));
    let mut bench = Bench::new(&[spec]);
    bench.worker.shut_down();
    reach(&tier, || saying("fast"));
    assert_eq!((bench.worker.tier_up(), vm_counts(&bench.worker)), (0, (1, 0)));
}
