#![doc = include_str!("../README.md")]
#![doc = include_str!("lib.md")]
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::indexing_slicing, reason = "a test may panic"))]

mod abi;
mod engine;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod hostcall;
mod model;
mod module;
mod observe;
mod resources;
mod rights;
mod sandbox;
#[cfg(any(test, fuzzing, feature = "testing"))]
pub mod testing;
mod vm;

pub use abi::callback::{CALLBACKS, CallbackDecl, CallbackId};
pub use abi::filter_status::{DataStatus, FilterStatus, HeadersStatus, TrailersStatus};
pub use abi::hostcall::{HOSTCALLS, HostcallDecl, HostcallId};
pub use abi::wasm_type::ValType;
pub use abi::{AbiVersion, BufferType, Errno, LogLevel, MapType, MetricType, PairsError, PeerType, Status, StreamType};
pub use engine::any::{AnyEngine, AnyModule};
pub use engine::error::{EngineError, StartError};
pub use engine::memory::{GuestMemory, OutOfBounds};
pub use engine::trap::{CallStack, Frame, Trap, WasmTrap, function_name};
pub use engine::{Caller, EngineFeatures, EngineSettings, Guest, WasmEngine};
pub use hostcall::entry;
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
pub use module::bytecode::{Begins, Bytecode, BytecodeError, MemoryShape, ModuleInfo, Producer, StartStyle};
pub use module::debug_info::{SourceLines, debug_info_size, without_debug_info};
pub use module::reach::Needs;
pub use module::sealed_code::{SealKey, SealedCode};
pub use observe::{profile, transcript};
pub use resources::dns::LookupId;
pub use resources::files::{Directory, Entries, Entry, File, FileType, Metadata, Node, OpenHow, Preopen, Times};
pub use resources::foreign::{ForeignCall, ForeignFunctions};
pub use resources::grpc::{GrpcEvent, GrpcId, GrpcRequest};
pub use resources::host::{Failure, Host, LogRecord, Metric, NoRandomness};
pub use resources::shared::{Shared, Wake};
pub use rights::{Capabilities, Denial, Learned, OnDenial, Preset, RuleError, RuleTexts, Rules, UnknownCapability};
pub use sandbox::byte_budget::HeldBytes;
pub use sandbox::{Conflict, Difference, Placed, Placement, SandboxKey, SandboxSpec, Sharing, VmSpec, schedule};
pub use vm::quotas::NeedsLongLivedVm;
pub use vm::snapshot::VmSnapshot;
pub use vm::state::{VmConfig, VmState};
pub use vm::usage::{CoarseClock, Usage, Used};
pub use vm::{CallOutcome, Part, Pending, Vm, VmFailed};
