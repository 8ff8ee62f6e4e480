//! Fields that belong to one connection and must not be forwarded (RFC 9110, section 7.6.1).

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE};

/// Removes the hop-by-hop fields from a message that is about to be forwarded, and all fields that its `connection` field
/// names.
///
/// `te: trailers` is kept, because with it a client asks the origin for trailers (gRPC requires it).
/// Fields that a later hop relies on survive being named in `connection`: otherwise a client could make the gateway
/// drop the address that an earlier proxy recorded.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // A field that is to survive as it is stays in its place.
    let keeps_te = is_trailers_alone(headers);
    let is_removed = |name: &&HeaderName| is_hop_by_hop(name.as_str()) && !(keeps_te && **name == TE);
    let mut names: Vec<HeaderName> = headers.keys().filter(is_removed).cloned().collect();
    if names.is_empty() {
        return;
    }
    let wants_trailers = !keeps_te && headers.get_all(TE).iter().any(lists_trailers);
    names.extend(nominated(headers));
    for name in names {
        headers.remove(name);
    }
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes from trailers the fields of one connection, and those that say where a message goes or ends (RFC 9110, section
/// 6.5.1): readers that merge trailers into the head would take it for the head's.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    strip_hop_by_hop(trailers);
    for name in [TE, CONTENT_LENGTH, HOST] {
        trailers.remove(name);
    }
}

/// Returns true if [`strip_trailers`] has something to remove.
pub(super) fn has_strippable_trailers(trailers: &HeaderMap) -> bool {
    trailers.keys().any(|name| is_hop_by_hop(name.as_str()) || *name == CONTENT_LENGTH || *name == HOST)
}

/// Returns true if fields of this name, in lower case, belong to one connection.
#[inline]
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    // Most names have another length than each of these, and are compared with none.
    matches!(name.len(), 2 | 7 | 10 | 16 | 17) && HOP_BY_HOP.contains(&name)
}

const HOP_BY_HOP: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// Fields that a client's `connection` field cannot remove.
const END_TO_END: [&str; 6] =
    ["host", "content-length", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// Returns the names in `connection` fields, except for those that belong to a connection anyway.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let known = |token: &[u8]| HOP_BY_HOP.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(token));
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(move |token| !known(token))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !END_TO_END.contains(&name.as_str()))
}

/// Returns true if there is one `te` field, which says `trailers` and nothing else.
fn is_trailers_alone(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TE).iter();
    values.next().is_some_and(|value| value == "trailers") && values.next().is_none()
}

fn lists_trailers(value: &HeaderValue) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn stripped(pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        left
    }

    #[test]
    fn removes_the_fixed_list() {
        let left = stripped(&[
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("trailer", "x-sum"),
            ("accept", "*/*"),
        ]);
        assert_eq!(left, ["accept: */*", "trailer: x-sum"]);
    }

    #[test]
    fn removes_what_any_connection_field_names() {
        let left = stripped(&[
            ("connection", "close, X-One"),
            ("connection", ",x-two ,, not a token"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-two", "again"),
            ("x-three", "3"),
        ]);
        assert_eq!(left, ["x-three: 3"]);
    }

    #[test]
    fn keeps_te_trailers_only() {
        assert_eq!(stripped(&[("te", "gzip;q=0.5, Trailers"), ("connection", "te")]), ["te: trailers"]);
        assert!(stripped(&[("te", "gzip")]).is_empty());
        assert_eq!(stripped(&[("te", "trailers"), ("te", "trailers")]), ["te: trailers"]);
        let mut headers: HeaderMap = [(TE, "trailers"), (CONTENT_LENGTH, "1")]
            .map(|(n, v)| (n, HeaderValue::from_static(v)))
            .into_iter()
            .collect();
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), [TE, CONTENT_LENGTH], "in its place");
    }

    #[test]
    fn trailers_lose_what_heads_lose_and_what_frames_and_routes() {
        let mut trailers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-one"),
            ("x-one", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("host", "a"),
            ("x-sum", "5"),
        ] {
            trailers.append(name, HeaderValue::from_static(value));
        }
        assert!(has_strippable_trailers(&trailers));
        strip_trailers(&mut trailers);
        assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-sum"]);
        assert!(!has_strippable_trailers(&trailers));
    }

    #[test]
    fn a_client_cannot_name_what_others_rely_on() {
        let left = stripped(&[
            ("connection", "host, x-forwarded-for, content-length"),
            ("host", "a"),
            ("x-forwarded-for", "10.0.0.1"),
            ("content-length", "3"),
        ]);
        assert_eq!(left, ["content-length: 3", "host: a", "x-forwarded-for: 10.0.0.1"]);
    }
}
