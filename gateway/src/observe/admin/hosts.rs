//! Host names that the admin interface answers to.
//!
//! A page of another site can make a browser resolve the site's name to this machine ("DNS rebinding"): its scripts then read
//! the admin interface as if it belonged to that site. `Host` still has the name of the site.

use std::net::{IpAddr, Ipv6Addr};

use http::header::HOST;
use http::{HeaderMap, StatusCode, Uri, Version};

/// The name that allows all hosts.
const ANY: &str = "*";

/// The hosts that are answered.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    /// Names in lower case, without a dot at the end.
    names: Vec<String>,
}

/// The refusal of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) text: &'static str,
}

impl Hosts {
    /// Allows loopback and these names.
    pub(super) fn new(names: &[String]) -> Self {
        Self { names: names.iter().map(|name| plain(name)).collect() }
    }

    /// Checks a request that arrived at the address `own` of this machine; without one, over a Unix socket, which no browser reaches.
    pub(super) fn judge(
        &self,
        version: Version,
        uri: &Uri,
        headers: &HeaderMap,
        own: Option<IpAddr>,
    ) -> Result<(), Refused> {
        let Some(own) = own else { return Ok(()) };
        let mut said = headers.get_all(HOST).iter();
        let (host, is_repeated) = (said.next(), said.next().is_some());
        if is_repeated || host.is_none() && version > Version::HTTP_10 {
            let text = "a request has one Host\n";
            return Err(Refused { status: StatusCode::BAD_REQUEST, text });
        }
        let host = host.map(|host| host.to_str().unwrap_or_default());
        let target = uri.authority().map(http::uri::Authority::as_str);
        if host.into_iter().chain(target).all(|host| self.allow(host, own)) {
            return Ok(());
        }
        let text = "the admin interface answers to localhost, to addresses of loopback, and to the address that it was reached at; if it \
                    has another name, add that to admin.hosts in the configuration\n";
        Err(Refused { status: StatusCode::MISDIRECTED_REQUEST, text })
    }

    fn allow(&self, authority: &str, own: IpAddr) -> bool {
        let Some(host) = without_port(authority) else { return false };
        let name = plain(host);
        let is_known = self.names.iter().any(|known| *known == name || known == ANY);
        is_known
            || match address(host) {
                Some(address) => address.is_loopback() || address == own.to_canonical(),
                None => name == "localhost" || name.ends_with(".localhost"),
            }
    }
}

/// Returns a host without its port, an IPv6 address in brackets; none for what is no host.
fn without_port(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(end)?;
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    is_port.then_some(host)
}

fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<Ipv6Addr>().ok().map(|address| IpAddr::from(address).to_canonical()),
        None => host.parse().ok().filter(IpAddr::is_ipv4),
    }
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn judge(hosts: &[&str], said: &[&str], target: &str, own: &str, version: Version) -> Result<(), StatusCode> {
        let names: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut headers = HeaderMap::new();
        headers.extend(said.iter().map(|host| (HOST, HeaderValue::from_str(host).unwrap())));
        let uri: Uri = target.parse().unwrap();
        let own = if own.is_empty() { None } else { Some(own.parse().unwrap()) };
        Hosts::new(&names).judge(version, &uri, &headers, own).map_err(|refused| refused.status)
    }

    fn ask(hosts: &[&str], host: &str, own: &str) -> bool {
        let answer = judge(hosts, &[host], "/metrics", own, Version::HTTP_11);
        assert!(matches!(answer, Ok(()) | Err(StatusCode::MISDIRECTED_REQUEST)), "{answer:?}");
        answer.is_ok()
    }

    #[test]
    fn loopback_is_answered_under_all_its_names() {
        for host in [
            "localhost",
            "LOCALHOST:9901",
            "localhost.",
            "admin.localhost:1",
            "127.0.0.1",
            "127.0.0.1:9901",
            "127.9.9.9",
            "[::1]",
            "[::1]:9901",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(ask(&[], host, "127.0.0.1"), "{host}");
        }
    }

    #[test]
    fn other_hosts_are_not() {
        for host in [
            "evil.example",
            "evil.example:9901",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "10.0.0.5",
            "::1",
            "[::1",
            "[::1]x",
            "[::2]",
            "127.0.0.1:x",
            "127.1",
            "0x7f000001",
            "2130706433",
            "",
            "localhost@evil.example",
            "localhost:1:2",
        ] {
            assert!(!ask(&[], host, "127.0.0.1"), "{host}");
        }
    }

    #[test]
    fn the_address_that_was_reached_and_configured_names_are_answered() {
        assert!(ask(&[], "10.0.0.5:9901", "10.0.0.5") && ask(&[], "10.0.0.5", "::ffff:10.0.0.5"));
        assert!(!ask(&[], "10.0.0.6", "10.0.0.5"));
        assert!(ask(&["Metrics.Internal."], "metrics.internal:9901", "10.0.0.5"));
        assert!(ask(&["[fd00::1]"], "[fd00::1]:1", "10.0.0.5") && ask(&["10.0.0.6"], "10.0.0.6", "10.0.0.5"));
        assert!(!ask(&["metrics.internal"], "x.metrics.internal", "10.0.0.5"));
        assert!(ask(&["*"], "evil.example", "10.0.0.5"));
    }

    #[test]
    fn a_request_has_one_host_and_its_target_counts_too() {
        let own = "127.0.0.1";
        assert_eq!(judge(&[], &[], "/", own, Version::HTTP_11), Err(StatusCode::BAD_REQUEST));
        assert_eq!(judge(&[], &[], "/", own, Version::HTTP_10), Ok(()));
        assert_eq!(
            judge(&[], &["localhost", "evil.example"], "/", own, Version::HTTP_11),
            Err(StatusCode::BAD_REQUEST)
        );
        let misdirected = Err(StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(judge(&[], &["localhost"], "http://evil.example/", own, Version::HTTP_11), misdirected);
        assert_eq!(judge(&[], &["evil.example"], "http://localhost/", own, Version::HTTP_11), misdirected);
        assert_eq!(judge(&[], &["localhost"], "http://localhost:1/", own, Version::HTTP_11), Ok(()));
        assert_eq!(judge(&[], &["evil.example"], "/", "", Version::HTTP_11), Ok(()), "a Unix socket");
    }
}
