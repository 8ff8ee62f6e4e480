use std::fmt;

/// A released version of the Proxy-Wasm ABI, as a module declares it by its marker export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AbiVersion {
    /// 0.1.0, of 2020: `proxy_continue_request`, `proxy_get_configuration`.
    V0_1_0,
    /// 0.2.0: `proxy_continue_stream`, `proxy_close_stream`, `end_of_stream` in header callbacks.
    V0_2_0,
    /// 0.2.1: `proxy_get_log_level`.
    V0_2_1,
}

impl AbiVersion {
    /// Every version this host runs, oldest first.
    pub const ALL: &'static [Self] = &[Self::V0_1_0, Self::V0_2_0, Self::V0_2_1];

    /// Returns the export that marks a module as built for this version.
    pub const fn marker(self) -> &'static str {
        match self {
            Self::V0_1_0 => "proxy_abi_version_0_1_0",
            Self::V0_2_0 => "proxy_abi_version_0_2_0",
            Self::V0_2_1 => "proxy_abi_version_0_2_1",
        }
    }

    /// Returns the version that an export of this name marks, if it is a marker.
    pub fn from_marker(export: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|version| version.marker() == export)
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_2_1 => "0.2.1",
        })
    }
}
