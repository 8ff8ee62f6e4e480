//! No item of a queue is told twice, and none is lost, when VMs take the places of others.

use portcullis_chain::Worker;
use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::resources::{Host, Shared, Wake};
use portcullis_core::sandbox::Recycle;
use portcullis_core::testing::{FakeHost, NullCaller, Script};

use super::{HEADERS, bench, numbered, request, saying, seconds};
use crate::common::Bench;

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
    bench.worker.end_pause(bench.stream, portcullis_core::model::Direction::Request);
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

/// Of two workers, the one that has loaded last is told of items.
#[test]
fn items_of_a_worker_that_unloads_go_to_another() {
    let (shared, host) = (Shared::default(), FakeHost::new());
    let spec = numbered(Recycle::default(), queueing);
    let mut workers = [(); 2].map(|()| {
        let hosts = host.clone();
        let worker = Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>);
        let mut worker = worker.with_shared(shared.clone(), Wake::new(|| ()));
        let chain = worker.load(std::slice::from_ref(&spec)).unwrap();
        (worker, chain)
    });
    let [(first, chain), (second, other)] = &mut workers;
    let stream = first.open(chain, portcullis_core::model::StreamInfo::default().into_shared(), 100);
    // It registers the queue again.
    first.headers(stream, portcullis_core::model::Direction::Request, [(":method", "GET")].into_iter().collect(), true);
    first.finish(stream);
    first.unload(chain);
    tell(second);
    let taken = host.lines().iter().filter(|line| line.message == "vm 2 item").count();
    assert_eq!(taken, 100);
    second.unload(other);
}
