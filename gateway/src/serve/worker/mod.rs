//! One worker: a thread with its own runtime, sockets, upstream connections and VMs.
//!
//! A request goes: `accept` → hyper → `exchange`, which is the exchange of `portcullis-tower` with routes and clusters behind it →
//! `upstream`. The driver carries out other requests of a chain: callouts and ticks.

mod accept;
mod arrival;
mod attributes;
mod body;
mod common;
mod context;
mod cut;
mod deadline;
mod drain;
pub(crate) mod edge;
mod exchange;
pub(crate) mod generation;
mod hub;
mod listener;
mod load;
mod post;
mod refused;
mod respond;
mod route;
mod services;
mod slot;
mod tcp;
mod upstream_stats;

use std::rc::Rc;

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use self::context::Context;
use self::hub::Hub;
pub(crate) use self::hub::{Command, Given, Prepare};
pub(crate) use self::load::{load_one, new_worker, rehearse};
use crate::plan::error::PluginFailed;
use crate::plan::planned::Plan;
use crate::plan::source::ConnectionSource;
use crate::serve::pulse::Pulse;

/// Runs a worker until it is stopped, from the generation of `plan` on. `started` gets one report, whether its plugins started.
pub(crate) fn run(
    plan: Plan,
    sources: Vec<ConnectionSource>,
    stop: watch::Receiver<bool>,
    commands: mpsc::Receiver<Command>,
    started: impl FnOnce(Result<(), PluginFailed>),
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        match Context::new(&plan) {
            Err(failed) => started(Err(failed)),
            Ok((context, generation)) => {
                started(Ok(()));
                let context = Rc::new(context);
                let hub = Hub::begin(Rc::clone(&context), generation, &plan, sources, stop);
                let (tier_ups, pulse) = (plan.tier_ups.clone(), plan.pulse.clone());
                // The worker lives longer than its first generation, whose code and keys are in the plan.
                drop(plan);
                serve(context, hub, commands, tier_ups, &pulse).await;
            }
        }
    });
    Ok(())
}

async fn serve(
    context: Rc<Context>,
    hub: Hub,
    commands: mpsc::Receiver<Command>,
    tier_ups: watch::Receiver<usize>,
    pulse: &Pulse,
) {
    let driving = tokio::task::spawn_local(context.driver.clone().run());
    let driver = context.driver.clone();
    let tiers = tokio::task::spawn_local(async move { driver.tier_up(tier_ups).await });
    let ends = Rc::clone(&context);
    let following = tokio::task::spawn_local(async move { ends.ends.follow().await });
    let beat = pulse.worker(std::thread::current().name().unwrap_or("worker"));
    let beating = tokio::task::spawn_local(beat.answer());
    hub.run(commands).await;
    context.end_plugins().await;
    driving.abort();
    tiers.abort();
    beating.abort();
    following.abort();
}
