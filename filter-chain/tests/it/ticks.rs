//! Ticks by a driver that knows of them by effects alone, and has one timer.

use std::collections::HashMap;
use std::time::Duration;

use portcullis_chain::{Chain, Effect, PluginSpec, Worker};
use portcullis_core::abi::{BufferType, CallbackId};
use portcullis_core::model::{Direction, FailurePolicy, Headers, StreamInfo};
use portcullis_core::resources::Host;
use portcullis_core::testing::{FakeHost, NullCaller, Script};
use proptest::prelude::*;

use crate::common::{plugin, set_tick, trap, vm_counts};

const MS: Duration = Duration::from_millis(1);

/// A worker, and the timer that its driver keeps.
struct Driver {
    worker: Worker,
    host: FakeHost,
    now: Duration,
    timer: Option<Duration>,
    /// How often the timer has run down.
    calls: usize,
}

impl Driver {
    fn new() -> Self {
        let host = FakeHost::new();
        let hosts = host.clone();
        let worker = Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>);
        Self { worker, host, now: Duration::ZERO, timer: None, calls: 0 }
    }

    fn load(&mut self, specs: &[PluginSpec]) -> Chain {
        let chain = self.worker.load(specs).unwrap();
        self.pump();
        chain
    }

    /// Takes the effects.
    fn pump(&mut self) {
        while let Some(effect) = self.worker.effect() {
            if let Effect::Tick { after } = effect {
                self.timer = after.map(|after| self.now + after);
            }
        }
    }

    fn go_to(&mut self, now: Duration) {
        self.now = now;
        self.host.set_time(u64::try_from(now.as_nanos()).unwrap());
    }

    /// Lets time pass, and ticks whenever the timer has run down.
    fn run_until(&mut self, end: Duration) {
        while let Some(at) = self.timer.take_if(|at| *at <= end) {
            self.go_to(at.max(self.now));
            self.calls += 1;
            self.worker.tick();
            self.now = Duration::from_nanos(self.host.monotonic_clock());
            self.pump();
        }
        self.go_to(end.max(self.now));
    }

    /// Returns how often a plugin has ticked.
    fn ticks(&self, name: &str) -> usize {
        self.host.lines().iter().filter(|line| line.plugin == name && line.message == "tick").count()
    }
}

/// A plugin that ticks as its configuration says: the period in milliseconds, and maybe the number of a tick in which it sets another
/// one, or traps for -1. Requests have it trap.
fn ticking(name: &str, vm_id: &str, configuration: &str) -> PluginSpec {
    let script = || {
        let mut ticks = HashMap::<String, i64>::new();
        let numbers = |caller: &mut NullCaller<'_>| -> (String, Vec<i64>) {
            let text = caller.buffer(BufferType::PluginConfiguration).unwrap_or_default();
            let text = String::from_utf8(text).unwrap();
            (text.clone(), text.split(' ').map(|number| number.parse().unwrap()).collect())
        };
        let roots = std::sync::Arc::new(std::sync::Mutex::new(HashMap::<i32, (String, Vec<i64>)>::new()));
        let known = std::sync::Arc::clone(&roots);
        Script::new()
            .try_on(CallbackId::on_request_headers, |_, _| Err(trap()))
            .on(CallbackId::on_configure, move |caller, args| {
                let (text, numbers) = numbers(caller);
                let period = i32::try_from(numbers[0]).unwrap();
                known.lock().unwrap().insert(args[0], (text, numbers));
                set_tick(caller, period)
            })
            .try_on(CallbackId::on_tick, move |caller, args| {
                caller.log("tick");
                let (text, numbers) = roots.lock().unwrap()[&args[0]].clone();
                let count = ticks.entry(text).or_default();
                *count += 1;
                match numbers[1..] {
                    [at, -1] if at == *count => return Err(trap()),
                    [at, period] if at == *count => assert_eq!(set_tick(caller, i32::try_from(period).unwrap()), 1),
                    _ => {}
                }
                Ok(0)
            })
    };
    let mut spec = plugin(name, script);
    spec.plugin.vm_id = vm_id.to_owned();
    spec.plugin.configuration = configuration.to_owned().into();
    spec
}

#[test]
fn one_timer_serves_the_periods_of_several_plugins_in_one_vm() {
    let mut driver = Driver::new();
    let specs = ["1000", "300", "0", "700 2 0"].map(|period| ticking(period, "vm", period));
    driver.load(&specs);
    assert_eq!(vm_counts(&driver.worker), (1, 0));
    driver.run_until(Duration::from_secs(10));
    let ticks = ["1000", "300", "0", "700 2 0"].map(|name| driver.ticks(name));
    assert_eq!(ticks, [10, 33, 0, 2]);
    assert_eq!(driver.calls, 45, "each call ticks");
}

#[test]
fn nothing_is_told_while_the_timer_stays_as_it_is() {
    let mut driver = Driver::new();
    let chain = driver.load(&[ticking("a", "a", "1000")]);
    for _ in 0..3 {
        let stream = driver.worker.open(&chain, StreamInfo::default().into_shared(), 10);
        driver.worker.finish(stream);
        assert!(driver.worker.effect().is_none());
    }
    let slower = driver.worker.load(&[ticking("b", "b", "5000")]).unwrap();
    assert!(driver.worker.effect().is_none(), "the timer runs down before");
    driver.worker.unload(&chain);
    assert!(matches!(driver.worker.effect(), Some(Effect::Tick { after: Some(after) }) if after == 5000 * MS));
    driver.worker.unload(&slower);
    assert!(matches!(driver.worker.effect(), Some(Effect::Tick { after: None })));
    assert!(driver.worker.effect().is_none());
}

/// A timer may run down before a tick may begin: streams have come meanwhile.
#[test]
fn a_call_that_comes_too_early_sets_the_timer_again() {
    let mut driver = Driver::new();
    let host = driver.host.clone();
    let script = move || {
        let host = host.clone();
        Script::new().on(CallbackId::on_configure, |caller, _| set_tick(caller, 10)).on(
            CallbackId::on_tick,
            move |caller, _| {
                caller.log("tick");
                host.advance(40_000_000);
                0
            },
        )
    };
    let chain = driver.load(&[plugin("a", script)]);
    driver.run_until(10 * MS);
    assert_eq!((driver.ticks("a"), driver.timer), (1, Some(60 * MS)));
    driver.worker.open(&chain, StreamInfo::default().into_shared(), 10);
    driver.run_until(60 * MS);
    assert_eq!(driver.ticks("a"), 1);
    let later = driver.timer.unwrap();
    assert!(later > 100 * MS, "40 ms are 20 % of 200 ms: {later:?}");
    driver.run_until(later);
    assert_eq!(driver.ticks("a"), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Load(usize),
    Unload(usize),
    Stream(usize),
    Fail(usize),
    Run(u64),
    ShutDown,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever plugins do with their ticks, and drivers with their chains, the timer is set to when the next tick is due.
    #[test]
    fn the_timer_is_set_to_the_next_tick(
        plugins in proptest::collection::vec((0u32..4, 0u8..2, 0u32..4, -1i32..4, any::<bool>()), 1..4),
        steps in proptest::collection::vec(
            prop_oneof![
                3 => (0usize..4).prop_map(Step::Load),
                1 => (0usize..4).prop_map(Step::Unload),
                2 => (0usize..4).prop_map(Step::Stream),
                1 => (0usize..4).prop_map(Step::Fail),
                4 => (0u64..5000).prop_map(Step::Run),
                1 => Just(Step::ShutDown),
            ],
            1..20,
        ),
    ) {
        let mut driver = Driver::new();
        let spec = |(index, (period, vm, at, then, reload)): (usize, &(u32, u8, u32, i32, bool))| {
            let then = if *then > 0 { then * 500 } else { *then };
            let mut spec = ticking(&index.to_string(), &vm.to_string(), &format!("{} {at} {then}", period * 400));
            spec.plugin.failure_policy = if *reload { FailurePolicy::Reload } else { FailurePolicy::Closed };
            spec
        };
        let specs: Vec<_> = plugins.iter().enumerate().map(spec).collect();
        let mut chains: Vec<Option<Chain>> = vec![None; specs.len()];
        for step in steps {
            match step {
                // A VM that has failed may rest still.
                Step::Load(index) => chains[index % specs.len()] = driver.worker.load(&specs[index % specs.len()..][..1]).ok(),
                Step::Unload(index) => {
                    if let Some(chain) = chains[index % specs.len()].take() {
                        driver.worker.unload(&chain);
                    }
                }
                Step::Stream(index) | Step::Fail(index) => {
                    if let Some(chain) = &chains[index % specs.len()] {
                        let stream = driver.worker.open(chain, StreamInfo::default().into_shared(), 10);
                        if matches!(step, Step::Fail(_)) {
                            driver.worker.headers(stream, Direction::Request, Headers::new(), true);
                        }
                        driver.worker.finish(stream);
                    }
                }
                Step::Run(time) => driver.run_until(driver.now + u32::try_from(time).unwrap() * MS),
                Step::ShutDown => driver.worker.shut_down(),
            }
            driver.pump();
            let (timer, now) = (driver.timer, driver.now);
            prop_assert_eq!(timer, driver.worker.next_due().map(|due| due.max(now)), "now {:?}", now);
        }
    }
}
