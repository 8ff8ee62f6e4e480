//! VMs that are started anew, or that fail outside of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{
    Bench, changing, continue_both, plugin, recorder, set_tick, ticking, trap, vm_counts, with_policy,
};
use portcullis_chain::{Backoff, ChainError, LoadError, PluginSpec, PluginState};
use portcullis_core::abi::CallbackId;
use portcullis_core::model::FailurePolicy;
use portcullis_core::testing::Script;

const HEADERS: CallbackId = CallbackId::on_request_headers;
const UNAVAILABLE: [&str; 2] = ["request done", "response :status=503 end"];

/// A plugin whose first VMs trap in a callback; later ones do not.
fn improving(id: CallbackId, bad: usize) -> PluginSpec {
    let started = Arc::new(AtomicUsize::new(0));
    let script = move || {
        let number = started.fetch_add(1, Ordering::Relaxed);
        let script = ticking(recorder(&[(HEADERS, &[1])]), continue_both);
        if number < bad { script.try_on(id, |_, _| Err(trap())) } else { script }
    };
    let mut spec = with_policy(changing("a", script), FailurePolicy::Reload);
    spec.reload = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
    spec
}

#[test]
fn a_new_vm_serves_later_streams_after_a_second() {
    let mut bench = Bench::new(&[improving(HEADERS, 1)]);
    assert_eq!(bench.request(true), UNAVAILABLE);
    bench.open();
    assert_eq!(bench.request(true), UNAVAILABLE, "too early");
    bench.pass_second();
    bench.open();
    assert_eq!(vm_counts(&bench.worker), (1, 1), "streams still know the old VM");
    assert_eq!(bench.request(true), [""; 0]);
    assert_eq!(bench.tick(), ["request :method=POST end"], "its tick runs too");
}

#[test]
fn a_plugin_whose_vm_has_failed_does_not_keep_others_from_a_new_chain() {
    let spec = improving(HEADERS, 1);
    let mut bench = Bench::new(std::slice::from_ref(&spec));
    assert_eq!(bench.request(true), UNAVAILABLE);
    bench.finish();
    let specs = [spec, plugin("b", || recorder(&[]))];
    assert!(matches!(bench.worker.load(&specs).unwrap_err().source, LoadError::Resting(_)));
    let before = std::mem::replace(&mut bench.chain, bench.worker.load_beside(&specs).unwrap());
    bench.worker.unload(&before);
    assert_eq!(vm_counts(&bench.worker), (1, 1), "it is as it was");
    bench.open();
    assert_eq!(bench.request(true), UNAVAILABLE, "it rests");
    bench.finish();
    bench.pass_second();
    bench.open();
    assert_eq!(bench.request(true), [""; 0]);
    assert_eq!(bench.tick(), ["request :method=POST end"], "in a VM that works");
    let again = bench.worker.load_beside(&specs).unwrap();
    assert_eq!((vm_counts(&bench.worker), again == bench.chain), ((2, 0), true));
}

#[test]
fn a_plugin_without_streams_is_kept_up() {
    let mut bench = Bench::new(&[improving(CallbackId::on_tick, 1)]);
    let chain = bench.chain.clone();
    bench.finish();
    bench.worker.keep_up(&chain);
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    bench.tick();
    bench.worker.keep_up(&chain);
    assert_eq!(vm_counts(&bench.worker), (0, 1), "it rests");
    bench.pass_second();
    bench.worker.keep_up(&chain);
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    bench.worker.shut_down();
    bench.worker.keep_up(&chain);
    let states: Vec<_> = bench.worker.health().map(|health| health.state).collect();
    assert!(matches!(states[..], [PluginState::Ended]), "what has ended is not started: {states:?}");
}

#[test]
fn the_old_vm_goes_with_its_last_stream() {
    let mut bench = Bench::new(&[improving(HEADERS, 1)]);
    bench.request(true);
    bench.pass_second();
    let old = bench.open();
    bench.request(true);
    let new = bench.turn_to(old);
    bench.finish();
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    bench.turn_to(new);
    assert_eq!(bench.tick(), ["request :method=POST end"]);
    assert_eq!(bench.finish(), ["a: log", "a: done", "a: delete"]);
}

/// Contexts of both VMs have the same ids; each stream keeps to its own VM.
#[test]
fn streams_of_the_old_vm_are_not_taken_for_those_of_the_new_one() {
    let mut bench = Bench::new(&[improving(CallbackId::on_request_body, 1)]);
    bench.request(false);
    bench.tick();
    let old = bench.open();
    bench.request(false);
    bench.tick();
    let failing = bench.turn_to(old);
    assert_eq!(bench.request_body("abc", false), UNAVAILABLE);
    bench.pass_second();
    let old = bench.open();
    assert_eq!(bench.request(false), [""; 0]);
    let new = bench.turn_to(failing);
    assert_eq!(bench.request_body("abc", false), UNAVAILABLE, "its VM has failed");
    bench.finish();
    bench.turn_to(old);
    bench.finish();
    bench.turn_to(new);
    assert_eq!(bench.tick(), ["request :method=POST"]);
    assert_eq!(bench.request_body("abc", true), ["request body abc end"]);
}

#[test]
fn a_vm_that_does_not_start_is_tried_again_a_second_later() {
    let started = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&started);
    let script = move || {
        let number = started.fetch_add(1, Ordering::Relaxed);
        recorder(&[])
            .on(CallbackId::on_configure, move |_, _| i32::from(number != 1))
            .try_on(HEADERS, move |_, _| if number == 0 { Err(trap()) } else { Ok(0) })
    };
    let mut spec = with_policy(changing("a", script), FailurePolicy::Reload);
    spec.reload = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
    let mut bench = Bench::new(&[spec]);
    bench.request(true);
    bench.pass_second();
    for _ in 0..3 {
        bench.open();
        assert_eq!(bench.request(true), UNAVAILABLE);
    }
    assert_eq!(counter.load(Ordering::Relaxed), 2, "one try");
    bench.pass_second();
    bench.open();
    assert_eq!(bench.request(true), ["request :method=POST end"]);
}

#[test]
fn a_vm_may_fail_and_be_started_anew_many_times() {
    let mut bench = Bench::new(&[improving(HEADERS, 5)]);
    for _ in 0..5 {
        assert_eq!(bench.request(true), UNAVAILABLE);
        bench.finish();
        bench.pass_second();
        bench.open();
    }
    assert_eq!(bench.request(true), [""; 0]);
    assert_eq!(bench.tick(), ["request :method=POST end"]);
    assert_eq!(vm_counts(&bench.worker), (1, 0));
}

#[test]
fn what_a_new_vm_asks_for_when_it_starts_is_done() {
    let script = || {
        Script::new()
            .on(CallbackId::on_configure, |caller, _| set_tick(caller, 500))
            .try_on(HEADERS, |_, _| Err(trap()))
    };
    let mut bench = Bench::new(&[with_policy(changing("a", script), FailurePolicy::Reload)]);
    bench.request(true);
    assert_eq!(bench.worker.next_due(), Some(Duration::from_secs(1)), "when it has rested");
    bench.pass_second();
    bench.open();
    assert_eq!(bench.worker.next_due(), Some(Duration::from_millis(1500)));
}

/// Loads no plugin into a VM that has failed: neither another plugin of its sandbox nor the same one.
#[test]
fn loading_makes_a_fresh_vm_in_the_place_of_one_that_has_failed() {
    for policy in [FailurePolicy::Reload, FailurePolicy::Closed, FailurePolicy::Open] {
        let first = with_policy(improving(HEADERS, 1), policy);
        let mut second = first.clone();
        second.plugin.name = "b".to_owned();
        let mut bench = Bench::new(std::slice::from_ref(&first));
        bench.request(true);
        for spec in [&first, &second] {
            let Err(ChainError { index: 0, source: error, .. }) = bench.worker.load(std::slice::from_ref(spec)) else {
                panic!("the VM rests")
            };
            let error = error.to_string();
            assert!(error.contains("0.0ns ago, in proxy_on_request_headers of plugin \"a\": trap: "), "{error}");
            assert!(error.contains("may be started in 1.0s"), "{error}");
        }
        bench.finish();
        bench.pass_second();
        bench.chain = bench.worker.load(&[first, second]).unwrap();
        assert_eq!(vm_counts(&bench.worker), (1, 0), "the VM that has failed is gone");
        bench.open();
        bench.journal();
        assert_eq!(bench.request(true), [""; 0], "each plugin pauses it");
        assert_eq!(bench.tick(), ["request :method=POST end"], "{policy:?}");
        assert_eq!(bench.journal(), ["a: request headers 1 end", "b: request headers 1 end"], "{policy:?}");
    }
}

#[test]
fn a_plugin_that_has_ended_is_started_again_when_it_is_loaded_again() {
    let spec = changing("a", || recorder(&[]));
    let mut bench = Bench::new(std::slice::from_ref(&spec));
    bench.worker.shut_down();
    bench.chain = bench.worker.load(&[spec]).unwrap();
    bench.open();
    assert_eq!(bench.request(true), ["request :method=POST end"]);
    assert_eq!(bench.journal().last().map(String::as_str), Some("a: request headers 1 end"));
}

/// Loading a plugin into a VM that serves streams may fail that VM.
#[test]
fn streams_do_not_wait_for_a_vm_that_another_plugin_broke_when_it_started() {
    let script = || {
        let mut count = 0;
        recorder(&[(HEADERS, &[1])]).try_on(CallbackId::on_configure, move |_, _| {
            count += 1;
            if count > 1 { Err(trap()) } else { Ok(1) }
        })
    };
    let first = changing("a", script);
    let mut second = first.clone();
    second.plugin.name = "b".to_owned();
    let mut bench = Bench::new(&[first]);
    assert_eq!(bench.request(true), [""; 0]);
    assert!(bench.worker.load(&[second]).is_err());
    assert_eq!(bench.effects(), UNAVAILABLE);
    assert_eq!(bench.worker_effects(), ["wake"]);
}

#[test]
fn streams_do_not_wait_for_a_vm_that_fails_at_shutdown() {
    let script = || recorder(&[(HEADERS, &[1])]).try_on(CallbackId::on_done, |_, _| Err(trap()));
    let mut bench = Bench::new(&[changing("a", script)]);
    assert_eq!(bench.request(true), [""; 0]);
    bench.worker.shut_down();
    assert_eq!(bench.effects(), UNAVAILABLE);
    assert_eq!(bench.worker.pending_roots(), 0);
}

/// Each failure doubles the rest, up to the longest; a VM that ran so long rests as the first did.
#[test]
fn a_vm_that_fails_again_and_again_rests_longer() {
    let mut spec = improving(HEADERS, usize::MAX);
    spec.reload = Backoff::new(Duration::from_secs(1), Duration::from_secs(3));
    let mut bench = Bench::new(&[spec]);
    bench.request(true);
    let mut rests = Vec::new();
    for seconds_of_health in [0, 0, 0, 3] {
        let failed = vm_counts(&bench.worker);
        let mut rest = 0;
        // The old VM goes with its stream.
        bench.finish();
        while bench.worker.vm_counts().running == 0 {
            assert!(rest < 10, "{failed:?}");
            bench.pass_second();
            rest += 1;
            bench.open();
        }
        rests.push(rest);
        (0..seconds_of_health).for_each(|_| bench.pass_second());
        bench.request(true);
    }
    bench.finish();
    bench.pass_second();
    bench.open();
    assert_eq!((rests, bench.worker.vm_counts().running), (vec![1, 2, 3, 3], 1), "after it was well: one second");
}

/// A chain that is loaded again finds its plugins, which rest from then on as the new chain says, also in the middle of a rest.
#[test]
fn a_rest_is_set_for_a_vm_that_stays() {
    let seconds = |base| Backoff::new(Duration::from_secs(base), Duration::from_secs(base));
    let mut bench = Bench::new(&[improving(HEADERS, usize::MAX)]);
    let chain = bench.chain.clone();
    for (before, after) in [(1, 4), (4, 2), (2, 2), (2, 1)] {
        bench.request(true);
        bench.finish();
        let until = |bench: &Bench| match bench.worker.health().next().unwrap().state {
            PluginState::Failed { rests_until, .. } => rests_until.unwrap(),
            state => panic!("{state:?}"),
        };
        let old = until(&bench);
        bench.worker.health_changed();
        bench.worker.set_backoff(&chain, &[seconds(after)]);
        assert_eq!(bench.worker.health_changed(), before != after);
        assert_eq!(until(&bench) + Duration::from_secs(before), old + Duration::from_secs(after));
        for second in 0..after {
            assert_eq!(bench.worker.vm_counts().running, 0, "{before} {after}: {second}");
            bench.pass_second();
            bench.open();
        }
        assert_eq!(bench.worker.vm_counts().running, 1, "{before} {after}");
    }
}

#[test]
fn the_first_plugin_of_a_vm_says_how_long_it_rests() {
    let rest = |seconds| Backoff::new(Duration::from_secs(seconds), Duration::from_secs(seconds));
    let first = improving(HEADERS, usize::MAX);
    let mut second = first.clone();
    second.plugin.name = "b".to_owned();
    let mut bench = Bench::new(&[first, second]);
    let chain = bench.chain.clone();
    bench.worker.set_backoff(&chain, &[rest(2), rest(5)]);
    bench.request(true);
    bench.finish();
    bench.pass_second();
    bench.open();
    assert_eq!(bench.worker.vm_counts().running, 0);
    bench.pass_second();
    bench.open();
    assert_eq!(bench.worker.vm_counts().running, 1);
}
