//! The server side of TLS: certificate, key and protocol settings.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Reads a certificate chain (leaf first) and its private key, both PEM, into a configuration that offers HTTP/2 and
/// HTTP/1.1.
///
/// The cryptography provider is given here and not taken from the process, so that a plugin engine or another library
/// that installs a default of its own changes nothing.
pub fn server_config(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = read_certificates(certificates)?;
    let private_key = read_key(key)?;
    let rejected = |source| TlsError::Rejected { certificates: certificates.to_owned(), key: key.to_owned(), source };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(rejected)?
        .with_no_client_auth()
        .with_single_cert(chain, private_key)
        .map_err(rejected)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Returns the one provider of cryptography. It prefers X25519MLKEM768, which no quantum computer breaks, and takes what
/// peers have who do not know it.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A certificate or key cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read TLS file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not PEM.
    #[error("TLS file {} is not valid PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: pem::Error,
    },
    /// The file is PEM but has no certificate in it.
    #[error("TLS file {} has no certificate; expected `-----BEGIN CERTIFICATE-----`", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file is PEM but has no private key in it.
    #[error("TLS file {} has no private key; expected an unencrypted PKCS #8, PKCS #1 or SEC 1 key", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// No version of TLS that is safe is there.
    #[error("TLS cannot be set up")]
    Versions(#[source] rustls::Error),
    /// A certificate of an authority cannot be used.
    #[error("TLS file {} has a certificate that can be no authority's", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// The operating system has no authorities.
    #[error("the operating system has no certificate authorities{why}")]
    NoSystemRoots {
        /// The first failure, if there was one.
        why: String,
    },
    /// Certificate and key do not go together, or their algorithm is not supported.
    #[error("certificate {} and key {} cannot be used together", certificates.display(), key.display())]
    Rejected {
        /// The certificate file.
        certificates: PathBuf,
        /// The key file.
        key: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
}

/// The most bytes of a file with certificates or a key.
const LARGEST: u64 = 1 << 20;

pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|source| unreadable(path, source))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        other => unreadable(path, other),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    portcullis::input::read_file(path, LARGEST).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn unreadable(path: &Path, source: pem::Error) -> TlsError {
    let path = path.to_owned();
    match source {
        pem::Error::Io(source) => TlsError::Read { path, source },
        source => TlsError::Pem { path, source },
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use super::*;

    struct Files(PathBuf);

    impl Files {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("portcullis-tls-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_good_pair_offers_both_protocols() {
        let files = Files::new("good");
        let (cert, key) = pair();
        let config = server_config(&files.write("c.pem", &cert), &files.write("k.pem", &key)).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }

    #[test]
    fn hybrid_key_exchange_is_preferred_and_not_required() {
        use rustls::NamedGroup::{X25519, X25519MLKEM768, secp256r1, secp384r1};
        let files = Files::new("groups");
        let (cert, key) = pair();
        let (cert, key) = (files.write("c.pem", &cert), files.write("k.pem", &key));
        let server = server_config(&cert, &key).unwrap();
        for (offered, agreed) in [
            (&[X25519MLKEM768, X25519][..], X25519MLKEM768),
            // A client that prefers another one sends the share of that alone, and is spared a round.
            (&[X25519, X25519MLKEM768], X25519),
            (&[X25519, secp256r1], X25519),
            (&[secp256r1], secp256r1),
            (&[secp384r1], secp384r1),
        ] {
            let mut client = aws_lc_rs::default_provider();
            let group = |name: &rustls::NamedGroup| {
                client.kx_groups.iter().find(|group| group.name() == *name).copied().unwrap()
            };
            client.kx_groups = offered.iter().map(group).collect();
            assert_eq!(agree(&server, client, &cert), agreed, "{offered:?}");
        }
    }

    /// Returns the group that both agree on, without sockets.
    fn agree(server: &Arc<ServerConfig>, client: CryptoProvider, trusted: &Path) -> rustls::NamedGroup {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(Arc::new(client))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = rustls::ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
        let mut server = rustls::ServerConnection::new(Arc::clone(server)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        let of_client = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(server.negotiated_key_exchange_group().unwrap().name(), of_client);
        of_client
    }

    #[test]
    fn every_error_names_the_file() {
        let files = Files::new("bad");
        let (cert, key) = pair();
        let (_, other_key) = pair();
        let cert = files.write("c.pem", &cert);
        let good_key = files.write("k.pem", &key);
        let other_key = files.write("other.pem", &other_key);
        let empty = files.write("empty.pem", "");
        let broken = files.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
        let absent = files.0.join("absent.pem");

        for (cert, key, named, expected) in [
            (&absent, &good_key, "absent.pem", "cannot read"),
            (&cert, &absent, "absent.pem", "cannot read"),
            (&empty, &good_key, "empty.pem", "no certificate"),
            (&cert, &empty, "empty.pem", "no private key"),
            (&broken, &good_key, "broken.pem", "not valid PEM"),
            (&cert, &other_key, "other.pem", "cannot be used together"),
        ] {
            let text = server_config(cert, key).unwrap_err().to_string();
            assert!(text.contains(named) && text.contains(expected), "{text}");
        }
    }
}
