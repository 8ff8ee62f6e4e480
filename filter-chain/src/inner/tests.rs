//! The cost of one stream or item does not grow with the VMs of others: counts VMs that are walked over.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_core::abi::{AbiVersion, CallbackId};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, Plugin, StreamInfo};
use portcullis_core::resources::{ForeignFunctions, Host, Shared, Wake};
use portcullis_core::sandbox::Recycle;
use portcullis_core::testing::{FakeHost, NullCaller, NullEngine, Script};
use portcullis_core::vm::Vm;

use super::Inner;
use crate::vms::{VmCounts, Vms};
use crate::{Chain, Isolation, Module, PluginSpec, Snapshot, StreamEffect};

const PLACES: usize = 50;

fn module(script: fn() -> Script) -> Module {
    let module = NullEngine::new(script).module().unwrap_or_else(|error| panic!("{error}"));
    Module::from_compiled("null", AbiVersion::V0_2_1, Some(script().exports()), module)
}

fn inner() -> Inner {
    Inner::new(Vms::new(Arc::new(Mutex::new(|| Box::new(FakeHost::new()) as Box<dyn Host>))))
}

/// A plugin that holds each request, in a VM for each.
fn holding() -> PluginSpec {
    let script = || Script::default().on(CallbackId::on_request_headers, |_, _| 1);
    let spec =
        PluginSpec { isolation: Isolation::Stream, ..PluginSpec::new(Plugin::new("a"), Arc::new(module(script))) };
    let config = spec.vm_config(Shared::default(), ForeignFunctions::default(), None);
    let mut vm = Vm::start(spec.module.compiled(), config, Box::new(FakeHost::new())).unwrap();
    let root = vm.add_plugin(spec.plugin.clone().into()).unwrap();
    let snapshot = Snapshot::new(module(script), vm.snapshot(root).unwrap()).with_at_most(PLACES);
    PluginSpec { snapshot: Some(Arc::new(snapshot)), ..spec }
}

/// A request of a connection; whether the plugin holds it.
fn is_held(inner: &mut Inner, chain: &Chain, connection_id: u64) -> bool {
    let info = StreamInfo { connection_id, ..StreamInfo::default() }.into_shared();
    let stream = inner.open(chain, info, 1 << 20);
    inner.http.feed_headers(stream, Direction::Request, [(":method", "GET")].into_iter().collect(), true);
    inner.run(Some(stream));
    !matches!(inner.http.next_effect(stream), Some(StreamEffect::RequestDone))
}

#[test]
fn a_stream_without_a_place_does_not_walk_over_the_vms_of_others() {
    let mut inner = inner();
    let chain = inner.load(&[holding()]).unwrap();
    assert!((0..PLACES).all(|_| is_held(&mut inner, &chain, 1)));
    inner.vms.take_walked();
    assert!(!is_held(&mut inner, &chain, 1), "all places are taken");
    assert!(is_held(&mut inner, &chain, 2), "another connection gets one");
    assert_eq!(inner.vms.take_walked(), 0);
}

/// Registers a queue, and puts `ITEMS` into it when a request comes.
fn queueing() -> Script {
    let queue = |caller: &mut NullCaller<'_>| {
        let (name, len) = caller.put(b"q");
        assert_eq!(entry::proxy_register_shared_queue(caller, name, len, 16).unwrap(), 0);
        caller.word(16).cast_signed()
    };
    let script = Script::default().on(CallbackId::on_configure, move |caller, _| {
        queue(caller);
        1
    });
    script.on(CallbackId::on_queue_ready, |_, _| 0).on(CallbackId::on_request_headers, move |caller, _| {
        let queue = queue(caller);
        let (item, len) = caller.put(b"item");
        for _ in 0..ITEMS {
            assert_eq!(entry::proxy_enqueue_shared_queue(caller, queue, item, len).unwrap(), 0);
        }
        0
    })
}

const ITEMS: usize = 5;

#[test]
fn an_item_of_a_queue_does_not_walk_over_vms_without_items() {
    let mut inner = inner();
    let spec = |index: usize| {
        let mut plugin = Plugin::new(format!("plugin {index}"));
        plugin.vm_id = format!("vm {index}");
        PluginSpec::new(plugin, Arc::new(module(queueing)))
    };
    let specs: Vec<_> = (0..PLACES).map(spec).collect();
    inner.load(&specs).unwrap();
    let chain = inner.load(&specs[7..8]).unwrap();
    assert_eq!(inner.vms.counts(), VmCounts { running: PLACES, failed: 0 });
    assert!(inner.queues_ready().is_none());
    let stream = inner.open(&chain, StreamInfo::default().into_shared(), 1 << 20);
    inner.http.feed_headers(stream, Direction::Request, [(":method", "GET")].into_iter().collect(), true);
    inner.run(Some(stream));
    inner.finish(stream);
    inner.vms.take_walked();
    let told = std::iter::from_fn(|| inner.queues_ready()).count() + 1;
    assert_eq!(told, ITEMS);
    assert_eq!(inner.vms.take_walked(), 0);
}

/// A plugin of one version: ticks, has a queue and data, defines a metric, calls out, and is recycled by age.
fn version(number: usize) -> PluginSpec {
    let script = || {
        let script = Script::default().on(CallbackId::on_configure, |caller, _| {
            let (name, len) = caller.put(b"name");
            assert_eq!(entry::proxy_register_shared_queue(caller, name, len, 16).unwrap(), 0);
            assert_eq!(entry::proxy_set_shared_data(caller, name, len, name, len, 0).unwrap(), 0);
            assert_eq!(entry::proxy_define_metric(caller, 0, name, len, 16).unwrap(), 0);
            assert_eq!(entry::envoy_resolve_dns(caller, name, len, 16).unwrap(), 0);
            entry::proxy_set_tick_period_milliseconds(caller, 1000).unwrap();
            1
        });
        script.on(CallbackId::on_request_headers, |_, _| 0)
    };
    let mut plugin = Plugin::new(format!("plugin {}", number % 51));
    plugin.configuration = number.to_string().into();
    plugin.vm_id = format!("vm {}", number % 51);
    let mut spec = PluginSpec::new(plugin, Arc::new(module(script)));
    // Another sandbox each time, as another code would be.
    spec.vm.configuration = number.to_string().into();
    spec.vm.recycle = Recycle::default().with_age(Duration::from_secs(3600));
    spec
}

/// Counts the entries of a worker's tables.
fn tables(inner: &mut Inner) -> Vec<usize> {
    while inner.next_effect().is_some() {}
    let VmCounts { running, failed } = inner.vms.counts();
    let [plugins, upkeep] = inner.vms.sizes();
    vec![running, failed, plugins, upkeep, inner.chains.len(), inner.callouts.len(), inner.http.len()]
}

#[test]
fn after_as_many_reloads_as_it_may_take_a_worker_has_what_it_had() {
    const RELOADS: usize = 1377;
    let (mut inner, shared) = (inner(), Shared::default());
    inner.vms.share(shared.clone(), Wake::new(|| ()));
    let mut chains: Vec<_> = (0..51).map(|number| inner.load(&[version(number)]).unwrap()).collect();
    let (before, mut kept) = (tables(&mut inner), String::new());
    assert_eq!(before, [51, 0, 51, 51, 51, 51, 0]);
    for number in 51..RELOADS {
        let chain = inner.load(&[version(number)]).unwrap();
        let old = std::mem::replace(&mut chains[number % 51], chain);
        // One of the streams that are open goes on over the old plugin.
        let stream = inner.open(&old, StreamInfo::default().into_shared(), 1 << 20);
        inner.unload(&old);
        inner.http.feed_headers(stream, Direction::Request, [(":method", "GET")].into_iter().collect(), true);
        inner.run(Some(stream));
        inner.finish(stream);
        assert_eq!(tables(&mut inner), before, "after {number}");
        inner.rehearse(&[version(number)]).unwrap();
        if number == 2 * 51 {
            kept = format!("{shared:?}");
        }
    }
    assert!(inner.queues_ready().is_none());
    // Of those that are gone, the first ones still pay for queues, and the last is forgotten when another one comes.
    assert_eq!(kept, "Shared { vm_ids: 51, sandboxes: 103, .. }");
    assert_eq!(format!("{shared:?}"), kept);
    chains.iter().for_each(|chain| inner.unload(chain));
    assert_eq!(tables(&mut inner), [0; 7]);
    drop(inner.load(&[version(RELOADS)]).unwrap());
    assert_eq!(format!("{shared:?}"), "Shared { vm_ids: 1, sandboxes: 1, .. }");
}
