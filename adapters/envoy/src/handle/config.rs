//! A configuration of HTTP filters, on the main thread.
#![expect(unsafe_code, reason = "these are calls of Envoy's functions")]

use std::fmt;
use std::marker::PhantomData;

use portcullis::abi::MetricType;
use portcullis::model::Headers;

use super::lists::{NO_LIMIT, list, texts};
use crate::abi::{self, Callbacks, OwnBytes};
use crate::envoy::{NotStarted, Requests, Scheduler};
use crate::metrics::Meters;

/// A configuration of HTTP filters, on the main thread.
#[derive(Debug)]
pub(crate) struct Config<'hook> {
    envoy: &'static Callbacks,
    raw: abi::Config,
    hook: PhantomData<&'hook ()>,
}

impl Config<'_> {
    /// Begins a hook of a configuration.
    ///
    /// # Safety
    /// `raw` is what Envoy has given to the hook that runs on the main thread, and the handle goes no further.
    pub(crate) unsafe fn enter<R>(raw: abi::Config, hook: impl FnOnce(&mut Config<'_>) -> R) -> Option<R> {
        let envoy = abi::callbacks()?;
        Some(hook(&mut Config { envoy, raw, hook: PhantomData }))
    }

    /// Makes what calls the configuration on the main thread, from any thread.
    pub(crate) fn scheduler(&mut self) -> Option<Box<dyn Scheduler>> {
        // SAFETY: the hook runs.
        let raw = unsafe { (self.envoy.http_filter_config_scheduler_new)(self.raw) };
        (!raw.is_null()).then(|| Box::new(ConfigScheduler { envoy: self.envoy, raw }) as Box<dyn Scheduler>)
    }
}

impl Requests for Config<'_> {
    fn start(&mut self, cluster: &str, headers: &Headers, body: &[u8], end: bool) -> Result<u64, NotStarted> {
        let (list, mut id) = (list(headers), 0);
        let (cluster, body) = (OwnBytes::of(cluster.as_bytes()), OwnBytes::of(body));
        // SAFETY: the hook runs, and all that is pointed to lasts for the call.
        let result = unsafe {
            (self.envoy.http_filter_config_start_http_stream)(
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
        unsafe { (self.envoy.http_filter_config_stream_send_data)(self.raw, id, OwnBytes::of(data), end) }
    }

    fn send_trailers(&mut self, id: u64, trailers: &Headers) -> bool {
        let list = list(trailers);
        // SAFETY: as above.
        unsafe { (self.envoy.http_filter_config_stream_send_trailers)(self.raw, id, list.as_ptr(), list.len()) }
    }

    fn reset(&mut self, id: u64) {
        // SAFETY: the hook runs.
        unsafe { (self.envoy.http_filter_config_reset_http_stream)(self.raw, id) };
    }
}

impl Meters for Config<'_> {
    fn define(&mut self, kind: MetricType, name: &str, labels: &[&str]) -> Option<usize> {
        const SUCCESS: u32 = 0;
        let define = match kind {
            MetricType::Counter => self.envoy.http_filter_config_define_counter,
            MetricType::Gauge => self.envoy.http_filter_config_define_gauge,
            MetricType::Histogram => self.envoy.http_filter_config_define_histogram,
        };
        let (labels, mut id) = (texts(labels), 0);
        // SAFETY: the hook runs, and all that is pointed to lasts for the call. Envoy copies.
        let result = unsafe { define(self.raw, OwnBytes::of(name.as_bytes()), labels.as_ptr(), labels.len(), &mut id) };
        (result == SUCCESS).then_some(id)
    }

    fn tell(&mut self, kind: MetricType, id: usize, labels: &[&str], value: u64) {
        let tell = match kind {
            MetricType::Counter => self.envoy.http_filter_config_increment_counter,
            MetricType::Gauge => self.envoy.http_filter_config_set_gauge,
            MetricType::Histogram => self.envoy.http_filter_config_record_histogram_value,
        };
        let labels = texts(labels);
        // SAFETY: as above.
        unsafe { tell(self.raw, id, labels.as_ptr(), labels.len(), value) };
    }
}

/// Calls a configuration.
struct ConfigScheduler {
    envoy: &'static Callbacks,
    raw: abi::ConfigScheduler,
}

impl Scheduler for ConfigScheduler {
    fn commit(&self, event: u64) {
        // SAFETY: any thread may; it lasts as long as this.
        unsafe { (self.envoy.http_filter_config_scheduler_commit)(self.raw, event) };
    }
}

impl Drop for ConfigScheduler {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        unsafe { (self.envoy.http_filter_config_scheduler_delete)(self.raw) };
    }
}

impl fmt::Debug for ConfigScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigScheduler")
    }
}
