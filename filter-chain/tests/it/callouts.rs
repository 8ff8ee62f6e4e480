//! gRPC callouts and lookups of names.

use std::net::IpAddr;

use crate::common::{plugin, trap};
use portcullis_chain::{CalloutId, Effect, PluginSpec, Worker};
use portcullis_core::abi::{BufferType, CallbackId};
use portcullis_core::hostcall::entry;
use portcullis_core::resources::{GrpcEvent, Host};
use portcullis_core::testing::{FakeHost, NullCaller, Script};

const TICK: CallbackId = CallbackId::on_tick;

fn open(caller: &mut NullCaller<'_>) -> i32 {
    let (upstream, len) = caller.put(b"up");
    assert_eq!(entry::proxy_grpc_stream(caller, upstream, len, 0, 0, 0, 0, 0, 0, 16).unwrap(), 0);
    caller.word(16).cast_signed()
}

fn send(caller: &mut NullCaller<'_>, id: i32, text: &[u8], end: i32) {
    let (message, len) = caller.put(text);
    assert_eq!(entry::proxy_grpc_send(caller, id, message, len, end).unwrap(), 0);
}

/// A worker whose plugins do this when they tick, every second.
struct Line {
    worker: Worker,
    host: FakeHost,
    /// Callouts that were started.
    ids: Vec<CalloutId>,
}

impl Line {
    fn new(script: fn() -> Script) -> Self {
        let script = move || {
            script().on(CallbackId::on_configure, |caller, _| {
                entry::proxy_set_tick_period_milliseconds(caller, 1000).unwrap();
                1
            })
        };
        let host = FakeHost::new().with_upstream("up");
        let hosts = host.clone();
        let mut worker = Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>);
        let specs: [PluginSpec; 1] = [plugin("a", script)];
        worker.load(&specs).unwrap_or_else(|error| panic!("{error}"));
        Self { worker, host, ids: Vec::new() }
    }

    /// A second passes; what the worker asks for.
    fn tick(&mut self) -> Vec<String> {
        let due = self.worker.next_tick().unwrap();
        self.host.set_time(u64::try_from(due.as_nanos()).unwrap());
        self.worker.tick();
        self.effects()
    }

    fn effects(&mut self) -> Vec<String> {
        let mut effects = Vec::new();
        while let Some(effect) = self.worker.effect() {
            if let Effect::GrpcStart { id, .. } | Effect::ResolveDns { id, .. } = effect {
                self.ids.push(id);
            }
            let number = |id| self.ids.iter().position(|known| *known == id).unwrap() + 1;
            let told = match effect {
                Effect::Tick { .. } => continue,
                Effect::GrpcStart { id, request, .. } => format!("{} start {}", number(id), request.upstream),
                Effect::GrpcSend { id, message, end } => {
                    format!("{} {}{}", number(id), String::from_utf8_lossy(&message), if end { " end" } else { "" })
                }
                Effect::GrpcClose { id } => format!("{} close", number(id)),
                Effect::ResolveDns { id, name, .. } => format!("{} resolve {name}", number(id)),
                Effect::CancelCallout { id } => format!("{} cancel", number(id)),
                other => format!("{other:?}"),
            };
            effects.push(told);
        }
        effects
    }
}

#[test]
fn what_a_guest_does_with_streams_arrives_in_its_order() {
    let mut line = Line::new(|| {
        Script::new().on(TICK, |caller, _| {
            let (first, second) = (open(caller), open(caller));
            send(caller, second, b"two", 0);
            send(caller, first, b"one", 1);
            assert_eq!(entry::proxy_grpc_close(caller, second).unwrap(), 0);
            let third = open(caller);
            assert_eq!(entry::proxy_grpc_cancel(caller, third).unwrap(), 0);
            0
        })
    });
    let expected = ["1 start up", "2 start up", "2 two", "1 one end", "2 close", "3 start up", "3 cancel"];
    assert_eq!(line.tick(), expected);
}

#[test]
fn an_event_reaches_its_stream_and_none_after_its_end() {
    let mut line = Line::new(|| {
        let script = Script::new().on(TICK, |caller, _| {
            open(caller);
            0
        });
        script.on(CallbackId::on_grpc_close, |caller, args| {
            assert_eq!(entry::proxy_grpc_cancel(caller, args[1]).unwrap(), 1, "it is gone");
            open(caller);
            0
        })
    });
    line.tick();
    let mut ids = Vec::new();
    for _ in 0..2 {
        line.worker.grpc_event(line.ids[0], GrpcEvent::Close { status: 0, message: String::new() });
        ids.extend(line.effects());
    }
    assert_eq!(ids, ["2 start up"], "the second close is of nothing");
}

#[test]
fn what_is_given_up_in_a_callback_of_its_own_is_cancelled() {
    let mut line = Line::new(|| {
        let script = Script::new().on(TICK, |caller, _| {
            open(caller);
            0
        });
        script.on(CallbackId::on_grpc_receive, |caller, args| {
            assert_eq!(entry::proxy_grpc_cancel(caller, args[1]).unwrap(), 0);
            0
        })
    });
    line.tick();
    line.worker.grpc_event(line.ids[0], GrpcEvent::Message("".into()));
    assert_eq!(line.effects(), ["1 cancel"]);
    line.worker.grpc_event(line.ids[0], GrpcEvent::Message("".into()));
    assert_eq!(line.effects(), [""; 0]);
}

#[test]
fn a_vm_that_fails_gives_up_its_streams() {
    let mut line = Line::new(|| {
        let mut first = true;
        Script::new().try_on(TICK, move |caller, _| {
            open(caller);
            if std::mem::take(&mut first) { Ok(0) } else { Err(trap()) }
        })
    });
    assert_eq!(line.tick(), ["1 start up"]);
    assert_eq!(line.tick(), ["1 cancel"], "what the last call asked for is void");
}

fn resolve(caller: &mut NullCaller<'_>) {
    let (name, len) = caller.put(b"up.test");
    assert_eq!(entry::envoy_resolve_dns(caller, name, len, 16).unwrap(), 0);
}

#[test]
fn a_lookup_is_told_once() {
    let mut line = Line::new(|| {
        let script = Script::new().on(TICK, |caller, _| {
            resolve(caller);
            0
        });
        script.on(CallbackId::envoy_on_resolve_dns, |caller, args| {
            assert_eq!((args[1], args[2]), (1, 19));
            assert_eq!(caller.buffer(BufferType::CallData).unwrap().len(), 19);
            resolve(caller);
            0
        })
    });
    assert_eq!(line.tick(), ["1 resolve up.test"]);
    for expected in [&["2 resolve up.test"][..], &[]] {
        line.worker.resolved(line.ids[0], &[IpAddr::from([10, 0, 0, 1])]);
        assert_eq!(line.effects(), expected);
    }
}

#[test]
fn a_vm_that_fails_gives_up_its_lookups() {
    let mut line = Line::new(|| {
        let mut first = true;
        Script::new().try_on(TICK, move |caller, _| {
            resolve(caller);
            if std::mem::take(&mut first) { Ok(0) } else { Err(trap()) }
        })
    });
    assert_eq!(line.tick(), ["1 resolve up.test"]);
    assert_eq!(line.tick(), ["1 cancel"]);
    line.worker.resolved(line.ids[0], &[]);
    assert_eq!(line.effects(), [""; 0]);
}
