//! The types of the ABI.
#![expect(unsafe_code, reason = "foreign buffers become slices")]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

/// Bytes that Envoy owns (`eb`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvoyBytes {
    ptr: *const u8,
    len: usize,
}

/// Bytes that the module lends to Envoy for a call (`mb`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnBytes<'a> {
    ptr: *const u8,
    len: usize,
    bytes: PhantomData<&'a [u8]>,
}

/// A header that Envoy owns (`eh`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvoyHeader {
    name: EnvoyBytes,
    value: EnvoyBytes,
}

/// A header that the module lends to Envoy for a call (`mh`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnHeader<'a> {
    name: OwnBytes<'a>,
    value: OwnBytes<'a>,
}

/// Times of a stream, in nanoseconds (`timing_info_v2`), in the order of the list; then, in the same order, whether each is known.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    times: [i64; 19],
    known: [bool; 19],
}

impl Timing {
    /// Returns the time from the request's first byte to the upstream until the response's last from there.
    pub(crate) fn backend_latency(&self) -> Option<u64> {
        const FIRST_UPSTREAM_TX: usize = 9;
        const LAST_UPSTREAM_RX: usize = 13;
        let time = |at: usize| if *self.known.get(at)? { self.times.get(at).copied() } else { None };
        u64::try_from(time(LAST_UPSTREAM_RX)?.checked_sub(time(FIRST_UPSTREAM_TX)?)?).ok()
    }
}

impl EnvoyBytes {
    pub(crate) const NONE: Self = Self { ptr: ptr::null(), len: 0 };

    /// Returns the bytes.
    ///
    /// # Safety
    /// Envoy keeps them for `'a`: until the hook returns, or until the next setter on the same thing.
    pub(crate) unsafe fn get<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: Envoy gives as many bytes as it says, and keeps them for as long as the caller says.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

impl EnvoyHeader {
    pub(crate) const NONE: Self = Self { name: EnvoyBytes::NONE, value: EnvoyBytes::NONE };

    /// Returns name and value.
    ///
    /// # Safety
    /// As [`EnvoyBytes::get`].
    pub(crate) unsafe fn get<'a>(self) -> (&'a [u8], &'a [u8]) {
        // SAFETY: the same promise.
        unsafe { (self.name.get(), self.value.get()) }
    }
}

/// Returns an array of a hook's parameters; Envoy may pass null for none.
///
/// # Safety
/// `at` is null or points to `count` values that Envoy keeps for `'a`.
pub(crate) unsafe fn array<'a, T>(at: *const T, count: usize) -> &'a [T] {
    if at.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: see above.
    unsafe { std::slice::from_raw_parts(at, count) }
}

impl<'a> OwnBytes<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len(), bytes: PhantomData }
    }
}

impl OwnBytes<'static> {
    pub(crate) const NULL: Self = Self { ptr: ptr::null(), len: 0, bytes: PhantomData };
}

impl<'a> OwnHeader<'a> {
    pub(crate) fn of(name: &'a [u8], value: &'a [u8]) -> Self {
        Self { name: OwnBytes::of(name), value: OwnBytes::of(value) }
    }
}

macro_rules! handles {
    ($( $(#[doc = $doc:literal])* $name:ident; )*) => {$(
        $(#[doc = $doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $name(*mut c_void);

        // SAFETY: a handle is an address and no more; only `handle` follows it, by the rules of threads that stand there.
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}
    )*};
}

handles! {
    /// A stream (`F`).
    Stream;
    /// The configuration of an HTTP filter (`C`).
    Config;
    /// Calls the filter of a stream (`FS`).
    StreamScheduler;
    /// Calls a configuration (`CS`).
    ConfigScheduler;
    /// A connection (`N`).
    Connection;
    /// The configuration of a network filter (`NC`).
    NetworkConfig;
    /// Calls the filter of a connection (`NS`).
    ConnectionScheduler;
}

impl StreamScheduler {
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }
}

impl ConfigScheduler {
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }
}

impl ConnectionScheduler {
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }
}
