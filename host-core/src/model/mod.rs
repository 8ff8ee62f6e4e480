//! The model: messages and streams, plugins and their limits, and requests of plugins, without engine, host or rules.

pub(crate) mod action;
pub(crate) mod attributes;
pub(crate) mod authority;
pub(crate) mod body;
pub(crate) mod changes;
pub(crate) mod context;
pub(crate) mod drawn;
pub(crate) mod headers;
pub(crate) mod limits;
pub(crate) mod percent;
pub(crate) mod plugin;
pub(crate) mod property;
pub(crate) mod resource_metadata;
pub(crate) mod shared_stream_info;
pub(crate) mod steering;
pub(crate) mod stream_info;
pub(crate) mod visible;

pub use action::{Action, CallId, HttpCall, LocalResponse};
pub use attributes::Attributes;
pub use body::Body;
pub use changes::{Changes, Edit, Mixed};
pub use context::{Access, CallResponse, ContextId, ContextMap, Direction, IdHasher, StreamContext};
pub use drawn::Drawn;
pub use headers::{Entries, Headers};
pub use limits::{Budget, Limits};
pub use percent::Percent;
pub use plugin::{Compatibility, FailurePolicy, Plugin};
pub use resource_metadata::{MetadataList, MetadataMap, MetadataValue, ResourceMetadata};
pub use shared_stream_info::SharedStreamInfo;
pub use steering::{Steer, Steering};
pub use stream_info::{FilterState, StreamInfo, response_flag};
