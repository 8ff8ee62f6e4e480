//! Paths of requests, which rules allow by their beginning.
//!
//! A path that two servers may read in two ways is below no prefix: with what one of them makes of it, it might leave the one
//! that it begins with.
//!
//! | refused | for the sake of those who |
//! |---|---|
//! | `.`, `..`, other segments of dots, blanks and what is not seen; the same before `;`, `%3f` or `%23` | resolve them; cut off parameters, blanks or dots |
//! | an empty segment but the last, one that begins with `;` | merge slashes |
//! | `\`, `#`, blanks and control bytes as they are | take the first for a slash, and cut off the path at others |
//! | `%2f`, `%5c`, control bytes, encoded | decode before they split, or cut off |
//! | `%25`, and `%` without two hexadecimal digits (`%u002e`) | decode twice, or in another way |
//! | what is not UTF-8, raw or encoded: `%c0%ae`, `%e0%80%ae` | decode overlong sequences |
//! | characters that stand for `.`, `/`, `\`, `%`, `;`, `?` or `#`: `．`, `／`, `∕`, `…` | normalize, or convert to a smaller set |
//!
//! Other encoded bytes are compared as they are, never decoded: `/%63heck` is not below `/check`.

/// Whether whole segments of a path are a prefix.
pub(super) fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    rest.is_empty() || prefix.ends_with(b"/") || rest.starts_with(b"/")
}

/// Whether a path means the same to every server.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return false };
    let mut segments = rest.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let is_end = is_last && segment.is_empty();
        if !is_end && !is_plain_segment(segment) {
            return false;
        }
    }
    true
}

/// Whether a segment is the name of something, and has no character that could be read in another way.
fn is_plain_segment(segment: &[u8]) -> bool {
    let mut bytes = Bytes(segment);
    let (mut has_parameters, mut has_name) = (false, false);
    loop {
        match bytes.next_char() {
            Ok(None) => return has_name,
            Ok(Some(c)) if c.is_control() || matches!(c, '/' | '\\' | '%') || stands_for_another(c) => return false,
            Ok(Some(';' | '?' | '#')) => has_parameters = true,
            Ok(Some(c)) => has_name |= !has_parameters && c != '.' && !is_blank(c),
            Err(Unreadable) => return false,
        }
    }
}

/// A segment's bytes, decoded as they are taken.
struct Bytes<'a>(&'a [u8]);

/// A byte that nobody should send, or no UTF-8.
struct Unreadable;

impl Bytes<'_> {
    fn next_char(&mut self) -> Result<Option<char>, Unreadable> {
        let Some(first) = self.next_byte()? else { return Ok(None) };
        let length = match first {
            0..=0x7f => 1,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return Err(Unreadable),
        };
        let mut bytes = [first, 0, 0, 0];
        for byte in bytes.iter_mut().take(length).skip(1) {
            *byte = self.next_byte()?.ok_or(Unreadable)?;
        }
        // It refuses overlong sequences and surrogates.
        let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(Unreadable)?;
        Ok(text.chars().next())
    }

    fn next_byte(&mut self) -> Result<Option<u8>, Unreadable> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (byte, rest) = match self.0 {
            [] => return Ok(None),
            [b'%', high, low, rest @ ..] => {
                let (high, low) = digit(*high).zip(digit(*low)).ok_or(Unreadable)?;
                (high << 4 | low, rest)
            }
            [0..=b' ' | b'#' | b'%' | 0x7f, ..] => return Err(Unreadable),
            [byte, rest @ ..] => (*byte, rest),
        };
        self.0 = rest;
        Ok(Some(byte))
    }
}

/// Whether a character is not seen at the end of a name, or nowhere; some file systems leave it out.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character becomes one of `. / \ % ; ? #`, or contains one, when a text is normalized (NFKC, NFKD) or converted
/// to a code page of Windows; or ends a label of a name (UTS 46).
fn stands_for_another(c: char) -> bool {
    matches!(c, '\u{a5}' | '\u{37e}' | '\u{2024}'..='\u{2026}' | '\u{2044}' | '\u{2047}'..='\u{2049}' | '\u{20a9}'
        | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}' | '\u{2215}' | '\u{2216}' | '\u{2488}'..='\u{249b}'
        | '\u{2571}' | '\u{2572}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}' | '\u{3002}' | '\u{33c2}' | '\u{33c7}'
        | '\u{33d8}' | '\u{fe14}' | '\u{fe16}' | '\u{fe19}' | '\u{fe30}' | '\u{fe52}' | '\u{fe54}' | '\u{fe56}'
        | '\u{fe5f}' | '\u{fe68}' | '\u{fe6a}' | '\u{ff01}'..='\u{ff5e}' | '\u{ff61}' | '\u{1f100}')
}

#[cfg(test)]
mod tests {
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
        for denied in
            ["/", "", "/checkout", "/Check", "check", "/a/check", "http://up/check", "//check", "/%63heck", "*"]
        {
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
}
