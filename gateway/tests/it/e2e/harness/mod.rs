//! The parts of every test here: a gateway, an upstream, a client, plugins, and the log.

pub(crate) mod answering;
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod gate;
pub(crate) mod logs;
pub(crate) mod upstream;
pub(crate) mod wat;

use std::future::Future;
use std::time::Duration;

pub(crate) use answering::{Go, Part, answering, answering_h2, answering_in_two};
pub(crate) use body::{Sent, channel, empty, full, with_trailers};
pub(crate) use client::{Answer, Client, Raw, get, post};
pub(crate) use frames::Reply;
pub(crate) use gate::{Gate, Setup, ask_admin, engine, guest};
pub(crate) use upstream::{Upstream, reply};
pub(crate) use wat::plugin;

/// The time after which an event is taken never to happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Runs a test.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    logs::install();
    // Tests run side by side in one process.
    portcullis_gateway::serve::descriptors::raise();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async { tokio::time::timeout(LIMIT * 4, test).await });
    runtime.shutdown_background();
    result.expect("the test did not end")
}

/// Waits for one thing.
#[track_caller]
pub(crate) fn within<T>(what: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move { tokio::time::timeout(LIMIT, what).await.unwrap_or_else(|_| panic!("{place}: nothing happened")) }
}

/// Waits for a condition that nobody tells about.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(async move {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}
