use portcullis_chain::Isolation;
use portcullis_core::abi::CallbackId;
use portcullis_core::model::Direction;
use portcullis_core::sandbox::Recycle;

use super::{HEADERS, MIB, bench, idle, numbered, request, saying, seconds, timer, told};
use crate::common::{Bench, per_stream_of, plugin, recorder, trap, vm_counts};

#[test]
fn after_so_many_streams_new_ones_begin_in_another_vm() {
    let mut bench = bench(numbered(Recycle::default().with_streams(2), |number| saying(number, 0)));
    assert_eq!(request(&mut bench), ["a: vm 1"]);
    assert_eq!(timer(&mut bench), None);
    let first = bench.open();
    bench.request(true);
    assert_eq!(timer(&mut bench), Some(Some(seconds(0))), "as soon as no stream is kept waiting");
    bench.worker.tick();
    assert_eq!((vm_counts(&bench.worker), told(&bench, "2 streams have begun in it (recycle.streams)")), ((2, 0), 1));
    bench.journal();
    let second = bench.turn_to(first);
    bench.finish();
    bench.turn_to(second);
    bench.response(true);
    assert!(bench.journal().contains(&"a: response headers 1 end".to_owned()), "where it began");
    let end = ["a: log", "a: done", "a: delete"];
    assert_eq!(bench.finish(), [&end[..], &["a: done", "a: delete"]].concat(), "of the last stream, and of the root");
    assert_eq!((vm_counts(&bench.worker), request(&mut bench)), ((1, 0), vec!["a: vm 2".to_owned()]));
}

#[test]
fn memory_returns_when_a_vm_without_streams_has_passed_its_bound() {
    let spec = numbered(Recycle::default().with_memory(8 * MIB), |number| {
        recorder(&[]).on(HEADERS, move |caller, _| {
            assert!(caller.grow_to(if number == 1 { 9 * MIB } else { 8 * MIB }));
            0
        })
    });
    let mut bench = bench(spec);
    request(&mut bench);
    bench.finish();
    assert_eq!((timer(&mut bench), bench.worker.memory_size()), (Some(Some(seconds(0))), 9 * MIB));
    bench.worker.tick();
    assert_eq!((vm_counts(&bench.worker), bench.worker.memory_size()), ((1, 0), MIB));
    assert_eq!(told(&bench, "its memory, 9437184 bytes, is past recycle.memory (8388608 bytes)"), 1);
    request(&mut bench);
    bench.finish();
    assert_eq!((timer(&mut bench), bench.worker.memory_size()), (Some(None), 8 * MIB), "no more than it may have");
}

#[test]
fn an_idle_vm_is_recycled_at_its_age_though_nothing_ticks() {
    let mut bench = idle(numbered(Recycle::default().with_age(seconds(3)), |number| saying(number, 0)));
    let due = timer(&mut bench).flatten();
    assert!(due > Some(seconds(3) * 9 / 10) && due < Some(seconds(3)), "up to 10 % earlier: {due:?}");
    for _ in 0..2 {
        bench.tick();
    }
    assert_eq!(request(&mut bench), ["a: vm 1"]);
    bench.finish();
    bench.tick();
    assert_eq!(request(&mut bench), ["a: vm 2"]);
    let next = timer(&mut bench).flatten();
    assert!(next > Some(seconds(3) * 9 / 10) && next < due, "not the same part again: {due:?}, {next:?}");
}

#[test]
fn what_is_past_its_bound_from_the_start_is_not_replaced_all_the_time() {
    let mut bench = idle(numbered(Recycle::default().with_memory(MIB / 2), |number| saying(number, 0)));
    for _ in 0..60 {
        bench.tick();
    }
    let recycled = told(&bench, "its VM was recycled");
    assert_eq!(recycled, 8, "after 1, 3, 7, 15, 25, 35, 45 and 55 s");
    assert_eq!(told(&bench, "soon after its start: it is recycled in 8s at the earliest"), 1);
    assert_eq!(vm_counts(&bench.worker), (1, 0));
}

#[test]
fn a_vm_stays_while_another_one_does_not_start_and_that_is_tried_less_and_less_often() {
    let spec = numbered(Recycle::default().with_streams(1), |number| {
        let refuses = (2..5).contains(&number);
        saying(number, 0).on(CallbackId::on_configure, move |_, _| i32::from(!refuses))
    });
    let mut bench = bench(spec);
    request(&mut bench);
    for second in 1..=8 {
        bench.tick();
        // The first time it is tried a second after the stream.
        let vm = if second < 8 { "a: vm 1" } else { "a: vm 5" };
        assert_eq!(request(&mut bench), [vm], "{second}: tried after 1, 2, 4 and 8 s");
        bench.finish();
    }
    assert_eq!(told(&bench, "stays: another one does not start"), 1, "once: {:?}", bench.host.messages());
}

#[test]
fn a_vm_that_has_failed_is_not_recycled() {
    let spec = numbered(Recycle::default().with_age(seconds(3)), |number| {
        saying(number, 0).try_on(HEADERS, |_, _| Err(trap()))
    });
    let mut bench = bench(spec);
    request(&mut bench);
    bench.finish();
    assert_eq!(timer(&mut bench), Some(None));
    for _ in 0..5 {
        bench.tick();
    }
    assert_eq!(vm_counts(&bench.worker), (0, 1));
}

#[test]
fn a_vm_that_has_been_asked_to_end_is_not_recycled() {
    let spec =
        numbered(Recycle::default().with_age(seconds(3)), |number| saying(number, 0).on(CallbackId::on_done, |_, _| 0));
    let mut bench = bench(spec);
    bench.worker.shut_down();
    for _ in 0..5 {
        bench.tick();
    }
    assert_eq!((vm_counts(&bench.worker), told(&bench, "recycled"), timer(&mut bench)), ((1, 0), 0, Some(None)));
}

#[test]
fn vms_of_streams_are_not_recycled() {
    let script = || {
        recorder(&[]).on(HEADERS, |caller, _| {
            assert!(caller.grow_to(2 * MIB));
            4
        })
    };
    let mut spec = plugin("a", script).with_isolation(Isolation::Stream);
    spec.vm.recycle = Recycle::default().with_memory(MIB).with_streams(1).with_age(seconds(1));
    let mut bench = Bench::new(&[per_stream_of(&spec, script)]);
    bench.headers(Direction::Request, &[(":method", "GET")], true);
    for _ in 0..5 {
        bench.tick();
    }
    assert_eq!((vm_counts(&bench.worker), told(&bench, "recycled"), timer(&mut bench)), ((1, 0), 0, None));
}
