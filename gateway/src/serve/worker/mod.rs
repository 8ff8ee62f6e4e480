//! One worker: a thread with its own runtime, sockets, upstream connections and VMs.
//!
//! A request goes: `accept` → hyper → `exchange`, which is the exchange of `portcullis-tower` with routes and clusters behind it →
//! `upstream`. The driver carries out other requests of a chain: callouts and ticks.

mod accept;
mod arrival;
mod attributes;
mod body;
mod context;
mod cut;
mod deadline;
mod drain;
mod edge;
mod exchange;
mod listener;
mod load;
mod refused;
mod respond;
mod route;
mod services;
mod tcp;
mod upstream_stats;

use std::rc::Rc;

use tokio::sync::watch;
use tokio::task::LocalSet;

use self::context::Context;
pub(crate) use self::load::rehearse;
use crate::plan::error::PluginFailed;
use crate::plan::planned::Plan;
use crate::plan::source::ConnectionSource;

/// Runs a worker until it is stopped. `started` gets one report, whether its plugins started.
pub(crate) fn run(
    plan: &Plan,
    sources: Vec<ConnectionSource>,
    stop: watch::Receiver<bool>,
    started: impl FnOnce(Result<(), PluginFailed>),
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        match Context::new(plan) {
            Err(failed) => started(Err(failed)),
            Ok(context) => {
                started(Ok(()));
                serve(Rc::new(context), plan, sources, stop).await;
            }
        }
    });
    Ok(())
}

async fn serve(context: Rc<Context>, plan: &Plan, sources: Vec<ConnectionSource>, stop: watch::Receiver<bool>) {
    let driving = tokio::task::spawn_local(context.driver.clone().run());
    let (driver, tier_ups) = (context.driver.clone(), plan.tier_ups.clone());
    let tiers = tokio::task::spawn_local(async move { driver.tier_up(tier_ups).await });
    let looked_after = Rc::clone(&context);
    let services = tokio::task::spawn_local(async move { looked_after.services.keep_up(&looked_after.driver).await });
    let listeners: Vec<_> = sources
        .into_iter()
        .zip(plan.planned.listeners.iter())
        .enumerate()
        .map(|(index, (source, listener))| {
            tokio::task::spawn_local(accept::run(
                Rc::clone(&context),
                index,
                source,
                listener.tls.clone(),
                stop.clone(),
            ))
        })
        .collect();
    for listener in listeners {
        if let Err(error) = listener.await {
            tracing::error!(%error, "a listener ended in this worker; start the gateway again, and report the panic above");
        }
    }
    services.abort();
    context.end_plugins().await;
    driving.abort();
    tiers.abort();
}
