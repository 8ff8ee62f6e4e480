#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]
#![doc = include_str!("lib.md")]
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::indexing_slicing, reason = "a test may panic"))]

pub mod abi;
pub mod engine;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod hostcall;
pub mod model;
pub mod module;
pub mod observe;
pub mod resources;
pub mod rights;
pub mod sandbox;
mod setters;
#[cfg(any(test, fuzzing, feature = "testing"))]
pub mod testing;
pub mod vm;
