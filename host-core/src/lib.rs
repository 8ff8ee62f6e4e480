#![doc = include_str!("../README.md")]
#![doc = include_str!("lib.md")]
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::indexing_slicing, reason = "a test may panic"))]

mod abi;
mod byte_budget;
mod callback;
mod callouts;
mod dns;
mod engine;
mod files;
mod foreign;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grpc;
mod host;
pub mod hostcall;
mod in_flight;
mod metric;
mod model;
mod module;
mod output;
pub mod profile;
mod rights;
mod sandbox;
mod shared;
pub mod tape;
mod template;
#[cfg(any(test, fuzzing, feature = "testing"))]
pub mod testing;
mod usage;
mod vm;
mod vm_state;
mod witness;

pub use abi::filter_status::{DataStatus, FilterStatus, HeadersStatus, TrailersStatus};
pub use abi::wasm_type::ValType;
pub use abi::{AbiVersion, BufferType, Errno, LogLevel, MapType, MetricType, PairsError, PeerType, Status, StreamType};
pub use byte_budget::HeldBytes;
pub use callback::{CALLBACKS, CallbackDecl, CallbackId};
pub use dns::LookupId;
pub use engine::any::{AnyEngine, AnyModule};
pub use engine::error::{EngineError, StartError};
pub use engine::memory::{GuestMemory, OutOfBounds};
pub use engine::trap::{CallStack, Frame, Trap, WasmTrap, function_name};
pub use engine::{Caller, EngineFeatures, EngineSettings, Guest, WasmEngine};
pub use files::{Directory, Entries, Entry, File, FileType, Metadata, Node, OpenHow, Preopen, Times};
pub use foreign::{ForeignCall, ForeignFunctions};
pub use grpc::{GrpcEvent, GrpcId, GrpcRequest};
pub use host::{Failure, Host, LogRecord, Metric, NoRandomness};
pub use hostcall::{HOSTCALLS, HostcallDecl, HostcallId, entry};
pub use model::action::{Action, CallId, HttpCall, LocalResponse};
pub use model::body::Body;
pub use model::context::{Access, CallResponse, ContextId, ContextMap, Direction, IdHasher, StreamContext};
pub use model::drawn::Drawn;
pub use model::headers::Headers;
pub use model::limits::{Budget, Limits};
pub use model::percent::Percent;
pub use model::plugin::{Compatibility, FailurePolicy, Plugin};
pub use model::resource_metadata::{MetadataList, MetadataMap, MetadataValue, ResourceMetadata};
pub use model::steering::{Steer, Steering};
pub use model::stream_info::{FilterState, SharedStreamInfo, StreamInfo, lock, response_flag};
pub use module::bytecode::{Anatomy, Begins, Bytecode, BytecodeError, MemoryShape, Producer, StartStyle};
pub use module::debug_info::{SourceLines, debug_info_size, without_debug_info};
pub use module::reach::Needs;
pub use module::sealed_code::{SealKey, SealedCode};
pub use rights::{Capabilities, Denial, Learned, OnDenial, Preset, RuleError, RuleTexts, Rules, UnknownCapability};
pub use sandbox::{Conflict, Difference, Placed, Placement, SandboxKey, SandboxSpec, Sharing, schedule};
pub use shared::{Shared, Wake};
pub use template::{Lasting, Template};
pub use usage::{CoarseClock, Usage, Used};
pub use vm::{CallOutcome, Part, Pending, Vm, VmFailed};
pub use vm_state::{VmConfig, VmState};
