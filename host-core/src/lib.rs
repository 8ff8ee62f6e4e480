#![doc = include_str!("lib.md")]
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::indexing_slicing, reason = "a test may panic"))]

mod abi;
mod action;
mod any;
mod body;
mod bytecode;
mod callback;
mod callouts;
mod capability;
mod context;
mod dns;
mod engine;
mod error;
mod files;
mod filter_status;
mod foreign;
mod grpc;
mod headers;
mod host;
pub mod hostcall;
mod limits;
mod memory;
mod metric;
mod output;
mod plugin;
mod property;
mod sandbox;
mod sealed_code;
mod shared;
mod stream_info;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod trap;
mod vm;
mod vm_state;
mod wasm_type;

pub use abi::{AbiVersion, BufferType, Errno, LogLevel, MapType, MetricType, PairsError, PeerType, Status, StreamType};
pub use action::{Action, CallId, HttpCall, LocalResponse};
pub use any::{AnyEngine, AnyModule};
pub use body::Body;
pub use bytecode::{Begins, Bytecode, BytecodeError, StartStyle};
pub use callback::{CALLBACKS, CallbackDecl, CallbackId};
pub use capability::{Capabilities, UnknownCapability};
pub use context::{Access, CallResponse, ContextId, Direction, StreamContext};
pub use dns::LookupId;
pub use engine::{Caller, EngineFeatures, EngineSettings, Guest, WasmEngine};
pub use error::{EngineError, StartError};
pub use files::{Directory, Entries, Entry, File, FileType, Metadata, Node, OpenHow, Preopen, Times};
pub use filter_status::{DataStatus, FilterStatus, HeadersStatus, TrailersStatus};
pub use foreign::{ForeignCall, ForeignFunctions};
pub use grpc::{GrpcEvent, GrpcId, GrpcRequest};
pub use headers::Headers;
pub use host::{Host, LogRecord, Metric};
pub use hostcall::{HOSTCALLS, HostcallDecl, HostcallId, entry};
pub use limits::{Budget, Limits};
pub use memory::{GuestMemory, OutOfBounds};
pub use plugin::{FailurePolicy, Plugin};
pub use sandbox::{SandboxKey, SandboxSpec};
pub use sealed_code::{SealKey, SealedCode};
pub use shared::{Shared, SharedLimits, Wake};
pub use stream_info::{FilterState, SharedStreamInfo, StreamInfo, lock};
pub use trap::{CallStack, Frame, Trap, WasmTrap};
pub use vm::{CallOutcome, Vm, VmFailed};
pub use vm_state::{VmConfig, VmState};
pub use wasm_type::ValType;
