//! The numbers and bytes of the Proxy-Wasm ABI: versions, statuses, enums and wire formats.

mod errno;
pub(crate) mod filter_status;
pub(crate) mod pairs;
mod status;
mod types;
mod version;
pub(crate) mod wasm_type;

pub use errno::Errno;
pub use pairs::PairsError;
pub use status::Status;
pub use types::{BufferType, LogLevel, MapType, MetricType, PeerType, StreamType};
pub use version::AbiVersion;
