//! Guests that call out, answer and trap at chosen calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{call_out, continue_both, per_stream, plugin, respond, set_tick, trap, with_policy};
use portcullis_chain::PluginSpec;
use portcullis_core::abi::{CallbackId, StreamType};
use portcullis_core::model::FailurePolicy;
use portcullis_core::testing::{NullCaller, Script};

const CALLBACKS: [CallbackId; 13] = [
    CallbackId::on_request_headers,
    CallbackId::on_request_body,
    CallbackId::on_request_trailers,
    CallbackId::on_response_headers,
    CallbackId::on_response_body,
    CallbackId::on_response_trailers,
    CallbackId::on_new_connection,
    CallbackId::on_downstream_data,
    CallbackId::on_upstream_data,
    CallbackId::on_log,
    CallbackId::on_done,
    CallbackId::on_delete,
    CallbackId::on_http_call_response,
];

/// The behaviour of a guest: what its callbacks answer, again and again, and at which of them it does more.
#[derive(Clone, Debug)]
pub(super) struct Behaviour {
    pub(super) answers: Vec<i32>,
    pub(super) calls_out: u32,
    pub(super) responds: u32,
    pub(super) trap_at: Option<u32>,
    pub(super) policy: FailurePolicy,
}

fn script(behaviour: &Behaviour) -> Script {
    let mut script = Script::new();
    let calls = Arc::new(AtomicU32::new(0));
    for id in CALLBACKS {
        let (calls, behaviour) = (calls.clone(), behaviour.clone());
        let mut answers = behaviour.answers.clone().into_iter().cycle();
        script = script.try_on(id, move |caller, args| {
            caller.log(&format!("{id} {args:?}"));
            let number = calls.fetch_add(1, Ordering::Relaxed);
            if behaviour.trap_at == Some(number) {
                return Err(trap());
            }
            if number % behaviour.calls_out == 0 {
                call_out(caller);
            }
            if number % behaviour.responds == behaviour.responds - 1 {
                respond(caller, 403, "no", &[], -1);
            }
            if id == CallbackId::on_http_call_response {
                go_on(caller);
            }
            Ok(answers.next().unwrap_or(0))
        });
    }
    script
}

/// The same guest, which also calls out each second.
fn ticking(behaviour: &Behaviour) -> Script {
    let script = script(behaviour).on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000));
    script.on(CallbackId::on_tick, |caller, _| {
        call_out(caller);
        0
    })
}

fn go_on(caller: &mut NullCaller<'_>) {
    continue_both(caller);
    caller.continue_stream(StreamType::Downstream);
    caller.continue_stream(StreamType::Upstream);
}

/// Leaves a plugin so few places that streams lose theirs to others.
fn few(mut spec: PluginSpec) -> PluginSpec {
    let snapshot = spec.snapshot.take().and_then(Arc::into_inner);
    spec.snapshot = snapshot.map(|snapshot| Arc::new(snapshot.with_at_most(3)));
    assert!(spec.snapshot.is_some(), "nobody else has the snapshot");
    spec
}

/// Returns plugins that behave so; the third has a VM for each stream, of which there are few.
pub(super) fn specs(behaviours: &[Behaviour]) -> Vec<PluginSpec> {
    let spec = |(index, behaviour): (usize, &Behaviour)| {
        let (name, of) = (index.to_string(), behaviour.clone());
        // A VM for each stream has no ticks.
        let spec =
            if index == 2 { few(per_stream(&name, move || script(&of))) } else { plugin(&name, move || ticking(&of)) };
        with_policy(spec, behaviour.policy)
    };
    behaviours.iter().enumerate().map(spec).collect()
}
