//! Listeners and services with their plugins compiled.

use portcullis_config::plan::Compiler;

use crate::config::{self, ConfigError};
use crate::net::tls;
use crate::plan::planned::{PlannedListener, PlannedService};

/// Compiles the plugin of a service.
///
/// # Errors
/// The fault of the plugin, with its place in the configuration.
pub(crate) fn plan_service(service: &config::Service, compiler: &mut Compiler) -> Result<PlannedService, ConfigError> {
    Ok(PlannedService { plugin: compiler.compile_one(&service.plugin)?, config: service.clone() })
}

/// Compiles the plugins of a listener, and reads its certificates.
///
/// # Errors
/// The fault of a plugin or certificate, with its place in the configuration.
pub(crate) fn plan_listener(
    listener: &config::Listener,
    compiler: &mut Compiler,
) -> Result<PlannedListener, ConfigError> {
    let tls = listener.tls.as_ref().map(|tls| {
        let help = "give PEM files of a certificate chain and its key";
        tls::server_config(&tls.certificate, &tls.private_key).map_err(|error| {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}"));
            ConfigError::from(tls.origin.diagnostic(format!("{error}{}", why.unwrap_or_default()), help))
        })
    });
    let compile = |plugins: &Option<Vec<config::Plugin>>, compiler: &mut Compiler| {
        plugins.as_ref().map(|plugins| compiler.compile(plugins)).transpose()
    };
    Ok(PlannedListener {
        tls: tls.transpose()?,
        plugins: compiler.compile(&listener.plugins)?,
        route_plugins: listener
            .routes
            .iter()
            .map(|route| compile(&route.plugins, compiler))
            .collect::<Result<_, _>>()?,
        config: listener.clone(),
    })
}
