//! Requests that change something, and who may make them.
//!
//! | check, in this order | over TCP | over a Unix socket | answer if it fails |
//! |---|---|---|---|
//! | the method is POST | yes | yes | 405 |
//! | `Sec-Fetch-Site` is absent, `same-origin` or `none` | yes | yes | 403 |
//! | `Origin` is absent, or the one that `Host` names | yes | yes | 403 |
//! | `Authorization: Bearer` has the token | yes | unless the socket's file is its user's alone | 401; 403 where there is no token |
//!
//! A browser says of which site a page is that sends a request, and no page can change what it says.

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, StatusCode};

use super::hosts::Refused;
use crate::config::AdminToken;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Permissions of anybody but the socket's user.
const OTHERS: u32 = 0o077;

const OTHER_SITE: &str = "a page of another site sent this request; send it without Origin and Sec-Fetch-Site, as \
                          `portcullis reload` and curl do\n";
const OFF: &str = "writes are off: give the admin interface a token (admin.token_file in the configuration) and send it as \
                   `Authorization: Bearer TOKEN`, or a Unix socket that its user alone may open (`admin: unix:PATH`)\n";
const NO_TOKEN: &str = "this needs the token of admin.token_file; send it as `Authorization: Bearer TOKEN`\n";
const OTHER_TOKEN: &str = "this is not the token of admin.token_file; send the one that the file had when the gateway read \
                           its configuration last\n";

/// The way that a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Tcp,
    /// Over a Unix socket whose file has these permissions.
    Unix(u32),
}

impl Way {
    /// Judges a request that changes something.
    pub(super) fn judge(self, headers: &HeaderMap, token: Option<&AdminToken>) -> Result<(), Refused> {
        if is_of_other_site(headers) {
            return Err(Refused { status: StatusCode::FORBIDDEN, text: OTHER_SITE });
        }
        if matches!(self, Self::Unix(mode) if mode & OTHERS == 0) {
            return Ok(());
        }
        let Some(token) = token else { return Err(Refused { status: StatusCode::FORBIDDEN, text: OFF }) };
        match bearer(headers) {
            Some(given) if token.is(given) => Ok(()),
            Some(_) => Err(Refused { status: StatusCode::UNAUTHORIZED, text: OTHER_TOKEN }),
            None => Err(Refused { status: StatusCode::UNAUTHORIZED, text: NO_TOKEN }),
        }
    }
}

fn is_of_other_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    let host = headers.get(HOST).map(http::HeaderValue::as_bytes);
    sites.any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
        || headers.get_all(ORIGIN).iter().any(|origin| !is_origin_of(origin.as_bytes(), host))
}

/// Returns true if an origin is that of a host. A proxy before the interface may have TLS.
fn is_origin_of(origin: &[u8], host: Option<&[u8]>) -> bool {
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

/// Returns the token of the only `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::Reference;

    const TOKEN: &str = "0123456789abcdef";

    fn judge(way: Way, headers: &[(&'static str, &str)], has_token: bool) -> (u16, &'static str) {
        let token = AdminToken::of(Reference::Path("token".to_owned()), TOKEN.as_bytes());
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        match way.judge(&headers, has_token.then_some(&token)) {
            Ok(()) => (200, ""),
            Err(Refused { status, text }) => (status.as_u16(), text),
        }
    }

    #[test]
    fn pages_of_other_sites_are_refused_whatever_they_know() {
        let bearer = ("authorization", "Bearer 0123456789abcdef");
        for way in [Way::Tcp, Way::Unix(0o600)] {
            for (header, value, status) in [
                ("sec-fetch-site", "cross-site", 403),
                ("sec-fetch-site", "same-site", 403),
                ("sec-fetch-site", "", 403),
                ("sec-fetch-site", "same-origin", 200),
                ("sec-fetch-site", "none", 200),
                ("origin", "https://evil.example", 403),
                ("origin", "null", 403),
                ("origin", "", 403),
                ("origin", "http://localhost:9902", 403),
                ("origin", "http://localhost:9901.evil.example", 403),
                ("origin", "http://LOCALHOST:9901", 200),
                ("origin", "https://localhost:9901", 200),
            ] {
                let headers = [("host", "localhost:9901"), bearer, (header, value)];
                assert_eq!(judge(way, &headers, true).0, status, "{way:?} {header}: {value}");
            }
            let headers = [("host", "a"), bearer, ("origin", "http://a"), ("origin", "http://evil.example")];
            assert_eq!(judge(way, &headers, true).0, 403, "of two origins each counts");
            assert_eq!(judge(way, &[bearer, ("origin", "http://a")], true).0, 403, "without a host");
        }
    }

    #[test]
    fn the_token_is_needed_but_on_a_socket_of_one_user() {
        for (headers, status) in [
            (&[][..], 401),
            (&[("authorization", "Bearer 0123456789abcdef")], 200),
            (&[("authorization", "bearer  0123456789abcdef ")], 200),
            (&[("authorization", "Bearer 0123456789abcdeF")], 401),
            (&[("authorization", "Bearer 0123456789abcdef0")], 401),
            (&[("authorization", "Bearer ")], 401),
            (&[("authorization", "Bearer")], 401),
            (&[("authorization", "Basic 0123456789abcdef")], 401),
            (&[("authorization", "0123456789abcdef")], 401),
            (&[("authorization", "Bearer 0123456789abcdef"), ("authorization", "Bearer 0123456789abcdef")], 401),
        ] {
            for way in [Way::Tcp, Way::Unix(0o660), Way::Unix(0o602)] {
                assert_eq!(judge(way, headers, true).0, status, "{way:?} {headers:?}");
                let (status, text) = judge(way, headers, false);
                assert!(status == 403 && text.contains("admin.token_file") && text.contains("unix:PATH"), "{text}");
            }
            assert_eq!(judge(Way::Unix(0o600), headers, true).0, 200, "{headers:?}");
            assert_eq!(judge(Way::Unix(0o600), headers, false).0, 200, "{headers:?}");
        }
    }
}
