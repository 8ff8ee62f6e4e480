//! `admin`: where the admin interface listens, and to which hosts it answers.

use std::net::SocketAddr;
use std::path::PathBuf;

use portcullis_config::reader::{Key, Kind, Read, Refused, Section, Type, Unique, Value};
use serde_json::{Value as Json, json};

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

/// The admin interface.
#[derive(Debug, Default)]
pub(super) struct Admin {
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

pub(super) static ADMIN: Section =
    Section::new("admin", "admin", "The admin interface.", &[ADDRESS, HOSTS, MODE]).page("admin.md");

const REFUSED: &[Refused] = &[
    ("access_log", "requests to the admin interface are not logged", "remove the key"),
    ("access_log_path", "requests to the admin interface are not logged", "remove the key"),
    ("profile_path", "profiles are written by `serve --profile`", "remove the key"),
    ("socket_options", "there are no options for sockets", "remove the key"),
    ("ignore_global_conn_limit", "the admin interface has connections of its own", "remove the key"),
    ("allow_paths", "all pages are there, and none changes anything", "remove the key"),
];

/// Reads `ADDRESS`, `unix:PATH`, or `{address, hosts, mode}`.
pub(super) fn read(value: &Value<'_>, addresses: &mut Unique) -> Read<Admin> {
    let Kind::Mapping = value.kind() else { return place(value, addresses) };
    let mapping = value.mapping_without(&ADMIN, REFUSED)?;
    let place = mapping.required(ADDRESS, "add one, as `address: 127.0.0.1:9901`", |value| place(value, addresses));
    let hosts = mapping.or(HOSTS, Vec::new(), |hosts| hosts.list(|_, host| self::host(host)));
    let mode = mapping.optional(MODE, mode);
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
        let message = "the admin interface has no access control, and other machines can reach it";
        value.notice(message, format!("use 127.0.0.1:{}, or keep the port private", address.port()));
    }
    Ok(Admin { address: Some(address), ..Admin::default() })
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
    let Config { admin, admin_socket, admin_hosts, .. } = config;
    match (admin, admin_socket) {
        (_, Some(AdminPath { path, mode })) => {
            json!({ "address": format!("{UNIX}{}", path.display()), "mode": format!("{mode:04o}") })
        }
        (Some(address), None) if admin_hosts.is_empty() => json!(address.to_string()),
        (Some(address), None) => json!({ "address": address.to_string(), "hosts": admin_hosts }),
        (None, None) => Json::Null,
    }
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
