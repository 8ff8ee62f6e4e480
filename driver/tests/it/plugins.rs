//! Several workers with the same plugins.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portcullis_chain::{Backoff, Module, PluginSpec, PluginState, StreamEffect, StreamId, Worker};
use portcullis_core::abi::{AbiVersion, CallbackId};
use portcullis_core::engine::Trap;
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, FailurePolicy, Plugin, StreamInfo};
use portcullis_core::testing::{FakeHost, NullEngine, Script};
use portcullis_driver::{Builder, ManyThreads, NoShards, Plugins, Shard};

use crate::common::Answering;

type Shards = Plugins<ManyThreads, Answering>;

/// Says its name when it sees a request and when it ends; does not start if it is called `bad`.
fn spec(name: &'static str) -> PluginSpec {
    let script = move || {
        Script::new()
            .on(CallbackId::on_configure, move |_, _| i32::from(name != "bad"))
            .on(CallbackId::on_request_headers, move |caller, _| {
                caller.log(&format!("{name} request"));
                0
            })
            .on(CallbackId::on_response_headers, move |caller, _| {
                caller.log(&format!("{name} response"));
                0
            })
            .on(CallbackId::on_done, move |caller, _| {
                caller.log(&format!("{name} done"));
                1
            })
    };
    let compiled = NullEngine::new(script).module().unwrap();
    let module = Module::from_compiled("script", AbiVersion::V0_2_1, Some(script().exports()), compiled);
    PluginSpec::new(Plugin::new(name).with_vm_id(name), Arc::new(module))
}

fn shard(host: &FakeHost, specs: &[PluginSpec]) -> Shard<ManyThreads, Answering> {
    let (host, now) = (host.clone(), std::time::Instant::now());
    let worker = Worker::new(move || Box::new(host.clone()));
    let driver = Builder::new(worker, Answering::default(), move |time| now + time).build_shared().unwrap();
    Shard::load(driver, specs).unwrap()
}

fn shards(host: &FakeHost, count: usize, specs: &[PluginSpec]) -> Shards {
    Plugins::new((0..count).map(|_| shard(host, specs)).collect()).unwrap()
}

fn open(shard: &Shard<ManyThreads, Answering>) -> StreamId {
    let headers = [(":method", "GET"), (":path", "/"), (":authority", "a")].into_iter().collect();
    shard.with(|worker, chain| {
        let stream = worker.open(chain, StreamInfo::default().into_shared(), 1 << 20);
        worker.headers(stream, Direction::Request, headers, true);
        assert!(matches!(worker.stream_effect(stream), Some(StreamEffect::RequestHeaders { end: true })));
        stream
    })
}

fn answer(shard: &Shard<ManyThreads, Answering>, stream: StreamId) {
    let headers = [(":status", "200")].into_iter().collect();
    shard.driver().call(|worker| worker.headers(stream, Direction::Response, headers, true));
    shard.driver().finish(stream);
}

fn said(host: &FakeHost, text: &str) -> usize {
    host.messages().iter().filter(|message| *message == text).count()
}

fn vms(plugins: &Shards) -> Vec<usize> {
    plugins.shards().map(|shard| shard.driver().with(|worker| worker.health().count())).collect()
}

#[test]
fn streams_are_spread_over_all_shards() {
    let hosts = [FakeHost::new(), FakeHost::new(), FakeHost::new()];
    let plugins = Shards::new(hosts.iter().map(|host| shard(host, &[spec("a")])).collect()).unwrap();
    for _ in 0..7 {
        open(&plugins.shard());
    }
    assert_eq!(hosts.each_ref().map(|host| said(host, "a request")), [3, 2, 2]);
    assert_eq!(Plugins::<ManyThreads, Answering>::new(Vec::new()).unwrap_err(), NoShards);
}

#[test]
fn open_streams_keep_their_plugins_when_others_take_their_place() {
    let host = FakeHost::new();
    let plugins = shards(&host, 2, &[spec("a")]);
    let (first, second) = (plugins.shard_of(0), plugins.shard_of(3));
    let stream = open(&first);
    plugins.reload(&[spec("b")]).unwrap();
    assert_eq!(said(&host, "a done"), 1, "of the shard without a stream");
    let after = open(&first);
    answer(&first, after);
    answer(&second, open(&second));
    assert_eq!((said(&host, "b request"), said(&host, "b response")), (2, 2));
    answer(&first, stream);
    assert_eq!((said(&host, "a response"), said(&host, "a done")), (1, 3), "of the stream, and of the root behind it");
    assert_eq!(vms(&plugins), [1, 1]);
}

#[test]
fn plugins_that_stay_rest_as_the_new_ones_say() {
    let trapping = || Script::new().try_on(CallbackId::on_request_headers, |_, _| Err(Trap::Exit(1)));
    let compiled = NullEngine::new(trapping).module().unwrap();
    let module = Module::from_compiled("script", AbiVersion::V0_2_1, Some(trapping().exports()), compiled);
    let mut before = PluginSpec::new(Plugin::new("a"), Arc::new(module));
    before.plugin.failure_policy = FailurePolicy::Reload;
    let seconds = |seconds| Backoff::new(Duration::from_secs(seconds), Duration::from_secs(seconds));
    let after = before.clone().with_reload(seconds(1_000_000));
    let plugins = shards(&FakeHost::new(), 2, &[before.with_reload(seconds(1))]);
    plugins.reload(&[after]).unwrap();
    for shard in plugins.shards() {
        let state = shard.with(|worker, chain| {
            let headers = [(":method", "GET"), (":path", "/"), (":authority", "a")].into_iter().collect();
            let stream = worker.open(chain, StreamInfo::default().into_shared(), 1 << 20);
            worker.headers(stream, Direction::Request, headers, true);
            worker.health().next().unwrap().state
        });
        let PluginState::Failed { rests_until: Some(until), .. } = state else { panic!("{state:?}") };
        assert!(until >= Duration::from_secs(1_000_000), "{until:?}");
    }
}

#[test]
fn plugins_that_stay_the_same_go_on_in_their_vms() {
    let host = FakeHost::new();
    let (a, b) = (spec("a"), spec("b"));
    let plugins = shards(&host, 2, &[a.clone(), b]);
    plugins.reload(&[a]).unwrap();
    assert_eq!(
        (said(&host, "a done"), said(&host, "b done"), vms(&plugins)),
        (1, 2, vec![1, 1]),
        "a: of the rehearsal"
    );
}

#[test]
fn plugins_that_do_not_start_on_one_shard_leave_all_shards_as_they_are() {
    let host = FakeHost::new();
    let plugins = shards(&host, 2, &[spec("a")]);
    let error = plugins.reload(&[spec("b"), spec("bad")]).unwrap_err();
    assert_eq!(error.index, 1);
    assert_eq!((said(&host, "a done"), vms(&plugins)), (0, vec![1, 1]));
    answer(&plugins.shard_of(1), open(&plugins.shard_of(1)));
    assert_eq!(said(&host, "a response"), 1);
}

/// Ends its VM while it is configured with `bad`, as a plugin that panics does.
fn configured(configuration: &'static str) -> PluginSpec {
    let script = || {
        Script::new().try_on(CallbackId::on_configure, |caller, _| {
            let bytes = caller.bytes(|caller, data, len| entry::proxy_get_buffer_bytes(caller, 7, 0, 100, data, len));
            if bytes == Ok(b"bad".to_vec()) { Err(Trap::Exit(1)) } else { Ok(1) }
        })
    };
    let compiled = NullEngine::new(script).module().unwrap();
    let module = Module::from_compiled("script", AbiVersion::V0_2_1, None, compiled);
    PluginSpec::new(Plugin::new("same").with_configuration(configuration), Arc::new(module))
}

/// The plugin of both configurations has one VM, as a configuration is nothing that separates.
#[test]
fn a_plugin_that_fails_takes_none_with_it_that_has_its_vm() {
    let host = FakeHost::new();
    let plugins = shards(&host, 2, &[configured("good")]);
    plugins.reload(&[configured("bad")]).unwrap_err();
    for _ in 0..2 {
        let shard = plugins.shard();
        answer(&shard, open(&shard));
    }
    assert_eq!(vms(&plugins), [1, 1]);
    plugins.reload(&[configured("better")]).unwrap();
    answer(&plugins.shard(), open(&plugins.shard()));
}

#[test]
fn a_shard_that_another_thread_uses_is_passed_over() {
    let host = FakeHost::new();
    let plugins = shards(&host, 2, &[spec("a")]);
    let busy = plugins.shard_of(1);
    busy.with(|_, _| {
        for _ in 0..4 {
            open(&plugins.shard());
        }
    });
    assert_eq!(said(&host, "a request"), 4);
}

#[test]
fn shards_that_have_started_them_take_them_down_when_another_has_not() {
    let host = FakeHost::new();
    let plugins = shards(&host, 2, &[spec("a")]);
    // In the rehearsal, and on the first shard.
    let moody = spec_that_starts(2);
    plugins.reload(&[moody]).unwrap_err();
    assert_eq!((said(&host, "moody done"), said(&host, "a done"), vms(&plugins)), (2, 0, vec![1, 1]));
}

/// Starts so many times, and not again.
fn spec_that_starts(times: usize) -> PluginSpec {
    let started = Arc::new(AtomicUsize::new(0));
    let script = move || {
        let started = Arc::clone(&started);
        Script::new()
            .on(CallbackId::on_configure, move |_, _| i32::from(started.fetch_add(1, Ordering::Relaxed) < times))
            .on(CallbackId::on_done, |caller, _| {
                caller.log("moody done");
                1
            })
    };
    let compiled = NullEngine::new(script).module().unwrap();
    let module = Module::from_compiled("script", AbiVersion::V0_2_1, None, compiled);
    PluginSpec::new(Plugin::new("moody").with_vm_id("moody"), Arc::new(module))
}

#[test]
fn a_stream_that_is_opened_while_plugins_are_replaced_passes_the_new_ones() {
    let host = FakeHost::new();
    let plugins = shards(&host, 1, &[spec("a")]);
    // Chosen before, opened after.
    let shard = plugins.shard();
    plugins.reload(&[spec("b")]).unwrap();
    answer(&shard, open(&shard));
    assert_eq!(said(&host, "b response"), 1);
}

#[test]
fn all_shards_are_ended() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let host = FakeHost::new();
        let plugins = shards(&host, 3, &[spec("a")]);
        let running = tokio::spawn(plugins.clone().run());
        assert!(plugins.shut_down(Duration::from_secs(1)).await);
        assert_eq!(said(&host, "a done"), 3);
        plugins.reload(&[spec("b")]).unwrap();
        assert!(plugins.shut_down(Duration::from_secs(1)).await, "nothing was started again");
        running.abort();
    });
}
