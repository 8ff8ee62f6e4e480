//! Callbacks of roots.

use std::time::Duration;

use bytes::Bytes;

use super::{CallOutcome, Vm, VmFailed};
use crate::abi::MapType;
use crate::abi::callback::CallbackId;
use crate::model::action::CallId;
use crate::model::context::{CallResponse, ContextId};
use crate::vm::checked;

impl Vm {
    /// Returns how often a root wants [`Vm::on_tick`], if it does.
    pub fn tick_period(&mut self, root: ContextId) -> Option<Duration> {
        self.state().contexts.root(root)?.tick
    }

    /// Tells a root that its tick period has passed.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_tick(&mut self, root: ContextId) -> Result<(), VmFailed> {
        if self.state().refuses(root) {
            return Err(VmFailed);
        }
        self.call(root, CallbackId::on_tick, |guest| checked::on_tick(guest, root.as_arg())).map(drop)
    }

    /// Tells a root of an item in a queue that it has registered, if there is one to tell of; says whether
    /// there was. Call it until there is none, after every other callback and when
    /// [`VmConfig::wake`](crate::vm::VmConfig::wake) has called.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_queue_ready(&mut self) -> Result<bool, VmFailed> {
        if self.failure.is_some() {
            return Err(VmFailed);
        }
        let Some((root, queue)) = self.state().inbox.take() else { return Ok(false) };
        self.call(root, CallbackId::on_queue_ready, |guest| {
            checked::on_queue_ready(guest, root.as_arg(), queue.cast_signed())
        })?;
        Ok(true)
    }

    /// Calls a function of the guest that the ABI does not have (`proxy_on_foreign_function`), in a root or
    /// a stream. `function` is a number that the embedder and the plugin agree on; the guest reads the
    /// arguments as buffer `CallData`, which is not there at any other time.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_foreign_function(&mut self, context: ContextId, function: u32, arguments: Bytes) -> Result<(), VmFailed> {
        let len = i32::try_from(arguments.len()).unwrap_or(i32::MAX);
        self.state().call_data = Some(arguments);
        let result = self.call(context, CallbackId::on_foreign_function, |guest| {
            checked::on_foreign_function(guest, context.as_arg(), function.cast_signed(), len)
        });
        self.state().call_data = None;
        result.map(drop)
    }

    /// Tells a root that a callout has ended. Of each callout that [`Action::HttpCall`](crate::model::Action::HttpCall) started, the end is told
    /// once; an id that is not in flight is ignored.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_http_call_response(&mut self, call: CallId, outcome: CallOutcome) -> Result<(), VmFailed> {
        let state = self.state();
        let Some(owner) = state.calls.close(call) else { return Ok(()) };
        let Some(root) = state.acts_for(owner) else { return Ok(()) };
        let Some(context) = state.contexts.root_mut(root) else { return Ok(()) };
        context.call_was_reset = matches!(outcome, CallOutcome::Reset(_));
        let response = match outcome {
            CallOutcome::Response(response) => response,
            CallOutcome::Reset(reason) => {
                context.status = (crate::abi::Status::BrokenConnection as u32, reason.into_bytes());
                CallResponse::default()
            }
        };
        context.call_response = Some(response);
        let sizes = self.call_response_sizes(root);
        let result = self.call(root, CallbackId::on_http_call_response, |guest| {
            checked::on_http_call_response(guest, root.as_arg(), call.0.cast_signed(), sizes.0, sizes.1, sizes.2)
        });
        if let Some(context) = self.state().contexts.root_mut(root) {
            context.call_response = None;
            // Deployed hosts forget the message and keep the code.
            context.status.1.clear();
        }
        result.map(drop)
    }

    fn call_response_sizes(&mut self, root: ContextId) -> (i32, i32, i32) {
        let as_arg = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
        let contexts = &self.state().contexts;
        let response = contexts.root(root).and_then(|context| context.call_response.as_ref());
        let Some(response) = response else { return (0, 0, 0) };
        let count = |map, headers| as_arg(contexts.visible(root, map, headers).len());
        (
            count(MapType::HttpCallResponseHeaders, &response.headers),
            as_arg(response.body.len()),
            count(MapType::HttpCallResponseTrailers, &response.trailers),
        )
    }

    /// Forgets a callout that will have no end, because its VM or root is going.
    pub fn forget_call(&mut self, call: CallId) {
        self.state().calls.close(call);
    }
}
