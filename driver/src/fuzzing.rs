//! Fuzz targets. Without the cfg `fuzzing` there is no such module.

pub use crate::grpc::fuzzing::frames;
