//! Fuzz targets. Without the cfg `fuzzing` there is no such module.

pub use crate::config::fuzzing::configuration;
pub use crate::convert::fuzzing::convert;
pub use crate::worker::grpc::fuzzing::frames;
