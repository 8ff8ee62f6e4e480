//! Listeners and services with their plugins compiled.

use crate::config::{self, ConfigError};
use crate::error::ServeError;
use crate::net::tls;
use crate::plan::maker::Compiling;
use crate::plan::planned::{PlannedListener, PlannedService};

/// Compiles the plugin of a service.
///
/// # Errors
/// The fault of the plugin, with its place in the configuration.
pub(crate) fn plan_service(
    service: &config::Service,
    compiling: &mut Compiling<'_>,
) -> Result<PlannedService, ServeError> {
    Ok(PlannedService { plugin: compiling.one(&service.plugin)?, config: service.clone() })
}

/// Compiles the plugins of a listener, and reads its certificates.
///
/// # Errors
/// The fault of a plugin or certificate, with its place in the configuration.
pub(crate) fn plan_listener(
    listener: &config::Listener,
    compiling: &mut Compiling<'_>,
) -> Result<PlannedListener, ServeError> {
    let tls = listener.tls.as_ref().map(|tls| {
        let help = "give PEM files of a certificate chain and its key";
        tls::server_config(&tls.certificate, &tls.private_key).map_err(|error| {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}"));
            ConfigError::from(tls.origin.diagnostic(format!("{error}{}", why.unwrap_or_default()), help))
        })
    });
    Ok(PlannedListener {
        tls: tls.transpose()?,
        plugins: compiling.chain(&listener.plugins)?,
        route_plugins: listener
            .routes
            .iter()
            .map(|route| route.plugins.as_ref().map(|plugins| compiling.chain(plugins)).transpose())
            .collect::<Result<_, _>>()?,
        config: listener.clone(),
    })
}
