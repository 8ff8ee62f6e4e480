//! The answers of guests to the callbacks of a stream (spec: "Filter statuses").

/// The answer of a headers callback (abi: FilterHeadersStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersStatus {
    /// Pass the headers on.
    Continue,
    /// Hold the headers; body callbacks come.
    StopIteration,
    /// Hold everything; buffer the body up to the limit, then fail.
    StopAllAndBuffer,
    /// Hold everything; stop reading at the limit.
    StopAllAndWatermark,
}

impl HeadersStatus {
    /// Reads the number that a guest returned. `allow_stop` says whether 1 holds the headers alone.
    pub const fn from_guest(value: i32, allow_stop: bool) -> Self {
        match value {
            // Deployed hosts treat ContinueAndEndStream (2) as Continue.
            0 | 2 => Self::Continue,
            1 if allow_stop => Self::StopIteration,
            3 => Self::StopAllAndBuffer,
            _ => Self::StopAllAndWatermark,
        }
    }
}

/// The answer of a body callback (abi: FilterDataStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataStatus {
    /// Pass on what is held.
    Continue,
    /// Hold it; beyond the limit, fail.
    StopAndBuffer,
    /// Hold it; stop reading at the limit.
    StopAndWatermark,
    /// Drop it; the plugin has it.
    StopNoBuffer,
}

impl DataStatus {
    /// Reads the number that a guest returned.
    pub const fn from_guest(value: i32) -> Self {
        match value {
            0 => Self::Continue,
            1 => Self::StopAndBuffer,
            2 => Self::StopAndWatermark,
            _ => Self::StopNoBuffer,
        }
    }
}

/// The answer of a trailers callback (abi: FilterTrailersStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrailersStatus {
    /// Pass on what is held, and the trailers.
    Continue,
    /// Hold them.
    StopIteration,
}

impl TrailersStatus {
    /// Reads the number that a guest returned.
    pub const fn from_guest(value: i32) -> Self {
        if value == 0 { Self::Continue } else { Self::StopIteration }
    }
}

/// The answer of a callback of a TCP stream (abi: FilterStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterStatus {
    /// Pass on what is held.
    Continue,
    /// Hold it.
    StopIteration,
}

impl FilterStatus {
    /// Reads the number that a guest returned.
    pub const fn from_guest(value: i32) -> Self {
        if value == 0 { Self::Continue } else { Self::StopIteration }
    }
}
