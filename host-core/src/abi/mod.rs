//! The ground floor: the tables of hostcalls and callbacks, and the numbers and bytes of the Proxy-Wasm ABI: versions, statuses, enums
//! and wire formats.

pub(crate) mod callback;
mod callback_table;
mod errno;
pub(crate) mod filter_status;
pub(crate) mod hostcall;
mod hostcall_table;
pub(crate) mod outcome;
pub(crate) mod pairs;
mod status;
mod types;
pub(crate) mod value;
mod version;
pub(crate) mod wasm_type;

pub use callback::{CALLBACKS, CallbackDecl, CallbackId};
pub use filter_status::{DataStatus, FilterStatus, HeadersStatus, TrailersStatus};
pub use hostcall::{HOSTCALLS, HostcallDecl, HostcallId};
pub use wasm_type::ValType;

pub use errno::Errno;
pub use pairs::PairsError;
pub use status::Status;
pub use types::{BufferType, LogLevel, MapType, MetricType, PeerType, StreamType};
pub use version::AbiVersion;
