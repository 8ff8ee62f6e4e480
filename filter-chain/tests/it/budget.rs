//! A plugin's part of a CPU, on a clock that tests move.

use std::time::Duration;

use portcullis_chain::{PluginSpec, Worker};
use portcullis_core::abi::CallbackId;
use portcullis_core::model::{Direction, FailurePolicy, Headers, Percent, StreamInfo};
use portcullis_core::resources::Host;
use portcullis_core::testing::FakeHost;
use portcullis_core::vm::{CoarseClock, Usage, Used};

use crate::common::{Bench, per_stream_of, plugin, recorder, set_tick, show_effect, vm_counts, with_policy};

/// A plugin that may use half of a CPU. A request takes so much of it; so does a tick.
fn spending(clock: &CoarseClock, takes: Duration) -> PluginSpec {
    let clock = clock.clone();
    let script = {
        let clock = clock.clone();
        move || {
            let (one, other) = (Spends(clock.clone(), takes), Spends(clock.clone(), takes));
            recorder(&[])
                .on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000))
                .on(CallbackId::on_request_headers, move |_, _| one.spend())
                .on(CallbackId::on_tick, move |caller, _| {
                    caller.log("tick");
                    other.spend()
                })
        }
    };
    let mut spec = plugin("a", script);
    spec.vm.limits.cpu = Percent::new(50);
    spec.plugin.usage = Usage::new(clock);
    spec
}

struct Spends(CoarseClock, Duration);

impl Spends {
    fn spend(&self) -> i32 {
        self.0.set(self.0.time() + self.1);
        0
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn used(spec: &PluginSpec) -> Used {
    spec.plugin.usage.used()
}

#[test]
fn who_has_used_up_a_budget_is_answered_by_the_policy_until_time_has_passed() {
    for (policy, refused) in [
        (FailurePolicy::Closed, &["request done", "response :status=503 end"][..]),
        (FailurePolicy::Open, &["request :method=POST end"]),
    ] {
        let clock = CoarseClock::default();
        let spec = spending(&clock, SECOND);
        let spec = with_policy(spec, policy);
        let mut bench = Bench::new(std::slice::from_ref(&spec));
        assert_eq!(bench.request(true), ["request :method=POST end"], "a second is what half of it is in two");
        bench.open();
        assert_eq!(bench.request(true), ["request :method=POST end"], "1 s ahead is no more than it may be");
        let first = bench.open();
        assert_eq!((used(&spec).cpu, used(&spec).refused), (2 * SECOND, 0));
        // Two seconds were used in two: two more have to pass, but for one that it may be ahead.
        assert_eq!(bench.request(true), refused, "{policy:?}");
        assert!(used(&spec).refused > 0);
        assert_eq!(vm_counts(&bench.worker), (1, 0), "its VM has not failed");
        let ended = bench.turn_to(first);
        assert_eq!(bench.finish(), ["a: log", "a: done", "a: delete"], "what has begun is ended");
        bench.turn_to(ended);
        clock.set(3 * SECOND - Duration::from_millis(1));
        bench.open();
        assert_eq!(bench.request(true), refused, "{policy:?}");
        clock.set(3 * SECOND);
        bench.open();
        assert_eq!(bench.request(true), ["request :method=POST end"]);
        let told = bench.host.messages().iter().filter(|line| line.contains("more than 50% of a CPU")).count();
        assert_eq!(told, 1);
    }
}

#[test]
fn ticks_are_left_out() {
    let clock = CoarseClock::default();
    let spec = spending(&clock, 3 * SECOND);
    let mut bench = Bench::new(std::slice::from_ref(&spec));
    bench.tick();
    bench.tick();
    assert_eq!(bench.journal(), ["a: tick"]);
    assert_eq!(used(&spec).refused, 1);
    clock.set(5 * SECOND);
    bench.tick();
    assert_eq!(bench.journal(), ["a: tick"]);
}

#[test]
fn without_a_limit_it_is_counted_alone() {
    let clock = CoarseClock::default();
    let mut spec = spending(&clock, 9 * SECOND);
    spec.vm.limits.cpu = None;
    let mut bench = Bench::new(std::slice::from_ref(&spec));
    for calls in 1..4 {
        assert_eq!(bench.request(true), ["request :method=POST end"]);
        let used = used(&spec);
        assert_eq!((used.cpu, used.refused), (9 * SECOND * calls, 0));
        // Three of the start, and two for each stream.
        assert_eq!(used.calls, u64::from(3 + 2 * calls));
        bench.open();
    }
}

/// One stream's VM lasts for that stream alone, so all of them have one budget.
#[test]
fn vms_of_streams_have_one_budget() {
    let clock = CoarseClock::default();
    let spec = spending(&clock, SECOND);
    let takes = clock.clone();
    let script = move || {
        let spends = Spends(takes.clone(), SECOND);
        recorder(&[]).on(CallbackId::on_request_headers, move |_, _| spends.spend())
    };
    let of_streams = plugin("a", script.clone());
    let spec = spec.with_module(of_streams.module).with_isolation(portcullis_chain::Isolation::Stream);
    let spec = per_stream_of(&spec, script);
    let host = FakeHost::new();
    let mut worker = Worker::new(move || Box::new(host.clone()) as Box<dyn Host>);
    let chain = worker.load(&[spec]).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let info = StreamInfo::default().into_shared();
        let stream = worker.open(&chain, info.clone(), 100);
        let headers: Headers = [(":method", "GET")].into_iter().collect();
        worker.headers(stream, Direction::Request, headers, true);
        let effect = worker.stream_effect(stream).unwrap();
        seen.push(show_effect(effect, &info));
        worker.finish(stream);
    }
    assert_eq!(seen, ["request :method=GET end", "request :method=GET end", "request done"]);
}
