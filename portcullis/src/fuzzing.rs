//! Fuzz targets. Without the cfg `fuzzing` there is no such module.

pub use crate::code_cache::fuzzing::code_sections;
pub use crate::foreign::fuzzing::{foreign, hostcalls};
pub use crate::snapshot::fuzzing::{bake, observe};
pub use crate::transcript::fuzzing::transcript;
pub use portcullis_core::fuzzing::Input;
