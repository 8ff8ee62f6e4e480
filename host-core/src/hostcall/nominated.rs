//! Names that a `connection` field nominates: whoever forwards the message removes the fields that have them (RFC 9110, section
//! 7.6.1). To write such a field is to remove the others.

/// Values of `connection` that are no name of another field, or of one that belongs to a connection anyway.
const OPTIONS: [&[u8]; 7] =
    [b"close", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"];

/// Returns the fields that an entry of a header map has removed.
pub(super) fn by<'a>(name: &[u8], value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let value = if name.eq_ignore_ascii_case(b"connection") { value } else { b"" };
    let tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tokens.filter(|token| !token.is_empty() && !OPTIONS.iter().any(|option| option.eq_ignore_ascii_case(token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_field_nominates_others() {
        let nominated = |name: &str, value: &'static str| by(name.as_bytes(), value.as_bytes()).count();
        assert_eq!(nominated("Connection", "close, X-One,, keep-alive , x-two"), 2);
        assert_eq!((nominated("connection", "Upgrade"), nominated("x", "authorization")), (0, 0));
    }
}
