//! No item of a queue is told twice, and none is lost, when VMs take the places of others.

use portcullis_chain::{Chain, PluginSpec, StreamId, Worker};
use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, FailurePolicy, StreamInfo};
use portcullis_core::resources::{Host, Shared, Wake};
use portcullis_core::sandbox::Recycle;
use portcullis_core::testing::{FakeHost, NullCaller, Script};

use super::{HEADERS, bench, numbered, request, saying, seconds};
use crate::common::{Bench, changing, trap, vm_counts, with_policy};

fn queue(caller: &mut NullCaller<'_>) -> i32 {
    let (name, len) = caller.put(b"q");
    assert_eq!(entry::proxy_register_shared_queue(caller, name, len, 16).unwrap(), 0);
    caller.word(16).cast_signed()
}

/// Registers a queue, and registers it again whenever a request comes, to put 100 items into it; takes one when it is told of one.
fn queueing(number: usize) -> Script {
    saying(number, 0)
        .on(CallbackId::on_configure, |caller, _| {
            queue(caller);
            1
        })
        .on(HEADERS, |caller, _| {
            let queue = queue(caller);
            let (item, len) = caller.put(b"item");
            for _ in 0..100 {
                assert_eq!(entry::proxy_enqueue_shared_queue(caller, queue, item, len).unwrap(), 0);
            }
            4
        })
        .on(CallbackId::on_response_headers, |caller, _| {
            let queue = queue(caller);
            let (item, len) = caller.put(b"item");
            entry::proxy_enqueue_shared_queue(caller, queue, item, len).unwrap()
        })
        .on(CallbackId::on_queue_ready, move |caller, args| {
            let item = caller.bytes(|caller, p, l| entry::proxy_dequeue_shared_queue(caller, args[1], p, l));
            caller.log(&format!("vm {number} {}", String::from_utf8_lossy(&item.unwrap())));
            0
        })
}

fn tell(worker: &mut Worker) {
    while worker.queues_ready().is_some() {}
}

/// Returns how many items each VM has taken since the last call.
fn taken(bench: &mut Bench) -> [usize; 2] {
    tell(&mut bench.worker);
    let lines = bench.journal();
    ["a: vm 1 item", "a: vm 2 item"].map(|line| lines.iter().filter(|of| *of == line).count())
}

#[test]
fn items_go_to_the_new_vm_each_once() {
    let recycle = Recycle::default().with_streams(1).with_linger(seconds(2));
    let mut bench = bench(numbered(recycle, queueing));
    request(&mut bench);
    bench.worker.tick();
    assert_eq!(taken(&mut bench), [0, 100]);
    bench.worker.end_pause(bench.stream, Direction::Request);
    bench.response(true);
    assert_eq!(taken(&mut bench), [0, 1], "though the old VM has registered the queue again");
    bench.finish();
    assert_eq!(taken(&mut bench), [0, 0]);
}

#[test]
fn items_are_told_to_the_vm_that_stays_when_another_one_does_not_start() {
    let recycle = Recycle::default().with_streams(1);
    let spec = numbered(recycle, |number| {
        queueing(number).on(CallbackId::on_configure, move |caller, _| {
            let queue = queue(caller);
            if number > 1 {
                let (item, len) = caller.put(b"item");
                assert_eq!(entry::proxy_enqueue_shared_queue(caller, queue, item, len).unwrap(), 0);
            }
            i32::from(number == 1)
        })
    });
    let mut bench = bench(spec);
    request(&mut bench);
    bench.worker.tick();
    assert_eq!(taken(&mut bench), [101, 0]);
    request(&mut bench);
    assert_eq!(taken(&mut bench), [100, 0]);
}

/// Registers a queue, and puts an item into it whenever a request comes; takes one when it is told of one.
fn putting(number: usize) -> Script {
    queueing(number).on(HEADERS, |caller, _| {
        put(caller);
        0
    })
}

/// Puts an item into the queue, which it does not register again.
fn put(caller: &mut NullCaller<'_>) {
    let ((name, len), (item, item_len)) = (caller.put(b"q"), caller.put(b"item"));
    assert_eq!(entry::proxy_resolve_shared_queue(caller, 0, 0, name, len, 16).unwrap(), 0);
    let queue = caller.word(16).cast_signed();
    assert_eq!(entry::proxy_enqueue_shared_queue(caller, queue, item, item_len).unwrap(), 0);
}

/// The same plugin in the same VM, with another name.
fn named(spec: &PluginSpec, name: &str) -> PluginSpec {
    let mut spec = spec.clone();
    spec.plugin.name = name.to_owned();
    spec
}

#[test]
fn a_plugin_that_is_unloaded_hides_no_other_one_of_its_vm() {
    let spec = numbered(Recycle::default(), putting);
    let mut bench = bench(spec.clone());
    let chain = bench.worker.load(&[named(&spec, "b")]).unwrap();
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    request(&mut bench);
    tell(&mut bench.worker);
    assert_eq!(bench.journal(), ["b: vm 1 item"], "the last one that has registered it");
    request(&mut bench);
    bench.worker.unload(&chain);
    request(&mut bench);
    tell(&mut bench.worker);
    let lines = bench.journal();
    assert_eq!(lines.iter().filter(|line| *line == "a: vm 1 item").count(), 2, "{lines:?}");
}

#[test]
fn a_reload_that_is_undone_takes_no_queue_along() {
    let spec = numbered(Recycle::default(), putting);
    let mut bench = bench(spec.clone());
    let refuses = changing("x", || Script::new().on(CallbackId::on_configure, |_, _| 0));
    assert!(bench.worker.load(&[named(&spec, "newer"), refuses]).is_err());
    bench.journal();
    request(&mut bench);
    tell(&mut bench.worker);
    assert_eq!(bench.journal(), ["a: vm 1 item"]);
}

#[test]
fn a_plugin_that_does_not_start_beside_others_takes_no_item_along() {
    let spec = numbered(Recycle::default(), |number| {
        let mut started = 0;
        putting(number).on(CallbackId::on_configure, move |caller, _| {
            queue(caller);
            put(caller);
            started += 1;
            i32::from(started == 1)
        })
    });
    let mut bench = bench(spec.clone());
    assert!(bench.worker.load(&[named(&spec, "b")]).is_err());
    tell(&mut bench.worker);
    assert_eq!(bench.journal(), ["a: vm 1 item"; 2]);
}

/// Two workers, of which the second one has loaded last and is told of items, and what is logged.
fn two_workers(spec: &PluginSpec) -> ([(Worker, Chain); 2], FakeHost) {
    let (shared, host) = (Shared::default(), FakeHost::new());
    let workers = [(); 2].map(|()| {
        let hosts = host.clone();
        let worker = Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>);
        let mut worker = worker.with_shared(shared.clone(), Wake::new(|| ()));
        let chain = worker.load(std::slice::from_ref(spec)).unwrap_or_else(|_| Chain::default());
        (worker, chain)
    });
    (workers, host)
}

fn begin((worker, chain): &mut (Worker, Chain)) -> StreamId {
    let stream = worker.open(chain, StreamInfo::default().into_shared(), 100);
    worker.headers(stream, Direction::Request, [(":method", "GET")].into_iter().collect(), true);
    stream
}

fn count(host: &FakeHost, message: &str) -> usize {
    host.lines().iter().filter(|line| line.message == message).count()
}

#[test]
fn items_of_a_worker_that_unloads_go_to_another() {
    let ([mut first, mut second], host) = two_workers(&numbered(Recycle::default(), queueing));
    // It registers the queue again.
    let stream = begin(&mut first);
    first.0.finish(stream);
    first.0.unload(&first.1);
    tell(&mut second.0);
    assert_eq!(count(&host, "vm 2 item"), 100);
    second.0.unload(&second.1);
}

#[test]
fn items_go_to_another_worker_when_a_vm_fails_that_is_not_started_again() {
    for policy in [FailurePolicy::Closed, FailurePolicy::Open] {
        let spec = numbered(Recycle::default(), |number| {
            putting(number).try_on(HEADERS, move |caller, _| {
                put(caller);
                if number == 2 { Err(trap()) } else { Ok(0) }
            })
        });
        let ([mut first, mut second], host) = two_workers(&with_policy(spec, policy));
        begin(&mut second);
        begin(&mut first);
        tell(&mut second.0);
        tell(&mut first.0);
        assert_eq!((count(&host, "vm 1 item"), count(&host, "vm 2 item")), (2, 0), "{policy:?}");
    }
}

#[test]
fn items_go_to_another_worker_when_the_first_plugin_of_a_vm_does_not_start() {
    let spec = numbered(Recycle::default(), |number| {
        putting(number).on(CallbackId::on_configure, move |caller, _| {
            queue(caller);
            put(caller);
            i32::from(number == 1)
        })
    });
    let ([mut first, second], host) = two_workers(&spec);
    assert_eq!(vm_counts(&second.0), (0, 0));
    tell(&mut first.0);
    assert_eq!(count(&host, "vm 1 item"), 2);
}
