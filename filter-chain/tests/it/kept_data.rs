//! Data that VMs have the host keep when they are started again, or when each stream has one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Bench, changing, per_stream_of, plugin, recorder, trap, with_policy};
use portcullis_chain::{Backoff, Isolation, PluginSpec};
use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::model::{FailurePolicy, Limits};
use portcullis_core::testing::NullCaller;

/// A plugin that sets one more key with each request and traps: its sandbox has room for two keys.
fn fills_and_traps() -> PluginSpec {
    let started = Arc::new(AtomicUsize::new(0));
    let script = move || {
        let number = started.fetch_add(1, Ordering::Relaxed);
        recorder(&[]).try_on(CallbackId::on_request_headers, move |caller, _| {
            let answers = (set(caller, number), get(caller, number.saturating_sub(1)));
            caller.log(&format!("{} {}", answers.0, answers.1));
            Err(trap())
        })
    };
    let mut spec = with_policy(changing("a", script), FailurePolicy::Reload);
    spec.reload = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
    spec.vm.limits.shared = 2 * (Limits::ENTRY_COST + 1);
    spec
}

fn set(caller: &mut NullCaller<'_>, number: usize) -> i32 {
    let (key, len) = caller.put(&[u8::try_from(number).unwrap_or_default()]);
    entry::proxy_set_shared_data(caller, key, len, key, 0, 0).unwrap_or(-1)
}

fn get(caller: &mut NullCaller<'_>, number: usize) -> i32 {
    let (key, len) = caller.put(&[u8::try_from(number).unwrap_or_default()]);
    entry::proxy_get_shared_data(caller, key, len, 8, 12, 16).unwrap_or(-1)
}

#[test]
fn a_vm_that_is_started_again_finds_its_data_and_has_no_new_budget() {
    let mut bench = Bench::new(&[fills_and_traps()]);
    let mut said = Vec::new();
    for _ in 0..3 {
        bench.request(true);
        bench.pass_second();
        bench.open();
        said.push(bench.host.lines().into_iter().rfind(|line| !line.from_host).map(|line| line.message));
    }
    let said: Vec<_> = said.into_iter().flatten().collect();
    assert_eq!(said, ["0 0", "0 0", "10 0"], "what it set, and what was there already");
}

#[test]
fn vms_of_one_stream_each_have_one_budget() {
    let script = || {
        recorder(&[]).on(CallbackId::on_request_headers, |caller, _| {
            let ((path, len), (value, value_len)) = (caller.put(b"p"), caller.put(b"value"));
            let status = entry::proxy_set_property(caller, path, len, value, value_len).unwrap_or(-1);
            caller.log(&status.to_string());
            0
        })
    };
    let mut spec = plugin("a", script).with_isolation(Isolation::Stream);
    spec.vm.limits.buffers = Limits::ENTRY_COST + 6;
    let mut bench = Bench::new(&[per_stream_of(&spec, script)]);
    let set = |bench: &mut Bench| {
        bench.request(true);
        bench.host.lines().into_iter().rfind(|line| !line.from_host).map(|line| line.message)
    };
    assert_eq!(set(&mut bench).as_deref(), Some("0"));
    let first = bench.open();
    assert_eq!(set(&mut bench).as_deref(), Some("2"), "the first stream has what there is");
    let second = bench.turn_to(first);
    bench.finish();
    bench.turn_to(second);
    bench.finish();
    bench.open();
    assert_eq!(set(&mut bench).as_deref(), Some("0"));
}
