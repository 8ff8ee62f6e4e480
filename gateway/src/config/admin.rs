//! `admin`: where the admin interface listens, to which hosts it answers, and who may write.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use portcullis_config::blocks::any;
use portcullis_config::reader::secret::{self, Secret};
use portcullis_config::reader::{Key, Kind, Read, Refused, Section, Type, Unique, Value};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Config;
use super::listener;

/// The file of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPath {
    /// Where it is.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
}

/// The place of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A path.
    Path(String),
    /// `{file: PATH}`, `{env: NAME}` or `{credential: NAME}`.
    Elsewhere(Json),
}

/// The token that requests need which change something. Only its digest is kept, so that nothing can show it.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// Where it stands, as in the configuration.
    reference: Reference,
    digest: [u8; 32],
}

impl AdminToken {
    /// Makes the token of a file.
    pub(crate) fn of(reference: Reference, token: &[u8]) -> Self {
        Self { reference, digest: Sha256::digest(token).into() }
    }

    /// Returns true for the token, in a time that does not depend on it.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.digest.ct_eq(&given).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminToken").field("reference", &self.reference).finish_non_exhaustive()
    }
}

/// The admin interface.
#[derive(Debug, Default)]
pub(super) struct Admin {
    pub(super) token: Option<AdminToken>,
    pub(super) address: Option<SocketAddr>,
    pub(super) socket: Option<AdminPath>,
    pub(super) hosts: Vec<String>,
}

/// Prefix of the path of a Unix socket.
const UNIX: &str = "unix:";

/// Its user alone.
const DEFAULT_MODE: u32 = 0o600;

const ADDRESS: Key =
    Key::new("address", Type::Form("`IP:PORT` or `unix:PATH`", "."), "The address that the interface listens at.")
        .required();
const HOSTS: Key = Key::new(
    "hosts",
    Type::List(&Type::Form("host", r"^(\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])$")),
    "The hosts that it answers to besides loopback and the address that it was reached at; `*` is any.",
)
.default("[]");
const MODE: Key = Key::new(
    "mode",
    Type::Form("octal digits in quotes", "^0?[0-7]{3}$"),
    "Permissions of the Unix socket; of no other address.",
)
.computed("`0600` for a Unix socket");

const TOKEN_FILE: Key = Key::new(
    "token_file",
    Type::Either(const { &[Type::Name, Type::Section(&secret::SECRET)] }),
    "A file with the token that requests need which change something, found from the working directory or beside the \
     configuration; without it only a Unix socket that is its user's alone takes such requests.",
);

pub(super) static ADMIN: Section =
    Section::new("admin", "admin", "The admin interface.", &[ADDRESS, HOSTS, MODE, TOKEN_FILE]).page("admin.md");

/// The fewest characters of a token: one that nobody guesses.
const SHORTEST_TOKEN: usize = 16;

/// The most bytes of a token, which is sent in a header.
const LONGEST_TOKEN: usize = 4096;

/// The permission to read of anybody.
const READ_BY_OTHERS: u32 = 0o004;

const REFUSED: &[Refused] = &[
    ("access_log", "requests to the admin interface are not logged", "remove the key"),
    ("access_log_path", "requests to the admin interface are not logged", "remove the key"),
    ("profile_path", "profiles are written by `serve --profile`", "remove the key"),
    ("socket_options", "there are no options for sockets", "remove the key"),
    ("ignore_global_conn_limit", "the admin interface has connections of its own", "remove the key"),
    (
        "allow_paths",
        "all pages are there, and those that change something need the token or the Unix socket",
        "remove the key",
    ),
];

/// Reads `ADDRESS`, `unix:PATH`, or `{address, hosts, mode, token_file}`.
pub(super) fn read(value: &Value<'_>, addresses: &mut Unique) -> Read<Admin> {
    let Kind::Mapping = value.kind() else { return place(value, addresses) };
    let mapping = value.mapping_without(&ADMIN, REFUSED)?;
    let place = mapping.required(ADDRESS, "add one, as `address: 127.0.0.1:9901`", |value| place(value, addresses));
    let hosts = mapping.or(HOSTS, Vec::new(), |hosts| hosts.list(|_, host| self::host(host)));
    let mode = mapping.optional(MODE, mode);
    let token = mapping.optional(TOKEN_FILE, token);
    let mut place = place?;
    match (&mut place.socket, mode?, mapping.get(MODE)) {
        (Some(socket), Some(mode), _) => socket.mode = mode,
        (None, Some(_), Some(value)) => {
            return Err(
                value.fail("only a Unix socket has permissions", "remove the key, or write `address: unix:PATH`")
            );
        }
        _ => {}
    }
    place.hosts = hosts?;
    place.token = token?;
    if let (Some(_), false, Some(hosts)) = (&place.socket, place.hosts.is_empty(), mapping.get(HOSTS)) {
        hosts.notice("hosts is ignored: over a Unix socket any is answered", "remove the key");
    }
    Ok(place)
}

fn place(value: &Value<'_>, addresses: &mut Unique) -> Read<Admin> {
    if let Kind::String(text) = value.kind()
        && let Some(path) = text.strip_prefix(UNIX)
    {
        if path.is_empty() || path.contains('\0') {
            return Err(value.expected("a path behind unix:", "write it, as `unix:/run/portcullis/admin.sock`"));
        }
        addresses.check(value, text)?;
        let socket = AdminPath { path: PathBuf::from(path), mode: DEFAULT_MODE };
        return Ok(Admin { socket: Some(socket), ..Admin::default() });
    }
    let address = listener::unique_address(value, addresses)?;
    if !address.ip().is_loopback() {
        let message = "anybody can read the pages of the admin interface, and other machines can reach it";
        value.notice(message, format!("use 127.0.0.1:{}, or keep the port private", address.port()));
    }
    Ok(Admin { address: Some(address), ..Admin::default() })
}

fn token(value: &Value<'_>) -> Read<AdminToken> {
    let (secret, reference) = match value.kind() {
        Kind::Mapping => (secret::read(value)?, Reference::Elsewhere(json_of(value)?)),
        _ => (
            secret::of_path(value, "make it, with 32 random characters in it, or correct the path")?,
            Reference::Path(value.name()?),
        ),
    };
    let Secret { text, file, place, .. } = &*secret;
    let fault = |message: &str| {
        let help = "write 32 random letters and digits there, as `openssl rand -hex 16` prints them";
        value.fail(format!("{place} {message}"), help)
    };
    match text.trim().as_bytes() {
        [] => Err(fault("is empty")),
        token if token.len() < SHORTEST_TOKEN => {
            Err(fault(&format!("has a token of fewer than {SHORTEST_TOKEN} characters, which can be guessed")))
        }
        token if token.len() > LONGEST_TOKEN => Err(fault(&format!("has a token of more than {LONGEST_TOKEN} bytes"))),
        token if !token.iter().all(u8::is_ascii_graphic) => {
            Err(fault("has more than one line, spaces, or characters that a header cannot have"))
        }
        token => {
            file.iter().for_each(|file| notice_readable(value, file));
            Ok(AdminToken::of(reference, token))
        }
    }
}

/// Returns a reference as JSON.
fn json_of(value: &Value<'_>) -> Read<Json> {
    Ok(serde_json::from_slice(&any::json(value)?).unwrap_or_default())
}

fn notice_readable(value: &Value<'_>, file: &Path) {
    let mode = std::fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & READ_BY_OTHERS != 0 {
        let message = format!("every user of this machine can read the token file {}", file.display());
        value.notice(message, format!("run `chmod 600 {}`", file.display()));
    }
}

fn host(value: &Value<'_>) -> Read<String> {
    let text = value.name()?;
    let is_address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let is_address = is_address.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if text != "*" && !is_address && !is_name {
        let help = "write a name or an address as it stands in Host, without a port, an IPv6 address in brackets; \"*\" is any host";
        return Err(value.expected("a host", help));
    }
    Ok(text)
}

fn mode(value: &Value<'_>) -> Read<u32> {
    let what = "permissions such as \"0660\"";
    let Kind::String(text) = value.kind() else {
        return Err(value.expected(what, "write three or four octal digits in quotes"));
    };
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if is_octal && mode <= 0o777 => Ok(mode),
        _ => Err(value.expected(what, "write three octal digits in quotes, with or without a 0 before them")),
    }
}

/// Returns the value as JSON, as it is written in the file.
pub(super) fn to_json(config: &Config) -> Json {
    let Config { admin, admin_socket, admin_hosts, admin_token, .. } = config;
    let mut members = Map::new();
    match (admin, admin_socket) {
        (_, Some(AdminPath { path, mode })) => {
            members.insert("address".to_owned(), json!(format!("{UNIX}{}", path.display())));
            members.insert("mode".to_owned(), json!(format!("{mode:04o}")));
        }
        (Some(address), None) if admin_hosts.is_empty() && admin_token.is_none() => return json!(address.to_string()),
        (Some(address), None) => {
            members.insert("address".to_owned(), json!(address.to_string()));
            members.insert("hosts".to_owned(), json!(admin_hosts));
        }
        (None, None) => return Json::Null,
    }
    let token = admin_token.as_ref().map(|token| match &token.reference {
        Reference::Path(path) => json!(path),
        Reference::Elsewhere(reference) => reference.clone(),
    });
    members.extend(token.map(|token| ("token_file".to_owned(), token)));
    members.into()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn read(admin: &str) -> Result<Config, String> {
        let text = format!(
            "listeners: [{{address: 127.0.0.1:0, routes: [{{cluster: e}}]}}]\nclusters: [{{name: e, echo: {{}}}}]\nadmin: {admin}\n"
        );
        Config::parse("test.yaml", &text).map_err(|error| error.to_string())
    }

    #[test]
    fn all_forms_are_read_and_shown() {
        for (admin, shown) in [
            ("127.0.0.1:9901", json!("127.0.0.1:9901")),
            ("{address: 127.0.0.1:9901}", json!("127.0.0.1:9901")),
            (
                "{address: 127.0.0.1:9901, hosts: [Admin.internal, '[::1]', '*']}",
                json!({ "address": "127.0.0.1:9901", "hosts": ["Admin.internal", "[::1]", "*"] }),
            ),
            ("unix:/run/a.sock", json!({ "address": "unix:/run/a.sock", "mode": "0600" })),
            ("{address: unix:a.sock, mode: '660'}", json!({ "address": "unix:a.sock", "mode": "0660" })),
        ] {
            let config = read(admin).unwrap();
            assert_eq!(to_json(&config), shown, "{admin}");
            assert_eq!(config.notices, [], "{admin}");
        }
        assert_eq!(read("{address: unix:a, hosts: [b]}").unwrap().notices.len(), 1);
    }

    struct TokenFile(PathBuf);

    impl TokenFile {
        fn new(name: &str, content: &[u8], mode: u32) -> Self {
            let path = std::env::temp_dir().join(format!("portcullis-token-{}-{name}", std::process::id()));
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            Self(path)
        }

        fn read(&self) -> Result<Config, String> {
            read(&format!("{{address: 127.0.0.1:1, token_file: {:?}}}", self.0.display().to_string()))
        }
    }

    impl Drop for TokenFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_token_is_read_and_shown_nowhere() {
        let file = TokenFile::new("good", format!("{TOKEN}\n").as_bytes(), 0o600);
        let config = file.read().unwrap();
        assert_eq!(config.notices, []);
        let token = config.admin_token.as_ref().unwrap();
        assert!(token.is(TOKEN.as_bytes()));
        for other in ["", "x", &TOKEN[1..], &format!("{TOKEN}0"), &TOKEN.to_uppercase()] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        let path = file.0.display().to_string();
        assert_eq!(to_json(&config), json!({ "address": "127.0.0.1:1", "hosts": [], "token_file": path }));
        assert!(!format!("{config:?}").contains(TOKEN));
    }

    #[test]
    fn a_token_stands_elsewhere() {
        let config = read("{address: 127.0.0.1:1, token_file: {env: CARGO_PKG_NAME}}").unwrap();
        assert!(config.admin_token.as_ref().unwrap().is(env!("CARGO_PKG_NAME").as_bytes()));
        let shown = json!({ "address": "127.0.0.1:1", "hosts": [], "token_file": { "env": "CARGO_PKG_NAME" } });
        assert_eq!(to_json(&config), shown);
        let file = TokenFile::new("elsewhere", TOKEN.as_bytes(), 0o644);
        let config =
            read(&format!("{{address: unix:a, token_file: {{file: {:?}}}}}", file.0.display().to_string())).unwrap();
        assert!(config.admin_token.unwrap().is(TOKEN.as_bytes()));
        assert_eq!(config.notices.len(), 1, "anybody can read it");
        let error = read("{address: 127.0.0.1:1, token_file: {env: NO_SUCH_VARIABLE}}").unwrap_err();
        assert!(error.contains("admin.token_file: the environment variable NO_SUCH_VARIABLE is not set"), "{error}");
    }

    #[test]
    fn a_token_that_is_none_is_refused_by_file_and_key() {
        for (name, content, expected) in [
            ("empty", &b"\n"[..], "is empty; write the value there"),
            ("short", b"0123456789abcde\n", "has a token of fewer than 16 characters"),
            ("lines", b"0123456789abcdef\n0123456789abcdef\n", "has more than one line"),
            ("bytes", "0123456789abcdefé".as_bytes(), "characters that a header cannot have"),
            ("binary", b"0123456789abcdef\xff", "is not valid UTF-8; save it as UTF-8"),
            ("long", &[b'a'; 5000], "has a token of more than 4096 bytes"),
        ] {
            let file = TokenFile::new(name, content, 0o600);
            let error = file.read().unwrap_err();
            assert!(error.contains("test.yaml:3:") && error.contains("admin.token_file: "), "{error}");
            assert!(error.contains(&*file.0.to_string_lossy()) && error.contains(expected), "{error}");
            assert!(!error.contains("0123456789"), "{error}");
        }
        let error = read("{address: 127.0.0.1:1, token_file: /nowhere/token}").unwrap_err();
        assert!(error.contains("admin.token_file: there is no file \"/nowhere/token\"; make it"), "{error}");
    }

    #[test]
    fn a_token_file_that_anybody_can_read_is_told() {
        for (mode, notices) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
            let file = TokenFile::new("mode", TOKEN.as_bytes(), mode);
            let config = file.read().unwrap();
            assert_eq!(config.notices.len(), notices, "{mode:o}");
            assert!(config.notices.iter().all(|notice| notice.to_string().contains("run `chmod 600 ")));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (admin, expected) in [
            ("{hosts: [a]}", "admin: missing key \"address\"; add one, as `address: 127.0.0.1:9901`"),
            ("{address: 127.0.0.1:1, hosts: ['a:1']}", "admin.hosts[0]: expected a host, found \"a:1\""),
            ("{address: 127.0.0.1:1, mode: '660'}", "only a Unix socket has permissions"),
            ("{address: unix:a, mode: 660}", "expected permissions such as \"0660\""),
            ("{address: unix:a, mode: '1777'}", "expected permissions such as \"0660\""),
            ("{address: unix:a, mode: '+66'}", "expected permissions such as \"0660\""),
            ("'unix:'", "expected a path behind unix:"),
            ("{address: 127.0.0.1:1, access_log: []}", "requests to the admin interface are not logged"),
            ("{address: {socket_address: {address: 127.0.0.1, port_value: 1}}}", "write 127.0.0.1:1"),
        ] {
            let error = read(admin).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
