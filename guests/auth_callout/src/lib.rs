//! Asks an authorization service before letting a request through.
//!
//! Each request waits while the plugin sends `GET /auth` to the service, with
//!
//! * `authorization`, if the request has it,
//! * `x-original-path`, the path of the request.
//!
//! | the service                                | the request                                |
//! |--------------------------------------------|--------------------------------------------|
//! | answers 200                                | goes on, with the header `x-auth: ok`      |
//! | answers 5xx, not at all, or within 1 s not | is answered 503 with `auth unavailable`    |
//! | cannot be called                           | the same                                   |
//! | answers anything else                      | is answered 403 with `denied`              |
//!
//! The plugin configuration is the name of the cluster to call, `auth` when empty.

use std::rc::Rc;
use std::time::Duration;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(AuthCalloutRoot { cluster: Rc::from(DEFAULT_CLUSTER) }));
}}

/// The cluster to call when the plugin configuration is empty.
const DEFAULT_CLUSTER: &str = "auth";

/// How long the service may take to answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The plugin itself, with its configuration.
struct AuthCalloutRoot {
    cluster: Rc<str>,
}

impl Context for AuthCalloutRoot {}

impl RootContext for AuthCalloutRoot {
    fn on_configure(&mut self, _plugin_configuration_size: usize) -> bool {
        let Some(configuration) = self.get_plugin_configuration() else {
            return true;
        };
        match std::str::from_utf8(&configuration) {
            Ok(cluster) => {
                self.cluster = Rc::from(cluster.trim());
                true
            }
            // Refuses the configuration: better no plugin than one that asks nobody.
            Err(_) => {
                error!("the plugin configuration is not the name of a cluster");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(AuthCallout {
            context_id,
            cluster: Rc::clone(&self.cluster),
        }))
    }
}

/// One request.
struct AuthCallout {
    context_id: u32,
    cluster: Rc<str>,
}

impl AuthCallout {
    fn deny(&self) {
        self.send_http_response(403, vec![], Some(b"denied\n"));
    }

    fn unavailable(&self) {
        self.send_http_response(503, vec![], Some(b"auth unavailable\n"));
    }
}

impl Context for AuthCallout {
    // The SDK brings the answer back to the context that made the call.
    fn on_http_call_response(
        &mut self,
        _token_id: u32,
        _num_headers: usize,
        _body_size: usize,
        _num_trailers: usize,
    ) {
        // No status at all means that the call failed on its way.
        let status = self.get_http_call_response_header_bytes(":status");
        match status.as_deref() {
            Some(b"200") => {
                // Set, not added: a client must not bring its own.
                self.set_http_request_header("x-auth", Some("ok"));
                self.resume_http_request();
            }
            Some([b'5', _, _]) | None => {
                warn!("#{} {} is unavailable", self.context_id, self.cluster);
                self.unavailable();
            }
            Some(_) => {
                info!("#{} denied", self.context_id);
                self.deny();
            }
        }
    }
}

impl HttpContext for AuthCallout {
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        // Header values go out as `&str`. The service could not judge what cannot be shown to it.
        let text = |name| {
            let value = self.get_http_request_header_bytes(name);
            value.map(String::from_utf8).transpose()
        };
        let (Ok(path), Ok(authorization)) = (text(":path"), text("authorization")) else {
            self.deny();
            return Action::Pause;
        };

        let mut headers = vec![
            (":method", "GET"),
            (":path", "/auth"),
            (":authority", &*self.cluster),
            ("x-original-path", path.as_deref().unwrap_or_default()),
        ];
        if let Some(authorization) = &authorization {
            headers.push(("authorization", authorization));
        }

        let call = self.dispatch_http_call(&self.cluster, headers, None, vec![], TIMEOUT);
        if let Err(status) = call {
            error!(
                "#{} cannot call {}: {status:?}",
                self.context_id, self.cluster
            );
            self.unavailable();
        }
        // Either on_http_call_response resumes the request, or it has been answered.
        Action::Pause
    }
}
