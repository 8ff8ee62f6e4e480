//! The client side of TLS: the authorities that vouch for upstreams, and our certificate for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};

use super::tls::{TlsError, provider, read_certificates, read_key};
use crate::config::{Roots, UpstreamTls};

/// Sessions that a worker may resume with the servers of a cluster.
const SESSIONS: usize = 256;

/// TLS of a cluster with all that its files said when it was planned.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    has_identity: bool,
    /// The digest of certificates and key: other files make other connections.
    digest: [u8; 32],
}

/// The authorities of the operating system, which are read at most once.
#[derive(Debug, Default)]
pub(crate) struct SystemRoots(Option<Arc<RootCertStore>>);

impl ClientTls {
    /// Reads the files of a cluster's block.
    ///
    /// # Errors
    /// A file cannot be read or used, or the system has no authorities.
    pub(crate) fn read(tls: &UpstreamTls, system: &mut SystemRoots) -> Result<Self, TlsError> {
        let mut digest = Sha256::new();
        let roots = match &tls.roots {
            Roots::System => system.get()?,
            Roots::File(path) => Arc::new(roots_of(path)?),
        };
        for root in &roots.roots {
            digest.update(&root.subject);
            digest.update(&root.subject_public_key_info);
            digest.update(root.name_constraints.as_deref().unwrap_or_default());
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?
            .with_root_certificates(roots);
        let config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = (read_certificates(&identity.certificate)?, read_key(&identity.private_key)?);
                chain.iter().for_each(|certificate| digest.update(certificate));
                digest.update(key.secret_der());
                let (certificates, key_file) = (identity.certificate.clone(), identity.private_key.clone());
                builder.with_client_auth_cert(chain, key).map_err(|source| TlsError::Rejected {
                    certificates,
                    key: key_file,
                    source,
                })?
            }
        };
        let has_identity = tls.identity.is_some();
        Ok(Self { config: Arc::new(config), has_identity, digest: digest.finalize().into() })
    }

    /// Returns whether both have read the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Returns whether servers that ask for a certificate get one.
    pub(crate) fn has_identity(&self) -> bool {
        self.has_identity
    }

    /// Returns a configuration for one worker, whose sessions no other has, that offers protocols by ALPN.
    pub(crate) fn offering(&self, protocols: Vec<Vec<u8>>) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        config.alpn_protocols = protocols;
        Arc::new(config)
    }
}

impl SystemRoots {
    fn get(&mut self) -> Result<Arc<RootCertStore>, TlsError> {
        if let Some(roots) = &self.0 {
            return Ok(Arc::clone(roots));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(TlsError::NoSystemRoots { why });
        }
        let roots = Arc::new(roots);
        self.0 = Some(Arc::clone(&roots));
        Ok(roots)
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        let unusable = |source| TlsError::Root { path: PathBuf::from(path), source };
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(roots)
}
