//! Envoy, as filters need it: traits that [`handle`](crate::handle) implements over the ABI, and tests by a fake.
//!
//! Results of getters borrow from the handle, and setters take the handle for themselves: so nothing is read after the setter that makes
//! it invalid.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use portcullis::abi::LogLevel;
use portcullis::model::{Attributes, Changes, Direction, Edit, Headers, SharedStreamInfo};

use crate::sendable::is_sendable;

/// A map of headers or trailers, by its number in the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Map {
    RequestHeaders = 0,
    RequestTrailers = 1,
    ResponseHeaders = 2,
    ResponseTrailers = 3,
}

/// A body, by its number in the ABI: the piece that a hook is about, or what Envoy keeps of what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Bytes {
    ReceivedRequest = 0,
    BufferedRequest = 1,
    ReceivedResponse = 2,
    BufferedResponse = 3,
}

impl Map {
    pub(crate) const fn headers(direction: Direction) -> Self {
        match direction {
            Direction::Request => Self::RequestHeaders,
            Direction::Response => Self::ResponseHeaders,
        }
    }

    pub(crate) const fn trailers(direction: Direction) -> Self {
        match direction {
            Direction::Request => Self::RequestTrailers,
            Direction::Response => Self::ResponseTrailers,
        }
    }
}

impl Bytes {
    pub(crate) const fn received(direction: Direction) -> Self {
        match direction {
            Direction::Request => Self::ReceivedRequest,
            Direction::Response => Self::ReceivedResponse,
        }
    }

    pub(crate) const fn buffered(direction: Direction) -> Self {
        match direction {
            Direction::Request => Self::BufferedRequest,
            Direction::Response => Self::BufferedResponse,
        }
    }
}

/// Why Envoy begins no callout, by its number in the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotStarted(pub(crate) u32);

impl NotStarted {
    /// The headers lack `:method`, `:path` or the host.
    pub(crate) const HEADERS: Self = Self(1);
    /// No cluster has the name.
    pub(crate) const CLUSTER: Self = Self(2);
    /// Only requests that are whole can be made there. No number of Envoy's.
    pub(crate) const STREAMING: Self = Self(u32::MAX);
    /// Too many requests are under way that cannot be given up. No number of Envoy's.
    pub(crate) const FULL: Self = Self(u32::MAX - 1);
}

/// Makes requests to clusters: of a stream, on its worker, or of a configuration, on the main thread.
pub(crate) trait Requests {
    /// Begins a request, without a limit of time if it can be given up; returns the number that its events have.
    fn start(&mut self, cluster: &str, headers: &Headers, body: &[u8], end: bool) -> Result<u64, NotStarted>;
    /// Sends body; returns whether there is such a request.
    fn send(&mut self, id: u64, data: &[u8], end: bool) -> bool;
    /// Sends trailers, the last of a request.
    fn send_trailers(&mut self, id: u64, trailers: &Headers) -> bool;
    /// Gives a request up. Envoy tells of its end within this call or later.
    fn reset(&mut self, id: u64);
    /// Returns whether requests can be given up.
    fn can_reset(&self) -> bool {
        true
    }
}

/// A stream, in one of its hooks.
pub(crate) trait Http: Requests {
    /// Returns the index of the worker that the stream is on.
    fn worker(&self) -> usize;
    /// Returns the entries of a map; none if Envoy does not have it.
    fn entries(&self, map: Map) -> Option<Vec<(&[u8], &[u8])>>;
    /// Sets a header in place of all of its name.
    fn set(&mut self, map: Map, name: &[u8], value: &[u8]);
    /// Adds a header.
    fn add(&mut self, map: Map, name: &[u8], value: &[u8]);
    /// Removes all headers of a name.
    fn remove(&mut self, map: Map, name: &[u8]);
    /// Returns the length of a body that Envoy has now.
    fn body_len(&self, of: Bytes) -> usize;
    /// Returns whether the piece that a hook is about is all that Envoy keeps: a filter before this one has kept it.
    fn received_is_buffered(&self, direction: Direction) -> bool;
    /// Copies a body that Envoy has now.
    fn body(&self, of: Bytes) -> bytes::Bytes;
    /// Removes bytes from the front of a body.
    fn drain(&mut self, of: Bytes, length: usize);
    /// Adds bytes to a body.
    fn append(&mut self, of: Bytes, data: &[u8]) -> bool;
    /// Returns how many bytes Envoy buffers of a direction; 0 for no limit.
    fn buffer_limit(&self) -> u64;
    /// Answers the stream by a local reply. Other filters, and hooks of this one, run meanwhile.
    fn respond(&mut self, status: u32, headers: &Headers, body: &[u8], details: &[u8]);
    /// Answers the stream with exactly these headers, of which `:status` is one.
    fn respond_verbatim(&mut self, headers: &Headers, body: &[u8]);
    /// Lets the stream go on that this filter has stopped. Other filters, and hooks of this one, run meanwhile.
    fn go_on(&mut self, direction: Direction);
    /// Cuts the stream.
    fn cut(&mut self, details: &[u8]);
    /// Has Envoy choose the route anew.
    fn clear_route(&mut self);
    /// Sets an object of the stream's filter state, which access logs see.
    fn set_filter_state(&mut self, key: &[u8], value: &[u8]) -> bool;
    /// Returns an attribute that is a number.
    fn number(&self, attribute: u32) -> Option<u64>;
    /// Makes what calls the filter on its own thread, from any thread.
    fn scheduler(&mut self) -> Option<Box<dyn Scheduler>>;
    /// Returns properties of the stream, looked up in Envoy.
    fn attributes(&mut self) -> Arc<dyn StreamAttributes>;
}

/// A connection, in one of its hooks.
pub(crate) trait Tcp: Requests {
    /// Returns the index of the worker that the connection is on.
    fn worker(&self) -> usize;
    /// Returns the number of the connection.
    fn id(&self) -> u64;
    /// Returns how many bytes Envoy buffers; 0 for no limit.
    fn buffer_limit(&self) -> u32;
    /// Copies what a hook is about: the bytes on their way to the upstream (requests) or to the client.
    fn data(&self, direction: Direction) -> bytes::Bytes;
    /// Removes bytes from the front of that.
    fn drain(&mut self, direction: Direction, length: usize);
    /// Adds bytes to it.
    fn append(&mut self, direction: Direction, data: &[u8]);
    /// Sends bytes to the filters after this one, outside of what a hook is about.
    fn inject(&mut self, direction: Direction, data: &[u8], end: bool);
    /// Lets a new connection go on.
    fn go_on(&mut self);
    /// Closes the connection, once all is written.
    fn close(&mut self, details: &[u8]);
    /// Cuts the connection.
    fn cut(&mut self, details: &[u8]);
    /// Stops or begins reading from the client. Each stop wants a beginning.
    fn stop_reading(&mut self, stop: bool);
    /// Sets an object of the connection's filter state, which access logs see.
    fn set_filter_state(&mut self, key: &[u8], value: &[u8]) -> bool;
    /// Makes what calls the filter on its own thread, from any thread.
    fn scheduler(&mut self) -> Option<Box<dyn Scheduler>>;
    /// Returns properties of the connection, looked up in Envoy.
    fn attributes(&mut self) -> Arc<dyn StreamAttributes>;
}

/// Properties of a stream, which Envoy gives within its hooks alone.
pub(crate) trait StreamAttributes: Attributes {
    /// Copies them, within a hook, for callbacks of plugins that run on other threads from now on.
    fn keep(&self);
    /// Ends it: the stream is over.
    fn close(&self);
}

/// Has Envoy call a filter or a configuration back, on its own thread. Dropped before its thread ends.
pub(crate) trait Scheduler: Send + Sync + fmt::Debug {
    /// Asks for a call with this number. Of one that is gone, nothing happens.
    fn commit(&self, event: u64);
}

/// Takes lines for Envoy's log, on any thread.
pub(crate) trait Log: Send + Sync + fmt::Debug {
    /// Returns whether lines of a level are written.
    fn is_enabled(&self, level: LogLevel) -> bool;
    /// Writes a line; as one, whatever a plugin has put into it.
    fn write(&self, level: LogLevel, line: &[u8]);
}

/// Returns text as one line of a log: with spaces in the place of line ends and other control characters, but for tabs.
pub(crate) fn one_line(text: &[u8]) -> Cow<'_, [u8]> {
    let is_control = |at: usize, byte: u8| match byte {
        b'\t' => false,
        // The second byte of one of U+0080 to U+009F, in UTF-8.
        0x80..=0x9f => at.checked_sub(1).and_then(|before| text.get(before)) == Some(&0xc2),
        // The first.
        0xc2 => text.get(at + 1).is_some_and(|next| matches!(next, 0x80..=0x9f)),
        byte => byte.is_ascii_control(),
    };
    if !text.iter().enumerate().any(|(at, byte)| is_control(at, *byte)) {
        return Cow::Borrowed(text);
    }
    text.iter().enumerate().map(|(at, byte)| if is_control(at, *byte) { b' ' } else { *byte }).collect()
}

/// Copies a map of Envoy's.
pub(crate) fn copy(entries: &[(&[u8], &[u8])]) -> Headers {
    let bytes = entries.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    // Room for what plugins add.
    let mut headers = Headers::with_capacity(entries.len() + 4, bytes + 64);
    entries.iter().for_each(|(name, value)| headers.add(name, value));
    headers
}

/// Returns what plugins have set as properties, under the names that they have in Envoy's own filter, if that has changed since the
/// revision that was `published`.
pub(crate) fn set_by_plugins(info: &SharedStreamInfo, published: &Cell<u64>) -> Vec<(Vec<u8>, Vec<u8>)> {
    info.with(|info| {
        let state = &info.filter_state;
        if published.replace(state.revision()) == state.revision() {
            return Vec::new();
        }
        state.iter().map(|(path, value)| ([b"wasm.", path].concat(), value.to_vec())).collect()
    })
}

/// The reason for which a map cannot be made what plugins have left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotWritten {
    /// Envoy has no such map: trailers cannot be made.
    NoMap,
    /// A header has this name, and cannot be sent.
    Unsendable(String),
}

/// Makes a map of Envoy's what plugins have left of it. Of one that has a header that cannot be sent nothing is changed.
pub(crate) fn write_back(envoy: &mut dyn Http, map: Map, headers: &Headers) -> Result<(), NotWritten> {
    let Some(entries) = envoy.entries(map) else {
        return if headers.is_empty() { Ok(()) } else { Err(NotWritten::NoMap) };
    };
    let appended = match headers.changes(|| entries.iter().copied()) {
        Changes::None => return Ok(()),
        Changes::Appended(appended) => Some(appended),
        Changes::Mixed(_) => None,
    };
    if let Some(appended) = appended {
        appended.clone().try_for_each(|(name, value)| check(name, value))?;
        appended.for_each(|(name, value)| envoy.add(map, name, value));
        return Ok(());
    }
    // The first setter makes the entries invalid.
    let original = copy(&entries);
    let Changes::Mixed(mixed) = headers.changes(|| original.iter()) else { return Ok(()) };
    let edits = mixed.edits();
    edits.iter().try_for_each(|edit| match edit {
        Edit::Remove(_) => Ok(()),
        Edit::Set(name, value) | Edit::Add(name, value) => check(name, value),
    })?;
    for edit in edits {
        match edit {
            Edit::Remove(name) => envoy.remove(map, name),
            Edit::Set(name, value) => envoy.set(map, name, value),
            Edit::Add(name, value) => envoy.add(map, name, value),
        }
    }
    Ok(())
}

fn check(name: &[u8], value: &[u8]) -> Result<(), NotWritten> {
    if is_sendable(name, value) {
        return Ok(());
    }
    Err(NotWritten::Unsendable(String::from_utf8_lossy(name).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn text_of_a_plugin_is_one_line() {
        for (text, line) in [
            ("plain\tü €", "plain\tü €"),
            ("a\r\n[2026][critical] forged", "a  [2026][critical] forged"),
            ("\u{1b}[2J\0\u{7f}\u{85}\u{9b}", " [2J      "),
        ] {
            assert_eq!(*one_line(text.as_bytes()), *line.as_bytes(), "{text:?}");
        }
    }
}
