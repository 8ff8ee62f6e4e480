use std::time::Duration;

use bytes::Bytes;
use portcullis_chain::{ConnectionEffect, Effect, PluginSpec, Worker};
use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, FailurePolicy, StreamInfo};
use portcullis_core::resources::Host;
use portcullis_core::sandbox::Recycle;
use portcullis_core::testing::{FakeHost, Script};

use super::{HEADERS, bench, numbered, request, saying, seconds, told};
use crate::common::{Bench, call_out, recorder, set_tick, trap, vm_counts, with_policy};

fn once(linger: Duration) -> Recycle {
    Recycle::default().with_streams(1).with_linger(linger)
}

/// A bench with a stream that the first VM holds, and that was recycled then.
fn holding(policy: FailurePolicy) -> Bench {
    let spec = numbered(once(seconds(3)), |number| saying(number, if number == 1 { 4 } else { 0 }));
    let mut bench = bench(with_policy(spec, policy));
    request(&mut bench);
    bench.worker.tick();
    assert_eq!(vm_counts(&bench.worker), (2, 0));
    bench
}

const ENDED: [&str; 5] = ["a: log", "a: done", "a: delete", "a: done", "a: delete"];

#[test]
fn what_lingers_too_long_is_answered_and_the_plugin_is_told_all_that_ends() {
    let mut bench = holding(FailurePolicy::Closed);
    for _ in 0..2 {
        assert_eq!(bench.tick(), [""; 0]);
    }
    assert_eq!(bench.tick(), ["request done", "response :status=503 end"]);
    assert_eq!((bench.journal(), vm_counts(&bench.worker)), (ENDED.map(str::to_owned).to_vec(), (1, 0)));
    assert_eq!(told(&bench, "1 streams are answered by the failure policy, since 3s have passed"), 1);
    assert_eq!(bench.finish(), [""; 0], "it has logged the stream");
    assert_eq!(request(&mut bench), ["a: vm 2"]);
}

#[test]
fn what_lingers_too_long_passes_a_plugin_that_fails_open() {
    let mut bench = holding(FailurePolicy::Open);
    bench.tick();
    bench.tick();
    assert_eq!(bench.tick(), ["request :method=POST end"]);
    assert_eq!(bench.response(true), ["response :status=200 end"], "and no other VM sees its second half");
    assert_eq!((bench.journal(), bench.finish()), (ENDED.map(str::to_owned).to_vec(), vec![]));
    assert_eq!(vm_counts(&bench.worker), (1, 0));
}

#[test]
fn a_root_that_does_not_end_and_callouts_without_answers_last_little_longer() {
    let spec = numbered(once(seconds(3)), |number| {
        saying(number, 0).on(CallbackId::on_done, |_, args| i32::from(args[0] != 1)).on(HEADERS, |caller, _| {
            entry::proxy_set_effective_context(caller, 1).unwrap();
            call_out(caller);
            0
        })
    });
    let mut bench = bench(spec);
    request(&mut bench);
    bench.finish();
    assert_eq!(bench.worker_effects(), ["callout to auth"]);
    bench.tick();
    assert_eq!(vm_counts(&bench.worker), (2, 0), "it waits for the answer");
    for _ in 0..7 {
        bench.tick();
        assert_eq!(vm_counts(&bench.worker), (2, 0));
    }
    bench.journal();
    bench.tick();
    assert_eq!((vm_counts(&bench.worker), bench.worker_effects()), ((1, 0), vec!["cancel".to_owned()]));
    assert_eq!(bench.journal(), ["a: delete"], "done was asked, and held");
    assert_eq!(bench.worker.pending_roots(), 1);
}

#[test]
fn old_vms_do_not_pile_up() {
    let mut bench = bench(numbered(once(seconds(600)), |number| saying(number, 4)));
    let mut streams = Vec::new();
    for number in 1..=5 {
        bench.pass_second();
        assert_eq!(request(&mut bench), [format!("a: vm {}", number.min(3))]);
        streams.push((bench.stream, bench.info.clone()));
        bench.worker.tick();
        assert_eq!(vm_counts(&bench.worker), (number.min(2) + 1, 0), "after {number}");
    }
    assert_eq!(told(&bench, "stays until one of the 2 has ended that were before it"), 1, "once");
    assert_eq!(bench.worker.next_due(), Some(seconds(602)), "when the first has lingered");
    let turn = |bench: &mut Bench, index: usize| bench.turn_to(streams[index].clone());
    for index in 0..5 {
        turn(&mut bench, index);
        assert_eq!(bench.effects(), [""; 0], "{index} is answered by nobody");
    }
    turn(&mut bench, 1);
    bench.finish();
    assert_eq!(bench.worker.next_due(), Some(seconds(4)), "it has been due since its first stream");
    bench.worker.tick();
    assert_eq!((vm_counts(&bench.worker), request(&mut bench)), ((3, 0), vec!["a: vm 4".to_owned()]));
}

#[test]
fn one_that_waits_for_older_ones_takes_its_turn_when_the_first_has_lingered() {
    let mut bench = bench(numbered(once(seconds(8)), |number| saying(number, 4)));
    for _ in 1..=3 {
        bench.pass_second();
        request(&mut bench);
        bench.worker.tick();
    }
    let mut counts = Vec::new();
    for _ in 0..8 {
        bench.tick();
        counts.push(told(&bench, "its VM was recycled, since"));
    }
    assert_eq!(counts, [2, 2, 2, 2, 2, 3, 3, 3], "{:?}", bench.host.messages());
}

#[test]
fn a_plugin_that_traps_as_it_is_told_of_the_end_does_no_harm() {
    let spec = numbered(once(seconds(3)), |number| saying(number, 4).try_on(CallbackId::on_log, |_, _| Err(trap())));
    let mut bench = bench(with_policy(spec, FailurePolicy::Closed));
    request(&mut bench);
    bench.worker.tick();
    bench.tick();
    bench.tick();
    assert_eq!(bench.tick(), ["request done", "response :status=503 end"]);
    assert_eq!((vm_counts(&bench.worker), request(&mut bench)), ((1, 0), vec!["a: vm 2".to_owned()]));
}

#[test]
fn nothing_is_left_when_a_chain_is_unloaded_whose_old_vm_lingers() {
    let mut bench = holding(FailurePolicy::Closed);
    bench.worker.unload(&bench.chain);
    assert_eq!(vm_counts(&bench.worker), (2, 0), "the stream is open");
    for _ in 0..3 {
        bench.tick();
    }
    bench.finish();
    assert_eq!((vm_counts(&bench.worker), bench.worker.health().count()), ((0, 0), 0));
}

/// Sends something for each stream that it logs, and at its own end, for whose answer it waits.
#[test]
fn what_plugins_send_last_is_sent_and_answered() {
    let spec = numbered(once(seconds(3)), |number| {
        let mut answers = 0;
        saying(number, 4)
            .on(CallbackId::on_log, |caller, _| call_out(caller))
            .on(CallbackId::on_done, |caller, args| {
                let is_root = args[0] == 1;
                if is_root {
                    call_out(caller);
                }
                i32::from(!is_root)
            })
            .on(CallbackId::on_http_call_response, move |caller, _| {
                caller.log("answered");
                answers += 1;
                // What it asks for in the name of streams has an answer of its own.
                if answers == 2 { i32::from(entry::proxy_done(caller).is_ok()) } else { 0 }
            })
    });
    let mut bench = bench(with_policy(spec, FailurePolicy::Closed));
    request(&mut bench);
    bench.worker.tick();
    while bench.worker.effect().is_some() {}
    bench.tick();
    bench.tick();
    assert_eq!(bench.tick(), ["request done", "response :status=503 end"]);
    assert_eq!(bench.worker_effects(), ["callout to auth", "callout to auth", "wake"]);
    assert_eq!((vm_counts(&bench.worker), bench.journal()), ((2, 0), vec!["a: delete".to_owned()]), "of the stream");
    bench.answer_callout();
    assert_eq!(vm_counts(&bench.worker), (2, 0), "the other answer may come");
    bench.answer_callout();
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    assert_eq!(bench.journal(), ["a: answered", "a: answered", "a: delete"]);
}

fn ticking(number: usize) -> Script {
    saying(number, if number == 1 { 4 } else { 0 }).on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000)).on(
        CallbackId::on_tick,
        move |caller, _| {
            caller.log(&format!("tick {number}"));
            i32::from(entry::proxy_done(caller).is_ok())
        },
    )
}

/// A bench with a stream in the first of two VMs that tick, and its lines in a second.
fn in_two_vms(script: fn(usize) -> Script) -> (Bench, impl Fn(&mut Bench) -> Vec<String>) {
    let mut bench = bench(numbered(once(seconds(600)), script));
    request(&mut bench);
    while vm_counts(&bench.worker) == (1, 0) {
        bench.worker.tick();
    }
    bench.journal();
    let second = |bench: &mut Bench| {
        bench.tick();
        bench.journal()
    };
    (bench, second)
}

#[test]
fn ticks_move_to_the_new_vm() {
    let (mut bench, second) = in_two_vms(|number| {
        // Nor does it begin anew.
        ticking(number).on(CallbackId::on_response_headers, |caller, _| set_tick(caller, 1000) - 1)
    });
    assert_eq!(second(&mut bench), ["a: tick 2"]);
    bench.worker.end_pause(bench.stream, Direction::Request);
    bench.response(true);
    bench.journal();
    assert_eq!(second(&mut bench), ["a: tick 2"]);
    bench.finish();
    assert_eq!(second(&mut bench), ["a: tick 2"]);
}

#[test]
fn a_root_that_asks_for_time_to_end_ticks_until_it_has_ended() {
    let (mut bench, second) =
        in_two_vms(|number| ticking(number).on(CallbackId::on_done, |_, args| i32::from(args[0] != 1)));
    assert_eq!(second(&mut bench), ["a: tick 2"]);
    bench.finish();
    bench.journal();
    let mut lines = second(&mut bench);
    lines.sort();
    assert_eq!(
        (lines, vm_counts(&bench.worker)),
        (["a: delete", "a: tick 1", "a: tick 2"].map(str::to_owned).to_vec(), (1, 0))
    );
    assert_eq!(second(&mut bench), ["a: tick 2"]);
}

fn tcp(policy: FailurePolicy) -> Vec<String> {
    let host = FakeHost::new();
    let hosts = host.clone();
    let mut worker = Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>);
    let holding = |_| -> Script {
        recorder(&[]).on(CallbackId::on_downstream_data, |caller, _| {
            caller.log("data");
            1
        })
    };
    let spec: PluginSpec = with_policy(numbered(once(seconds(3)), holding), policy);
    let chain = worker.load(&[spec]).unwrap();
    host.set_time(1_000_000_000);
    let id = worker.connect(&chain, StreamInfo::default().into_shared(), 100);
    worker.data(id, Direction::Request, Bytes::from_static(b"held").into(), false);
    worker.tick();
    assert_eq!(vm_counts(&worker), (2, 0));
    host.set_time(4_000_000_000);
    worker.tick();
    assert_eq!(vm_counts(&worker), (1, 0));
    let woken = std::iter::from_fn(|| worker.effect()).any(|effect| matches!(effect, Effect::WakeConnection { .. }));
    assert!(woken);
    let mut effects = Vec::new();
    while let Some(effect) = worker.connection_effect(id) {
        effects.push(match effect {
            ConnectionEffect::Data { data, .. } => format!("{:?}", data.to_bytes()),
            other => format!("{other:?}"),
        });
    }
    worker.finish_connection(id);
    let lines: Vec<_> = host.lines().into_iter().filter(|line| !line.from_host).map(|line| line.message).collect();
    assert_eq!(lines, ["data", "done", "log", "delete", "done", "delete"], "once each");
    effects
}

#[test]
fn a_connection_that_lingers_too_long_is_cut_or_goes_on_with_what_was_held() {
    assert_eq!(tcp(FailurePolicy::Closed), ["Connect", "Reset { reason: \"wasm_fail_stream\" }"]);
    assert_eq!(tcp(FailurePolicy::Open), ["Connect", "b\"held\""]);
}
