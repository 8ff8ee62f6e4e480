//! All that passes between guest and host is recorded as it is, and replayed without a host.

use std::sync::{Arc, Mutex};

use crate::common::Setup;
use portcullis_core::abi::{CallbackId, HostcallId};
use portcullis_core::engine::{AnyModule, EngineError, Guest, RecordedTrap, StartError, Trap};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Limits, Plugin};
use portcullis_core::observe::{
    transcript::Difference, transcript::End, transcript::Event, transcript::Replay, transcript::Report,
    transcript::Sink, transcript::Then, transcript::record, transcript::replay,
};
use portcullis_core::rights::Capabilities;
use portcullis_core::sandbox::VmSpec;
use portcullis_core::testing::{FakeHost, NullCaller, NullEngine, Script};
use portcullis_core::vm::{Vm, VmConfig, VmState};

/// Remembers events, as far as there is room.
#[derive(Clone)]
struct Memory {
    events: Arc<Mutex<Vec<Event>>>,
    room: usize,
}

impl Memory {
    fn new() -> Self {
        Self { events: Arc::default(), room: 1 << 20 }
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl Sink for Memory {
    fn room(&self) -> usize {
        self.room
    }

    fn take(&mut self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn overflow(&mut self) {
        self.room = 0;
    }
}

/// A module whose guests are recorded.
struct Recorded(Box<dyn AnyModule>, Memory);

impl AnyModule for Recorded {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        record(&*self.0, state, limits, Box::new(self.1.clone()))
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.save()
    }

    fn moves(&self) -> bool {
        self.0.moves()
    }
}

type Run = fn(&mut NullCaller<'_>);

/// A guest that does this when it starts.
fn guest(run: Run) -> Box<dyn AnyModule> {
    let script = move || {
        Script::new().on(CallbackId::on_vm_start, move |caller, _| {
            run(caller);
            1
        })
    };
    NullEngine::new(script).module().unwrap()
}

fn recorded(run: Run, memory: &Memory, capabilities: Capabilities) -> FakeHost {
    let host = FakeHost::new();
    let module = Recorded(guest(run), memory.clone());
    let environment = vec![("KEY".to_owned(), "value".to_owned()), ("B".to_owned(), "2".to_owned())];
    let vm = VmSpec::default().with_environment(environment);
    let config = VmConfig { vm, ..VmConfig::new(portcullis_core::abi::AbiVersion::V0_2_1) };
    let mut vm = Vm::start(&module, config, Box::new(host.clone())).unwrap();
    vm.add_plugin(Plugin::new("p").with_capabilities(capabilities).into()).unwrap();
    host
}

fn played(events: Vec<Event>, run: Run, how: Replay) -> Report {
    let config = VmConfig::new(portcullis_core::abi::AbiVersion::V0_2_1);
    replay(&*guest(run), config, Box::new(FakeHost::new()), Box::new(events.into_iter().map(Ok)), how)
}

fn difference(report: Report) -> Difference {
    match report.end {
        End::Different(difference) => difference,
        other => panic!("{other:?}"),
    }
}

/// Stores something, gets it back and logs it; reads the environment. It goes on until the replay ends.
fn busy(caller: &mut NullCaller<'_>) {
    let _ = try_busy(caller);
}

fn try_busy(caller: &mut NullCaller<'_>) -> Result<(), Trap> {
    let (key, key_len) = caller.put(b"key");
    let (value, value_len) = caller.put(b"a value");
    entry::proxy_set_shared_data(caller, key, key_len, value, value_len, 0)?;
    let got = caller.bytes(|caller, p, l| entry::proxy_get_shared_data(caller, key, key_len, p, l, 16));
    caller.log(&String::from_utf8(got.map_err(Trap::Exit)?).unwrap());
    let (environ, _) = caller.put(&[0; 8]);
    let (buffer, _) = caller.put(&[0; 64]);
    entry::environ_get(caller, environ, buffer)?;
    // Follows the pointer, as a libc does.
    let second = caller.word(environ + 4).cast_signed();
    entry::proxy_log(caller, 2, second, 3)?;
    assert_eq!(entry::pthread_equal(caller, 1, 1)?, 1);
    Ok(())
}

/// The same, at other addresses.
fn busy_elsewhere(caller: &mut NullCaller<'_>) {
    caller.put(&[0; 1000]);
    busy(caller);
}

#[test]
fn a_record_is_replayed_without_its_host() {
    let memory = Memory::new();
    let host = recorded(busy, &memory, Capabilities::ALL);
    assert_eq!(host.messages(), ["a value", "B=2"]);
    let events = memory.events();
    let texts: Vec<_> = events.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts[..3],
        [
            "the start section ended",
            "the host calls proxy_on_vm_start(1, 0)",
            "proxy_set_shared_data(key: \"key\", value: \"a value\", cas: 0) -> 0",
        ]
    );
    assert!(texts.contains(&"proxy_log(level: 2, message: \"a value\") -> 0".to_owned()), "{texts:?}");
    assert!(texts.contains(&"pthread_equal(a: 1, b: 1) -> 1".to_owned()), "no call passes unseen: {texts:?}");
    let report = played(events.clone(), busy, Replay::default());
    assert_eq!((report.end, report.callbacks, report.hostcalls), (End::Same, 1, 6));
    // Another build has other addresses.
    let report = played(events.clone(), busy_elsewhere, Replay::default().with_moved(true));
    assert_eq!(report.end, End::Same);
    assert_eq!(difference(played(events, busy_elsewhere, Replay::default())).what, "`key` differs");
}

#[test]
fn the_first_difference_is_told() {
    let memory = Memory::new();
    recorded(busy, &memory, Capabilities::ALL);
    let differs = |run: Run| difference(played(memory.events(), run, Replay::default()));
    let other = differs(|caller| {
        let (key, key_len) = caller.put(b"kex");
        let (value, value_len) = caller.put(b"a value");
        entry::proxy_set_shared_data(caller, key, key_len, value, value_len, 0).unwrap_or_default();
    });
    assert_eq!(other.what, "the bytes of `key` differ from byte 2 on");
    assert_eq!(other.recorded, "proxy_set_shared_data(key: \"key\", value: \"a value\", cas: 0) -> 0");
    assert!(other.now.starts_with("proxy_set_shared_data(key: \"kex\", value: \"a value\""), "{}", other.now);
    assert_eq!(other.before, ["the start section ended", "the host calls proxy_on_vm_start(1, 0)"]);
    assert_eq!(other.event, 3);
    assert_eq!(differs(|_| ()).what, "the callback ended without a hostcall that it made");
    assert_eq!(differs(|caller| caller.log("x")).what, "the plugin made another hostcall");
    let memory = Memory::new();
    recorded(|_| (), &memory, Capabilities::ALL);
    assert_eq!(
        difference(played(memory.events(), |caller| caller.log("x"), Replay::default())).what,
        "the plugin made a hostcall more"
    );
}

#[test]
fn rules_hold_while_a_vm_is_recorded() {
    let memory = Memory::new();
    let run: Run = |caller| {
        assert_eq!(entry::proxy_set_tick_period_milliseconds(caller, 5).unwrap(), 10);
        caller.log("a");
    };
    let host = recorded(run, &memory, Capabilities::from_names(["proxy_on_vm_start", "proxy_log"]).unwrap());
    assert_eq!(host.denials().len(), 1, "{:?}", host.denials());
    let denied = |event: &Event| matches!(event, Event::Hostcall { id: HostcallId::proxy_set_tick_period_milliseconds, then: Then::Answer(Ok(Some(value))), .. } if value.to_string() == "10");
    assert!(memory.events().iter().any(denied));
    assert_eq!(played(memory.events(), run, Replay::default()).end, End::Same);
    // A callback that it may not receive is none, recorded or not.
    let memory = Memory::new();
    recorded(run, &memory, Capabilities::NONE);
    assert_eq!(memory.events(), [Event::Instantiated(Ok(()))]);
}

#[test]
fn a_trap_is_raised_again() {
    let script =
        || Script::new().try_on(CallbackId::on_vm_start, |caller, _| Err(entry::proc_exit(caller, 3).unwrap_err()));
    let (memory, module) = (Memory::new(), NullEngine::new(script).module().unwrap());
    let setup = Setup::new();
    let recorder = Recorded(NullEngine::new(script).module().unwrap(), memory.clone());
    let mut vm = Vm::start(&recorder, setup.config, Box::new(setup.host)).unwrap();
    assert!(vm.add_plugin(setup.plugin.into()).is_err());
    assert_eq!(memory.events().last(), Some(&Event::Returned(Err(RecordedTrap::new(Trap::Exit(3).to_string())))));
    let config = VmConfig::new(portcullis_core::abi::AbiVersion::V0_2_1);
    let events = memory.events().into_iter().map(Ok);
    let report = replay(&*module, config, Box::new(FakeHost::new()), Box::new(events), Replay::default());
    assert_eq!((report.end, report.events), (End::Same, 4));
}

#[test]
fn what_does_not_fit_ends_the_record_and_not_the_vm() {
    let memory = Memory { room: 100, ..Memory::new() };
    let host = recorded(
        |caller| {
            caller.log("short");
            caller.log(&"long ".repeat(50));
            caller.log("short");
        },
        &memory,
        Capabilities::ALL,
    );
    assert_eq!(host.messages().len(), 3);
    assert_eq!(memory.events().len(), 3, "{:?}", memory.events());
}

#[test]
fn a_redacted_record_has_asterisks_for_any_byte() {
    let memory = Memory::new();
    recorded(|caller| caller.log("*** said"), &memory, Capabilities::ALL);
    let run: Run = |caller| caller.log("she said");
    let redacted = Replay::default().with_redacted(true);
    assert_eq!(played(memory.events(), run, redacted).end, End::Same);
    assert_eq!(
        difference(played(memory.events(), run, Replay::default())).what,
        "the bytes of `message` differ from byte 0 on"
    );
}

#[test]
fn a_record_that_makes_no_sense_is_no_panic() {
    let answers = |then| Event::Hostcall {
        id: HostcallId::proxy_log,
        arguments: Vec::new(),
        reads: Vec::new(),
        writes: Vec::new(),
        then,
    };
    let call = Event::Callback { id: CallbackId::on_vm_start, arguments: vec![1, 0] };
    for events in [
        vec![],
        vec![call.clone()],
        vec![Event::Instantiated(Ok(())), Event::Returned(Ok(None))],
        vec![Event::Instantiated(Ok(())), Event::Callback { id: CallbackId::on_vm_start, arguments: vec![] }],
        vec![Event::Instantiated(Ok(())), Event::Callback { id: CallbackId::on_tick, arguments: vec![1] }],
        vec![Event::Instantiated(Ok(())), call.clone(), answers(Then::Answer(Ok(None)))],
        vec![Event::Instantiated(Ok(())), call, answers(Then::Allocate(u32::MAX))],
    ] {
        played(events, |caller| caller.log("x"), Replay::default());
    }
}

#[test]
fn an_event_that_cannot_be_read_ends_the_replay_with_its_error() {
    let config = VmConfig::new(portcullis_core::abi::AbiVersion::V0_2_1);
    let events = [Ok(Event::Instantiated(Ok(()))), Err("the line is cut short".into())];
    let guest = guest(|caller| caller.log("x"));
    let report = replay(&*guest, config, Box::new(FakeHost::new()), Box::new(events.into_iter()), Replay::default());
    assert_eq!((report.end, report.events), (End::Unreadable("the line is cut short".to_owned()), 1));
}
