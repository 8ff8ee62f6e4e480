//! Carrying out what plugins ask for besides the streams: callouts and wake-ups.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use futures_util::future::AbortHandle;
use portcullis_chain::{AnyStreamId, CalloutId, Effect};
use tokio::sync::Notify;

use crate::driver::{Driver, State};
use crate::grpc;
use crate::grpc::sender::Sender;
use crate::tasks::{Job, Task};
use crate::threads::Threads;
use crate::upstreams::Upstreams;

impl<T: Threads, U: Upstreams> Driver<T, U> {
    /// Carries out all effects of the worker. To be called after every use of [`Driver::with`]; [`Driver::call`] does.
    ///
    /// One caller at a time carries them out, in their order, so that the messages of a gRPC stream are; what others, or a
    /// waker, bring about meanwhile is left to it.
    pub fn pump(&self) {
        let first = self.state(|state| if state.is_pumped { None } else { self.next_action(state) });
        if let Some(first) = first {
            self.carry_out_all(first);
        }
    }

    /// Carries out an action, and all that come until there is none. Not inlined: few calls into a worker have any.
    #[inline(never)]
    fn carry_out_all(&self, first: Action) {
        let unwinding = Unwinding(self);
        let mut next = Some(first);
        while let Some(action) = next {
            // Nothing is locked here: what is woken or dropped may come back at once.
            match action {
                Action::Nothing => {}
                Action::Rearm => self.ticks_changed().notify_one(),
                Action::Wake(waker) => waker.wake(),
                Action::Notify(woken) => woken.notify_one(),
                Action::Begin { id, work } => self.begin(id, work),
                Action::Send { sender, message, end } => sender.send(message, end),
                Action::Finish(sender) => sender.finish(),
                Action::Cancel { task, sender } => {
                    drop(sender);
                    if let Some(task) = task {
                        task.abort();
                    }
                }
            }
            next = self.state(|state| self.next_action(state));
        }
        std::mem::forget(unwinding);
    }

    /// Returns the next thing to do, after which the caller has to ask again. If there is none, the next caller of
    /// [`Driver::pump`] carries out what comes, and others are told of plugins that have failed or recovered.
    #[inline]
    fn next_action(&self, state: &mut State) -> Option<Action> {
        let effect = state.worker.effect();
        state.is_pumped = effect.is_some();
        match effect {
            Some(effect) => Some(action(state, effect)),
            None => {
                self.tell_health(state);
                None
            }
        }
    }

    /// Hands a callout to the tasks of [`Driver::run`].
    fn begin(&self, id: CalloutId, work: Work) {
        let (job, sender) = match work {
            Work::Http(request, stream) => (Job::Http { id, request, stream, flight: self.begin_flight() }, None),
            Work::Grpc(request, stream) => {
                let (call, sender) = grpc::Call::new(request, stream);
                (Job::Grpc { id, call, flight: self.begin_flight() }, Some(Arc::new(sender)))
            }
            Work::Resolve(name) => (Job::Resolve { id, name }, None),
        };
        let (task, registration) = AbortHandle::new_pair();
        self.state(|state| {
            state.callouts.insert(id, task);
            if let Some(sender) = sender {
                state.senders.insert(id, sender);
            }
            state.new_tasks.push(Task { job, registration });
        });
        self.wake_tasks();
    }
}

/// Returns the part of an effect that is carried out while nothing is locked.
fn action(state: &mut State, effect: Effect) -> Action {
    let waker = |waker: Option<&Waker>| waker.cloned().map_or(Action::Nothing, Action::Wake);
    match effect {
        Effect::Wake { stream } => waker(state.wakers.get(&stream)),
        Effect::WakeConnection { id } => {
            state.connections.get(&id).map_or(Action::Nothing, |woken| Action::Notify(Arc::clone(woken)))
        }
        Effect::Callout { id, stream, request } => Action::Begin { id, work: Work::Http(request, stream) },
        Effect::GrpcStart { id, stream, request } => Action::Begin { id, work: Work::Grpc(request, stream) },
        Effect::ResolveDns { id, name, .. } => Action::Begin { id, work: Work::Resolve(name) },
        Effect::GrpcSend { id, message, end } => match state.senders.get(&id) {
            Some(sender) => Action::Send { sender: Arc::clone(sender), message, end },
            None => Action::Nothing,
        },
        Effect::GrpcClose { id } => {
            state.senders.get(&id).map_or(Action::Nothing, |sender| Action::Finish(Arc::clone(sender)))
        }
        Effect::Tick { .. } => Action::Rearm,
        Effect::CancelCallout { id } => {
            Action::Cancel { task: state.callouts.remove(&id), sender: state.senders.remove(&id) }
        }
        _ => Action::Nothing,
    }
}

/// Lets others carry out effects when whoever does panics.
struct Unwinding<'a, T: Threads, U: Upstreams>(&'a Driver<T, U>);

impl<T: Threads, U: Upstreams> Drop for Unwinding<'_, T, U> {
    fn drop(&mut self) {
        self.0.state(|state| state.is_pumped = false);
    }
}

/// A part of an effect that is carried out while nothing is locked.
enum Action {
    Nothing,
    /// The next tick has changed.
    Rearm,
    Wake(Waker),
    Notify(Arc<Notify>),
    Begin {
        id: CalloutId,
        work: Work,
    },
    Send {
        sender: Arc<Sender>,
        message: Bytes,
        end: bool,
    },
    Finish(Arc<Sender>),
    Cancel {
        task: Option<AbortHandle>,
        sender: Option<Arc<Sender>>,
    },
}

enum Work {
    Http(portcullis_core::model::HttpCall, Option<AnyStreamId>),
    Grpc(portcullis_core::resources::GrpcRequest, Option<AnyStreamId>),
    Resolve(String),
}
