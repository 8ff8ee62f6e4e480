//! The time of a VM is measured with the host's clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use portcullis_core::abi::{AbiVersion, CallbackId, HostcallId};
use portcullis_core::engine::{AnyModule, EngineError, Guest, StartError, Trap};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{ContextId, Limits, Plugin, StreamInfo};
use portcullis_core::observe::{
    profile::HostcallTime, profile::Part, profile::PluginProfile, profile::Profile, profile::Time, profile::profile,
    profile::snapshot,
};
use portcullis_core::rights::Capabilities;
use portcullis_core::sandbox::VmSpec;
use portcullis_core::testing::{FakeHost, NullCaller, NullEngine, Script};
use portcullis_core::vm::{Vm, VmConfig, VmState};

/// A module whose guests are measured.
#[derive(Debug)]
struct Measured(Box<dyn AnyModule>, Arc<Mutex<Profile>>);

impl AnyModule for Measured {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        profile(&*self.0, state, limits, &self.1, None)
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.save()
    }

    fn moves(&self) -> bool {
        self.0.moves()
    }
}

struct Started {
    vm: Vm,
    root: ContextId,
    profile: Arc<Mutex<Profile>>,
}

impl Started {
    fn of(&self, plugin: Option<&str>) -> PluginProfile {
        snapshot(&self.profile).plugins().iter().find(|known| known.plugin.as_deref() == plugin).unwrap().clone()
    }
}

/// A plugin `p` whose ticks do this. Its host logs so slowly that each line takes 100 ns, and its allocator 1000 ns.
fn ticking(
    run: impl Fn(&mut NullCaller<'_>, &FakeHost) -> Result<(), Trap> + Clone + Send + Sync + 'static,
) -> Started {
    ticking_with(Capabilities::ALL, run)
}

fn ticking_with(
    capabilities: Capabilities,
    run: impl Fn(&mut NullCaller<'_>, &FakeHost) -> Result<(), Trap> + Clone + Send + Sync + 'static,
) -> Started {
    let host = FakeHost::new();
    host.take_for_each_line(100);
    let clock = host.clone();
    let script = move || {
        let (run, clock) = (run.clone(), clock.clone());
        let allocator = clock.clone();
        Script::new()
            .on(CallbackId::on_configure, |_, _| 1)
            .try_on(CallbackId::on_tick, move |caller, _| run(caller, &clock).map(|()| 0))
            .on_allocation(move |caller| {
                allocator.advance(1000);
                let _ = entry::proxy_log(caller, 2, 0, 4);
            })
    };
    let profile = Arc::<Mutex<Profile>>::default();
    let module = Measured(NullEngine::new(script).module().unwrap(), Arc::clone(&profile));
    let vm = VmSpec::default().with_configuration(b"sixsix".as_slice());
    let config = VmConfig { vm, ..VmConfig::new(AbiVersion::V0_2_1) };
    let mut vm = Vm::start(&module, config, Box::new(host)).unwrap();
    let root = vm.add_plugin(Plugin::new("p").with_capabilities(capabilities).into()).unwrap();
    Started { vm, root, profile }
}

fn part(profile: &PluginProfile, part: Part) -> Time {
    profile.parts().find(|(known, _)| *known == part).map(|(_, time)| time.clone()).unwrap_or_default()
}

fn hostcall(profile: &PluginProfile, id: HostcallId) -> HostcallTime {
    profile.hostcalls().find(|(known, _)| *known == id).map(|(_, time)| time.clone()).unwrap_or_default()
}

fn time(calls: u64, total: u64, own: u64, max: u64, traps: u64) -> Time {
    let mut time = Time::default();
    (time.calls, time.total, time.own, time.max, time.traps) = (calls, total, own, max, traps);
    time
}

const TICK: Part = Part::Callback(CallbackId::on_tick);

#[test]
fn own_time_is_without_the_hostcalls_within() {
    let mut started = ticking(|caller, clock| {
        clock.advance(7);
        entry::proxy_log(caller, 2, 16, 5)?;
        clock.advance(5);
        entry::proxy_log(caller, 2, 32, 3)?;
        Ok(())
    });
    for _ in 0..3 {
        started.vm.on_tick(started.root).unwrap();
    }
    let profile = started.of(Some("p"));
    assert_eq!(part(&profile, TICK), time(3, 636, 36, 212, 0));
    let log = hostcall(&profile, HostcallId::proxy_log);
    assert_eq!(log.time, time(6, 600, 600, 100, 0));
    assert_eq!((log.bytes_in, log.bytes_out), (0, 24));
    let configure = part(&profile, Part::Callback(CallbackId::on_configure));
    assert_eq!((configure.calls, configure.total), (1, 0));
    // Callbacks that the guest does not have were not called.
    assert_eq!(part(&profile, Part::Callback(CallbackId::on_vm_start)), Time::default());
    assert_eq!(part(&started.of(None), Part::Instantiation).calls, 1);
}

#[test]
fn the_allocator_and_what_it_calls_are_rows_of_their_own() {
    let mut started = ticking(|caller, clock| {
        clock.advance(7);
        let status = entry::proxy_get_current_time_nanoseconds(caller, 8)?;
        assert_eq!(status, 0);
        assert_eq!(entry::proxy_get_buffer_bytes(caller, 6, 0, 64, 8, 12)?, 0);
        Ok(())
    });
    started.vm.on_tick(started.root).unwrap();
    let profile = started.of(Some("p"));
    assert_eq!(part(&profile, TICK), time(1, 1107, 7, 1107, 0));
    assert_eq!(part(&profile, Part::Allocator), time(1, 1100, 1000, 1100, 0));
    let buffer = hostcall(&profile, HostcallId::proxy_get_buffer_bytes);
    assert_eq!(buffer.time, time(1, 1100, 0, 1100, 0));
    // The value, its address and its length.
    assert_eq!((buffer.bytes_in, buffer.bytes_out), (6 + 8, 0));
    assert_eq!(hostcall(&profile, HostcallId::proxy_get_current_time_nanoseconds).bytes_in, 8);
    // Each nanosecond is in one row alone.
    let own = profile.parts().map(|(_, time)| time.own).sum::<u64>()
        + profile.hostcalls().map(|(_, hostcall)| hostcall.time.own).sum::<u64>();
    assert_eq!(own, 1107);
}

#[test]
fn what_is_read_twice_is_copied_once() {
    let mut started = ticking(|caller, _| {
        // It looks at the cluster and the body before and after it decodes the headers.
        let status = entry::proxy_http_call(caller, 16, 2, 64, 4, 128, 10, 256, 4, 1000, 8)?;
        assert_ne!(status, 0, "there is no such cluster");
        Ok(())
    });
    started.vm.on_tick(started.root).unwrap();
    let call = hostcall(&started.of(Some("p")), HostcallId::proxy_http_call);
    assert_eq!((call.time.calls, call.bytes_out), (1, 2 + 4 + 10 + 4));
}

#[test]
fn failures_are_counted_by_their_status() {
    let log_alone = Capabilities::from_names(["proxy_on_tick", "proxy_get_shared_data"]).unwrap();
    let mut started = ticking_with(log_alone, |caller, _| {
        assert_eq!(entry::proxy_get_shared_data(caller, 16, 3, 8, 12, 0)?, 1, "not found");
        assert_eq!(entry::proxy_get_shared_data(caller, 16, 3, 8, 12, 0)?, 1, "not found");
        assert_eq!(entry::proxy_get_shared_data(caller, -1, 3, 8, 12, 0)?, 6, "no memory");
        assert_eq!(entry::proxy_log(caller, 2, 16, 5)?, 10, "denied");
        assert_eq!(entry::pthread_equal(caller, 1, 1)?, 1, "which is no status");
        Ok(())
    });
    started.vm.on_tick(started.root).unwrap();
    let profile = started.of(Some("p"));
    let failures = |id| hostcall(&profile, id).failures;
    assert_eq!(failures(HostcallId::proxy_get_shared_data), BTreeMap::from([(1, 2), (6, 1)]));
    assert_eq!(failures(HostcallId::proxy_log), BTreeMap::from([(10, 1)]));
    assert_eq!(failures(HostcallId::pthread_equal), BTreeMap::new());
}

#[test]
fn what_a_trap_ends_counts() {
    let mut started = ticking(|caller, clock| {
        clock.advance(7);
        entry::proxy_log(caller, 2, 16, 5)?;
        let ended = entry::proc_exit(caller, 3);
        clock.advance(1);
        ended
    });
    assert!(started.vm.on_tick(started.root).is_err());
    let profile = started.of(Some("p"));
    assert_eq!(part(&profile, TICK), time(1, 108, 8, 108, 1));
    assert_eq!(hostcall(&profile, HostcallId::proc_exit).time.traps, 1);
    assert_eq!(hostcall(&profile, HostcallId::proxy_log).time.traps, 0);
    // Nothing is called in it any more.
    assert!(started.vm.on_tick(started.root).is_err());
    assert_eq!(part(&started.of(Some("p")), TICK).calls, 1);
}

#[test]
fn each_plugin_of_a_vm_has_rows_of_its_own() {
    let mut started = ticking(|_, clock| {
        clock.advance(7);
        Ok(())
    });
    let second = started.vm.add_plugin(Plugin::new("q").into()).unwrap();
    started.vm.on_tick(started.root).unwrap();
    started.vm.on_tick(second).unwrap();
    started.vm.on_tick(second).unwrap();
    let stream = started.vm.create_stream(second, StreamInfo::default().into_shared()).unwrap();
    started.vm.delete(stream).unwrap();
    let mut sum = snapshot(&started.profile);
    assert_eq!(sum.plugins().len(), 3);
    sum.merge(&snapshot(&started.profile));
    let calls = |name| part(sum.plugins().iter().find(|p| p.plugin.as_deref() == Some(name)).unwrap(), TICK);
    assert_eq!(calls("p"), time(2, 14, 14, 7, 0));
    assert_eq!(calls("q"), time(4, 28, 28, 7, 0));
}
