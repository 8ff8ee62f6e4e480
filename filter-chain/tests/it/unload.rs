//! Chains that are taken down while others go on.

use std::sync::Arc;

use crate::common::{Bench, call_out, continue_both, per_stream, plugin, recorder, ticking, vm_counts};
use portcullis_chain::{Chain, Module, PluginSpec, Worker};
use portcullis_core::abi::{AbiVersion, CallbackId};
use portcullis_core::engine::{AnyModule, EngineError, Guest, StartError};
use portcullis_core::hostcall::entry;
use portcullis_core::model::Limits;
use portcullis_core::testing::{FakeHost, NullEngine, Script};
use portcullis_core::vm::VmState;

const UNLOADED: [&str; 2] = ["a: done", "a: delete"];

fn recording(name: &str) -> PluginSpec {
    plugin(name, || recorder(&[]))
}

/// A bench over a chain without a stream, and another chain of its worker.
fn two_chains(first: &[PluginSpec], second: &[PluginSpec]) -> (Bench, Chain) {
    let mut bench = Bench::new(first);
    bench.finish();
    let other = bench.worker.load(second).unwrap();
    (bench, other)
}

fn names(bench: &Bench) -> Vec<String> {
    bench.worker.health().map(|health| health.plugin.name.clone()).collect()
}

#[test]
fn plugins_that_no_other_chain_has_end_and_their_vms_go() {
    let (mut bench, other) = two_chains(&[recording("a"), recording("b")], &[recording("b"), recording("c")]);
    bench.journal();
    bench.worker.unload(&bench.chain);
    assert_eq!(bench.journal(), UNLOADED, "b is in the other chain");
    assert_eq!((vm_counts(&bench.worker), names(&bench)), ((2, 0), vec!["b".to_owned(), "c".to_owned()]));
    bench.worker.unload(&bench.chain);
    assert_eq!((bench.journal(), vm_counts(&bench.worker)), (vec![], (2, 0)), "once");
    bench.open();
    assert_eq!(bench.request(true), ["request done", "response :status=503 end"], "over the chain that is gone");
    bench.finish();
    bench.chain = other;
    bench.open();
    assert_eq!(bench.request(true), ["request :method=POST end"]);
    bench.finish();
}

#[test]
fn what_is_loaded_again_starts_anew() {
    let (mut bench, _) = two_chains(&[recording("a")], &[]);
    for _ in 0..100 {
        bench.worker.unload(&bench.chain);
        assert_eq!((vm_counts(&bench.worker), names(&bench).len()), ((0, 0), 0));
        bench.chain = bench.worker.load(&[recording("a")]).unwrap();
        assert_eq!(vm_counts(&bench.worker), (1, 0));
    }
    bench.open();
    assert_eq!(bench.request(true), ["request :method=POST end"]);
}

#[test]
fn open_streams_pass_the_plugins_of_their_chain_to_their_end() {
    let holding = || ticking(recorder(&[(CallbackId::on_request_headers, &[4])]), continue_both);
    let (mut bench, _) = two_chains(&[plugin("h", holding), recording("a")], &[]);
    bench.open();
    bench.request(true);
    let beside = (bench.stream, bench.info.clone());
    bench.open();
    bench.request(true);
    bench.worker.unload(&bench.chain);
    let waiting = bench.turn_to(beside);
    bench.finish();
    assert_eq!(vm_counts(&bench.worker), (2, 0), "a stream is open that has not come to the second plugin");
    bench.turn_to(waiting);
    assert_eq!(bench.tick(), ["request :method=POST end"]);
    let ended = bench.finish();
    assert!(
        UNLOADED.iter().all(|line| ended.iter().filter(|of| of == line).count() == 2),
        "stream and root: {ended:?}"
    );
    assert_eq!(vm_counts(&bench.worker), (0, 0));
}

#[test]
fn a_plugin_that_a_new_chain_has_meanwhile_stays() {
    let (mut bench, _) = two_chains(&[recording("a")], &[]);
    bench.open();
    bench.worker.unload(&bench.chain);
    let chain = bench.worker.load(&[recording("a")]).unwrap();
    bench.finish();
    assert_eq!((vm_counts(&bench.worker), names(&bench).len()), ((1, 0), 1));
    bench.worker.unload(&chain);
    assert_eq!(vm_counts(&bench.worker), (0, 0));
}

#[test]
fn a_plugin_that_waits_for_streams_of_a_chain_that_is_gone_serves_no_more() {
    let (mut bench, _) = two_chains(&[recording("a")], &[]);
    let serves = |worker: &Worker| worker.health().map(|health| health.serves).collect::<Vec<_>>();
    bench.open();
    bench.worker.health_changed();
    assert_eq!(serves(&bench.worker), [true]);
    bench.worker.unload(&bench.chain);
    assert!(bench.worker.health_changed(), "the embedder is told");
    assert_eq!(serves(&bench.worker), [false]);
    let _chain = bench.worker.load(&[recording("a")]).unwrap();
    assert_eq!(serves(&bench.worker), [true], "another chain has it");
    bench.finish();
}

#[test]
fn health_tells_plugins_of_one_description_apart_by_their_sandboxes() {
    let of_stream = || per_stream("a", || recorder(&[]));
    let sandboxes = |specs: &[PluginSpec]| {
        let bench = Bench::new(specs);
        bench.worker.health().map(|health| health.sandbox).collect::<Vec<_>>()
    };
    for spec in [recording("a"), of_stream()] {
        assert_eq!(sandboxes(std::slice::from_ref(&spec)), [Some(spec.sandbox())]);
    }
}

#[test]
fn a_plugin_that_is_unloaded_twice_waits_for_the_streams_of_both_chains() {
    let (mut bench, _) = two_chains(&[recording("a")], &[]);
    bench.open();
    bench.worker.unload(&bench.chain);
    bench.chain = bench.worker.load(&[recording("a")]).unwrap();
    let first = (bench.stream, bench.info.clone());
    bench.open();
    bench.request(true);
    bench.worker.unload(&bench.chain);
    let second = bench.turn_to(first);
    bench.finish();
    assert_eq!(vm_counts(&bench.worker), (1, 0), "a stream of the second chain is open");
    bench.turn_to(second);
    bench.finish();
    assert_eq!(vm_counts(&bench.worker), (0, 0));
}

#[test]
fn a_chain_that_does_not_start_leaves_no_plugin_of_its_own() {
    let refusing = || plugin("bad", || Script::new().on(CallbackId::on_configure, |_, _| 0));
    let (mut bench, _other) = two_chains(&[recording("a")], &[recording("b")]);
    bench.journal();
    let error = bench.worker.load(&[recording("b"), recording("c"), refusing()]).unwrap_err();
    assert_eq!(error.index, 2);
    assert!(bench.journal().ends_with(&["c: done".to_owned(), "c: delete".to_owned()]));
    assert_eq!((vm_counts(&bench.worker), names(&bench)), ((2, 0), vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn a_chain_that_is_dropped_keeps_no_plugin_of_others() {
    let (mut bench, _) = two_chains(&[recording("a")], &[]);
    for _ in 0..3 {
        drop(bench.worker.load(&[recording("a")]).unwrap());
    }
    bench.chain = bench.worker.load(&[recording("a")]).unwrap();
    bench.worker.unload(&bench.chain);
    assert_eq!(vm_counts(&bench.worker), (0, 0));
}

#[test]
fn plugins_that_share_a_vm_end_each_by_itself() {
    let spec = |name: &str| {
        let mut spec = recording(name);
        spec.plugin.vm_id = "one".to_owned();
        spec
    };
    let (a, mut b) = (spec("a"), spec("b"));
    b.module = a.module.clone();
    let (mut bench, other) = two_chains(&[a], &[b]);
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    bench.journal();
    bench.worker.unload(&bench.chain);
    assert_eq!((bench.journal(), vm_counts(&bench.worker)), (UNLOADED.map(str::to_owned).to_vec(), (1, 0)));
    bench.worker.unload(&other);
    assert_eq!((bench.journal().len(), vm_counts(&bench.worker)), (2, (0, 0)));
}

#[test]
fn a_root_that_asks_for_time_has_it() {
    let slow = || {
        let script = ticking(recorder(&[]), |caller| {
            assert!(matches!(entry::proxy_done(caller), Ok(0 | 1)));
        });
        script.on(CallbackId::on_done, |_, args| i32::from(args[0] != 1))
    };
    let (mut bench, _) = two_chains(&[plugin("a", slow)], &[]);
    bench.worker.unload(&bench.chain);
    assert_eq!((vm_counts(&bench.worker), bench.worker.pending_roots()), ((1, 0), 1));
    bench.open();
    assert_eq!(bench.request(true), ["request done", "response :status=503 end"], "over the chain that is gone");
    bench.finish();
    bench.tick();
    assert_eq!((vm_counts(&bench.worker), bench.worker.pending_roots()), ((0, 0), 0));
}

#[test]
fn a_root_that_never_ends_is_ended() {
    let forever = || recorder(&[]).on(CallbackId::on_done, |_, args| i32::from(args[0] != 1));
    let (mut bench, _other) = two_chains(&[plugin("a", forever), recording("b")], &[recording("b")]);
    bench.open();
    assert_eq!((bench.worker.ending(&bench.chain), bench.worker.end_now(&bench.chain)), (0, 0), "it is loaded");
    bench.worker.unload(&bench.chain);
    assert_eq!((bench.worker.ending(&bench.chain), bench.worker.end_now(&bench.chain)), (1, 0), "it has a stream");
    bench.finish();
    assert_eq!((bench.worker.ending(&bench.chain), vm_counts(&bench.worker)), (1, (2, 0)));
    assert_eq!(bench.worker.end_now(&bench.chain), 1);
    assert_eq!((bench.worker.ending(&bench.chain), vm_counts(&bench.worker)), (0, (1, 0)), "b is in the other chain");
    assert_eq!(bench.worker.end_now(&bench.chain), 0);
}

#[test]
fn vms_of_streams_go_with_their_streams() {
    let (mut bench, _) = two_chains(&[per_stream("a", || recorder(&[]))], &[]);
    bench.open();
    bench.worker.unload(&bench.chain);
    assert_eq!(bench.request(true), ["request :method=POST end"]);
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    bench.finish();
    assert_eq!((vm_counts(&bench.worker), names(&bench).len()), ((0, 0), 0));
}

#[test]
fn callouts_and_lookups_of_a_plugin_that_ends_are_given_up_and_those_of_others_in_its_vm_are_not() {
    let calling = || {
        let script = recorder(&[]).on(CallbackId::on_http_call_response, |caller, _| {
            caller.log("answer");
            0
        });
        script.on(CallbackId::on_configure, |caller, _| {
            let (name, len) = caller.put(b"localhost");
            assert_eq!(entry::envoy_resolve_dns(caller, name, len, 16).unwrap(), 0);
            i32::from(call_out(caller) > 0)
        })
    };
    let (a, mut b) = (plugin("a", calling), plugin("b", calling));
    (b.plugin.vm_id, b.module) = ("a".to_owned(), a.module.clone());
    let (mut bench, other) = two_chains(&[a], &[b]);
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    let begun = bench.worker_effects();
    assert_eq!((begun.len(), begun.iter().filter(|effect| *effect == "callout to auth").count()), (4, 2), "{begun:?}");
    bench.worker.unload(&bench.chain);
    assert_eq!(bench.worker_effects(), ["cancel", "cancel"]);
    bench.journal();
    bench.answer_callout();
    assert_eq!(bench.journal(), [""; 0], "that of the plugin that has ended");
    bench.answer_callout();
    assert_eq!(bench.journal(), ["b: answer"]);
    bench.worker.unload(&other);
    assert_eq!((bench.worker_effects(), vm_counts(&bench.worker)), (vec!["cancel".to_owned()], (0, 0)), "the lookup");
}

/// A module whose guests stay on the thread that made them.
struct Staying(Box<dyn AnyModule>);

impl AnyModule for Staying {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        self.0.instantiate(state, limits)
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.save()
    }

    fn moves(&self) -> bool {
        false
    }
}

#[test]
fn a_plugin_that_stays_on_its_thread_is_in_the_way_of_several_as_long_as_it_is_there() {
    let mut worker = Worker::new(|| Box::new(FakeHost::new()));
    let compiled = Box::new(Staying(NullEngine::new(|| recorder(&[])).module().unwrap()));
    let mut spec = recording("a");
    spec.module = Arc::new(Module::from_compiled("staying", AbiVersion::V0_2_1, None, compiled));
    worker.rehearse(std::slice::from_ref(&spec)).unwrap();
    let chain = worker.load(std::slice::from_ref(&spec)).unwrap();
    assert!(worker.allow_several_threads().is_err_and(|error| error.to_string().contains("staying")));
    worker.unload(&chain);
    assert!(worker.allow_several_threads().is_ok());
    assert!(worker.load(&[spec]).is_err());
}
