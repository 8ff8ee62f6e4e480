//! TLS with the servers of a cluster.

use std::path::PathBuf;

use portcullis_config::Origin;
use portcullis_config::reader::{Key, Kind, Read, Section, Type, Value, secret};
use rustls::pki_types::ServerName;
use serde_json::{Map, Value as Json};

/// How the servers of a cluster are reached through TLS, and how they are known.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// The authorities whose certificates are taken.
    pub roots: Roots,
    /// The name that is sent (SNI) and that the certificate must have.
    pub server_name: ServerNames,
    /// The certificate that servers see which ask for one.
    pub identity: Option<ClientIdentity>,
    /// The protocols that TCP streams offer by ALPN, in the order of preference; none for no offer.
    pub alpn: Vec<String>,
    /// Its place.
    pub origin: Origin,
}

/// The authorities that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The authorities of the operating system.
    System,
    /// The authorities of a file (PEM).
    File(PathBuf),
}

/// The source of the name that a server must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerNames {
    /// The host of the endpoint's address.
    Endpoint,
    /// The host of each request.
    Request,
    /// One name for all.
    Fixed(String),
}

/// The files with the gateway's certificate for servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The file with the certificate chain (PEM).
    pub certificate: PathBuf,
    /// The file with the private key (PEM).
    pub private_key: PathBuf,
}

/// Equal if they say the same, wherever they stand.
impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        let Self { roots, server_name, identity, alpn, origin: _ } = self;
        (roots, server_name, identity, alpn) == (&other.roots, &other.server_name, &other.identity, &other.alpn)
    }
}

impl Eq for UpstreamTls {}

impl ServerNames {
    /// Returns the name in the configuration of a source that is no fixed name.
    fn word(&self) -> Option<&'static str> {
        match self {
            Self::Endpoint => Some("endpoint"),
            Self::Request => Some("request"),
            Self::Fixed(_) => None,
        }
    }
}

impl UpstreamTls {
    /// Returns the block as it is configured.
    pub(super) fn to_json(&self) -> Json {
        let mut object = Map::new();
        let roots = match &self.roots {
            Roots::System => std::borrow::Cow::Borrowed(SYSTEM),
            Roots::File(path) => path.to_string_lossy(),
        };
        object.insert(ROOTS.name.to_owned(), roots.into());
        match (&self.server_name, self.server_name.word()) {
            (_, Some(word)) => object.insert(SERVER_NAME_FROM.name.to_owned(), word.into()),
            (ServerNames::Fixed(name), _) => object.insert(SERVER_NAME.name.to_owned(), name.as_str().into()),
            _ => None,
        };
        if let Some(ClientIdentity { certificate, private_key }) = &self.identity {
            object.insert(CERTIFICATE.name.to_owned(), certificate.to_string_lossy().into());
            object.insert(PRIVATE_KEY.name.to_owned(), private_key.to_string_lossy().into());
        }
        object.insert(ALPN.name.to_owned(), self.alpn.clone().into());
        object.into()
    }
}

/// The word for the authorities of the operating system.
pub(super) const SYSTEM: &str = "system";

/// The path of a file, or a reference to one.
const FILE: Type = Type::Either(const { &[Type::Name, Type::Section(&secret::SECRET)] });

const ROOTS: Key = Key::new(
    "roots",
    FILE,
    "The file with the certificates of the authorities that are trusted, in PEM; `system` for those of the operating system.",
)
.default(SYSTEM);
const SERVER_NAME: Key = Key::new(
    "server_name",
    Type::Name,
    "The name or IP address that certificates must be for, in place of `server_name_from`; a name is sent as SNI.",
);
const SERVER_NAME_FROM: Key = Key::new(
    "server_name_from",
    Type::Words(&["endpoint", "request"]),
    "Whether certificates must be for the host of the endpoint, or for the host of each request.",
)
.default("endpoint");
const CERTIFICATE: Key = Key::new(
    "certificate",
    FILE,
    "The file with the certificate chain for servers that ask for one, in PEM; with `private_key`.",
);
const PRIVATE_KEY: Key =
    Key::new("private_key", FILE, "The file with the private key of `certificate`, in PEM; with `certificate`.");
const ALPN: Key = Key::new(
    "alpn",
    Type::List(&Type::Name),
    "The protocols that TCP streams offer by ALPN, the preferred first; requests offer those of the cluster's `protocol`.",
)
.default("[]");

pub(super) static UPSTREAM_TLS: Section = Section::new(
    "upstream_tls",
    "clusters[].tls",
    "TLS with the servers of a cluster. Their certificates and names are always checked. `tls: {}` has all defaults.",
    &[ROOTS, SERVER_NAME, SERVER_NAME_FROM, CERTIFICATE, PRIVATE_KEY, ALPN],
)
.page("operations.md");

/// The longest name of a protocol.
const LONGEST_PROTOCOL: usize = 255;

/// Reads the block.
pub(super) fn read(value: &Value<'_>) -> Read<UpstreamTls> {
    let mapping = value.mapping(&UPSTREAM_TLS)?;
    let file = |key: Key| mapping.optional(key, |path| secret::path(path, "correct the path, of a PEM file"));
    let roots = mapping.or(ROOTS, Roots::System, |roots| match roots.kind() {
        Kind::String(SYSTEM) => Ok(Roots::System),
        _ => secret::path(roots, "correct the path, or write `system`").map(Roots::File),
    });
    let fixed = mapping.optional(SERVER_NAME, name);
    let by_request = [("endpoint", false), ("request", true)];
    let by_request = mapping.or(SERVER_NAME_FROM, false, |word| word.one_of(&by_request));
    let (certificate, private_key) = (file(CERTIFICATE), file(PRIVATE_KEY));
    let alpn = mapping.or(ALPN, Vec::new(), |list| list.list(|_, name| protocol(name)));
    if let (Some(_), Some(other)) = (mapping.get(SERVER_NAME), mapping.get(SERVER_NAME_FROM)) {
        return Err(other.fail("server_name says the name already", "remove one of them"));
    }
    let identity = match (certificate?, private_key?) {
        (Some(certificate), Some(private_key)) => Some(ClientIdentity { certificate, private_key }),
        (None, None) => None,
        (Some(_), None) => return Err(value.fail("certificate has no private_key", "add private_key")),
        (None, Some(_)) => return Err(value.fail("private_key has no certificate", "add certificate")),
    };
    let server_name = match (fixed?, by_request?) {
        (Some(name), _) => ServerNames::Fixed(name),
        (None, true) => ServerNames::Request,
        (None, false) => ServerNames::Endpoint,
    };
    Ok(UpstreamTls { roots: roots?, server_name, identity, alpn: alpn?, origin: value.origin() })
}

fn name(value: &Value<'_>) -> Read<String> {
    let name = value.name()?;
    match ServerName::try_from(name.as_str()) {
        Ok(_) => Ok(name),
        Err(_) => {
            Err(value.expected("a host name or an IP address", "write it as certificates have it, without a port"))
        }
    }
}

fn protocol(value: &Value<'_>) -> Read<String> {
    let name = value.name()?;
    if name.len() > LONGEST_PROTOCOL {
        return Err(value.expected("the name of a protocol", "write at most 255 bytes, as `postgresql`"));
    }
    Ok(name)
}
