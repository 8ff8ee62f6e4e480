#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]

mod arena;
mod background;
mod callouts;
#[cfg(feature = "http")]
pub mod convert;
mod effect;
mod id;
mod inner;
mod spec;
mod stream;
mod vms;
mod worker;

pub use effect::{ConnectionEffect, Effect, StreamEffect};
pub use id::{AnyStreamId, CalloutId, ConnectionId, StreamId};
pub use spec::{Backoff, Chain, ChainError, Isolation, LoadError, Module, PluginSpec, Resting, Snapshot, Tier};
pub use stream::http::local_response;
pub use vms::{Health, LiveVms, PluginState, VmCounts};
pub use worker::Worker;

/// Workers of several threads share these, and errors can be sent on in a box.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    const fn is_error<T: std::error::Error + Send + Sync + 'static>() {}
    is_shared::<Chain>();
    is_shared::<Module>();
    is_shared::<PluginSpec>();
    is_shared::<Snapshot>();
    is_shared::<Tier>();
    is_shared::<Health>();
    is_shared::<portcullis_core::model::Plugin>();
    is_shared::<portcullis_core::model::SharedStreamInfo>();
    is_shared::<portcullis_core::resources::Shared>();
    is_shared::<portcullis_core::resources::Wake>();
    is_error::<ChainError>();
    is_error::<LoadError>();
    is_error::<portcullis_core::engine::EngineError>();
    is_error::<portcullis_core::engine::RecordedTrap>();
    is_error::<portcullis_core::engine::StartError>();
    is_error::<portcullis_core::engine::Trap>();
    is_error::<portcullis_core::module::BytecodeError>();
    is_error::<portcullis_core::rights::RuleError>();
    is_error::<portcullis_core::rights::UnknownCapability>();
    is_error::<portcullis_core::sandbox::Conflict>();
    is_error::<portcullis_core::vm::NeedsLongLivedVm>();
    is_error::<portcullis_core::vm::VmFailed>();
};
