//! The hostcalls as data. The table ([`for_each_hostcall!`](crate::for_each_hostcall)) is expanded here to [`HostcallId`] and
//! [`HOSTCALLS`].

use std::fmt;

use crate::abi::AbiVersion;
use crate::abi::outcome::Outcome;
use crate::abi::wasm_type::{ValType, WasmType};

/// One row of the hostcall table, as data.
#[derive(Debug)]
#[non_exhaustive]
pub struct HostcallDecl {
    /// Which row.
    pub id: HostcallId,
    /// The import modules under which guests ask for it.
    pub modules: &'static [&'static str],
    /// Its import name, which is also the capability's name.
    pub name: &'static str,
    /// Parameter names. One that begins with `ret_` says where the guest wants a result; one that ends with `_len` is the
    /// length of what the one before it points to.
    pub names: &'static [&'static str],
    /// Parameter types.
    pub params: &'static [ValType],
    /// Result types: none or one.
    pub results: &'static [ValType],
    /// The first ABI version that has it.
    pub since: AbiVersion,
    /// The last ABI version that has it.
    pub until: AbiVersion,
}

/// When a guest may call a hostcall. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// When it has a plugin, whose rights allow it.
    Plugin,
    /// Also in its start section and start functions.
    Start,
    /// Also while the host runs its allocator.
    Allocator,
    /// Whatever its rights are.
    Always,
}

macro_rules! expand {
    ($( [$($module:literal),*] $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident($sees:ident, $when:ident); )*) => {
        /// A hostcall; the number of its row in the table.
        #[expect(non_camel_case_types, reason = "the ABI's own names, so that a search finds them")]
        #[expect(missing_docs, reason = "the ABI's specification documents each row")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum HostcallId { $($name),* }

        /// Every hostcall, in the order of [`HostcallId`].
        pub static HOSTCALLS: &[HostcallDecl] = &[$(HostcallDecl {
            id: HostcallId::$name,
            modules: &[$($module),*],
            name: stringify!($name),
            names: &[$(stringify!($arg)),*],
            params: &[$(<$ty as WasmType>::TYPE),*],
            results: <<$ret as Outcome>::Raw as crate::abi::wasm_type::WasmResult>::TYPES,
            since: AbiVersion::$since,
            until: AbiVersion::$until,
        }),*];

        /// Returns the hostcalls that a guest may call then, a bit for each.
        pub(crate) const fn callable(when: When) -> u128 {
            0 $(| if When::$when as u8 >= when as u8 { 1 << HostcallId::$name as u8 } else { 0 })*
        }
    };
}
crate::for_each_hostcall!(expand);

const _: () = assert!(HOSTCALLS.len() <= 128, "a capability set has 128 bits for hostcalls");

impl HostcallId {
    /// Returns the row as data.
    #[expect(clippy::indexing_slicing, reason = "the table has one row for each id")]
    pub fn decl(self) -> &'static HostcallDecl {
        &HOSTCALLS[self as usize]
    }

    /// Returns the import modules under which this is linked for `abi`; none when that version lacks it.
    pub fn linked_modules(self, abi: AbiVersion) -> &'static [&'static str] {
        let decl = self.decl();
        if (decl.since..=decl.until).contains(&abi) { decl.modules } else { &[] }
    }

    /// Returns the hostcall that an import asks for, of whatever ABI version it is.
    pub fn imported(module: &str, name: &str) -> Option<Self> {
        let named = |decl: &&HostcallDecl| decl.name == name && decl.modules.contains(&module);
        HOSTCALLS.iter().find(named).map(|decl| decl.id)
    }

    /// Returns whether this is a function of WASI preview 1.
    pub fn is_wasi(self) -> bool {
        self.decl().modules.contains(&"wasi_snapshot_preview1")
    }
}

impl fmt::Display for HostcallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.decl().name)
    }
}
