//! The meaning of each parameter of a hostcall, from the names that the table gives it.

use portcullis::abi::HostcallId;

macro_rules! parameters {
    ($( [$($module:literal),*] $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident $columns:tt; )*) => {
        const PARAMETERS: &[(HostcallId, &[&str])] = &[$((HostcallId::$name, &[$(stringify!($arg)),*])),*];
    };
}
portcullis_core::for_each_hostcall!(parameters);

/// The meaning of a parameter to a guest that means harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The address of something that the host reads; behind it stands its length, in units of so many bytes.
    Input { unit: u64 },
    /// The address of a buffer that the host fills; behind it stands its length.
    Buffer,
    /// The address of a word or a structure that the host writes, or of one that is read without a length.
    Pointer { written: bool },
    /// The length of the parameter before.
    Length,
    /// An id, an enum, a flag, an offset.
    Number,
}

/// Returns the parameters of a hostcall, by name and role.
pub(super) fn of(hostcall: HostcallId) -> Vec<(&'static str, Role)> {
    let names = PARAMETERS.iter().find(|(id, _)| *id == hostcall).map_or(&[][..], |(_, names)| names);
    let next = |index: usize| names.get(index + 1).copied().unwrap_or_default();
    names.iter().enumerate().map(|(index, name)| (*name, role(hostcall, name, next(index)))).collect()
}

fn role(hostcall: HostcallId, name: &str, next: &str) -> Role {
    match name {
        "iovs" => return Role::Input { unit: 8 },
        "subscriptions" | "message" | "file" if !next.ends_with("_len") => return Role::Pointer { written: false },
        "argv" | "argv_buf" | "environ" | "environ_buf" | "events" => return Role::Pointer { written: true },
        "buf" => return Role::Buffer,
        "path" if hostcall == HostcallId::fd_prestat_dir_name => return Role::Buffer,
        _ => {}
    }
    if name.starts_with("ret_") {
        Role::Pointer { written: true }
    } else if next.strip_suffix("_len").is_some_and(|of| of == name) {
        Role::Input { unit: 1 }
    } else if name.ends_with("_len") && name != "max_len" {
        Role::Length
    } else {
        Role::Number
    }
}
