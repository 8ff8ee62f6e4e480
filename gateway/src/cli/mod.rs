//! The command line: what subcommands do and print.

pub mod abi;
pub mod compile;
pub mod engines;
pub mod inspect;
pub mod presets;
pub mod replay;
