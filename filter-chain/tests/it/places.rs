//! The share of one client in the places of a plugin with a VM for each stream, and in its time.

use std::time::Duration;

use portcullis_chain::{Backoff, Chain, Effect, PluginSpec, StreamId, Worker};
use portcullis_core::abi::{CallbackId, MapType};
use portcullis_core::engine::{CallStack, Trap};
use portcullis_core::model::{Direction, FailurePolicy, Headers, StreamInfo};
use portcullis_core::resources::Host;
use portcullis_core::testing::{FakeHost, Script};
use portcullis_core::vm::CallOutcome;

use crate::common::{call_out, per_stream, recorder, show_effect, trap, vm_counts, with_policy};

const PLACES: usize = 2048;
const REFUSED: [&str; 2] = ["request done", "response :status=503 end"];

struct Gate {
    worker: Worker,
    host: FakeHost,
    chain: Chain,
}

/// Holds each request; fails at those that ask for it.
fn holding() -> Script {
    recorder(&[]).try_on(CallbackId::on_request_headers, |caller, _| {
        match caller.header(MapType::RequestHeaders, "x").as_deref() {
            Ok("spin") => Err(Trap::Deadline(CallStack::default())),
            Ok("trap") => Err(trap()),
            Ok("call") => {
                assert!(call_out(caller) > 0);
                Ok(0)
            }
            Ok("pass") => Ok(0),
            _ => Ok(1),
        }
    })
}

impl Gate {
    fn new(spec: PluginSpec) -> Self {
        let host = FakeHost::new().with_upstream("auth");
        let hosts = host.clone();
        let mut worker = Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>);
        let chain = worker.load(&[spec]).unwrap();
        Self { worker, host, chain }
    }

    /// A request of a connection; what comes of it at once.
    fn ask(&mut self, connection: u64, x: &str) -> (StreamId, Vec<String>) {
        let info = StreamInfo { connection_id: connection, ..StreamInfo::default() }.into_shared();
        let stream = self.worker.open(&self.chain, info, 1 << 20);
        let headers: Headers = [(":method", "GET"), ("x", x)].into_iter().collect();
        self.worker.headers(stream, Direction::Request, headers, true);
        (stream, self.effects(stream))
    }

    fn effects(&mut self, stream: StreamId) -> Vec<String> {
        let info = StreamInfo::default().into_shared();
        let effects = std::iter::from_fn(|| self.worker.stream_effect(stream));
        effects.map(|effect| show_effect(effect, &info).replace("missing", ":status=503")).collect()
    }

    /// Whether a request holds a place.
    fn holds(&mut self, connection: u64) -> bool {
        let (_, effects) = self.ask(connection, "");
        assert!(effects.is_empty() || effects == REFUSED, "{effects:?}");
        effects.is_empty()
    }

    fn vms(&self) -> usize {
        let (running, failed) = vm_counts(&self.worker);
        running + failed
    }
}

#[test]
fn nine_connections_do_not_keep_a_tenth_out() {
    let mut gate = Gate::new(per_stream("a", holding));
    let mut oldest = Vec::new();
    for connection in 1..=9 {
        oldest.push(gate.ask(connection, "").0);
        for _ in 1..256 {
            gate.ask(connection, "");
        }
    }
    assert_eq!(gate.vms(), PLACES);
    for _ in 0..100 {
        assert!(gate.holds(10));
        assert_eq!(gate.vms(), PLACES, "a place is taken from another one");
    }
    let lost = oldest.into_iter().filter(|stream| !gate.effects(*stream).is_empty()).count();
    assert!(lost >= 8, "the oldest ones lose theirs: {lost}");
    assert_eq!(gate.host.messages().iter().filter(|line| line.contains("all places are taken")).count(), 1);
}

/// A fair part is all there is to be had: what has been got is not taken to and fro.
#[test]
fn nobody_gets_more_than_others_by_asking_again() {
    let mut gate = Gate::new(per_stream("a", holding));
    let half = PLACES / 2;
    for _ in 0..half + 6 {
        assert!(gate.holds(1));
    }
    for held in 0..half {
        assert!(gate.holds(2), "{held}");
    }
    assert!(!gate.holds(2) && !gate.holds(1));
    assert!(gate.holds(3));
    assert_eq!(gate.vms(), PLACES);
}

#[test]
fn one_connection_alone_may_have_all() {
    let mut gate = Gate::new(per_stream("a", holding));
    assert!((0..PLACES).all(|_| gate.holds(1)));
    assert!(!gate.holds(1));
}

#[test]
fn a_stream_that_loses_its_place_is_answered_by_the_policy() {
    for (policy, expected) in
        [(FailurePolicy::Closed, &REFUSED[..]), (FailurePolicy::Open, &["request :status=503 end"])]
    {
        let mut gate = Gate::new(with_policy(per_stream("a", holding), policy));
        let (first, _) = gate.ask(1, "");
        for _ in 1..PLACES {
            gate.ask(1, "pass");
        }
        let (_, effects) = gate.ask(2, "");
        assert!(effects.is_empty(), "{effects:?}");
        assert_eq!(gate.effects(first), expected, "{policy:?}");
        gate.host.set_time(1);
        gate.worker.finish(first);
        assert_eq!(gate.vms(), PLACES, "it is not given another one to log");
    }
}

#[test]
fn what_is_over_and_waits_for_a_callout_gives_way_first() {
    let mut gate = Gate::new(per_stream("a", holding));
    let (over, _) = gate.ask(1, "call");
    let Some(Effect::Callout { id, .. }) = gate.worker.effect() else { panic!("no callout") };
    gate.worker.finish(over);
    let (first, _) = gate.ask(1, "");
    for _ in 2..PLACES {
        gate.ask(1, "");
    }
    assert!(gate.holds(1), "also to streams of the same connection");
    assert!(matches!(gate.worker.effect(), Some(Effect::CancelCallout { .. })));
    gate.worker.callout_done(id, CallOutcome::Reset(String::new()));
    assert!(gate.effects(first).is_empty());
    assert_eq!(gate.vms(), PLACES);
}

fn resting() -> PluginSpec {
    let reload = Backoff::new(Duration::from_secs(1), Duration::from_secs(3));
    per_stream("a", holding).with_reload(reload)
}

fn at(gate: &Gate, seconds: f64) {
    gate.host.set_time(Duration::from_secs_f64(seconds).as_nanos() as u64);
}

/// As a VM that lasts: a second, then twice as long, to the most; and from the beginning when nothing has happened for so long.
#[test]
fn a_deadline_that_was_spent_has_its_connection_rest() {
    let mut gate = Gate::new(resting());
    for (spins, rest) in [(0.0, 1.0), (1.0, 2.0), (3.0, 3.0), (6.0, 3.0), (12.1, 1.0)] {
        at(&gate, spins);
        assert_eq!(gate.ask(1, "spin").1, REFUSED, "{spins}");
        assert!(!gate.holds(1), "{spins}");
        assert!(gate.holds(2) && gate.holds(0), "nobody else is kept from the plugin: {spins}");
        at(&gate, spins + rest - 0.01);
        assert!(!gate.holds(1), "{spins} {rest}");
        at(&gate, spins + rest);
        assert!(gate.holds(1), "{spins} {rest}");
    }
}

#[test]
fn deadlines_of_several_connections_have_the_plugin_rest() {
    let mut gate = Gate::new(resting());
    for connection in [1, 2] {
        gate.ask(connection, "spin");
        assert!(gate.holds(9), "{connection}");
    }
    gate.ask(3, "spin");
    assert!(!gate.holds(9) && !gate.holds(0));
    at(&gate, 0.99);
    assert!(!gate.holds(9));
    at(&gate, 1.0);
    assert!(gate.holds(9));
    gate.ask(4, "spin");
    at(&gate, 2.99);
    assert!(!gate.holds(9), "twice as long the next time");
    at(&gate, 3.0);
    assert!(gate.holds(9));
    at(&gate, 6.0);
    gate.ask(5, "spin");
    assert!(gate.holds(9), "the others were too long ago");
}

#[test]
fn streams_of_connections_without_a_number_count_each_by_itself() {
    let mut gate = Gate::new(resting());
    for _ in 0..2 {
        gate.ask(0, "spin");
        assert!(gate.holds(0) && gate.holds(9));
    }
    gate.ask(0, "spin");
    assert!(!gate.holds(0) && !gate.holds(9));
}

#[test]
fn a_deadline_that_was_spent_ends_the_streams_beside() {
    let mut gate = Gate::new(resting());
    let (beside, other) = (gate.ask(1, "").0, gate.ask(2, "").0);
    gate.ask(1, "spin");
    assert_eq!(gate.effects(beside), REFUSED);
    assert!(gate.effects(other).is_empty(), "another connection's");
    assert!(gate.worker.vm_counts().running == 1);
}

#[test]
fn other_failures_are_the_affair_of_their_stream() {
    let mut gate = Gate::new(resting());
    let (beside, _) = gate.ask(1, "");
    assert_eq!(gate.ask(1, "trap").1, REFUSED);
    assert!(gate.holds(1) && gate.effects(beside).is_empty());
}

/// Embedders need not number connections: each stream is then taken for a client by itself.
#[test]
fn streams_of_connections_without_a_number_are_not_beside_each_other() {
    let mut gate = Gate::new(resting());
    let (beside, _) = gate.ask(0, "");
    assert_eq!(gate.ask(0, "spin").1, REFUSED);
    assert!(gate.effects(beside).is_empty());
    assert!(gate.worker.vm_counts().running == 1);
}

#[test]
fn a_stream_of_a_connection_without_a_number_gets_the_place_of_who_has_most() {
    let mut gate = Gate::new(per_stream("a", holding));
    let (mut first, mut numbered) = (Vec::new(), Vec::new());
    for _ in 2..PLACES {
        first.push(gate.ask(0, "").0);
    }
    for _ in 0..2 {
        numbered.push(gate.ask(1, "").0);
    }
    assert!(gate.holds(0) && gate.vms() == PLACES);
    let lost = numbered.iter().map(|stream| !gate.effects(*stream).is_empty()).collect::<Vec<_>>();
    assert_eq!(lost, [true, false]);
    assert!(!gate.holds(0) && !gate.holds(1), "now each has one");
    assert!(first.into_iter().all(|stream| gate.effects(stream).is_empty()));
}
