//! A stream, in its hooks.
#![expect(unsafe_code, reason = "these are calls of Envoy's functions")]

use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use portcullis::model::{Direction, Headers};

use super::ROUTES;
use super::lists::{NO_LIMIT, list};
use super::properties::{Current, Entered, properties};
use crate::abi::{self, Callbacks, EnvoyBytes, EnvoyHeader, OwnBytes, Timing};
use crate::attributes::{self, Source};
use crate::envoy::{Bytes, Http, Map, NotStarted, Requests, Scheduler, StreamAttributes};
use crate::http::{ForeignRoute, Routed};
use crate::process::Loaded;

/// A stream, in one of its hooks.
#[derive(Debug)]
pub(crate) struct Stream<'hook> {
    envoy: &'static Callbacks,
    raw: abi::Stream,
    hook: PhantomData<&'hook ()>,
}

impl Stream<'_> {
    /// Begins a hook of a stream.
    ///
    /// # Safety
    /// `raw` is what Envoy has given to the hook that runs, and the handle goes no further.
    pub(crate) unsafe fn enter<R>(raw: abi::Stream, hook: impl FnOnce(&mut Stream<'_>) -> R) -> Option<R> {
        let envoy = abi::callbacks()?;
        let _entered = Entered::new(Current::Stream(raw));
        Some(hook(&mut Stream { envoy, raw, hook: PhantomData }))
    }

    fn text(&self, attribute: u32) -> Option<&[u8]> {
        let mut bytes = EnvoyBytes::NONE;
        // SAFETY: the hook runs, and there is room for the result, which is Envoy's until the hook ends or something is set.
        unsafe { (self.envoy.http_filter_get_attribute_string)(self.raw, attribute, &mut bytes).then(|| bytes.get()) }
    }

    fn truth(&self, attribute: u32) -> Option<bool> {
        let mut truth = false;
        // SAFETY: as above.
        unsafe { (self.envoy.http_filter_get_attribute_bool)(self.raw, attribute, &mut truth).then_some(truth) }
    }

    fn metadata(&self, source: u32, namespace: &[u8], key: &[u8], out: &mut Vec<u8>) -> bool {
        let (namespace, key) = (OwnBytes::of(namespace), OwnBytes::of(key));
        let (mut bytes, mut number, mut truth) = (EnvoyBytes::NONE, 0.0, false);
        // SAFETY: as above; what is lent to Envoy lasts for the calls.
        unsafe {
            if (self.envoy.http_get_metadata_string)(self.raw, source, namespace, key, &mut bytes) {
                out.extend_from_slice(bytes.get());
            } else if (self.envoy.http_get_metadata_number)(self.raw, source, namespace, key, &mut number) {
                out.extend_from_slice(&f64::to_le_bytes(number));
            } else if (self.envoy.http_get_metadata_bool)(self.raw, source, namespace, key, &mut truth) {
                out.push(u8::from(truth));
            } else {
                return false;
            }
        }
        true
    }
}

impl Source for Stream<'_> {
    fn get(&self, what: attributes::What<'_>, out: &mut Vec<u8>) -> bool {
        use attributes::What;
        match what {
            What::Text(id) => match self.text(id) {
                Some(text) => out.extend_from_slice(text),
                None => return false,
            },
            What::Number(id) => match self.number(id) {
                Some(number) => out.extend_from_slice(&number.to_le_bytes()),
                None => return false,
            },
            What::Truth(id) => match self.truth(id) {
                Some(truth) => out.push(u8::from(truth)),
                None => return false,
            },
            What::UpstreamFailure => {
                use attributes::number::{UPSTREAM_ADDRESS, UPSTREAM_FAILURE};
                match self.text(UPSTREAM_FAILURE) {
                    Some(reason) => out.extend_from_slice(reason),
                    None => return self.text(UPSTREAM_ADDRESS).is_some(),
                }
            }
            What::Endpoints => {
                let mut total = 0;
                let (healthy, degraded) = (ptr::null_mut(), ptr::null_mut());
                // SAFETY: the hook runs, and there is room for the result; the others may be null. Priority 0 is where nearly all hosts are.
                if !unsafe { (self.envoy.http_get_cluster_host_count)(self.raw, 0, &mut total, healthy, degraded) } {
                    return false;
                }
                out.extend_from_slice(&(total as u64).to_le_bytes());
            }
            What::BackendLatency => {
                let mut timing = Timing::default();
                // SAFETY: the hook runs, and there is room for the result.
                unsafe { (self.envoy.http_get_timing_info)(self.raw, &mut timing) };
                match timing.backend_latency() {
                    Some(latency) => out.extend_from_slice(&latency.to_le_bytes()),
                    None => return false,
                }
            }
            What::Metadata { source, namespace, key } => return self.metadata(source, namespace, key, out),
            What::FilterState(key) => {
                let mut bytes = EnvoyBytes::NONE;
                // SAFETY: the hook runs; the result is copied at once.
                unsafe {
                    if !(self.envoy.http_get_filter_state_typed)(self.raw, OwnBytes::of(key), &mut bytes) {
                        return false;
                    }
                    out.extend_from_slice(bytes.get());
                }
            }
        }
        true
    }
}

impl Routed for Stream<'_> {
    fn route(&self) -> Result<Option<Arc<Loaded>>, ForeignRoute> {
        // SAFETY: the hook runs. The result is compared and not read: it may be that of another library's filter.
        let at = unsafe { (self.envoy.get_most_specific_route_config)(self.raw) };
        if at.is_null() {
            return Ok(None);
        }
        ROUTES.get(at.cast()).map(Some).ok_or(ForeignRoute)
    }
}

impl Http for Stream<'_> {
    fn worker(&self) -> usize {
        // SAFETY: the hook runs.
        unsafe { (self.envoy.http_filter_get_worker_index)(self.raw) as usize }
    }

    fn entries(&self, map: Map) -> Option<Vec<(&[u8], &[u8])>> {
        // SAFETY: the hook runs, and there is room for as many entries as Envoy says. They are Envoy's until something is set.
        unsafe {
            let count = (self.envoy.http_get_headers_size)(self.raw, map as u32);
            let mut entries = vec![EnvoyHeader::NONE; count];
            if !(self.envoy.http_get_headers)(self.raw, map as u32, entries.as_mut_ptr()) {
                return None;
            }
            Some(entries.into_iter().map(|entry| entry.get()).collect())
        }
    }

    fn set(&mut self, map: Map, name: &[u8], value: &[u8]) {
        // SAFETY: the hook runs, and Envoy copies. An empty value removes, as in every Envoy that has this number of the ABI.
        unsafe { (self.envoy.http_set_header)(self.raw, map as u32, OwnBytes::of(name), OwnBytes::of(value)) };
    }

    fn add(&mut self, map: Map, name: &[u8], value: &[u8]) {
        // SAFETY: as above.
        unsafe { (self.envoy.http_add_header)(self.raw, map as u32, OwnBytes::of(name), OwnBytes::of(value)) };
    }

    fn remove(&mut self, map: Map, name: &[u8]) {
        // SAFETY: as above; null removes.
        unsafe { (self.envoy.http_set_header)(self.raw, map as u32, OwnBytes::of(name), OwnBytes::NULL) };
    }

    fn body_len(&self, of: Bytes) -> usize {
        // SAFETY: the hook runs.
        unsafe { (self.envoy.http_get_body_size)(self.raw, of as u32) }
    }

    fn received_is_buffered(&self, direction: Direction) -> bool {
        // SAFETY: the hook runs.
        unsafe {
            match direction {
                Direction::Request => (self.envoy.http_received_buffered_request_body)(self.raw),
                Direction::Response => (self.envoy.http_received_buffered_response_body)(self.raw),
            }
        }
    }

    fn body(&self, of: Bytes) -> bytes::Bytes {
        // SAFETY: the hook runs, and there is room for as many pieces as Envoy says; they are copied at once.
        unsafe {
            let count = (self.envoy.http_get_body_chunks_size)(self.raw, of as u32);
            let mut chunks = vec![EnvoyBytes::NONE; count];
            if count == 0 || !(self.envoy.http_get_body_chunks)(self.raw, of as u32, chunks.as_mut_ptr()) {
                return bytes::Bytes::new();
            }
            let mut all = Vec::with_capacity(self.body_len(of));
            chunks.into_iter().for_each(|chunk| all.extend_from_slice(chunk.get()));
            all.into()
        }
    }

    fn drain(&mut self, of: Bytes, length: usize) {
        // SAFETY: the hook runs.
        unsafe { (self.envoy.http_drain_body)(self.raw, of as u32, length) };
    }

    fn append(&mut self, of: Bytes, data: &[u8]) -> bool {
        // SAFETY: the hook runs, and Envoy copies.
        unsafe { (self.envoy.http_append_body)(self.raw, of as u32, OwnBytes::of(data)) }
    }

    fn buffer_limit(&self) -> u64 {
        // SAFETY: the hook runs.
        unsafe { (self.envoy.http_get_buffer_limit)(self.raw) }
    }

    fn respond(&mut self, status: u32, headers: &Headers, body: &[u8], details: &[u8]) {
        let list = list(headers);
        let (body, details) = (OwnBytes::of(body), OwnBytes::of(details));
        // SAFETY: the hook runs, and all that is pointed to lasts for the call. Nothing of the filter is borrowed for change.
        unsafe { (self.envoy.http_send_response)(self.raw, status, list.as_ptr(), list.len(), body, details) };
    }

    fn respond_verbatim(&mut self, headers: &Headers, body: &[u8]) {
        let list = list(headers);
        // SAFETY: as above.
        unsafe {
            (self.envoy.http_send_response_headers)(self.raw, list.as_ptr(), list.len(), body.is_empty());
            if !body.is_empty() {
                (self.envoy.http_send_response_data)(self.raw, OwnBytes::of(body), true);
            }
        }
    }

    fn go_on(&mut self, direction: Direction) {
        // SAFETY: the hook runs. Nothing of the filter is borrowed for change.
        unsafe {
            match direction {
                Direction::Request => (self.envoy.http_filter_continue_decoding)(self.raw),
                Direction::Response => (self.envoy.http_filter_continue_encoding)(self.raw),
            }
        }
    }

    fn cut(&mut self, details: &[u8]) {
        const LOCAL_RESET: u32 = 0;
        // SAFETY: as above.
        unsafe { (self.envoy.http_filter_reset_stream)(self.raw, LOCAL_RESET, OwnBytes::of(details)) };
    }

    fn clear_route(&mut self) {
        // SAFETY: the hook runs.
        unsafe { (self.envoy.http_clear_route_cache)(self.raw) };
    }

    fn set_filter_state(&mut self, key: &[u8], value: &[u8]) -> bool {
        // SAFETY: the hook runs, and Envoy copies.
        unsafe { (self.envoy.http_set_filter_state_bytes)(self.raw, OwnBytes::of(key), OwnBytes::of(value)) }
    }

    fn number(&self, attribute: u32) -> Option<u64> {
        let mut number = 0;
        // SAFETY: the hook runs, and there is room for the result.
        unsafe { (self.envoy.http_filter_get_attribute_int)(self.raw, attribute, &mut number).then_some(number) }
    }

    fn scheduler(&mut self) -> Option<Box<dyn Scheduler>> {
        // SAFETY: the hook runs.
        let raw = unsafe { (self.envoy.http_filter_scheduler_new)(self.raw) };
        (!raw.is_null()).then(|| Box::new(StreamScheduler { envoy: self.envoy, raw }) as Box<dyn Scheduler>)
    }

    fn attributes(&mut self) -> Arc<dyn StreamAttributes> {
        properties(self.raw, Current::Stream, |envoy, raw, ask| ask(&Stream { envoy, raw, hook: PhantomData }))
    }
}

impl Requests for Stream<'_> {
    fn start(&mut self, cluster: &str, headers: &Headers, body: &[u8], end: bool) -> Result<u64, NotStarted> {
        let (list, mut id) = (list(headers), 0);
        let (cluster, body) = (OwnBytes::of(cluster.as_bytes()), OwnBytes::of(body));
        // SAFETY: the hook runs, and all that is pointed to lasts for the call.
        let result = unsafe {
            (self.envoy.http_filter_start_http_stream)(
                self.raw,
                &mut id,
                cluster,
                list.as_ptr(),
                list.len(),
                body,
                end,
                NO_LIMIT,
            )
        };
        if result == 0 { Ok(id) } else { Err(NotStarted(result)) }
    }

    fn send(&mut self, id: u64, data: &[u8], end: bool) -> bool {
        // SAFETY: the hook runs, and Envoy copies.
        unsafe { (self.envoy.http_stream_send_data)(self.raw, id, OwnBytes::of(data), end) }
    }

    fn send_trailers(&mut self, id: u64, trailers: &Headers) -> bool {
        let list = list(trailers);
        // SAFETY: as above.
        unsafe { (self.envoy.http_stream_send_trailers)(self.raw, id, list.as_ptr(), list.len()) }
    }

    fn reset(&mut self, id: u64) {
        // SAFETY: the hook runs.
        unsafe { (self.envoy.http_filter_reset_http_stream)(self.raw, id) };
    }
}

/// Calls the filter of a stream.
struct StreamScheduler {
    envoy: &'static Callbacks,
    raw: abi::StreamScheduler,
}

impl Scheduler for StreamScheduler {
    fn commit(&self, event: u64) {
        // SAFETY: any thread may; it lasts as long as this.
        unsafe { (self.envoy.http_filter_scheduler_commit)(self.raw, event) };
    }
}

impl Drop for StreamScheduler {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        unsafe { (self.envoy.http_filter_scheduler_delete)(self.raw) };
    }
}

impl fmt::Debug for StreamScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamScheduler")
    }
}
