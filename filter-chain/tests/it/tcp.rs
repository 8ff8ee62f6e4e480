//! TCP streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{plugin, ticking, trap, with_policy};
use bytes::Bytes;
use portcullis_chain::{ConnectionEffect, ConnectionId, Effect, PluginSpec, Worker};
use portcullis_core::abi::{BufferType, CallbackId, PeerType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, FailurePolicy, StreamInfo};
use portcullis_core::resources::Host;
use portcullis_core::testing::{FakeHost, Script};

const DOWN: Direction = Direction::Request;
const UP: Direction = Direction::Response;

/// A worker with one TCP stream.
struct Line {
    worker: Worker,
    host: FakeHost,
    id: ConnectionId,
}

impl Line {
    fn new(specs: &[PluginSpec]) -> Self {
        let host = FakeHost::new();
        let hosts = host.clone();
        let mut worker = Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>);
        let chain = worker.load(specs).unwrap_or_else(|error| panic!("{error}"));
        let id = worker.connect(&chain, StreamInfo::default().into_shared(), 10);
        Self { worker, host, id }
    }

    fn data(&mut self, direction: Direction, data: &'static str, end: bool) -> Vec<String> {
        self.worker.data(self.id, direction, Bytes::from_static(data.as_bytes()).into(), end);
        self.effects()
    }

    fn effects(&mut self) -> Vec<String> {
        let way = |direction| if direction == DOWN { "down" } else { "up" };
        let mut effects = Vec::new();
        while let Some(effect) = self.worker.connection_effect(self.id) {
            effects.push(match effect {
                ConnectionEffect::Connect => "connect".to_owned(),
                ConnectionEffect::Data { direction, data, end } => {
                    let data = String::from_utf8(data.to_bytes().to_vec()).unwrap();
                    format!("{} {data}{}", way(direction), if end { " end" } else { "" })
                }
                ConnectionEffect::Close { direction } => format!("close {}", way(direction)),
                other => format!("{other:?}"),
            });
        }
        effects
    }

    /// A second passes.
    fn tick(&mut self) -> Vec<String> {
        let now = self.worker.next_tick().unwrap_or_default();
        self.host.set_time(u64::try_from(now.as_nanos()).unwrap());
        while self.worker.next_tick().is_some_and(|at| at <= now) {
            self.worker.tick();
        }
        self.effects()
    }
}

/// Logs what it is told, and answers it so; the last answer stays.
fn told(answers: &'static [i32]) -> Script {
    let next = Arc::new(AtomicUsize::new(0));
    let answer =
        move || answers.get(next.fetch_add(1, Ordering::Relaxed)).or_else(|| answers.last()).copied().unwrap_or(0);
    let mut script = Script::new();
    for (id, buffer) in [
        (CallbackId::on_downstream_data, BufferType::DownstreamData),
        (CallbackId::on_upstream_data, BufferType::UpstreamData),
    ] {
        let answer = answer.clone();
        script = script.on(id, move |caller, args| {
            let data = String::from_utf8(caller.buffer(buffer).unwrap()).unwrap();
            caller.log(&format!("{buffer:?} {data} {}", args[2]));
            answer()
        });
    }
    for id in [CallbackId::on_done, CallbackId::on_log, CallbackId::on_delete] {
        script = script.on(id, move |caller, _| {
            caller.log(&id.to_string());
            1
        });
    }
    script.on(CallbackId::on_new_connection, move |caller, _| {
        caller.log("connection");
        answer()
    })
}

#[test]
fn data_pass_through_the_chain_and_back_in_reverse() {
    let edit = |name: &'static str| {
        let mut script = Script::new();
        for (id, buffer) in [
            (CallbackId::on_downstream_data, BufferType::DownstreamData),
            (CallbackId::on_upstream_data, BufferType::UpstreamData),
        ] {
            script = script.on(id, move |caller, args| {
                let mut data = caller.buffer(buffer).unwrap();
                data.extend_from_slice(name.as_bytes());
                assert!(args[1] == 0 || caller.set_buffer(buffer, &data) == 0);
                0
            });
        }
        script
    };
    let mut line = Line::new(&[plugin("a", move || edit("a")), plugin("b", move || edit("b"))]);
    assert_eq!(line.effects(), ["connect"]);
    assert_eq!(line.data(DOWN, "x", false), ["down xab"]);
    assert_eq!(line.data(UP, "y", true), ["up yba end"]);
    assert_eq!(line.data(DOWN, "", true), ["down  end"]);
}

#[test]
fn what_is_held_is_seen_whole_and_passes_at_once() {
    let mut line = Line::new(&[plugin("a", || told(&[0, 1, 1, 0]))]);
    assert_eq!(line.effects(), ["connect"]);
    assert_eq!(line.data(DOWN, "12345", false), [""; 0]);
    assert!(line.worker.wants_data(line.id, DOWN));
    assert_eq!(line.data(DOWN, "67890", false), [""; 0]);
    assert!(!line.worker.wants_data(line.id, DOWN) && line.worker.wants_data(line.id, UP));
    assert_eq!(line.data(DOWN, "", true), ["down 1234567890 end"]);
    let told = ["connection", "DownstreamData 12345 0", "DownstreamData 1234567890 0", "DownstreamData 1234567890 1"];
    assert_eq!(line.host.messages(), told);
}

#[test]
fn a_connection_waits_for_a_plugin_that_stops_it() {
    let resume = || {
        ticking(told(&[1, 0]), |caller| {
            assert_eq!(entry::proxy_continue_stream(caller, 2).unwrap(), 0);
        })
    };
    let mut line = Line::new(&[plugin("a", resume), plugin("b", || told(&[0]))]);
    assert_eq!(line.effects(), [""; 0]);
    assert_eq!(line.data(DOWN, "early", false), [""; 0]);
    assert_eq!(line.data(DOWN, "!", true), [""; 0]);
    assert_eq!(line.host.messages(), ["connection"], "data wait unseen, and b is not told");
    assert_eq!(line.tick(), ["connect", "down early! end"]);
    let told = ["connection", "connection", "DownstreamData early! 1", "DownstreamData early! 1"];
    assert_eq!(line.host.messages(), told);
    assert_eq!(line.tick(), [""; 0], "once");
    assert!(std::iter::from_fn(|| line.worker.effect()).any(|effect| matches!(effect, Effect::WakeConnection { .. })));
}

/// Pauses the connection; each tick continues a side, the first `others` ones the upstream side.
fn pausing(exports: fn() -> Script, others: usize) -> impl Fn() -> Script + Clone {
    move || {
        let mut sides = std::iter::repeat_n(3, others).chain(std::iter::repeat(2));
        let script = exports().on(CallbackId::on_new_connection, |_, _| 1);
        ticking(script, move |caller| {
            assert_eq!(entry::proxy_continue_stream(caller, sides.next().unwrap()).unwrap(), 0);
        })
    }
}

/// A guest need not have a callback for data to hold them back.
#[test]
fn data_do_not_undo_the_pause_of_a_plugin_without_a_callback_for_them() {
    let mut line = Line::new(&[plugin("a", || told(&[0])), plugin("b", pausing(Script::new, 1))]);
    assert_eq!(line.data(DOWN, "12345", false), [""; 0]);
    assert!(line.worker.wants_data(line.id, DOWN));
    assert_eq!(line.data(DOWN, "67890", false), [""; 0]);
    assert!(!line.worker.wants_data(line.id, DOWN), "as much is held as may be");
    assert_eq!(line.data(DOWN, "", true), [""; 0]);
    assert_eq!(line.tick(), [""; 0], "the upstream side is not paused");
    assert_eq!(line.tick(), ["connect", "down 1234567890 end"]);
    assert!(line.worker.wants_data(line.id, DOWN));
    assert_eq!(line.data(UP, "answer", true), ["up answer end"]);
}

#[test]
fn nothing_of_the_upstream_passes_before_a_paused_connection_does() {
    let mut line = Line::new(&[plugin("a", pausing(|| told(&[0]), 1)), plugin("b", || told(&[0]))]);
    assert_eq!(line.data(UP, "12345", false), [""; 0]);
    assert_eq!(line.data(UP, "67890", true), [""; 0]);
    assert!(!line.worker.wants_data(line.id, UP));
    assert_eq!(line.host.messages(), [""; 0]);
    line.tick();
    assert_eq!(line.tick(), ["connect", "up 1234567890 end"]);
}

#[test]
fn a_connection_may_be_continued_by_the_callback_that_pauses_it() {
    let script = || {
        told(&[0]).on(CallbackId::on_new_connection, |caller, _| {
            assert_eq!(entry::proxy_continue_stream(caller, 2).unwrap(), 0);
            1
        })
    };
    let mut line = Line::new(&[plugin("a", script)]);
    assert_eq!(line.effects(), ["connect"]);
    assert_eq!(line.data(DOWN, "x", false), ["down x"]);
}

#[test]
fn each_plugin_pauses_the_connection_for_itself() {
    let specs = [("a", 0), ("b", 1)].map(|(name, others)| plugin(name, pausing(|| told(&[0]), others)));
    let mut line = Line::new(&specs);
    line.data(DOWN, "x", false);
    assert_eq!(line.tick(), [""; 0], "a lets it pass, and b is told");
    assert_eq!(line.host.messages(), ["DownstreamData x 0"], "a has seen the data, and b holds them unseen");
    assert_eq!(line.tick(), ["connect", "down x"]);
}

#[test]
fn a_pause_of_data_survives_the_other_side_and_what_continues_that() {
    for (side, other, paused, number) in
        [(DOWN, UP, CallbackId::on_downstream_data, 2), (UP, DOWN, CallbackId::on_upstream_data, 3)]
    {
        let script = move || {
            let mut sides = [5 - number, number].into_iter();
            ticking(Script::new().on(paused, |_, _| 1), move |caller| {
                assert_eq!(entry::proxy_continue_stream(caller, sides.next().unwrap_or(number)).unwrap(), 0);
            })
        };
        let way = |direction| if direction == DOWN { "down" } else { "up" };
        let mut line = Line::new(&[plugin("a", script)]);
        assert_eq!(line.effects(), ["connect"]);
        assert_eq!(line.data(side, "abc", false), [""; 0]);
        assert_eq!(line.data(other, "x", false), [format!("{} x", way(other))]);
        assert_eq!(line.tick(), [""; 0], "the other side is continued");
        assert_eq!(line.data(side, "de", false), [""; 0]);
        assert_eq!(line.data(other, "y", true), [format!("{} y end", way(other))]);
        assert_eq!(line.data(side, "", true), [""; 0]);
        assert_eq!(line.tick(), [format!("{} abcde end", way(side))]);
    }
}

/// A connection that a plugin has closed is not dialled.
#[test]
fn a_connection_that_is_closed_when_it_comes_is_not_dialled() {
    for (side, effect) in [(2, "close down"), (3, "close up")] {
        for answer in [0, 1] {
            let script = move || {
                let script = Script::new().on(CallbackId::on_new_connection, move |caller, _| {
                    assert_eq!(entry::proxy_close_stream(caller, side).unwrap(), 0);
                    answer
                });
                ticking(script, |caller| assert_eq!(entry::proxy_continue_stream(caller, 2).unwrap(), 0))
            };
            let mut line = Line::new(&[plugin("a", script), plugin("b", || told(&[0]))]);
            assert_eq!(line.effects(), [effect]);
            assert_eq!(line.data(UP, "", true), ["up  end"], "the driver tells the end of what it has closed");
            assert_eq!(line.tick(), [""; 0]);
        }
    }
}

#[test]
fn a_failed_plugin_does_not_pause_a_connection_for_ever() {
    let failing = || crate::common::try_ticking(told(&[1]), |_| Err(trap()));
    let reset = &["Reset { reason: \"wasm_fail_stream\" }"][..];
    for (policy, expected) in [(FailurePolicy::Closed, reset), (FailurePolicy::Open, &["connect", "down early end"])] {
        let mut line = Line::new(&[with_policy(plugin("a", failing), policy), plugin("b", || told(&[0]))]);
        assert_eq!(line.data(DOWN, "early", true), [""; 0]);
        assert_eq!(line.tick(), expected);
    }
}

#[test]
fn plugins_close_either_side_and_hear_of_closes() {
    let closing = || {
        told(&[0]).on(CallbackId::on_downstream_data, |caller, _| {
            for side in [3, 2, 3] {
                assert_eq!(entry::proxy_close_stream(caller, side).unwrap(), 0);
            }
            0
        })
    };
    let hearing = move || {
        closing().on(CallbackId::on_upstream_connection_close, |caller, args| {
            caller.log(&format!("closed by {}", args[1]));
            0
        })
    };
    let mut line = Line::new(&[plugin("a", hearing)]);
    line.effects();
    assert_eq!(line.data(DOWN, "x", false), ["close up", "close down", "down x"]);
    line.worker.connection_closed(line.id, UP, PeerType::Remote);
    line.worker.finish_connection(line.id);
    let expected = ["connection", "closed by 2", "proxy_on_done", "proxy_on_log", "proxy_on_delete"];
    assert_eq!(line.host.messages(), expected);
    assert_eq!(line.data(DOWN, "x", false), [""; 0], "it is over");
}

#[test]
fn a_plugin_that_fails_ends_the_stream_or_is_passed_by() {
    let failing = || told(&[0]).try_on(CallbackId::on_downstream_data, |_, _| Err(trap()));
    let mut line = Line::new(&[plugin("a", failing)]);
    line.effects();
    assert_eq!(line.data(DOWN, "x", false), ["Reset { reason: \"wasm_fail_stream\" }"]);
    assert_eq!(line.data(UP, "y", false), [""; 0]);
    let mut line = Line::new(&[with_policy(plugin("a", failing), FailurePolicy::Open), plugin("b", || told(&[0]))]);
    line.effects();
    assert_eq!(line.data(DOWN, "x", false), ["down x"]);
    assert_eq!(line.data(UP, "y", true), ["up y end"]);
}

#[test]
fn a_stream_that_waits_for_a_failed_plugin_does_not_wait_for_ever() {
    let failing = || crate::common::try_ticking(told(&[0, 1]), |_| Err(trap()));
    for (policy, expected) in
        [(FailurePolicy::Closed, "Reset { reason: \"wasm_fail_stream\" }"), (FailurePolicy::Open, "down held")]
    {
        let mut line = Line::new(&[with_policy(plugin("a", failing), policy)]);
        line.effects();
        assert_eq!(line.data(DOWN, "held", false), [""; 0]);
        assert_eq!(line.tick(), [expected]);
    }
}
