use std::time::Duration;

use portcullis_chain::{Backoff, PluginSpec};
use portcullis_core::abi::CallbackId;
use portcullis_core::model::FailurePolicy;
use portcullis_core::sandbox::Recycle;
use portcullis_core::testing::Script;

use super::{idle, numbered, request, saying, seconds, timer, told};
use crate::common::{set_tick, trap, vm_counts, with_policy};

/// Its first VMs, as many as are given, trap in their first tick.
fn trapping(vms: usize, script: fn(usize) -> Script) -> PluginSpec {
    let spec = numbered(Recycle::default(), move |number| {
        script(number).on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000)).try_on(
            CallbackId::on_tick,
            move |caller, _| {
                caller.log(&format!("tick {number}"));
                if number <= vms { Err(trap()) } else { Ok(0) }
            },
        )
    });
    with_policy(spec, FailurePolicy::Reload).with_reload(Backoff::new(seconds(1), seconds(4)))
}

#[test]
fn a_plugin_that_only_ticks_is_started_again_when_it_has_rested() {
    let mut bench = idle(trapping(3, |number| saying(number, 0)));
    let mut ticks = Vec::new();
    for second in 1..=12 {
        bench.tick();
        ticks.extend(bench.journal().into_iter().map(|line| format!("{second} {line}")));
    }
    // Each time a second after its start, and after rests of 1, 2 and 4 s.
    let expected = ["1 a: tick 1", "3 a: tick 2", "6 a: tick 3", "11 a: tick 4", "12 a: tick 4"];
    assert_eq!((ticks, vm_counts(&bench.worker)), (expected.map(str::to_owned).to_vec(), (1, 0)));
    assert_eq!(told(&bench, "it has been started again"), 3);
}

#[test]
fn a_vm_runs_before_the_first_stream_that_comes_after_its_rest() {
    let mut bench = idle(trapping(1, |number| saying(number, 0)));
    bench.tick();
    assert_eq!(timer(&mut bench), Some(Some(seconds(1))));
    bench.tick();
    assert_eq!((vm_counts(&bench.worker), request(&mut bench)), ((1, 0), vec!["a: vm 2".to_owned()]));
}

#[test]
fn one_that_does_not_start_is_tried_less_and_less_often() {
    let mut bench = idle(trapping(1, |number| saying(number, 0)));
    bench.finish();
    let script = |number| saying(number, 0).on(CallbackId::on_vm_start, move |_, _| i32::from(number == 1));
    let mut bench = idle(trapping(1, script));
    for _ in 0..17 {
        bench.tick();
    }
    assert_eq!(told(&bench, "it cannot be started again"), 5, "after 2, 4, 8, 12 and 16 s");
    assert_eq!(vm_counts(&bench.worker), (0, 1));
}

#[test]
fn a_worker_that_ends_starts_nothing_again() {
    let mut bench = idle(trapping(1, |number| saying(number, 0)));
    bench.tick();
    bench.worker.shut_down();
    bench.tick();
    assert_eq!((vm_counts(&bench.worker), bench.worker.next_due()), ((0, 1), None));
    let mut without_rest =
        idle(trapping(9, |number| saying(number, 0)).with_reload(Backoff::new(Duration::ZERO, Duration::ZERO)));
    without_rest.tick();
    assert!(without_rest.worker.next_due() > Some(seconds(1)), "not all the time");
}
