//! Bytes of names that rules take for the same.

/// The bytes that are the same when a name is compared with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// Equal ones.
    Exact,
    /// Letters of either case, as in names of hosts.
    Folded,
    /// Letters of either case, and all that is neither letter, digit nor colon. Servers hand fields to programs in
    /// variables (CGI, WSGI, PHP), where `x-user`, `x_user` and `x.user` are all `HTTP_X_USER`.
    Header,
    /// All that Prometheus does not allow in a name, and `_`.
    Metric,
    /// A dot of the pattern and the zero byte between the segments of a property's path.
    Dotted,
    /// The same, with letters of either case.
    DottedFolded,
    /// The same, with names of headers compared as such.
    DottedHeader,
}

impl Likeness {
    /// Compares a part of a pattern with as much of a name.
    pub(crate) fn same(self, pattern: &[u8], name: &[u8]) -> bool {
        let all = |alike: fn(u8, u8) -> bool| {
            pattern.len() == name.len() && pattern.iter().zip(name).all(|(pattern, byte)| alike(*pattern, *byte))
        };
        match self {
            Self::Exact => pattern == name,
            Self::Folded => pattern.eq_ignore_ascii_case(name),
            Self::Header => pattern.eq_ignore_ascii_case(name) || all(|a, b| header(a) == header(b)),
            Self::Metric => all(|a, b| metric(a) == metric(b)),
            Self::Dotted => all(|a, b| a == b || a == b'.' && b == 0),
            Self::DottedFolded => all(|a, b| a.eq_ignore_ascii_case(&b) || a == b'.' && b == 0),
            Self::DottedHeader => all(|a, b| header(a) == header(b)),
        }
    }
}

/// Writes a byte of a header's name as all its spellings have it. A colon begins the name of a pseudo-header, which no field
/// can be taken for.
const fn header(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() || byte == b':' { byte.to_ascii_lowercase() } else { b'-' }
}

/// Writes a byte of a metric's name as Prometheus has it.
const fn metric(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() || byte == b':' { byte } else { b'_' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_likeness_takes_its_own_for_the_same() {
        use Likeness::{DottedFolded, DottedHeader, Exact, Folded, Header, Metric};
        for (pattern, name, same) in [
            ("a", "a", &[Exact, Folded, Header, Metric, Likeness::Dotted, DottedFolded, DottedHeader][..]),
            ("a", "A", &[Folded, Header, DottedFolded, DottedHeader]),
            ("a-b", "a_b", &[Header, Metric, DottedHeader]),
            ("a.b", "a\0b", &[Header, Metric, Likeness::Dotted, DottedFolded, DottedHeader]),
            ("a\0b", "a.b", &[Header, Metric, DottedHeader]),
            (":path", "_path", &[]),
            ("a:b", "a_b", &[]),
            ("a", "ab", &[]),
        ] {
            for likeness in [Exact, Folded, Header, Metric, Likeness::Dotted, DottedFolded, DottedHeader] {
                let is_same = likeness.same(pattern.as_bytes(), name.as_bytes());
                assert_eq!(is_same, same.contains(&likeness), "{likeness:?} {pattern} {name}");
            }
        }
    }
}
