//! Names whose values are secrets, of headers and in queries.

use std::ops::Range;

/// The most bytes of a name in a query. Of a longer name the end is compared, as patterns are.
const LONGEST: usize = 256;

/// Returns whether a name matches one of `patterns`. Only letters and digits are compared, without regard to case, so that `x-api-key`,
/// `apiKey` and `api%5Fkey` are equal. In a pattern, `*` at the beginning stands for any bytes or none.
pub(super) fn is_named(patterns: &[String], name: &[u8]) -> bool {
    let name = plain(name);
    !name.is_empty()
        && patterns.iter().any(|pattern| match pattern.strip_prefix('*') {
            Some(end) => name.ends_with(&plain(end.as_bytes())),
            None => name == plain(pattern.as_bytes()),
        })
}

/// Returns where values follow such a name and `=`, as in a query, a form or a line of a log. A value ends at `&`, `#`, a space, a
/// quotation mark or a control character, so that a match is too long rather than too short.
pub(super) fn in_queries(patterns: &[String], bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(sign) =
        bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'=')).map(|next| at + next)
    {
        let before = bytes.get(at.max(sign.saturating_sub(LONGEST))..sign).unwrap_or_default();
        let start = before.iter().rposition(|byte| !is_of_name(*byte)).map_or(0, |other| other + 1);
        at = sign + 1;
        if is_named(patterns, before.get(start..).unwrap_or_default()) {
            let rest = bytes.get(at..).unwrap_or_default();
            let len = rest.iter().position(|byte| is_end(*byte)).unwrap_or(rest.len());
            found.push(at..at + len);
            at += len;
        }
    }
    found
}

/// Decodes `%41` and similar; returns `None` if there are none.
pub(super) fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut all, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) if let (Some(high), Some(low)) = (digit(high), digit(low)) => {
                all.push(high << 4 | low);
                rest = after;
            }
            _ => all.push(*first),
        }
    }
    (all.len() < bytes.len()).then_some(all)
}

/// Returns only the letters and digits, in lower case.
fn plain(name: &[u8]) -> Vec<u8> {
    let name = decoded(name).unwrap_or_else(|| name.to_vec());
    name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

/// Returns whether a byte may be part of a name in a query.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~%[]$:".contains(&byte)
}

fn is_end(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f || b"&#\"".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::super::Redaction;
    use super::*;

    fn defaults() -> Vec<String> {
        Redaction::default().names().to_vec()
    }

    #[test]
    fn names_are_compared_by_letters_and_digits() {
        for name in [
            "authorization",
            "Cookie",
            "x-api-key",
            "X-API-Key",
            "api_key",
            "apiKey",
            "x-auth-token",
            "x-vault-token",
            "token",
            "access_token",
            "accessToken",
            "access%5Ftoken",
            "client-secret",
            "clientSecret",
            "filter[token]",
            "x-user-password",
        ] {
            assert!(is_named(&defaults(), name.as_bytes()), "{name}");
        }
        for name in ["", "-", "accept", "tokens", "x-api-key-id", "secretary", "cookie2", "user"] {
            assert!(!is_named(&defaults(), name.as_bytes()), "{name}");
        }
        assert!(is_named(&["*".to_owned()], b"any"));
    }

    #[test]
    fn values_in_queries_are_found() {
        for (text, values) in [
            ("/a?x-api-key=k1&b=2", &["k1"][..]),
            ("/a?b=2&access_token=a=b==&c=3", &["a=b=="]),
            ("token=t1", &["t1"]),
            ("https://a/b?clientSecret=x,y;z#frag", &["x,y;z"]),
            ("grant=code&client_secret=s%26t&api%5fkey=k", &["s%26t", "k"]),
            ("got token=abc, path=/x", &["abc,"]),
            ("\0token=abc\0path=x", &["abc"]),
            ("/a?b=token=x", &["x"]),
            ("/a?b=1&c=2", &[]),
            ("=x&&=y", &[]),
            ("token=", &[""]),
        ] {
            let found: Vec<_> =
                in_queries(&defaults(), text.as_bytes()).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, values, "{text}");
        }
        let long = format!("{}token=x", "a".repeat(1000));
        assert_eq!(in_queries(&defaults(), long.as_bytes()).first(), Some(&(1006..1007)));
    }

    #[test]
    fn percent_signs_are_decoded() {
        assert_eq!(decoded(b"a%26b%2"), Some(b"a&b%2".to_vec()));
        assert_eq!(decoded(b"100%"), None);
        assert_eq!(decoded(b"%zz"), None);
    }
}
