//! Properties that the driver of a stream looks up when a plugin asks.

use std::fmt;

/// Properties of a stream, or of its connection, that are looked up when a plugin asks for them. What few plugins ask for costs other
/// streams nothing then.
///
/// The core asks for what it does not know itself: what [`StreamInfo`](crate::model::StreamInfo) has no value for, and names that it
/// has never heard of. It does not ask for what is read from headers, so that rules that hide a header hide it here, too; nor for a
/// path above or below one that rules take away from the plugin. What plugins have set comes after.
///
/// One value may serve all streams of a connection.
///
/// ```
/// use portcullis_core::model::{Attributes, StreamInfo};
/// use std::sync::Arc;
///
/// #[derive(Debug)]
/// struct Tls {
///     version: &'static str,
/// }
///
/// impl Attributes for Tls {
///     fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
///         match path {
///             b"connection\0tls_version" => out.extend_from_slice(self.version.as_bytes()),
///             b"connection\0mtls" => out.push(1),
///             _ => return false,
///         }
///         true
///     }
/// }
///
/// let info = StreamInfo { attributes: Some(Arc::new(Tls { version: "TLSv1.3" })), ..StreamInfo::default() };
/// # drop(info);
/// ```
pub trait Attributes: fmt::Debug + Send + Sync {
    /// Writes a property to `out`, which is empty; returns whether there is one. `path` has a zero byte between its segments and none
    /// at its end. Text and bytes are written as they are, integers, durations and times in nanoseconds as 8 bytes, little-endian,
    /// truth values as 1 byte.
    ///
    /// Called in the midst of a hostcall, while the stream's information is locked: it must neither read that nor call the worker, and
    /// should neither block nor allocate but in `out`.
    fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool;
}
