//! Clusters with the files that they name read.

use std::error::Error;
use std::sync::Arc;

use crate::config::{Cluster, ClusterKind, ConfigError, ServerNames, UpstreamTls};
use crate::net::client_tls::{ClientTls, SystemRoots};
use crate::net::tls::TlsError;
use crate::upstream::pool::can_be_named;

/// A cluster with its certificates read.
#[derive(Clone, Debug)]
pub(crate) struct PlannedCluster {
    pub(crate) config: Cluster,
    /// Its certificates, if it has TLS.
    pub(crate) tls: Option<ClientTls>,
}

impl PlannedCluster {
    /// Returns whether both would have the same connections: they are configured alike, and their files have the same in them.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let (own, others) = (&self.config, &other.config);
        let has_same_files = match (&self.tls, &other.tls) {
            (Some(own), Some(other)) => own.is_same(other),
            (None, None) => true,
            _ => false,
        };
        has_same_files && own.name == others.name && own.kind == others.kind && own.metadata == others.metadata
    }
}

/// Reads the certificates of clusters.
///
/// # Errors
/// The fault of a certificate, with its place in the configuration.
pub(crate) fn plan_clusters(clusters: &[Cluster]) -> Result<Arc<[PlannedCluster]>, ConfigError> {
    let mut system = SystemRoots::default();
    let mut plan = |cluster: &Cluster| {
        let tls = match &cluster.kind {
            ClusterKind::Endpoints(servers) => servers.tls.as_ref().map(|tls| (servers, tls)),
            ClusterKind::Echo => None,
        };
        let tls = tls.map(|(servers, tls)| {
            let mut hosts = servers.endpoints.iter().map(|server| server.address.to_string());
            match hosts.find(|host| tls.server_name == ServerNames::Endpoint && !can_be_named(host)) {
                Some(host) => Err(unnamed(tls, &host)),
                None => ClientTls::read(tls, &mut system).map_err(|error| unreadable(tls, &error)),
            }
        });
        Ok(PlannedCluster { config: cluster.clone(), tls: tls.transpose()? })
    };
    clusters.iter().map(&mut plan).collect()
}

fn unnamed(tls: &UpstreamTls, host: &str) -> ConfigError {
    let message = format!("no certificate can be for the host of the endpoint {host}");
    ConfigError::from(tls.origin.diagnostic(message, "add server_name, the name that its certificate has"))
}

fn unreadable(tls: &UpstreamTls, error: &TlsError) -> ConfigError {
    let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
    let help = match error {
        TlsError::NoSystemRoots { .. } => "install the package ca-certificates, or name a file as roots",
        _ => "give PEM files",
    };
    ConfigError::from(tls.origin.diagnostic(format!("{error}{why}"), help))
}
