//! Paths of properties: the same value by several names, and values within others.
//!
//! | path | rule |
//! |---|---|
//! | `request.headers.NAME` and its like | NAME as the name of a header |
//! | `request.path` and `request.headers.:path`, and their like | one value: allowed if one name is, taken away with either |
//! | `request.path`, which contains `request.query` | excluding a value excludes all that contains it, and all within it |
//! | `request.headers`, which contains all headers | the same |

use super::super::likeness::Likeness;
use super::super::pattern::Patterns;

/// Maps of headers.
const MAPS: [&[u8]; 3] = [b"request\0headers", b"response\0headers", b"response\0trailers"];

/// Names of one value each.
const ALIASES: &[&[&[u8]]] = &[
    &[b"request\0path", b"request\0headers\0:path"],
    &[b"request\0host", b"request\0headers\0:authority", b"request\0headers\0host"],
    &[b"request\0scheme", b"request\0headers\0:scheme"],
    &[b"request\0method", b"request\0headers\0:method"],
    &[b"request\0referer", b"request\0headers\0referer"],
    &[b"request\0useragent", b"request\0headers\0user-agent"],
    &[b"request\0id", b"request\0headers\0x-request-id"],
    &[b"response\0code", b"response\0headers\0:status"],
    &[b"connection\0id", b"connection_id"],
];

/// Values that are made of another: that one's name, and theirs.
const PARTS: &[(&[u8], &[u8])] = &[
    (b"request\0path", b"request\0url_path"),
    (b"request\0path", b"request\0query"),
    (b"request\0headers\0content-length", b"request\0size"),
    (b"response\0headers\0grpc-status", b"response\0grpc_status"),
    (b"response\0trailers\0grpc-status", b"response\0grpc_status"),
];

/// Returns whether a list allows the property of a path.
pub(super) fn allows(list: &Patterns, path: &[u8]) -> bool {
    let is_included = includes(list, path) || aliases(path).iter().any(|alias| includes(list, alias));
    is_included && !(list.has_exceptions() && is_hidden(list, path))
}

/// Returns whether a list takes away the property itself, what it is a part of, or a part of it.
fn is_hidden(list: &Patterns, path: &[u8]) -> bool {
    if is_taken(list, path) {
        return true;
    }
    let parts = PARTS.iter().any(|(whole, part)| {
        is_one(whole, path) && is_taken(list, part) || is_same(part, path) && is_taken(list, whole)
    });
    parts || MAPS.contains(&path) && is_taken_within(list, path)
}

/// Returns whether a list takes away a value by one of its names, or the map that it stands in.
fn is_taken(list: &Patterns, path: &[u8]) -> bool {
    let by_name = |name: &[u8]| match header(name) {
        Some((map, _)) => list.takes(name, Likeness::DottedHeader) || list.takes(map, Likeness::DottedFolded),
        None => list.takes(name, Likeness::DottedFolded),
    };
    by_name(path) || aliases(path).iter().any(|alias| by_name(alias))
}

/// Returns whether a list takes away a header of a map, by any name.
fn is_taken_within(list: &Patterns, map: &[u8]) -> bool {
    let stands_in = |name: &[u8]| header(name).is_some_and(|(of, _)| of == map);
    list.takes_below(map, Likeness::DottedHeader)
        || ALIASES.iter().any(|names| {
            names.iter().any(|name| stands_in(name))
                && names.first().is_some_and(|name| is_taken(list, name) || is_hidden_part(list, name))
        })
        || PARTS.iter().any(|(whole, part)| stands_in(whole) && is_taken(list, part))
}

fn is_hidden_part(list: &Patterns, whole: &[u8]) -> bool {
    PARTS.iter().any(|(of, part)| *of == whole && is_taken(list, part))
}

fn includes(list: &Patterns, path: &[u8]) -> bool {
    list.includes(path, if header(path).is_some() { Likeness::DottedHeader } else { Likeness::Dotted })
}

/// Returns all names of a value that has more than one.
fn aliases(path: &[u8]) -> &'static [&'static [u8]] {
    ALIASES.iter().find(|names| names.iter().any(|name| is_same(name, path))).copied().unwrap_or_default()
}

/// Returns whether two paths are names of one value.
fn is_one(name: &[u8], path: &[u8]) -> bool {
    is_same(name, path) || aliases(name).iter().any(|alias| is_same(alias, path))
}

/// Returns whether two paths are spellings of one name.
fn is_same(name: &[u8], path: &[u8]) -> bool {
    match (header(name), header(path)) {
        (Some((map, name)), Some((other, path))) => map == other && Likeness::Header.same(name, path),
        (None, None) => name == path,
        _ => false,
    }
}

/// Returns the map and the name, if a path is about one header.
fn header(path: &[u8]) -> Option<(&'static [u8], &[u8])> {
    let named = |map: &'static [u8]| Some((map, path.strip_prefix(map)?.strip_prefix(&[0])?));
    MAPS.into_iter().find_map(named).filter(|(_, name)| !name.contains(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(texts: &[&str], path: &str) -> bool {
        let list = Patterns::new(texts.iter().copied(), Likeness::Dotted, |text| text.into());
        allows(&list, path.replace('/', "\0").as_bytes())
    }

    #[test]
    fn dots_of_a_pattern_are_ends_of_segments() {
        let list = ["request.headers.*", "a.b"];
        assert!(allowed(&list, "request/headers/x") && allowed(&list, "a.b") && allowed(&list, "a/b"));
        assert!(!allowed(&list, "request/headers") && !allowed(&list, "axb") && !allowed(&list, "A.b"));
    }

    #[test]
    fn a_header_has_one_verdict_in_all_spellings() {
        for path in ["request/headers/cookie", "request/headers/Cookie", "request/headers/COOKIE"] {
            assert!(
                !allowed(&["!request.headers.cookie"], path) && allowed(&["request.headers.Cookie"], path),
                "{path}"
            );
        }
        assert!(!allowed(&["!request.headers.x-user"], "request/headers/x_user"));
        assert!(allowed(&["!request.headers.cookie"], "request/headers/host"));
    }

    #[test]
    fn a_value_with_two_names_has_one_verdict() {
        for names in [
            &["request/path", "request/headers/:path", "request/headers/:PATH"][..],
            &["request/host", "request/headers/host", "request/headers/:authority", "request/headers/Host"],
            &["request/referer", "request/headers/referer"],
            &["request/useragent", "request/headers/User-Agent"],
            &["request/id", "request/headers/x-request-id"],
            &["response/code", "response/headers/:status"],
            &["connection/id", "connection_id"],
        ] {
            for (listed, asked) in names.iter().flat_map(|one| names.iter().map(move |other| (one, other))) {
                let listed = listed.replace('/', ".");
                assert!(allowed(&[&listed], asked), "{listed} {asked}");
                assert!(!allowed(&["*", &format!("!{listed}")], asked), "{listed} {asked}");
            }
        }
    }

    #[test]
    fn a_whole_is_taken_away_with_its_parts_and_they_with_it() {
        for (taken, asked) in [
            ("request.query", "request/path"),
            ("request.query", "request/headers/:path"),
            ("request.query", "request/headers"),
            ("request.path", "request/query"),
            ("request.headers.:path", "request/url_path"),
            ("request.headers.cookie", "request/headers"),
            ("request.headers.*", "request/headers"),
            ("request.headers.*", "request/path"),
            ("request.headers", "request/headers/x"),
            ("request.headers", "request/path"),
            ("request.referer", "request/headers"),
            ("request.size", "request/headers"),
            ("request.headers.content-length", "request/size"),
            ("response.trailers.grpc-status", "response/grpc_status"),
            ("response.grpc_status", "response/headers/grpc-status"),
        ] {
            assert!(!allowed(&["*", &format!("!{taken}")], asked), "{taken} {asked}");
        }
        let list = ["*", "!request.query", "!response.headers.x"];
        for asked in ["request/url_path", "request/headers/x", "response/trailers", "request/size", "response/code"] {
            assert!(allowed(&list, asked), "{asked}");
        }
        assert!(!allowed(&["request.path"], "request/query"), "to allow the whole names no part");
    }
}
