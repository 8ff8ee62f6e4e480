use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_chain::AnyStreamId;
use portcullis_core::abi::{BufferType, CallbackId, MapType, StreamType};
use portcullis_core::engine::{CallStack, Trap, WasmTrap};
use portcullis_core::hostcall::entry;
use portcullis_core::testing::{FakeHost, Script};
use portcullis_driver::Driver;
use tokio::task::LocalSet;

use crate::common::{builder, call_out, open, passed, until};

fn host() -> FakeHost {
    ["auth", "hangs", "broken", "gone", "grpc", "panics"].into_iter().fold(FakeHost::new(), FakeHost::with_upstream)
}

/// Calls the upstream that the path names, logs the answer, and continues.
fn caller() -> Script {
    let waiting = Arc::new(Mutex::new(HashMap::new()));
    let answered = Arc::clone(&waiting);
    Script::new()
        .try_on(CallbackId::on_request_headers, move |caller, args| {
            let path = caller.header(MapType::RequestHeaders, ":path").unwrap();
            match path.strip_prefix('/') {
                Some("") | None => Ok(0),
                Some("trap") => Err(Trap::Wasm(WasmTrap::Unreachable, CallStack::default())),
                Some(upstream) => {
                    let call = call_out(caller, upstream, "question", 1000);
                    waiting.lock().unwrap().insert(call, args[0]);
                    Ok(1)
                }
            }
        })
        .on(CallbackId::on_http_call_response, move |caller, args| {
            let stream = answered.lock().unwrap().remove(&args[1]).unwrap();
            caller.set_effective(stream);
            let status = caller.header(MapType::HttpCallResponseHeaders, ":status").unwrap_or_default();
            let body = caller.buffer(BufferType::HttpCallResponseBody).unwrap_or_default();
            caller.log(&format!("{status} {}", String::from_utf8_lossy(&body)));
            caller.continue_stream(StreamType::Request);
            0
        })
}

const LOST: &str = "upstream connect error or disconnect/reset before headers. reset reason:";

fn run_local(test: impl Future<Output = ()> + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn an_answer_lets_the_stream_go_on() {
    run_local(async {
        let host = host();
        let (builder, chain) = builder(&host, caller);
        let driver = builder.build();
        tokio::task::spawn_local(driver.clone().run());
        let stream = open(&driver, &chain, "/auth");
        passed(&driver, stream).await;
        driver.finish(stream);
        assert_eq!(*driver.upstreams().seen().requests.lock().unwrap(), ["auth POST http://a/x"]);
        assert_eq!(*driver.upstreams().seen().called_for.lock().unwrap(), [Some(AnyStreamId::Http(stream))]);
        assert_eq!(host.messages(), ["201 question"]);
    });
}

#[test]
fn plugins_read_why_there_is_no_answer() {
    for (upstream, expected) in [
        ("broken", format!("503 {LOST} connection termination")),
        ("gone", "503 unknown cluster".to_owned()),
        ("hangs", "504 upstream request timeout".to_owned()),
    ] {
        run_local(async move {
            let host = host();
            let (builder, chain) = builder(&host, caller);
            let driver = builder.build();
            tokio::task::spawn_local(driver.clone().run());
            let stream = open(&driver, &chain, &format!("/{upstream}"));
            passed(&driver, stream).await;
            assert_eq!(host.messages(), [expected]);
            let timed_out = driver.upstreams().seen().timed_out.lock().unwrap().clone();
            let expected = (upstream == "hangs").then(|| (upstream.to_owned(), Duration::from_secs(1)));
            assert_eq!(timed_out, expected.into_iter().collect::<Vec<_>>());
        });
    }
}

#[test]
fn callouts_beyond_the_bound_fail_at_once() {
    run_local(async {
        let host = host();
        let (builder, chain) = builder(&host, caller);
        let driver = builder.max_callouts(1).build();
        tokio::task::spawn_local(driver.clone().run());
        let first = open(&driver, &chain, "/hangs");
        let second = open(&driver, &chain, "/auth");
        passed(&driver, second).await;
        assert_eq!(host.messages(), [format!("503 {LOST} overflow")]);
        assert_eq!(driver.upstreams().seen().refused.load(Ordering::Relaxed), 1);
        // The place is free again when the first callout has ended.
        passed(&driver, first).await;
        let third = open(&driver, &chain, "/auth");
        passed(&driver, third).await;
        assert_eq!(host.messages().last().map(String::as_str), Some("201 question"));
    });
}

#[test]
fn a_request_is_given_up_with_its_vm() {
    run_local(async {
        let host = host();
        let (builder, chain) = builder(&host, caller);
        let driver = builder.build();
        tokio::task::spawn_local(driver.clone().run());
        let stream = open(&driver, &chain, "/hangs");
        tokio::task::yield_now().await;
        let given_up = || driver.upstreams().seen().given_up.load(Ordering::Relaxed);
        assert_eq!((driver.upstreams().seen().requests.lock().unwrap().len(), given_up()), (1, 0));
        let failing = open(&driver, &chain, "/trap");
        until(|| given_up() == 1).await;
        driver.finish(stream);
        driver.finish(failing);
    });
}

/// An embedder's code that panics ends one callout, and no other.
#[test]
fn a_panic_ends_its_own_callout() {
    run_local(async {
        let host = host();
        let (builder, chain) = builder(&host, caller);
        let driver = builder.max_callouts(1).build();
        tokio::task::spawn_local(driver.clone().run());
        let panics = open(&driver, &chain, "/panics");
        until(|| driver.upstreams().seen().panicked.load(Ordering::Relaxed)).await;
        let stream = open(&driver, &chain, "/auth");
        passed(&driver, stream).await;
        [panics, stream].iter().for_each(|stream| driver.finish(*stream));
        assert_eq!(host.messages(), ["201 question"]);
    });
}

/// Opens a gRPC stream and sends numbers on it.
fn counter() -> Script {
    Script::new().on(CallbackId::on_request_headers, |caller, _| {
        let ((upstream, len), (id, _)) = (caller.put(b"grpc"), caller.put(&[0; 4]));
        assert_eq!(entry::proxy_grpc_stream(caller, upstream, len, 0, 0, 0, 0, 0, 0, id).unwrap(), 0);
        let id = caller.word(id).cast_signed();
        for number in 0..100 {
            let (message, len) = caller.put(number.to_string().as_bytes());
            assert_eq!(entry::proxy_grpc_send(caller, id, message, len, i32::from(number == 99)).unwrap(), 0);
        }
        0
    })
}

/// Whoever carries out the effects of a plugin, its messages go out in their order.
#[test]
fn messages_keep_their_order_whichever_threads_send_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let (builder, chain) = builder(&host(), counter);
        let driver = builder.build_shared().unwrap();
        let running = tokio::spawn(driver.clone().run());
        let pumping: Vec<_> = (0..3)
            .map(|_| {
                let driver = driver.clone();
                tokio::spawn(async move {
                    loop {
                        driver.pump();
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for round in 1..=50 {
            let stream = open(&driver, &chain, "/");
            passed(&driver, stream).await;
            driver.finish(stream);
            let seen = driver.upstreams().seen();
            while seen.messages.lock().unwrap().len() < round * 100 {
                // A message that is lost does not come.
                tokio::time::timeout(Duration::from_secs(60), seen.has_messages.notified()).await.unwrap();
            }
        }
        let messages = driver.upstreams().seen().messages.lock().unwrap().clone();
        let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        assert!(messages.chunks(100).all(|round| round == expected));
        pumping.iter().for_each(tokio::task::JoinHandle::abort);
        running.abort();
    });
}

/// Streams on all threads of a runtime use one worker at the same time.
#[test]
fn streams_of_several_threads_share_a_driver() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let host = host();
        let (builder, chain) = builder(&host, caller);
        let driver = builder.build_shared().unwrap();
        let running = tokio::spawn(driver.clone().run());
        let streams: Vec<_> = (0..200)
            .map(|number| {
                let (driver, chain): (Driver<_, _>, _) = (driver.clone(), chain.clone());
                tokio::spawn(async move {
                    let stream = open(&driver, &chain, if number % 2 == 0 { "/auth" } else { "/" });
                    passed(&driver, stream).await;
                    driver.finish(stream);
                })
            })
            .collect();
        for stream in streams {
            stream.await.unwrap();
        }
        assert_eq!(host.messages(), vec!["201 question"; 100]);
        assert!(driver.shut_down(Duration::from_secs(5)).await);
        running.abort();
    });
}
