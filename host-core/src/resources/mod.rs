//! Resources of a plugin outside its memory: the host, data and queues that VMs share, metrics, files, callouts, foreign functions.

pub(crate) mod callouts;
pub(crate) mod dns;
pub(crate) mod files;
pub(crate) mod foreign;
pub(crate) mod grpc;
pub(crate) mod host;
pub(crate) mod in_flight;
pub(crate) mod metric;
pub(crate) mod shared;

pub use dns::LookupId;
pub use files::{Directory, Entries, Entry, File, FileType, Metadata, Node, OpenHow, Preopen, Times};
pub use foreign::{ForeignCall, ForeignFunctions};
pub use grpc::{GrpcEvent, GrpcId, GrpcRequest};
pub use host::{Failure, Host, LogRecord, Metric, NoRandomness};
pub use shared::{Shared, Wake};
