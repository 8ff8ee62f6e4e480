//! A tour of the header callbacks.
//!
//! For each request this plugin
//!
//! * logs every request and response header at level info,
//! * adds the header `x-plugin: header_tour` to the request and to the response,
//! * answers `GET /hello` itself, so that no upstream sees it,
//! * logs one line when the stream is over.
//!
//! With context id 2, the log reads
//!
//! ```text
//! #2 -> :path: /x
//! #2 <- :status: 200
//! #2 completed
//! ```
//!
//! It takes no configuration.

use log::info;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, Bytes, ContextType, LogLevel};

proxy_wasm::main! {{
    // Lines below this level never leave the plugin; the host may filter further.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(HeaderTourRoot));
}}

/// The plugin itself. The host creates one in each of its virtual machines.
struct HeaderTourRoot;

impl Context for HeaderTourRoot {}

impl RootContext for HeaderTourRoot {
    // Says that streams of this plugin are HTTP requests, not TCP connections.
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(HeaderTour { context_id }))
    }
}

/// One request with its response.
struct HeaderTour {
    context_id: u32,
}

impl HeaderTour {
    /// Logs `headers`, with an arrow that tells which way they travel.
    ///
    /// Values are bytes on the wire; whatever is not UTF-8 in them is shown as U+FFFD. The `String`
    /// twins of the getters would panic on such a header, and a panic takes the plugin down.
    fn log_headers(&self, arrow: &str, headers: &[(String, Bytes)]) {
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value);
            info!("#{} {arrow} {name}: {value}", self.context_id);
        }
    }

    /// Whether this is the request which the plugin answers itself.
    fn is_hello(&self) -> bool {
        let header = |name| self.get_http_request_header_bytes(name);
        header(":method").as_deref() == Some(b"GET")
            && header(":path").as_deref() == Some(b"/hello")
    }
}

impl Context for HeaderTour {}

impl HttpContext for HeaderTour {
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.log_headers("->", &self.get_http_request_headers_bytes());

        if self.is_hello() {
            self.send_http_response(
                200,
                vec![("powered-by", "proxy-wasm")],
                Some(b"Hello, World!\n"),
            );
            // There is a response already; the request must go no further.
            return Action::Pause;
        }

        self.add_http_request_header("x-plugin", "header_tour");
        Action::Continue
    }

    // Runs for the plugin's own response too.
    fn on_http_response_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.log_headers("<-", &self.get_http_response_headers_bytes());
        self.add_http_response_header("x-plugin", "header_tour");
        Action::Continue
    }

    fn on_log(&mut self) {
        info!("#{} completed", self.context_id);
    }
}
