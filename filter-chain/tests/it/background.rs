//! Calls that no stream waits for, in time that tests move.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_chain::{CalloutId, Chain, Effect, PluginSpec, Worker};
use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Percent, StreamInfo};
use portcullis_core::resources::Host;
use portcullis_core::testing::{FakeHost, NullCaller, Script};
use portcullis_core::vm::CallOutcome;

use crate::common::{call_out, plugin, set_tick};

const MS: Duration = Duration::from_millis(1);

/// A worker, and its time.
struct Clocked {
    worker: Worker,
    host: FakeHost,
    chain: Chain,
    now: Duration,
    calls: Calls,
}

/// A call of a guest: which plugin's, and its time.
type Call = (String, Duration, Duration);

/// The calls of all plugins, in their order.
type Calls = Arc<Mutex<Vec<Call>>>;

/// A plugin that ticks a millisecond after its last tick, which takes so long.
fn ticking(name: &str, host: &FakeHost, calls: &Calls, takes: Duration) -> PluginSpec {
    let (owned, host, calls) = (name.to_owned(), host.clone(), Arc::clone(calls));
    let script = move || {
        let (name, host, calls) = (owned.clone(), host.clone(), Arc::clone(&calls));
        Script::new().on(CallbackId::on_configure, |caller, _| set_tick(caller, 1)).on(
            CallbackId::on_tick,
            move |_, _| {
                let begin = Duration::from_nanos(host.monotonic_clock());
                host.advance(nanos(takes));
                calls.lock().unwrap().push((name.clone(), begin, begin + takes));
                0
            },
        )
    };
    plugin(name, script)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

impl Clocked {
    fn new(share: Option<u8>, specs: impl Fn(&FakeHost, &Calls) -> Vec<PluginSpec>) -> Self {
        let host = FakeHost::new().with_upstream("auth");
        let hosts = host.clone();
        let mut worker = Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>);
        if let Some(share) = share {
            worker = worker.with_tick_share(Percent::new(share).unwrap());
        }
        let calls = Calls::default();
        let chain = worker.load(&specs(&host, &calls)).unwrap();
        Self { worker, host, chain, now: Duration::ZERO, calls }
    }

    fn open(&mut self) -> portcullis_chain::StreamId {
        self.worker.open(&self.chain, StreamInfo::default().into_shared(), 1 << 20)
    }

    fn go_to(&mut self, time: Duration) {
        self.now = time;
        self.host.set_time(nanos(time));
    }

    fn time(&self) -> Duration {
        Duration::from_nanos(self.host.monotonic_clock())
    }

    /// Ticks as a driver would until then; lists the calls.
    fn run_until(&mut self, end: Duration) -> Vec<Call> {
        let first = self.calls.lock().unwrap().len();
        while let Some(at) = self.worker.next_tick().map(|at| at.max(self.now)).filter(|at| *at < end) {
            self.go_to(at);
            let before = self.calls.lock().unwrap().len();
            self.worker.tick();
            assert_eq!(self.calls.lock().unwrap().len(), before + 1, "one tick at a time");
            self.now = self.time();
        }
        self.calls.lock().unwrap()[first..].to_vec()
    }
}

fn time_of<'a>(calls: impl IntoIterator<Item = &'a Call>) -> Duration {
    calls.into_iter().map(|(_, begin, end)| *end - *begin).sum()
}

fn eight(host: &FakeHost, calls: &Calls) -> Vec<PluginSpec> {
    (0..8).map(|number| ticking(&format!("p{number}"), host, calls, 40 * MS)).collect()
}

#[test]
fn ticks_get_their_share_while_a_stream_is_open() {
    for (share, percent) in [(None, 20), (Some(5), 5), (Some(50), 50)] {
        let mut clocked = Clocked::new(share, eight);
        clocked.open();
        let end = Duration::from_secs(60);
        let calls = clocked.run_until(end);
        let whole = end * percent / 100;
        let all = time_of(&calls);
        assert!(all <= whole + 40 * MS && all + 400 * MS >= whole, "{percent}: {all:?} of {whole:?}");
        // No burst: what was not called for one while is not made up for later.
        let gap = 40 * MS * (100 - percent) / percent;
        for pair in calls.windows(2) {
            assert!(pair[1].1 - pair[0].2 + 2 * MS >= gap, "{percent}: {pair:?}");
        }
        for number in 0..8 {
            let own = time_of(calls.iter().filter(|(plugin, ..)| *plugin == format!("p{number}")));
            assert!(own * 8 + 400 * MS >= whole && own * 8 <= whole + 400 * MS, "{percent}: p{number} had {own:?}");
        }
    }
}

#[test]
fn ticks_follow_each_other_while_no_io_waits() {
    let mut clocked = Clocked::new(None, eight);
    let calls = clocked.run_until(Duration::from_secs(2));
    assert!(calls.windows(2).all(|pair| pair[0].2 == pair[1].1), "{calls:?}");
    assert_eq!(calls.len(), 50);
    assert!(clocked.host.throttled().is_empty());
}

#[test]
fn what_comes_between_two_ticks_is_given_way_to() {
    let mut clocked = Clocked::new(None, eight);
    clocked.run_until(60 * MS);
    assert!(clocked.worker.next_tick().unwrap() <= clocked.now);
    let last = clocked.now - 40 * MS;
    // A connection that is no stream yet.
    clocked.worker.note_io();
    assert_eq!(clocked.worker.next_tick(), Some(last + 200 * MS));
    clocked.run_until(last + 201 * MS);
    assert!(clocked.worker.next_tick().unwrap() <= clocked.now, "nothing has come since");
    let stream = clocked.open();
    clocked.worker.finish(stream);
    let last = clocked.now - 40 * MS;
    assert_eq!(clocked.worker.next_tick(), Some(last + 200 * MS), "a stream that is over has come, too");
}

#[test]
fn a_plugin_above_its_part_is_slowed_and_counted_and_others_are_not() {
    let mut clocked = Clocked::new(None, |host, calls| {
        vec![ticking("long", host, calls, 40 * MS), ticking("short", host, calls, MS / 20)]
    });
    clocked.open();
    let calls = clocked.run_until(Duration::from_secs(20));
    let of = |name| calls.iter().filter(|(plugin, ..)| plugin == name).collect::<Vec<_>>();
    let (long, short) = (of("long"), of("short"));
    assert!(time_of(calls.iter()) <= Duration::from_secs(4) + 40 * MS);
    // Its ticks are due a millisecond after each other, but while another one runs.
    assert!(short.len() > 14_000, "{}", short.len());
    assert!(long.len() > 70, "what others leave of the share is not lost: {}", long.len());
    let throttled = clocked.host.throttled();
    assert!(throttled.iter().all(|name| name == "long"), "{throttled:?}");
    assert!(throttled.len() + 2 >= long.len(), "{} of {}", throttled.len(), long.len());
}

/// A plugin that asks another one each second, and takes 40 ms for what it answers.
fn asking(host: &FakeHost, _: &Calls) -> Vec<PluginSpec> {
    let host = host.clone();
    let script = move || {
        let host = host.clone();
        let ask = |caller: &mut NullCaller<'_>| assert!(call_out(caller) > 0);
        Script::new()
            .on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000))
            .on(CallbackId::on_request_headers, move |caller, _| {
                ask(caller);
                1
            })
            .on(CallbackId::on_tick, move |caller, _| {
                ask(caller);
                ask(caller);
                0
            })
            .on(CallbackId::on_http_call_response, move |_, _| {
                host.advance(nanos(40 * MS));
                0
            })
    };
    vec![plugin("a", script)]
}

impl Clocked {
    fn callouts(&mut self) -> Vec<CalloutId> {
        let effects = std::iter::from_fn(|| self.worker.effect());
        effects.filter_map(|effect| if let Effect::Callout { id, .. } = effect { Some(id) } else { None }).collect()
    }

    fn answer(&mut self, id: CalloutId) {
        self.worker.callout_done(id, CallOutcome::Reset(String::new()));
    }
}

#[test]
fn answers_to_roots_have_turns_and_those_to_streams_have_none() {
    let mut clocked = Clocked::new(None, asking);
    clocked.go_to(Duration::from_secs(1));
    clocked.worker.tick();
    let of_root = clocked.callouts();
    let stream = clocked.open();
    clocked.worker.headers(
        stream,
        portcullis_core::model::Direction::Request,
        [(":path", "/")].into_iter().collect(),
        true,
    );
    let of_stream = clocked.callouts();
    assert_eq!((of_root.len(), of_stream.len()), (2, 1));
    assert_eq!(clocked.worker.answer_turn(of_root[0]), Some(clocked.now), "nothing has to be made up for");
    clocked.answer(of_root[0]);
    assert_eq!(clocked.worker.answer_turn(of_stream[0]), None);
    let turn = Duration::from_secs(1) + 200 * MS;
    assert_eq!(clocked.worker.answer_turn(of_root[1]), Some(turn));
    assert_eq!(clocked.host.throttled(), ["a"]);
    assert_eq!(clocked.worker.answer_turn(of_root[1]), Some(turn));
    assert_eq!(clocked.host.throttled(), ["a"], "each wait counts once");
    clocked.answer(of_stream[0]);
    assert_eq!(clocked.worker.answer_turn(of_root[1]), Some(turn), "what a stream waits for is not charged");
}

/// The stream on whose account a plugin asked is over: nobody waits any more.
#[test]
fn an_answer_to_a_stream_that_is_over_has_a_turn() {
    let mut clocked = Clocked::new(None, asking);
    let stream = clocked.open();
    clocked.worker.headers(
        stream,
        portcullis_core::model::Direction::Request,
        [(":path", "/")].into_iter().collect(),
        true,
    );
    let callouts = clocked.callouts();
    assert_eq!(clocked.worker.answer_turn(callouts[0]), None);
    clocked.worker.finish(stream);
    assert!(clocked.worker.answer_turn(callouts[0]).is_some());
}

/// Plugins that put an item into their queue for each one that they are told of, which takes 40 ms.
fn feeding(host: &FakeHost, _: &Calls) -> Vec<PluginSpec> {
    let feeding = |name: &'static str| {
        let host = host.clone();
        let enqueue = move |caller: &mut NullCaller<'_>| enqueue(caller, name.as_bytes());
        plugin(name, move || {
            let host = host.clone();
            Script::new()
                .on(CallbackId::on_configure, move |caller, _| {
                    enqueue(caller);
                    1
                })
                .on(CallbackId::on_queue_ready, move |caller, _| {
                    caller.log(name);
                    host.advance(nanos(40 * MS));
                    enqueue(caller);
                    0
                })
        })
    };
    vec![feeding("a"), feeding("b")]
}

#[test]
fn items_of_queues_have_turns_and_no_plugin_keeps_another_from_them() {
    let mut clocked = Clocked::new(None, feeding);
    clocked.open();
    let mut begun = Vec::new();
    for _ in 0..40 {
        let (before, lines) = (clocked.time(), clocked.host.lines().len());
        let next = clocked.worker.queues_ready().unwrap();
        match clocked.host.lines().get(lines) {
            Some(line) => begun.push((line.plugin.clone(), before)),
            None => clocked.go_to(next),
        }
    }
    for pair in begun.windows(2) {
        assert!(pair[1].1 - pair[0].1 >= 198 * MS && pair[0].0 != pair[1].0, "{begun:?}");
    }
    assert!(begun.len() >= 15, "{begun:?}");
}

/// Puts an item into a queue of the plugin that runs.
fn enqueue(caller: &mut NullCaller<'_>, name: &[u8]) {
    let (queue, len) = caller.put(name);
    assert_eq!(entry::proxy_register_shared_queue(caller, queue, len, 16).unwrap(), 0);
    let (item, len) = caller.put(b"item");
    let queue = caller.word(16).cast_signed();
    assert_eq!(entry::proxy_enqueue_shared_queue(caller, queue, item, len).unwrap(), 0);
}

/// A plugin whose configuration is refused leaves a message behind; its VM is another's, too, and goes on.
#[test]
fn messages_to_a_root_that_is_gone_keep_nobody_waiting() {
    let spec = plugin("a", || {
        Script::new()
            .on(CallbackId::on_configure, |caller, args| {
                let is_refused = args.get(1) != Some(&0);
                enqueue(caller, if is_refused { b"refused" } else { b"a" });
                i32::from(!is_refused)
            })
            .on(CallbackId::on_queue_ready, |caller, _| {
                caller.log("told");
                enqueue(caller, b"a");
                0
            })
    });
    let mut refused = spec.clone();
    (refused.plugin.name, refused.plugin.configuration) = ("refused".to_owned(), "x".into());
    let mut clocked = Clocked::new(None, |_, _| vec![spec.clone()]);
    assert!(clocked.worker.load(&[refused]).is_err());
    for told in 1..=4 {
        assert!(clocked.worker.queues_ready().is_some(), "{told}");
        assert_eq!(clocked.host.messages().iter().filter(|line| line.contains("told")).count(), told);
    }
}

/// A plugin asks in the name of a stream that it does not hold: of HTTP, and of TCP.
#[test]
fn an_answer_to_a_stream_that_is_not_held_has_a_turn() {
    for held in [0, 1] {
        let script = move || {
            let ask = move |caller: &mut NullCaller<'_>, _: &[i32]| {
                assert!(call_out(caller) > 0);
                held
            };
            let script = Script::new().on(CallbackId::on_configure, |_, _| 1).on(CallbackId::on_request_headers, ask);
            script.on(CallbackId::on_new_connection, ask).on(CallbackId::on_http_call_response, |_, _| 0)
        };
        let mut clocked = Clocked::new(None, |_, _| vec![plugin("a", script)]);
        let stream = clocked.open();
        let headers = [(":path", "/")].into_iter().collect();
        clocked.worker.headers(stream, portcullis_core::model::Direction::Request, headers, true);
        clocked.worker.connect(&clocked.chain, StreamInfo::default().into_shared(), 1 << 20);
        let callouts = clocked.callouts();
        assert_eq!(callouts.len(), 2);
        for id in callouts {
            assert_eq!(clocked.worker.answer_turn(id).is_some(), held == 0, "{id:?}, held: {held}");
        }
    }
}

#[test]
fn an_answer_in_the_name_of_an_idle_stream_has_a_turn() {
    let script = || {
        let ask = |caller: &mut NullCaller<'_>, _: &[i32]| {
            assert_eq!(caller.set_effective(2), 0);
            assert!(call_out(caller) > 0);
            0
        };
        let script = Script::new().on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000));
        script.on(CallbackId::on_tick, ask).on(CallbackId::on_request_headers, |_, _| 0)
    };
    let mut clocked = Clocked::new(None, |_, _| vec![plugin("a", script)]);
    let stream = clocked.open();
    let headers = [(":path", "/")].into_iter().collect();
    clocked.worker.headers(stream, portcullis_core::model::Direction::Request, headers, true);
    clocked.go_to(Duration::from_secs(1));
    clocked.worker.tick();
    let callouts = clocked.callouts();
    assert_eq!(callouts.len(), 1);
    assert!(clocked.worker.answer_turn(callouts[0]).is_some());
}
