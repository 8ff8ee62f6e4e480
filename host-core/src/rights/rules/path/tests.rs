use proptest::prelude::*;
use proptest::sample::select;

use super::super::tests::texts;
use super::super::{Family, Rules};

fn below(prefix: &str, path: &[u8]) -> bool {
    let rules = Rules::new(&texts(&[("proxy_http_call", "paths", &[prefix])])).unwrap_or_default();
    rules.get(Family::HttpCall).is_some_and(|rule| rule.allows_path(path))
}

fn path(prefix: &str, path: &str) -> bool {
    below(prefix, path.as_bytes())
}

#[test]
fn a_path_is_below_a_prefix_of_whole_segments() {
    for allowed in [
        "/check",
        "/check/",
        "/check/a",
        "/check?x=/../",
        "/check/..a",
        "/check/%41",
        "/check/a..",
        "/check/a;b=c/d",
        "/check/%C3%A9",
        "/check/\u{e9}\u{4e2d}",
        "/check/a%20b",
        "/check/a%3fb",
        "/check?%25%zz",
        "/check/a:b,c+d",
    ] {
        assert!(path("/check", allowed), "{allowed}");
    }
    for denied in ["/", "", "/checkout", "/Check", "check", "/a/check", "http://up/check", "//check", "/%63heck", "*"] {
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
        "/check/%25%32%65%25%32%65/admin",
        "/check/100%25",
        "/check/%",
        "/check/%2",
        "/check/%zz",
        "/check/%u002e",
        "/check/%c0%ae%c0%ae/admin",
        "/check/%C1%9c",
        "/check/%e0%80%ae",
        "/check/%f0%80%80%ae",
        "/check/%ff",
        "/check/%e9",
        "/check/%ed%a0%80",
        "/check/\u{ff0e}\u{ff0e}/admin",
        "/check/%ef%bc%8e%ef%bc%8e/admin",
        "/check/a\u{ff0f}b",
        "/check/%EF%BC%8F",
        "/check/a\u{2215}b",
        "/check/%e2%88%95",
        "/check/\u{2025}/admin",
        "/check/\u{fe52}\u{fe52}/a",
        "/check/\u{ff05}2e",
        "/check/;/a",
        "/check/;a",
        "/check/.;a/b",
        "/check/%3ba",
        "/check/.../a",
        "/check/..%20/a",
        "/check/.%e2%80%8b./a",
        "/check/%20/a",
        "/check/a b",
        "/check/a\n",
        "/check/%0a",
        "/check/..%23",
        "/check/..%3fa",
        "/check/%7f",
        "/check/%c2%85",
    ] {
        assert!(!path("/check", denied), "{denied}");
    }
    assert!(
        !below("/check", b"/check/\xc0\xae")
            && !below("/check", b"/check/\xe9")
            && !below("/check", b"/check/\xef%bc\x8e")
    );
}

#[test]
fn a_prefix_is_a_path_that_every_server_reads_alike() {
    for prefix in ["/%25", "/a/../b", "/a//b", "/a;", "/\u{ff0e}"] {
        let rules = Rules::new(&texts(&[("proxy_http_call", "paths", &[prefix])]));
        assert_eq!(rules.is_err(), prefix != "/a;", "{prefix}");
    }
}

/// Returns the paths that one server or another reads in a path.
#[derive(Clone, Copy, Debug)]
struct Server {
    decodes: usize,
    overlong: bool,
    fullwidth: bool,
    backslash: bool,
    cuts: bool,
    parameters: bool,
    merges: bool,
}

fn server() -> impl Strategy<Value = Server> {
    (0..4_usize, any::<[bool; 6]>()).prop_map(
        |(decodes, [overlong, fullwidth, backslash, cuts, parameters, merges])| Server {
            decodes,
            overlong,
            fullwidth,
            backslash,
            cuts,
            parameters,
            merges,
        },
    )
}

impl Server {
    /// The segments of what it serves.
    fn reads(self, path: &[u8]) -> Vec<Vec<u8>> {
        let mut path = path.to_vec();
        for _ in 0..self.decodes {
            path = decode(&path);
        }
        if self.overlong {
            path = replace(
                path,
                &[(b"\xc0\xae", b"."), (b"\xc0\xaf", b"/"), (b"\xe0\x80\xae", b"."), (b"\xe0\x80\xaf", b"/")],
            );
        }
        if self.fullwidth {
            let all = [
                ("\u{ff0e}", "."),
                ("\u{ff0f}", "/"),
                ("\u{2215}", "/"),
                ("\u{2025}", ".."),
                ("\u{ff3c}", "\\"),
                ("\u{fe52}", "."),
            ];
            path = replace(path, &all.map(|(from, to)| (from.as_bytes(), to.as_bytes())));
        }
        if self.backslash {
            path = replace(path, &[(b"\\", b"/")]);
        }
        if self.cuts {
            let end = path.iter().position(|byte| matches!(byte, 0 | b'#')).unwrap_or(path.len());
            path.truncate(end);
        }
        let mut segments: Vec<Vec<u8>> = Vec::new();
        for segment in path.split(|byte| *byte == b'/').skip(1) {
            let name = segment.split(|byte| *byte == b';').next().filter(|_| self.parameters).unwrap_or(segment);
            match name {
                b"." => {}
                b".." => drop(segments.pop()),
                b"" if self.merges => {}
                name => segments.push(name.to_vec()),
            }
        }
        segments
    }
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *byte == b'%') {
            Some(decoded) => {
                out.push(decoded);
                rest = &behind[2..];
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    out
}

fn replace(path: Vec<u8>, all: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path.as_slice();
    while let Some((byte, behind)) = rest.split_first() {
        match all.iter().find(|(from, _)| rest.starts_with(from)) {
            Some((from, to)) => {
                out.extend_from_slice(to);
                rest = &rest[from.len()..];
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    out
}

const PIECES: &[&[u8]] = &[
    b"/",
    b"/",
    b"/",
    b".",
    b".",
    b"..",
    b"a",
    b"b",
    b"ok",
    b"%2e",
    b"%2E",
    b"%2f",
    b"%5c",
    b"\\",
    b";",
    b";a",
    b"%3b",
    b"%",
    b"%25",
    b"2e",
    b"2f",
    b"%252e",
    b"#",
    b"%23",
    b"\0",
    b"%00",
    b"%c0%ae",
    b"\xc0\xae",
    b"%e0%80%ae",
    b"%c0%af",
    b"\xef\xbc\x8e",
    b"%ef%bc%8e",
    b"\xef\xbc\x8f",
    b"\xe2\x88\x95",
    b"%e2%80%a5",
    b"%EF%BC%BC",
    b"%61",
    b"%zz",
    b"%c3%a9",
    b"\xef",
    b"%bc",
    b"\x8e",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// Whatever a server makes of a path that is allowed, it stays below the prefix; and no spelling of a path that is not
    /// below it is allowed.
    #[test]
    fn an_allowed_path_is_below_the_prefix_to_every_server(
        prefix in select(vec!["/a", "/a/", "/ok/b"]),
        pieces in proptest::collection::vec(select(PIECES), 0..8),
        server in server(),
    ) {
        let path = [prefix.as_bytes(), &pieces.concat()].concat();
        if below(prefix, &path) {
            let wanted = server.reads(prefix.trim_end_matches('/').as_bytes());
            let read = server.reads(&path);
            prop_assert!(read.starts_with(&wanted), "{} is {:?}", path.escape_ascii(), read);
        }
    }
}
