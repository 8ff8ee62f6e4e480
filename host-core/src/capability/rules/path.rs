//! Paths of requests, which rules allow by their beginning.

/// Whether whole segments of a path are a prefix.
pub(super) fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    rest.is_empty() || prefix.ends_with(b"/") || rest.starts_with(b"/")
}

/// Whether a path means the same to every server: it begins with one slash, and has no segments that
/// go nowhere or up, in any spelling.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return false };
    let starts =
        |at: usize, code: &[u8]| path.get(at..at + code.len()).is_some_and(|part| part.eq_ignore_ascii_case(code));
    let hides_a_slash = |at: usize| {
        [b"%2f".as_slice(), b"%5c", b"%00", b"%252e", b"%252f", b"%255c"].iter().any(|code| starts(at, code))
    };
    let segments = rest.split(|byte| *byte == b'/');
    let count = segments.clone().count();
    // What follows # is cut off by some, and part of the path for others.
    !path.iter().any(|byte| matches!(byte, b'\\' | b'#' | 0))
        && !(0..path.len()).any(hides_a_slash)
        && segments.enumerate().all(|(index, segment)| match dots(segment) {
            Some(1 | 2) => false,
            _ => !segment.is_empty() || index + 1 == count,
        })
}

/// How many dots a segment is, if it is nothing else.
fn dots(mut segment: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !segment.is_empty() {
        segment = match segment {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            // Some servers cut off what follows a semicolon.
            [b';', ..] | [b'%', b'3', b'b' | b'B', ..] => return Some(count),
            _ => return None,
        };
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::super::tests::texts;
    use super::super::{Family, Rules};

    fn path(prefix: &str, path: &str) -> bool {
        let rules = Rules::new(&texts(&[("proxy_http_call", "paths", &[prefix])])).unwrap_or_default();
        rules.get(Family::HttpCall).is_some_and(|rule| rule.allows_path(path.as_bytes()))
    }

    #[test]
    fn a_path_is_below_a_prefix_of_whole_segments() {
        for allowed in ["/check", "/check/", "/check/a", "/check?x=/../", "/check/..a", "/check/%41"] {
            assert!(path("/check", allowed), "{allowed}");
        }
        for denied in ["/", "", "/checkout", "/Check", "check", "/a/check", "http://up/check", "//check"] {
            assert!(!path("/check", denied), "{denied}");
        }
        assert!(path("/", "/") && path("/", "/a/b") && path("/check/", "/check/a") && !path("/check/", "/check"));
    }

    #[test]
    fn a_path_that_a_server_may_read_in_another_way_is_not_allowed() {
        for denied in [
            "/check/../admin",
            "/check/./a",
            "/check/..",
            "/check/%2e%2e/admin",
            "/check/.%2E/admin",
            "/check/..;/admin",
            "/check//a",
            "/check/%2fadmin",
            "/check\\..\\admin",
            "/check/%5cadmin",
            "/check/a/../b",
            "/check/\0",
            "/check#/../admin",
            "/check/..%3b/admin",
            "/check/%252e%252e/admin",
            "/check/..%00/admin",
        ] {
            assert!(!path("/check", denied), "{denied}");
        }
    }
}
