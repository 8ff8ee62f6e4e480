//! Addresses: where to listen, and where an endpoint is.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use portcullis_config::reader::{Kind, Read, Type, Value};

/// A host and its port. The host is a name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The name or address, an IPv6 address without its brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// An address to listen on.
pub(super) const LISTENING: Type = Type::Form("`IP:PORT`", r"^(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.%]+\]):\d{1,5}$");

/// The address of a server.
pub(super) const SERVER: Type = Type::Form("`HOST:PORT`", r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}$");

/// Reads an address to listen on.
pub(super) fn listening(value: &Value<'_>) -> Read<SocketAddr> {
    let what = "an IP address and port such as 127.0.0.1:8080";
    let text = text(value, what)?;
    text.parse().map_err(|_| value.expected(what, listening_help(text)))
}

/// Reads the address of an endpoint.
pub(super) fn endpoint(value: &Value<'_>) -> Read<Endpoint> {
    let what = "a host and port such as 127.0.0.1:9000";
    let text = text(value, what)?;
    parse_endpoint(text).map_err(|help| value.expected(what, help))
}

fn text<'d>(value: &Value<'d>, what: &str) -> Read<&'d str> {
    match value.kind() {
        Kind::String(text) => Ok(text),
        Kind::List => Err(value.expected(what, "put an IPv6 address in quotes: \"[::1]:8080\"")),
        Kind::Mapping => Err(value.expected(what, envoys_form(value))),
        _ => Err(value.expected(what, "write the host, a colon and the port")),
    }
}

/// Returns the remedy for an address as Envoy has it.
fn envoys_form(value: &Value<'_>) -> String {
    let socket = value.member("socket_address").unwrap_or_else(|| value.clone());
    let part = |key: &str| socket.member(key).map(|part| part.text().map_or_else(|| part.source(), str::to_owned));
    match (part("address"), part("port_value")) {
        (Some(address), Some(port)) if address.contains(':') => format!("write \"[{address}]:{port}\""),
        (Some(address), Some(port)) => format!("write {address}:{port}"),
        _ => "write the host, a colon and the port".to_owned(),
    }
}

fn listening_help(text: &str) -> String {
    if text.contains("://") {
        return "leave out the scheme".to_owned();
    }
    if let Some(help) = without_brackets(text) {
        return help;
    }
    if text.parse::<IpAddr>().is_ok() {
        return "add a port".to_owned();
    }
    match text.rsplit_once(':') {
        None => "write the IP address, a colon and the port".to_owned(),
        Some((_, port)) if port.parse::<u16>().is_err() => "the port is a number from 0 to 65535".to_owned(),
        Some(("" | "*", port)) => format!("to listen on all addresses, write 0.0.0.0:{port}"),
        Some(("localhost", port)) => format!("write 127.0.0.1:{port}"),
        Some(_) => "write the IP address: names are not looked up here".to_owned(),
    }
}

/// Parses an endpoint; the error is the remedy.
fn parse_endpoint(text: &str) -> Result<Endpoint, String> {
    if text.contains("://") {
        return Err("leave out the scheme".to_owned());
    }
    if let Some(help) = without_brackets(text) {
        return Err(help);
    }
    let (host, port) = text.rsplit_once(':').ok_or("add a colon and the port")?;
    let port = port.parse().ok().filter(|port| *port > 0);
    let port = port.ok_or("the port is a number from 1 to 65535, and nothing may follow it")?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) if address.parse::<Ipv6Addr>().is_ok() => address,
        None if is_host_name(host) => host,
        _ => return Err("write the name or IP address of a host before the colon".to_owned()),
    };
    Ok(Endpoint { host: host.to_owned(), port })
}

/// Returns the remedy for an IPv6 address without brackets, with or without a port.
fn without_brackets(text: &str) -> Option<String> {
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    match text.rsplit_once(':') {
        // A last group of decimal digits is taken for the port that is missing otherwise.
        Some((host, port)) if is_address(host) && port.parse::<u16>().is_ok() => {
            Some(format!("write \"[{host}]:{port}\""))
        }
        _ => is_address(text).then(|| format!("write \"[{text}]:9000\", with the port")),
    }
}

fn is_host_name(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !host.is_empty() && host.len() <= 253 && host.chars().all(allowed)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written_back() {
        for text in ["127.0.0.1:9000", "localhost:9001", "[::1]:80", "my_service.default.svc:443"] {
            assert_eq!(parse_endpoint(text).unwrap().to_string(), text);
        }
        assert_eq!(parse_endpoint("[::1]:80").unwrap().host, "::1");
    }

    #[test]
    fn what_is_no_endpoint_has_a_remedy() {
        for (text, remedy) in [
            ("http://a:80", "leave out the scheme"),
            ("backend", "add a colon and the port"),
            ("::1", "write \"[::1]:9000\", with the port"),
            ("::1:15080", "write \"[::1]:15080\""),
            ("2001:db8::a:80", "write \"[2001:db8::a]:80\""),
            ("a:0", "the port is a number from 1 to 65535, and nothing may follow it"),
            ("a:80/path", "the port is a number from 1 to 65535, and nothing may follow it"),
            (":80", "write the name or IP address of a host before the colon"),
            ("a b:80", "write the name or IP address of a host before the colon"),
            ("[zz]:80", "write the name or IP address of a host before the colon"),
        ] {
            assert_eq!(parse_endpoint(text), Err(remedy.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_wrong_listening_address_has_a_remedy() {
        for (text, remedy) in [
            (":8080", "to listen on all addresses, write 0.0.0.0:8080"),
            ("localhost:8080", "write 127.0.0.1:8080"),
            ("127.0.0.1", "add a port"),
            ("::1", "write \"[::1]:9000\", with the port"),
            ("::1:15080", "write \"[::1]:15080\""),
            ("::1:8080", "write \"[::1]:8080\""),
            ("127.0.0.1:99999", "the port is a number from 0 to 65535"),
            ("example.com:80", "write the IP address: names are not looked up here"),
            ("8080", "write the IP address, a colon and the port"),
        ] {
            assert_eq!(listening_help(text), remedy, "{text}");
        }
    }
}
