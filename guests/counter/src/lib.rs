//! Counts in the host's metrics, and works on a timer.
//!
//! | metric                  | kind      | is                                                     |
//! |-------------------------|-----------|--------------------------------------------------------|
//! | `counter_requests`      | counter   | requests seen                                          |
//! | `counter_active`        | gauge     | requests under way                                     |
//! | `counter_request_bytes` | histogram | body bytes of each request, recorded at its end        |
//! | `counter_ticks`         | counter   | ticks of the plugin's timer                            |
//!
//! The plugin configuration is the time between two ticks in milliseconds, 100 when empty; 0 turns
//! the timer off.
//!
//! Metrics belong to the host: plugins in other virtual machines that define the same name count
//! in the same metric.

use std::time::Duration;

use log::error;
use proxy_wasm::hostcalls::{define_metric, increment_metric, record_metric};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, Status};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(CounterRoot { metrics: None }));
}}

/// The time between two ticks when the plugin configuration is empty.
const DEFAULT_TICK: Duration = Duration::from_millis(100);

/// The host's numbers for the metrics.
#[derive(Clone, Copy)]
struct Metrics {
    requests: u32,
    active: u32,
    request_bytes: u32,
    ticks: u32,
}

impl Metrics {
    fn define() -> Result<Self, Status> {
        Ok(Self {
            requests: define_metric(MetricType::Counter, "counter_requests")?,
            active: define_metric(MetricType::Gauge, "counter_active")?,
            request_bytes: define_metric(MetricType::Histogram, "counter_request_bytes")?,
            ticks: define_metric(MetricType::Counter, "counter_ticks")?,
        })
    }
}

/// Adds to a counter or a gauge. A failure is worth a line in the log, not the request.
fn add(metric: u32, offset: i64) {
    if let Err(status) = increment_metric(metric, offset) {
        error!("metric {metric} cannot be incremented: {status:?}");
    }
}

/// Reads the configuration; `None` if it is not a number of milliseconds.
fn tick_period(configuration: &[u8]) -> Option<Duration> {
    let millis = std::str::from_utf8(configuration)
        .ok()?
        .trim()
        .parse::<u32>();
    Some(Duration::from_millis(millis.ok()?.into()))
}

/// The plugin itself: owns the timer.
struct CounterRoot {
    metrics: Option<Metrics>,
}

impl Context for CounterRoot {}

impl RootContext for CounterRoot {
    fn on_configure(&mut self, _plugin_configuration_size: usize) -> bool {
        let period = match self.get_plugin_configuration() {
            None => Some(DEFAULT_TICK),
            Some(configuration) => tick_period(&configuration),
        };
        let Some(period) = period else {
            error!("the plugin configuration is not a number of milliseconds");
            return false;
        };
        match Metrics::define() {
            Ok(metrics) => self.metrics = Some(metrics),
            Err(status) => {
                error!("metrics cannot be defined: {status:?}");
                return false;
            }
        }
        self.set_tick_period(period);
        true
    }

    fn on_tick(&mut self) {
        if let Some(metrics) = self.metrics {
            add(metrics.ticks, 1);
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        let metrics = self.metrics?;
        Some(Box::new(Counter {
            metrics,
            started: false,
            body_bytes: 0,
        }))
    }
}

/// One request.
struct Counter {
    metrics: Metrics,
    /// Whether the gauge counts this request.
    started: bool,
    body_bytes: u64,
}

impl Context for Counter {}

impl HttpContext for Counter {
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        add(self.metrics.requests, 1);
        add(self.metrics.active, 1);
        self.started = true;
        Action::Continue
    }

    fn on_http_request_body(&mut self, body_size: usize, _end_of_stream: bool) -> Action {
        // This plugin never pauses, so each callback brings new bytes.
        self.body_bytes += body_size as u64;
        Action::Continue
    }

    fn on_log(&mut self) {
        // A request can end, and be logged, before its headers reach the plugin.
        if !self.started {
            return;
        }
        add(self.metrics.active, -1);
        if let Err(status) = record_metric(self.metrics.request_bytes, self.body_bytes) {
            error!("the histogram cannot be recorded: {status:?}");
        }
    }
}
