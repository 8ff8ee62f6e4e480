//! Carrying out what plugins ask for besides the streams: callouts, wake-ups, ticks.

use std::rc::Rc;
use std::time::Duration;

use portcullis::chain::{CalloutId, Effect};
use tokio::sync::watch;

use crate::serve::worker::context::Context;
use crate::serve::worker::turns::Turn;
use crate::serve::worker::{callout, dns, grpc};

impl Context {
    /// Carries out all effects of the worker. To be called after every call into it.
    pub(super) fn pump(self: &Rc<Self>) {
        loop {
            let effect = self.worker.borrow_mut().effect();
            match effect {
                None => break,
                Some(Effect::Wake { stream }) => {
                    if let Some(waker) = self.wakers.borrow().get(&stream) {
                        waker.wake_by_ref();
                    }
                }
                Some(Effect::WakeConnection { id }) => {
                    if let Some(woken) = self.connections_woken.borrow().get(&id) {
                        woken.notify_one();
                    }
                }
                Some(Effect::Callout { id, request, .. }) => {
                    let flight = self.in_flight.begin();
                    let task = tokio::task::spawn_local(callout::run(Rc::clone(self), id, request, flight));
                    self.callouts.borrow_mut().insert(id, task.abort_handle());
                }
                Some(Effect::GrpcStart { id, request, .. }) => grpc::start(self, id, request),
                Some(Effect::GrpcSend { id, message, end }) => {
                    if let Some(sender) = self.grpc.borrow().get(&id) {
                        sender.send(message, end);
                    }
                }
                Some(Effect::GrpcClose { id }) => {
                    if let Some(sender) = self.grpc.borrow().get(&id) {
                        sender.finish();
                    }
                }
                Some(Effect::ResolveDns { id, name, .. }) => {
                    let task = tokio::task::spawn_local(dns::run(Rc::clone(self), id, name));
                    self.callouts.borrow_mut().insert(id, task.abort_handle());
                }
                Some(Effect::CancelCallout { id }) => {
                    let sender = self.grpc.borrow_mut().remove(&id);
                    drop(sender);
                    if let Some(task) = self.callouts.borrow_mut().remove(&id) {
                        task.abort();
                    }
                }
                Some(_) => {}
            }
        }
        if self.worker.borrow_mut().health_changed() {
            self.tell_health();
        }
        if self.worker.borrow().next_due() != self.armed_tick.get() {
            self.ticks_changed.notify_one();
        }
    }
}

/// Turns of answers, for which the rules of [`Turns`](super::turns::Turns) hold.
impl Context {
    /// Waits until an answer to a callout may be delivered. An answer that a stream waits for has no turn: `None`, at once.
    pub(super) async fn answer_turn(&self, id: CalloutId) -> Option<Turn<'_>> {
        let at = || self.worker.borrow_mut().answer_turn(id).map(|at| self.host.clock.instant(at).into());
        self.turns.next(at).await
    }
}

/// Ticks plugins at their times, for ever.
pub(super) async fn tick(context: Rc<Context>) {
    loop {
        context.armed_tick.set(context.worker.borrow().next_due());
        let at = || context.worker.borrow().next_tick().map(|at| context.host.clock.instant(at).into());
        let turn = async {
            match context.turns.next(at).await {
                Some(turn) => turn,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _turn = turn => {
                context.worker.borrow_mut().tick();
                context.pump();
            }
            () = context.ticks_changed.notified() => {}
        }
    }
}

/// Moves plugins to the VMs of what has been compiled, until all is.
pub(super) async fn tiers(context: Rc<Context>, mut tier_ups: watch::Receiver<usize>) {
    loop {
        tier_ups.borrow_and_update();
        let moved = context.worker.borrow_mut().tier_up();
        context.pump();
        if moved > 0 {
            tracing::debug!(vms = moved, "moved to compiled code");
        }
        if tier_ups.changed().await.is_err() {
            break;
        }
    }
}

/// Tells plugins of items in their queues, for ever.
pub(super) async fn queues(context: Rc<Context>) {
    loop {
        context.queues_ready.notified().await;
        let mut next = Some(Duration::ZERO);
        while let Some(_turn) = context.turns.next(|| Some(context.host.clock.instant(next?).into())).await {
            next = context.worker.borrow_mut().queues_ready();
            context.pump();
        }
    }
}
