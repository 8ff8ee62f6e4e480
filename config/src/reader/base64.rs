//! Base64, both alphabets, with or without padding: what Envoy takes for bytes.

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _};

use super::document::Read;
use super::value::Value;

/// Reads bytes that are written as base64.
pub fn read(value: &Value<'_>) -> Read<Vec<u8>> {
    decode(value.string()?).map_err(|problem| {
        let help = "encode the bytes with `base64 -w0 FILE`";
        value.fail(format!("not base64: {problem}"), help)
    })
}

/// The digits; padding is looked at apart. The last digit may have bits that are no part of a byte.
const DIGITS: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes a text; white space does not count.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let written = || text.chars().enumerate().filter(|(_, c)| !c.is_ascii_whitespace());
    let plain: String = written()
        .map(|(_, c)| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    let unexpected = |offset: usize| {
        let mut end = 0;
        let mut at = written().filter(|(_, c)| {
            end += c.len_utf8();
            end > offset
        });
        at.next().map_or_else(String::new, |(index, c)| format!("unexpected {c:?} at character {}", index + 1))
    };
    let (digits, padding) = plain.split_at(plain.find('=').unwrap_or(plain.len()));
    let decoded = match DIGITS.decode(digits) {
        Err(DecodeError::InvalidByte(offset, _)) => return Err(unexpected(offset)),
        decoded => decoded,
    };
    if let Some(offset) = padding.find(|c| c != '=') {
        return Err(unexpected(digits.len() + offset));
    }
    let is_padded = padding.is_empty() || plain.len().is_multiple_of(4) && padding.len() < 3;
    decoded.ok().filter(|_| is_padded).ok_or_else(|| "the text ends early".to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn decodes_the_vectors_of_rfc_4648() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm8", "fo"), ("Zm9v", "foo"), ("Zm9v\n  YmFy", "foobar")]
        {
            assert_eq!(decode(text).unwrap(), bytes.as_bytes(), "{text:?}");
        }
        assert_eq!(decode("+/8=").unwrap(), [0xfb, 0xff]);
        assert_eq!(decode("-_8").unwrap(), [0xfb, 0xff]);
        assert_eq!(decode("+_9").unwrap(), [0xfb, 0xff], "bits behind the last byte");
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, problem) in [
            ("Zm9!", "unexpected '!' at character 4"),
            ("Zg==Zg", "unexpected 'Z' at character 5"),
            (" Zm\n9é", "unexpected 'é' at character 6"),
            ("Z é=", "unexpected 'é' at character 3"),
            ("Z", "the text ends early"),
            ("Zm9v=", "the text ends early"),
            ("Zg=", "the text ends early"),
        ] {
            assert_eq!(decode(text).unwrap_err(), problem, "{text}");
        }
    }
}
