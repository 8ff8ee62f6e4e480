//! The callbacks as data. The table ([`for_each_callback!`](crate::for_each_callback)) is expanded here to [`CallbackId`] and
//! [`CALLBACKS`].

use std::fmt;

use crate::abi::AbiVersion;
use crate::abi::wasm_type::{ValType, WasmResult, WasmType};

/// One row of the callback table, as data.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallbackDecl {
    /// Which row.
    pub id: CallbackId,
    /// Its export name, which is also the capability's name.
    pub export: &'static str,
    /// Parameter types.
    pub params: &'static [ValType],
    /// Result types: none or one.
    pub results: &'static [ValType],
    /// The first ABI version that has this shape.
    pub since: AbiVersion,
    /// The last ABI version that has this shape.
    pub until: AbiVersion,
}

macro_rules! expand {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        /// A callback; the number of its row in the table.
        #[expect(non_camel_case_types, reason = "the names of the methods that call them")]
        #[expect(missing_docs, reason = "the ABI's specification documents each row")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum CallbackId { $($method),* }

        /// Every callback, in the order of [`CallbackId`].
        pub static CALLBACKS: &[CallbackDecl] = &[$(CallbackDecl {
            id: CallbackId::$method,
            export: $export,
            params: &[$(<$ty as WasmType>::TYPE),*],
            results: <$ret as WasmResult>::TYPES,
            since: AbiVersion::$since,
            until: AbiVersion::$until,
        }),*];
    };
}
crate::for_each_callback!(expand);

const _: () = assert!(CALLBACKS.len() <= 64, "a capability set has 64 bits for callbacks");

impl CallbackId {
    /// Returns the row as data.
    #[expect(clippy::indexing_slicing, reason = "the table has one row for each id")]
    pub fn decl(self) -> &'static CallbackDecl {
        &CALLBACKS[self as usize]
    }

    /// Returns whether this runs when a VM starts, before any plugin exists; it needs no capability.
    pub const fn is_start_function(self) -> bool {
        matches!(self, Self::initialize | Self::start | Self::main | Self::main_void)
    }
}

impl fmt::Display for CallbackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.decl().export)
    }
}
