//! Rewrites request and response bodies.
//!
//! Two request headers choose what happens; each takes one of `append`, `prepend` and `replace`:
//!
//! | header               | rewrites          |
//! |----------------------|-------------------|
//! | `x-body-rewrite`     | the request body  |
//! | `x-response-rewrite` | the response body |
//!
//! The text that is put into the body is the plugin configuration, as it stands, or `[rewritten]`
//! when there is none.
//!
//! A body is held back until all of it has arrived and rewritten once, so the host's buffer limit
//! is also the limit of what can be rewritten. A message without a body stays without one. A
//! compressed body is not decompressed first.

use std::rc::Rc;

use log::warn;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(BodyRewriteRoot { text: Rc::from(DEFAULT_TEXT) }));
}}

/// The text used when the plugin configuration is empty.
const DEFAULT_TEXT: &[u8] = b"[rewritten]";

/// The plugin itself, with its configuration.
struct BodyRewriteRoot {
    text: Rc<[u8]>,
}

impl Context for BodyRewriteRoot {}

impl RootContext for BodyRewriteRoot {
    fn on_configure(&mut self, _plugin_configuration_size: usize) -> bool {
        // The configuration can be read in this callback only, so keep what is needed of it.
        if let Some(text) = self.get_plugin_configuration() {
            self.text = Rc::from(text);
        }
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(BodyRewrite {
            text: Rc::clone(&self.text),
            request: Pending::default(),
            response: Pending::default(),
        }))
    }
}

/// What to do with a body.
#[derive(Clone, Copy)]
enum Rewrite {
    Append,
    Prepend,
    Replace,
}

impl Rewrite {
    fn parse(value: &[u8]) -> Option<Self> {
        match value {
            b"append" => Some(Self::Append),
            b"prepend" => Some(Self::Prepend),
            b"replace" => Some(Self::Replace),
            _ => None,
        }
    }

    /// The part of a body of `size` bytes, as start and length, that the text takes the place of.
    fn range(self, size: usize) -> (usize, usize) {
        match self {
            Self::Append => (size, 0),
            Self::Prepend => (0, 0),
            Self::Replace => (0, size),
        }
    }
}

/// What a body callback has to do.
enum Step {
    /// Nothing: let the bytes go.
    Pass,
    /// Have the host keep the bytes.
    Hold,
    /// Put the text in the place of so many bytes (the second number) from here (the first).
    Write(usize, usize),
}

/// A rewrite that waits for the end of its body.
#[derive(Default)]
struct Pending {
    rewrite: Option<Rewrite>,
    /// Bytes of the body that the host holds back.
    size: usize,
}

impl Pending {
    /// Takes note of a part of the body.
    fn on_body(&mut self, size: usize, end_of_stream: bool) -> Step {
        // While this plugin holds the body back, the size includes all that came before.
        self.size = size;
        match self.rewrite {
            None => Step::Pass,
            Some(_) if !end_of_stream => Step::Hold,
            Some(_) => self.finish(),
        }
    }

    /// Ends the body: at its end of stream, or at the trailers, which stand in for it.
    fn finish(&mut self) -> Step {
        match self.rewrite.take() {
            None => Step::Pass,
            Some(rewrite) => {
                let (start, size) = rewrite.range(self.size);
                Step::Write(start, size)
            }
        }
    }
}

/// One request with its response.
struct BodyRewrite {
    text: Rc<[u8]>,
    request: Pending,
    response: Pending,
}

impl BodyRewrite {
    /// Reads a rewrite from a request header.
    fn requested(&self, name: &str) -> Option<Rewrite> {
        let value = self.get_http_request_header_bytes(name)?;
        let rewrite = Rewrite::parse(&value);
        if rewrite.is_none() {
            let value = String::from_utf8_lossy(&value);
            warn!("{name}: {value} is none of append, prepend, replace; body left alone");
        }
        rewrite
    }
}

impl Context for BodyRewrite {}

impl HttpContext for BodyRewrite {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        // Request headers are out of reach once the response is there: remember both now.
        self.response.rewrite = self.requested("x-response-rewrite");
        self.request.rewrite = self.requested("x-body-rewrite");

        // The length is about to change and headers leave before the body is known. Without a
        // content-length the host frames the body itself.
        if self.request.rewrite.is_some() && !end_of_stream {
            self.set_http_request_header("content-length", None);
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        match self.request.on_body(body_size, end_of_stream) {
            Step::Pass => Action::Continue,
            // To pause in a body callback is to ask the host to keep the bytes.
            Step::Hold => Action::Pause,
            Step::Write(start, size) => {
                self.set_http_request_body(start, size, &self.text);
                Action::Continue
            }
        }
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        if let Step::Write(start, size) = self.request.finish() {
            self.set_http_request_body(start, size, &self.text);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        if self.response.rewrite.is_some() && !end_of_stream {
            self.set_http_response_header("content-length", None);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        match self.response.on_body(body_size, end_of_stream) {
            Step::Pass => Action::Continue,
            Step::Hold => Action::Pause,
            Step::Write(start, size) => {
                self.set_http_response_body(start, size, &self.text);
                Action::Continue
            }
        }
    }

    fn on_http_response_trailers(&mut self, _num_trailers: usize) -> Action {
        if let Step::Write(start, size) = self.response.finish() {
            self.set_http_response_body(start, size, &self.text);
        }
        Action::Continue
    }
}
