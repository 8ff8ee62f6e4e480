//! Fuzz targets. Without the cfg `fuzzing` there is no such module.

pub use crate::config::fuzzing::configuration;
pub use crate::serve::convert::fuzzing::convert;
