//! Reasons for which TLS with an upstream fails, in the words of who has to mend it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// A reason for which TLS with an upstream fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// The certificate is another server's.
    #[error("its certificate is for {presented} and not for {expected}")]
    WrongName {
        /// The name that it should have.
        expected: String,
        /// The names that it has.
        presented: String,
    },
    /// The certificate has expired.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate is from the future.
    #[error("its certificate is not valid yet")]
    NotValidYet,
    /// No authority that is trusted has signed the certificate.
    #[error("its certificate is of no authority that is trusted")]
    UnknownAuthority,
    /// The certificate is wrong in another way.
    #[error("its certificate cannot be accepted ({0})")]
    Certificate(String),
    /// The server wants a certificate, and there is none.
    #[error("it asks for a client certificate")]
    ClientCertificateMissing,
    /// The server does not take ours.
    #[error("it refuses the client certificate ({0:?})")]
    ClientCertificateRefused(AlertDescription),
    /// The server takes none of the protocols that are offered.
    #[error("it takes none of the protocols that are offered by ALPN")]
    AlpnRefused,
    /// The server agreed to another protocol than the one that is needed.
    #[error("it did not agree to {wanted} by ALPN")]
    OtherProtocol {
        /// The protocol that is needed.
        wanted: &'static str,
    },
    /// Its bytes are no TLS.
    #[error("it speaks no TLS")]
    NoTls,
    /// The server left in the midst of the handshake.
    #[error("it ended the connection during the handshake")]
    Closed,
    /// No name is known to check its certificate against.
    #[error("no host is asked for that a certificate can have")]
    NoName,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl TlsFault {
    /// Returns the fault of TLS that an error of a connection is, if it is one. `has_identity` says whether the server gets a
    /// certificate if it asks for one.
    pub(super) fn of(error: &io::Error, has_identity: bool) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(match error {
            Error::InvalidCertificate(error) => Self::certificate(error),
            Error::NoCertificatesPresented => Self::Certificate("it has none".to_owned()),
            Error::AlertReceived(alert) => Self::alert(*alert, has_identity),
            Error::InvalidMessage(_) => Self::NoTls,
            other => Self::Other(other.to_string()),
        })
    }

    /// Returns the fault that an error of a handshake is; every one is some.
    pub(super) fn of_handshake(error: &io::Error, has_identity: bool) -> Self {
        Self::of(error, has_identity).unwrap_or_else(|| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Other(error.to_string()),
        })
    }

    /// Returns what an operator can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::WrongName { .. } => {
                "set server_name in tls of the cluster to a name that it has, or have it get a certificate for this one"
            }
            Self::Expired => "have it get a new certificate, or mend the clock of this machine",
            Self::NotValidYet => "mend the clock of this machine, or of the one that made the certificate",
            Self::UnknownAuthority => {
                "name a file with the certificate of its authority as roots in tls of the cluster"
            }
            Self::Certificate(_) => "have it get another certificate",
            Self::ClientCertificateMissing => "set certificate and private_key in tls of the cluster",
            Self::ClientCertificateRefused(_) => "set certificate in tls of the cluster to one that it takes",
            Self::AlpnRefused => {
                "set protocol of the cluster, or for TCP streams alpn in its tls, to what the server speaks"
            }
            Self::OtherProtocol { .. } => "write `protocol: auto` in the cluster, or the protocol that it speaks",
            Self::NoTls | Self::Closed => "check its port, and remove tls from the cluster if it speaks none",
            Self::NoName => "set server_name in tls of the cluster",
            Self::Other(_) => "compare the versions and ciphers of TLS that it has with TLS 1.2 and 1.3",
        }
    }

    fn certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotValidYet,
            // The latter is of an authority that only has the name of a trusted one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::NotValidForNameContext { expected, presented } => {
                Self::WrongName { expected: expected.to_str().into_owned(), presented: names(presented) }
            }
            other => Self::Certificate(other.to_string()),
        }
    }

    fn alert(alert: AlertDescription, has_identity: bool) -> Self {
        use AlertDescription as Alert;
        match alert {
            Alert::NoApplicationProtocol => Self::AlpnRefused,
            Alert::CertificateRequired => Self::ClientCertificateMissing,
            // Before TLS 1.3 there is no other word for a missing one.
            Alert::BadCertificate | Alert::NoCertificate if !has_identity => Self::ClientCertificateMissing,
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::DecryptError
            | Alert::AccessDenied
                if has_identity =>
            {
                Self::ClientCertificateRefused(alert)
            }
            Alert::HandshakeFailure if !has_identity => Self::Other(
                "it refuses the handshake: no cipher is common, or it asks for a client certificate".to_owned(),
            ),
            other => Self::Other(format!("it ends the handshake with the alert {other:?}")),
        }
    }
}

/// Returns the names of a certificate; an upstream may send many.
fn names(presented: &[String]) -> String {
    const MOST: usize = 4;
    // As rustls writes them: `DnsName("a.example")`, `IpAddress(127.0.0.1)`.
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, inner)| inner.strip_suffix(')')).unwrap_or(name);
        inner.trim_matches('"').to_owned()
    };
    let shown: Vec<String> = presented.iter().take(MOST).map(bare).collect();
    match presented.len() {
        0 => "no name".to_owned(),
        count if count > MOST => format!("{}, and {} more", shown.join(", "), count - MOST),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(error: Error, has_identity: bool) -> Option<TlsFault> {
        TlsFault::of(&io::Error::new(io::ErrorKind::InvalidData, error), has_identity)
    }

    #[test]
    fn an_alert_is_about_the_client_certificate_if_there_can_be_one() {
        let alert = |alert, has_identity| fault(Error::AlertReceived(alert), has_identity);
        let missing = Some(TlsFault::ClientCertificateMissing);
        assert_eq!(alert(AlertDescription::CertificateRequired, false), missing);
        assert_eq!(alert(AlertDescription::BadCertificate, false), missing);
        for refusing in [AlertDescription::BadCertificate, AlertDescription::UnknownCA] {
            assert_eq!(alert(refusing, true), Some(TlsFault::ClientCertificateRefused(refusing)));
        }
        assert_eq!(alert(AlertDescription::NoApplicationProtocol, true), Some(TlsFault::AlpnRefused));
        assert!(matches!(alert(AlertDescription::UnknownCA, false), Some(TlsFault::Other(_))));
    }

    #[test]
    fn few_names_of_a_certificate_are_shown() {
        let presented = |count: usize| (0..count).map(|index| format!("DnsName(\"{index}.test\")")).collect::<Vec<_>>();
        assert_eq!(names(&presented(0)), "no name");
        assert_eq!(names(&presented(2)), "0.test, 1.test");
        assert_eq!(names(&presented(6)), "0.test, 1.test, 2.test, 3.test, and 2 more");
        assert_eq!(names(&["IpAddress(127.0.0.1)".to_owned()]), "127.0.0.1");
    }

    #[test]
    fn a_lost_connection_is_no_fault_of_tls_but_in_a_handshake() {
        let lost = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(TlsFault::of(&lost, false), None);
        assert_eq!(TlsFault::of_handshake(&lost, false), TlsFault::Closed);
    }
}
