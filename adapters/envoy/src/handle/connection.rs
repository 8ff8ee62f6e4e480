//! A connection, in its hooks.
#![expect(unsafe_code, reason = "these are calls of Envoy's functions")]

use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use portcullis::model::{Direction, Headers};

use super::lists::list;
use super::properties::{Current, Entered, properties};
use crate::abi::{self, Callbacks, EnvoyBytes, OwnBytes};
use crate::attributes::{Source, What, number};
use crate::envoy::{NotStarted, Requests, Scheduler, StreamAttributes, Tcp};

/// The time limit of a request. The driver gives those up that take too long for a plugin, and Envoy goes on with them.
const MOST_MILLISECONDS: u64 = 60_000;

/// A connection, in one of its hooks.
#[derive(Debug)]
pub(crate) struct Connection<'hook> {
    envoy: &'static Callbacks,
    raw: abi::Connection,
    hook: PhantomData<&'hook ()>,
}

impl Connection<'_> {
    /// Begins a hook of a connection.
    ///
    /// # Safety
    /// `raw` is what Envoy has given to the hook that runs, and the handle goes no further.
    pub(crate) unsafe fn enter<R>(raw: abi::Connection, hook: impl FnOnce(&mut Connection<'_>) -> R) -> Option<R> {
        let envoy = abi::callbacks()?;
        let _entered = Entered::new(Current::Connection(raw));
        Some(hook(&mut Connection { envoy, raw, hook: PhantomData }))
    }
}

impl Connection<'_> {
    fn text(&self, attribute: u32) -> Option<&[u8]> {
        let mut bytes = EnvoyBytes::NONE;
        // SAFETY: the hook runs, and there is room for the result, which is Envoy's until the hook ends or something is set.
        unsafe {
            (self.envoy.network_filter_get_attribute_string)(self.raw, attribute, &mut bytes).then(|| bytes.get())
        }
    }
}

impl Source for Connection<'_> {
    fn get(&self, what: What<'_>, out: &mut Vec<u8>) -> bool {
        let (mut number, mut truth, mut total) = (0, false, 0);
        match what {
            What::Text(id) => match self.text(id) {
                Some(text) => out.extend_from_slice(text),
                None => return false,
            },
            What::Number(id) => {
                // SAFETY: the hook runs, and there is room for the result.
                if !unsafe { (self.envoy.network_filter_get_attribute_int)(self.raw, id, &mut number) } {
                    return false;
                }
                out.extend_from_slice(&u64::to_le_bytes(number));
            }
            What::Truth(id) => {
                // SAFETY: as above.
                if !unsafe { (self.envoy.network_filter_get_attribute_bool)(self.raw, id, &mut truth) } {
                    return false;
                }
                out.push(u8::from(truth));
            }
            What::UpstreamFailure => match self.text(number::UPSTREAM_FAILURE) {
                Some(reason) => out.extend_from_slice(reason),
                None => return self.text(number::UPSTREAM_ADDRESS).is_some(),
            },
            What::Endpoints => {
                let Some(cluster) = self.text(number::CLUSTER) else { return false };
                let (cluster, none) = (OwnBytes::of(cluster), ptr::null_mut());
                // SAFETY: as above; the other counts may be null. Priority 0 is where nearly all hosts are.
                if !unsafe {
                    (self.envoy.network_filter_get_cluster_host_count)(self.raw, cluster, 0, &mut total, none, none)
                } {
                    return false;
                }
                out.extend_from_slice(&(total as u64).to_le_bytes());
            }
            What::FilterState(key) => {
                let mut bytes = EnvoyBytes::NONE;
                // SAFETY: as above; the result is copied at once.
                unsafe {
                    if !(self.envoy.network_get_filter_state_typed)(self.raw, OwnBytes::of(key), &mut bytes) {
                        return false;
                    }
                    out.extend_from_slice(bytes.get());
                }
            }
            What::BackendLatency | What::Metadata { .. } => return false,
        }
        true
    }
}

impl Tcp for Connection<'_> {
    fn worker(&self) -> usize {
        // SAFETY: the hook runs.
        unsafe { (self.envoy.network_filter_get_worker_index)(self.raw) as usize }
    }

    fn id(&self) -> u64 {
        // SAFETY: the hook runs.
        unsafe { (self.envoy.network_filter_get_connection_id)(self.raw) }
    }

    fn buffer_limit(&self) -> u32 {
        // SAFETY: the hook runs.
        unsafe { (self.envoy.network_filter_get_buffer_limit)(self.raw) }
    }

    fn data(&self, direction: Direction) -> bytes::Bytes {
        let (count, chunks) = match direction {
            Direction::Request => (
                self.envoy.network_filter_get_read_buffer_chunks_size,
                self.envoy.network_filter_get_read_buffer_chunks,
            ),
            Direction::Response => (
                self.envoy.network_filter_get_write_buffer_chunks_size,
                self.envoy.network_filter_get_write_buffer_chunks,
            ),
        };
        // SAFETY: the hook runs, and there is room for as many pieces as Envoy says; they are copied at once.
        unsafe {
            let count = count(self.raw);
            let mut pieces = vec![EnvoyBytes::NONE; count];
            if count == 0 || !chunks(self.raw, pieces.as_mut_ptr()) {
                return bytes::Bytes::new();
            }
            let mut all = Vec::new();
            pieces.into_iter().for_each(|piece| all.extend_from_slice(piece.get()));
            all.into()
        }
    }

    fn drain(&mut self, direction: Direction, length: usize) {
        let drain = match direction {
            Direction::Request => self.envoy.network_filter_drain_read_buffer,
            Direction::Response => self.envoy.network_filter_drain_write_buffer,
        };
        // SAFETY: the hook runs.
        unsafe { drain(self.raw, length) };
    }

    fn append(&mut self, direction: Direction, data: &[u8]) {
        let append = match direction {
            Direction::Request => self.envoy.network_filter_append_read_buffer,
            Direction::Response => self.envoy.network_filter_append_write_buffer,
        };
        // SAFETY: the hook runs, and Envoy copies.
        unsafe { append(self.raw, OwnBytes::of(data)) };
    }

    fn inject(&mut self, direction: Direction, data: &[u8], end: bool) {
        let inject = match direction {
            Direction::Request => self.envoy.network_filter_inject_read_data,
            Direction::Response => self.envoy.network_filter_inject_write_data,
        };
        // SAFETY: the hook runs, and Envoy copies. Nothing of the filter is borrowed for change.
        unsafe { inject(self.raw, OwnBytes::of(data), end) };
    }

    fn go_on(&mut self) {
        // SAFETY: the hook runs. Nothing of the filter is borrowed for change.
        unsafe { (self.envoy.network_filter_continue_reading)(self.raw) };
    }

    fn close(&mut self, details: &[u8]) {
        const FLUSH_WRITE: u32 = 0;
        // SAFETY: as above.
        unsafe { (self.envoy.network_filter_close_with_details)(self.raw, FLUSH_WRITE, OwnBytes::of(details)) };
    }

    fn cut(&mut self, details: &[u8]) {
        const ABORT_RESET: u32 = 4;
        // SAFETY: as above.
        unsafe { (self.envoy.network_filter_close_with_details)(self.raw, ABORT_RESET, OwnBytes::of(details)) };
    }

    fn stop_reading(&mut self, stop: bool) {
        // SAFETY: as above.
        unsafe { (self.envoy.network_filter_read_disable)(self.raw, stop) };
    }

    fn set_filter_state(&mut self, key: &[u8], value: &[u8]) -> bool {
        // SAFETY: the hook runs, and Envoy copies.
        unsafe { (self.envoy.network_set_filter_state_bytes)(self.raw, OwnBytes::of(key), OwnBytes::of(value)) }
    }

    fn scheduler(&mut self) -> Option<Box<dyn Scheduler>> {
        // SAFETY: the hook runs.
        let raw = unsafe { (self.envoy.network_filter_scheduler_new)(self.raw) };
        (!raw.is_null()).then(|| Box::new(ConnectionScheduler { envoy: self.envoy, raw }) as Box<dyn Scheduler>)
    }

    fn attributes(&mut self) -> Arc<dyn StreamAttributes> {
        properties(self.raw, Current::Connection, |envoy, raw, ask| ask(&Connection { envoy, raw, hook: PhantomData }))
    }
}

impl Requests for Connection<'_> {
    fn start(&mut self, cluster: &str, headers: &Headers, body: &[u8], end: bool) -> Result<u64, NotStarted> {
        if !end {
            return Err(NotStarted::STREAMING);
        }
        let (list, mut id) = (list(headers), 0);
        let (cluster, body) = (OwnBytes::of(cluster.as_bytes()), OwnBytes::of(body));
        // SAFETY: the hook runs, and all that is pointed to lasts for the call.
        let result = unsafe {
            (self.envoy.network_filter_http_callout)(
                self.raw,
                &mut id,
                cluster,
                list.as_ptr(),
                list.len(),
                body,
                MOST_MILLISECONDS,
            )
        };
        if result == 0 { Ok(id) } else { Err(NotStarted(result)) }
    }

    fn send(&mut self, _: u64, _: &[u8], _: bool) -> bool {
        false
    }

    fn send_trailers(&mut self, _: u64, _: &Headers) -> bool {
        false
    }

    /// Does nothing: the ABI cannot give a callout up.
    fn reset(&mut self, _: u64) {}

    fn can_reset(&self) -> bool {
        false
    }
}

/// Calls the filter of a connection.
struct ConnectionScheduler {
    envoy: &'static Callbacks,
    raw: abi::ConnectionScheduler,
}

impl Scheduler for ConnectionScheduler {
    fn commit(&self, event: u64) {
        // SAFETY: any thread may; it lasts as long as this.
        unsafe { (self.envoy.network_filter_scheduler_commit)(self.raw, event) };
    }
}

impl Drop for ConnectionScheduler {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        unsafe { (self.envoy.network_filter_scheduler_delete)(self.raw) };
    }
}

impl fmt::Debug for ConnectionScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionScheduler")
    }
}
