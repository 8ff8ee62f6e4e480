//! How plugins are doing, and what the log says of it.

use std::time::Duration;

use crate::common::{Bench, plugin, recorder, trap, with_policy};
use portcullis_chain::{Backoff, Health, PluginState};
use portcullis_core::abi::{CallbackId, LogLevel};
use portcullis_core::model::FailurePolicy;
use portcullis_core::testing::Script;

fn trapping() -> Script {
    recorder(&[]).try_on(CallbackId::on_request_headers, |_, _| Err(trap()))
}

fn show(health: Health) -> String {
    let state = match health.state {
        PluginState::Runs => "runs".to_owned(),
        PluginState::Failed { reason, rests_until } => format!("{reason}, {rests_until:?}"),
        PluginState::Ended => "ended".to_owned(),
        state => format!("{state:?}"),
    };
    format!("{}: {state}", health.plugin.name)
}

fn all(bench: &Bench) -> Vec<String> {
    bench.worker.health().map(show).collect()
}

/// Lists the lines of the host about plugins in its own name, with their level.
fn said(bench: &Bench) -> Vec<String> {
    let lines = bench.host.lines().into_iter().filter(|line| line.from_host);
    lines.map(|line| format!("{:?} {}: {}", line.level, line.plugin, line.message)).collect()
}

/// Returns the line behind that of the reason.
fn consequence(policy: FailurePolicy) -> String {
    let mut spec = with_policy(plugin("a", trapping), policy);
    spec.reload = Backoff::new(Duration::from_secs(2), Duration::from_secs(2));
    let mut bench = Bench::new(&[spec]);
    bench.request(true);
    bench.finish();
    let said = said(&bench);
    assert_eq!(said.len(), 2, "{said:?}");
    said.last().unwrap().clone()
}

#[test]
fn a_failure_says_what_becomes_of_traffic_and_which_policy_would_help() {
    let line = consequence(FailurePolicy::Closed);
    assert!(line.starts_with("Warn a: its VM has failed: requests to it in this worker get 503"), "{line}");
    assert!(line.ends_with("its failure_policy is FAIL_CLOSED; FAIL_RELOAD would start it again"), "{line}");
    let line = consequence(FailurePolicy::Open);
    assert!(line.starts_with("Warn a: its VM has failed: what comes to this worker passes it by"), "{line}");
    let line = consequence(FailurePolicy::Reload);
    assert!(line.contains("get 503 and connections are closed for 2s, then it is started again"), "{line}");
}

#[test]
fn health_follows_a_plugin_through_failure_rest_and_revival() {
    let failing = std::sync::atomic::AtomicBool::new(true);
    let script =
        move || if failing.swap(false, std::sync::atomic::Ordering::Relaxed) { trapping() } else { recorder(&[]) };
    let failing = with_policy(crate::common::changing("a", script), FailurePolicy::Reload);
    let mut bench = Bench::new(&[failing, plugin("b", || recorder(&[]))]);
    assert!(bench.worker.health_changed());
    assert_eq!(all(&bench), ["a: runs", "b: runs"]);
    bench.request(true);
    bench.finish();
    assert!(bench.worker.health_changed() && !bench.worker.health_changed(), "it is said once");
    assert_eq!(all(&bench), ["a: trap: unreachable, Some(1s)", "b: runs"]);
    bench.open();
    bench.finish();
    assert!(!bench.worker.health_changed(), "it rests");
    bench.pass_second();
    bench.open();
    assert!(bench.worker.health_changed());
    assert_eq!(all(&bench), ["a: runs", "b: runs"]);
    assert_eq!(said(&bench).last().unwrap(), "Info a: it has been started again");
    bench.worker.shut_down();
    assert!(bench.worker.health_changed());
    assert_eq!(all(&bench), ["a: ended", "b: ended"]);
}

#[test]
fn a_plugin_that_does_not_start_again_says_so_and_when_it_is_tried() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let script = move || match first.swap(false, std::sync::atomic::Ordering::Relaxed) {
        true => trapping(),
        false => recorder(&[]).try_on(CallbackId::on_configure, |_, _| Ok(0)),
    };
    let mut spec = with_policy(crate::common::changing("a", script), FailurePolicy::Reload);
    spec.reload = Backoff::new(Duration::from_secs(1), Duration::from_secs(8));
    let mut bench = Bench::new(&[spec]);
    bench.request(true);
    bench.finish();
    bench.pass_second();
    bench.open();
    let said = said(&bench);
    let line = said.last().unwrap();
    assert!(line.starts_with("Error a: it cannot be started again: ") && line.ends_with("tried anew in 2s"), "{line}");
    assert_eq!(all(&bench), ["a: trap: unreachable, Some(3s)"]);
    assert!(bench.host.lines().iter().all(|line| line.level != LogLevel::Critical));
}

/// All plugins of a VM are started again together, whoever of them the next stream comes to.
#[test]
fn a_closed_plugin_that_shares_a_vm_with_one_that_reloads_is_started_again_with_it() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let script =
        move || if first.swap(false, std::sync::atomic::Ordering::Relaxed) { trapping() } else { recorder(&[]) };
    let mut closed = crate::common::changing("closed", script);
    closed.plugin.vm_id = "together".to_owned();
    let mut reloading = with_policy(closed.clone(), FailurePolicy::Reload);
    reloading.plugin.name = "reloading".to_owned();
    let mut bench = Bench::new(&[closed.clone(), reloading]);
    let chain = bench.worker.load(&[closed]).unwrap();
    bench.request(true);
    bench.finish();
    assert_eq!(all(&bench), ["closed: trap: unreachable, Some(1s)", "reloading: trap: unreachable, Some(1s)"]);
    assert!(said(&bench).iter().any(|line| line.contains("get 503 and connections are closed for 1s, then")));
    bench.pass_second();
    bench.chain = chain;
    bench.open();
    assert_eq!(all(&bench), ["closed: runs", "reloading: runs"]);
}

/// Were it noted, each request that fails would have all workers wait for one lock.
#[test]
fn failures_of_vms_of_streams_change_no_health() {
    let mut bench = Bench::new(&[crate::common::per_stream("a", trapping)]);
    assert!(bench.worker.health_changed());
    bench.request(true);
    bench.finish();
    assert!(!bench.worker.health_changed());
    assert_eq!(said(&bench).len(), 1, "the failure alone: {:?}", said(&bench));
}

#[test]
fn a_plugin_that_fails_with_another_one_says_whose_vm_it_shares() {
    let together = |name: &str| {
        let mut spec = crate::common::changing(name, trapping);
        spec.plugin.vm_id = "together".to_owned();
        spec
    };
    let first = together("a");
    let mut second = first.clone();
    second.plugin.name = "b".to_owned();
    let mut bench = Bench::new(&[first, second]);
    bench.request(true);
    let said = said(&bench);
    let of = |name: &str| said.iter().filter(|line| line.starts_with(&format!("Warn {name}: "))).count();
    assert_eq!((of("a"), of("b")), (1, 1), "{said:?}");
    assert!(said.iter().any(|line| line.contains("its VM has failed (it shares a VM with \"a\")")), "{said:?}");
}
