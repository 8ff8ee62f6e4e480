//! Abilities that plugins have elsewhere and not here.

use std::fmt;

use portcullis_chain::PluginSpec;
use portcullis_core::abi::CallbackId;
use portcullis_core::rights::Capabilities;

use crate::options::{BodyMode, Options};

/// Something that a plugin's rights allow and that Pingora's hooks cannot carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The plugin's name.
    pub plugin: String,
    /// The limit.
    pub limit: Limit,
}

/// A limit of Pingora's hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// The head of a request cannot wait for the body: [`Options::request_body`] is [`BodyMode::Stream`].
    RequestHead,
    /// The head of a response cannot wait for the body, nor the end of the body for a callout: [`Options::response_body`] is
    /// [`BodyMode::Stream`].
    ResponseHead,
    /// Trailers of requests are not seen.
    RequestTrailers,
    /// Trailers of responses are seen, and sent, where both sides speak HTTP/2.
    ResponseTrailers,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limit, remedy) = match self.limit {
            Limit::RequestHead => (
                "may hold the head of a request until it has seen the body, which Pingora's hooks cannot",
                "set request_body to buffer, or take proxy_on_request_body away from the plugin",
            ),
            Limit::ResponseHead => (
                "may hold the head of a response until it has seen the body, or the end of the body for a callout, which Pingora's hooks \
                 cannot",
                "set response_body to buffer, or take proxy_on_response_body away from the plugin",
            ),
            Limit::RequestTrailers => (
                "may see the trailers of requests, which Pingora does not pass on",
                "do without them, or take proxy_on_request_trailers away from the plugin",
            ),
            Limit::ResponseTrailers => (
                "may see the trailers of responses, which Pingora passes on only from HTTP/2 to HTTP/2",
                "do without them over HTTP/1, or take proxy_on_response_trailers away from the plugin",
            ),
        };
        write!(f, "plugin {:?} {limit}: {remedy}", self.plugin)
    }
}

/// Returns what a plugin may do by its rights, and has a callback for, that cannot be done with these options. SDKs export every callback, so
/// a warning does not say that the plugin does it.
///
/// ```
/// # use std::sync::Arc;
/// # use portcullis_chain::{Module, PluginSpec};
/// # use portcullis_core::abi::{AbiVersion, CallbackId};
/// # use portcullis_core::model::Plugin;
/// # use portcullis_core::testing::{NullEngine, Script};
/// use portcullis_pingora::{Options, limits_of};
///
/// # let script = || Script::new().on(CallbackId::on_request_trailers, |_, _| 0);
/// # let compiled = NullEngine::new(script).module()?;
/// # let module = Arc::new(Module::from_compiled("null", AbiVersion::V0_2_1, Some(script().exports()), compiled));
/// # let spec = PluginSpec::new(Plugin::new("sums"), module);
/// for warning in limits_of(&spec, &Options::default()) {
///     eprintln!("{warning}");
/// }
/// # assert_eq!(limits_of(&spec, &Options::default()).len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn limits_of(spec: &PluginSpec, options: &Options) -> Vec<Warning> {
    let exports = spec.module.exports().unwrap_or(Capabilities::ALL);
    let rights = spec.plugin.capabilities.and(exports);
    let may = |callbacks: &[CallbackId]| callbacks.iter().all(|callback| rights.allows_callback(*callback));
    let limits = [
        (
            Limit::RequestHead,
            options.request_body == BodyMode::Stream
                && may(&[CallbackId::on_request_headers, CallbackId::on_request_body]),
        ),
        (Limit::ResponseHead, options.response_body == BodyMode::Stream && may(&[CallbackId::on_response_body])),
        (Limit::RequestTrailers, may(&[CallbackId::on_request_trailers])),
        (Limit::ResponseTrailers, may(&[CallbackId::on_response_trailers])),
    ];
    let plugin = &spec.plugin.name;
    limits
        .into_iter()
        .filter(|(_, is_met)| *is_met)
        .map(|(limit, _)| Warning { plugin: plugin.clone(), limit })
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;

    use portcullis_chain::Module;
    use portcullis_core::abi::AbiVersion;
    use portcullis_core::model::Plugin;
    use portcullis_core::testing::{NullEngine, Script};

    use super::*;

    fn script() -> Script {
        Script::new()
            .on(CallbackId::on_request_headers, |_, _| 0)
            .on(CallbackId::on_request_body, |_, _| 0)
            .on(CallbackId::on_response_headers, |_, _| 0)
            .on(CallbackId::on_response_body, |_, _| 0)
            .on(CallbackId::on_response_trailers, |_, _| 0)
    }

    fn limits(rights: Capabilities, options: Options) -> Vec<Limit> {
        let compiled = NullEngine::new(script).module().unwrap();
        let module = Module::from_compiled("null", AbiVersion::V0_2_1, Some(script().exports()), compiled);
        let spec = PluginSpec::new(Plugin::new("scan").with_capabilities(rights), Arc::new(module));
        limits_of(&spec, &options).into_iter().map(|warning| warning.limit).collect()
    }

    #[test]
    fn rights_and_exports_and_options_decide() {
        let (all, options) = (Capabilities::ALL, Options::default());
        assert_eq!(limits(all, options), [Limit::ResponseHead, Limit::ResponseTrailers]);
        assert_eq!(limits(all, options.with_response_body(BodyMode::Buffer)), [Limit::ResponseTrailers]);
        assert_eq!(
            limits(all, options.with_request_body(BodyMode::Stream)),
            [Limit::RequestHead, Limit::ResponseHead, Limit::ResponseTrailers]
        );
        let headers = Capabilities::from_names(["proxy_on_request_headers", "proxy_on_response_headers"]).unwrap();
        assert!(limits(headers, options.with_request_body(BodyMode::Stream)).is_empty());
    }

    #[test]
    fn a_warning_names_the_plugin_pingora_and_a_remedy() {
        for limit in [Limit::RequestHead, Limit::ResponseHead, Limit::RequestTrailers, Limit::ResponseTrailers] {
            let text = Warning { plugin: "scan".to_owned(), limit }.to_string();
            assert!(
                text.contains("\"scan\"") && text.contains("Pingora") && text.contains("away from the plugin"),
                "{text}"
            );
        }
    }
}
