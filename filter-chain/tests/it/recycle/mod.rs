//! VMs that are recycled, and those that are started again though nothing comes to them.

mod again;
mod bounds;
mod old_vms;
mod queues;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portcullis_chain::{Effect, PluginSpec};
use portcullis_core::abi::CallbackId;
use portcullis_core::sandbox::Recycle;
use portcullis_core::testing::Script;

use crate::common::{Bench, changing, recorder};

const MIB: usize = 1 << 20;
const HEADERS: CallbackId = CallbackId::on_request_headers;

/// A plugin whose VMs have numbers, from 1; `script` gets the number.
fn numbered(recycle: Recycle, script: impl Fn(usize) -> Script + Send + Sync + 'static) -> PluginSpec {
    let started = Arc::new(AtomicUsize::new(0));
    let mut spec = changing("a", move || script(started.fetch_add(1, Ordering::Relaxed) + 1));
    spec.vm.recycle = recycle;
    spec
}

/// Says in each request which VM it is, and answers with `status`.
fn saying(number: usize, status: i32) -> Script {
    recorder(&[]).on(HEADERS, move |caller, _| {
        caller.log(&format!("vm {number}"));
        status
    })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A bench in whose VM no stream has begun, a second after its start.
fn bench(spec: PluginSpec) -> Bench {
    let mut bench = idle(spec);
    while bench.worker.effect().is_some() {}
    bench.pass_second();
    bench
}

/// The same, just started.
fn idle(spec: PluginSpec) -> Bench {
    let mut bench = Bench::new(&[]);
    bench.finish();
    bench.chain = bench.worker.load(&[spec]).unwrap();
    bench
}

/// Opens a stream and feeds its request; returns the lines of the plugin.
fn request(bench: &mut Bench) -> Vec<String> {
    bench.open();
    bench.journal();
    bench.request(true);
    bench.journal()
}

/// Returns the time that the driver is told to wait for, if it is told; `None` inside is for ever.
fn timer(bench: &mut Bench) -> Option<Option<Duration>> {
    let mut timer = None;
    while let Some(effect) = bench.worker.effect() {
        if let Effect::Tick { after } = effect {
            timer = Some(after);
        }
    }
    timer
}

/// Counts the host's lines that have a text.
fn told(bench: &Bench, text: &str) -> usize {
    bench.host.lines().iter().filter(|line| line.from_host && line.message.contains(text)).count()
}
