//! Services on many threads, and on one.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use http::{Request, Response};
use portcullis_chain::Worker;
use portcullis_core::abi::{CallbackId, MapType};
use portcullis_core::hostcall::entry;
use portcullis_core::resources::{ForeignFunctions, Shared};
use portcullis_core::testing::{FakeHost, NullCaller, Script};
use portcullis_driver::Builder;
use portcullis_tower::{PluginLayer, Plugins, QueueBody, ServiceUpstreams, Shard, Workers};
use tokio::sync::Notify;
use tower::{Layer, Service};

use crate::common::{ask, behind, echo, empty, full, plugins, request, spec};

fn tags() -> Script {
    Script::new().on(CallbackId::on_response_headers, |caller, _| {
        caller.log("seen");
        caller.add_header(MapType::ResponseHeaders, "x-plugin", "seen");
        0
    })
}

/// Fails to compile if a service of many threads, its future or the body of its response do not move between threads.
#[tokio::test]
async fn services_of_many_threads_move() {
    fn moves<T: Send + 'static>(value: T) -> T {
        value
    }
    fn is_shared<T: Send + Sync + Clone + 'static>(value: T) -> T {
        value
    }
    let mut service = is_shared(behind(&FakeHost::new(), tags, echo()));
    let response = moves(service.call(request("GET", "/", empty()))).await.unwrap();
    moves(response.into_body());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_several_threads_pass_several_workers() {
    // A host for each worker, which is told of each stream there.
    let (hosts, rest) = ([FakeHost::new(), FakeHost::new()], Mutex::new(Vec::new()));
    rest.lock().unwrap().extend(hosts.clone());
    let workers = Workers::new(FakeHost::new(), ServiceUpstreams::new(echo())).with_count(2).with_worker(move |wake| {
        let host = rest.lock().unwrap().pop().unwrap();
        Worker::new(move || Box::new(host.clone())).with_shared(Shared::default(), wake)
    });
    let service = PluginLayer::new(workers.start(&[spec("tags", tags)]).unwrap()).layer(echo());
    let asked: Vec<_> = (0..50)
        .map(|number| {
            let service = service.clone();
            tokio::spawn(async move { ask(service, request("POST", "/", full(number.to_string()))).await })
        })
        .collect();
    for (number, asked) in asked.into_iter().enumerate() {
        let response = asked.await.unwrap();
        assert_eq!((response.body.as_str(), response.field("x-plugin")), (number.to_string().as_str(), Some("seen")));
    }
    // How many each has had, as each passes a busy one over.
    let count = || hosts.each_ref().map(|host| host.messages().len());
    let before = count();
    assert_eq!(before.iter().sum::<usize>(), 50);
    for _ in 0..10 {
        ask(service.clone(), request("POST", "/", full("one after the other"))).await;
    }
    assert_eq!(count(), before.map(|before| before + 5), "each request takes the next worker");
}

/// The inner service of a server with a thread for each core cannot leave its thread; nor do the plugins.
#[tokio::test]
async fn a_service_of_one_thread_needs_nothing_that_moves() {
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    let inner = tower::service_fn(move |request: Request<QueueBody>| {
        counted.set(counted.get() + 1);
        let body = request.into_body();
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let start = std::time::Instant::now();
    let worker = Worker::new(|| Box::new(FakeHost::new()));
    let driver = Builder::new(worker, ServiceUpstreams::new(echo()), move |time| start + time).build();
    let shard = Shard::load(driver, &[spec("tags", tags)]).unwrap();
    let service = PluginLayer::new(Plugins::new(vec![shard]).unwrap()).layer(inner);
    let response = ask(service, request("POST", "/", full("hi"))).await;
    assert_eq!((response.body.as_str(), response.field("x-plugin"), calls.get()), ("hi", Some("seen"), 1));
}

#[tokio::test]
async fn plugins_are_replaced_from_the_next_request_on() {
    let plugins = plugins(&FakeHost::new(), tags);
    let service = PluginLayer::new(plugins.clone()).layer(echo());
    assert_eq!(ask(service.clone(), request("GET", "/", empty())).await.field("x-plugin"), Some("seen"));
    plugins.reload(&[spec("other", Script::new)]).unwrap();
    assert_eq!(ask(service, request("GET", "/", empty())).await.field("x-plugin"), None);
}

/// The plugin below has been told of an item.
static TOLD: Notify = Notify::const_new();

/// Puts the path of each request into a queue, and logs what comes out of it.
fn queues() -> Script {
    fn queue(caller: &mut NullCaller<'_>) -> i32 {
        let ((name, len), (id, _)) = (caller.put(b"paths"), caller.put(&[0; 4]));
        assert_eq!(entry::proxy_register_shared_queue(caller, name, len, id).ok(), Some(0));
        caller.word(id).cast_signed()
    }
    Script::new()
        .on(CallbackId::on_configure, |caller, _| {
            queue(caller);
            1
        })
        .on(CallbackId::on_request_headers, |caller, _| {
            let path = caller.header(MapType::RequestHeaders, ":path").unwrap();
            let (id, (item, len)) = (queue(caller), caller.put(path.as_bytes()));
            entry::proxy_enqueue_shared_queue(caller, id, item, len).unwrap_or(1)
        })
        .on(CallbackId::on_queue_ready, |caller, args| {
            let id = args[1];
            let item = caller.bytes(|caller, p, l| entry::proxy_dequeue_shared_queue(caller, id, p, l));
            caller.log(&format!("item {}", String::from_utf8(item.unwrap()).unwrap()));
            TOLD.notify_one();
            0
        })
}

#[tokio::test(start_paused = true)]
async fn plugins_are_told_of_queues() {
    let host = FakeHost::new();
    let plugins = plugins(&host, queues);
    let running = tokio::spawn(plugins.clone().run());
    let service = PluginLayer::new(plugins).layer(echo());
    ask(service, request("GET", "/a", empty())).await;
    // Time is paused, and goes on when nothing else does.
    tokio::time::timeout(Duration::from_secs(60), TOLD.notified()).await.unwrap();
    assert_eq!(host.messages(), ["item /a"]);
    running.abort();
}

/// Logs what a foreign function makes of a text.
fn calls_foreign() -> Script {
    Script::new().on(CallbackId::on_request_headers, |caller, _| {
        let ((name, name_len), (text, len)) = (caller.put(b"reverse"), caller.put(b"abc"));
        let reversed =
            caller.bytes(|caller, p, l| entry::proxy_call_foreign_function(caller, name, name_len, text, len, p, l));
        caller.log(&String::from_utf8(reversed.unwrap()).unwrap());
        0
    })
}

#[tokio::test]
async fn workers_can_be_made_in_another_way() {
    let (host, other) = (FakeHost::new(), FakeHost::new());
    let theirs = other.clone();
    let workers = Workers::new(host.clone(), ServiceUpstreams::new(echo())).with_count(2).with_worker(move |wake| {
        let host = theirs.clone();
        Worker::new(move || Box::new(host.clone())).with_shared(Shared::default(), wake)
    });
    let reverse = ForeignFunctions::default().with("reverse", |call| {
        call.result.extend(call.arguments.iter().rev());
        Ok(())
    });
    let plugins = workers.with_foreign_functions(reverse).start(&[spec("calls", calls_foreign)]).unwrap();
    assert_eq!(plugins.shards().count(), 2);
    ask(PluginLayer::new(plugins).layer(echo()), request("GET", "/", empty())).await;
    assert_eq!((host.messages(), other.messages()), (Vec::new(), vec!["cba".to_owned()]));
}

#[tokio::test]
async fn no_workers_and_plugins_that_do_not_start_are_errors() {
    let start = |count| {
        let workers = Workers::new(FakeHost::new(), ServiceUpstreams::new(echo())).with_count(count);
        workers.start(&[spec("refuses", || Script::new().on(CallbackId::on_configure, |_, _| 0))])
    };
    let error = start(0).unwrap_err();
    assert!(error.to_string().contains("there is no shard"), "{error}");
    let error = start(1).unwrap_err();
    assert!(error.to_string().contains("plugin 0"), "{error}");
}
