//! More workers, and fewer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::task::JoinSet;

use super::says;
use crate::e2e::harness::{Client, Setup, get, run, until, within};
use crate::e2e::lifecycle::waiting;

/// Asks on one new connection after the other, and never again, until it is told to stop; returns the number of answers.
fn asking(address: SocketAddr, stop: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut answers = 0;
        while !stop.load(Ordering::Relaxed) {
            // Several at once, so that some wait in the queues.
            let mut connections: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
            for connection in &mut connections {
                connection.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
            }
            for mut connection in connections {
                let mut answer = String::new();
                connection.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
                answers += 1;
            }
        }
        answers
    })
}

#[test]
fn no_connection_is_lost_when_workers_come_and_go() {
    run(async {
        let with = |workers, what: &str| says(Setup::echo().workers(workers), "workers", what);
        let gate = with(3, "3").start();
        let stop = Arc::default();
        let clients: Vec<_> = (0..3).map(|_| asking(gate.address(), &stop)).collect();
        for workers in [1, 4, 2, 1, 3, 2] {
            let what = workers.to_string();
            gate.reload(&with(workers, &what)).await.unwrap();
            assert_eq!(Client::h1(gate.address()).await.ask(get("/")).await.header("x-says"), what);
            let vms = "portcullis_vms{plugin=\"workers\",state=\"running\"}";
            within(async { while gate.metric(vms).await != workers as f64 {} }).await;
        }
        stop.store(true, Ordering::Relaxed);
        let answers: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!(answers > 100, "{answers}");
        until(|| gate.held().len() == 1).await;
    });
}

#[test]
fn a_request_on_a_worker_that_leaves_ends() {
    run(async {
        let (upstream, go) = waiting("/slow");
        let with = |workers, what| says(Setup::to(&upstream).workers(workers), "leaving", what);
        let gate = with(4, "one").start();
        let mut asked = JoinSet::new();
        for _ in 0..16 {
            let mut client = gate.h1().await;
            asked.spawn(async move { client.ask(get("/slow")).await });
        }
        until(|| upstream.requests() == 16).await;
        gate.reload(&with(1, "two")).await.unwrap();
        let answered = async {
            while let Some(answer) = asked.join_next().await {
                let answer = answer.unwrap();
                assert_eq!((answer.status, answer.header("x-says")), (200, "one".to_owned()));
            }
        };
        let going = async {
            loop {
                go.notify_waiters();
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = answered => {}
            () = going => {}
        }
    });
}

#[test]
fn a_plugin_that_does_not_start_brings_no_worker() {
    run(async {
        let gate = says(Setup::echo().workers(1), "not-hired", "one").start();
        let trapping = crate::e2e::harness::plugin(&[("configure", "(unreachable)")]);
        let broken = says(Setup::echo().workers(3), "not-hired", "one").plugin("not-hired-trap", &trapping, "");
        gate.reload(&broken).await.unwrap_err();
        assert_eq!(gate.h1().await.ask(get("/")).await.header("x-says"), "one");
        assert_eq!(gate.metric("portcullis_vms{plugin=\"not-hired\",state=\"running\"}").await, 1.0);
        gate.reload(&says(Setup::echo().workers(2), "not-hired", "one")).await.unwrap();
        let vms = "portcullis_vms{plugin=\"not-hired\",state=\"running\"}";
        within(async { while gate.metric(vms).await != 2.0 {} }).await;
    });
}
