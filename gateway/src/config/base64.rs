//! Base64, both alphabets, with or without padding: what Envoy takes for bytes.

use super::document::Read;
use super::value::Value;

/// Reads bytes that are written as base64.
pub(super) fn read(value: &Value<'_>) -> Read<Vec<u8>> {
    decode(value.string()?).map_err(|problem| {
        let help = "encode the bytes with `base64 -w0 FILE`";
        value.fail(format!("not base64: {problem}"), help)
    })
}

/// Decodes a text; white space does not count.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held, mut padding, mut digits) = (0u32, 0u32, 0usize, 0usize);
    for (index, c) in text.chars().enumerate().filter(|(_, c)| !c.is_ascii_whitespace()) {
        if c == '=' {
            padding += 1;
            continue;
        }
        let digit = digit(c).filter(|_| padding == 0);
        let digit = digit.ok_or_else(|| format!("unexpected {c:?} at character {}", index + 1))?;
        digits += 1;
        bits = bits << 6 | digit;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    let complete = digits % 4 != 1 && (padding == 0 || (digits + padding) % 4 == 0 && padding < 3);
    if complete { Ok(bytes) } else { Err("the text ends early".to_owned()) }
}

fn digit(c: char) -> Option<u32> {
    Some(match c {
        'A'..='Z' => c as u32 - 'A' as u32,
        'a'..='z' => c as u32 - 'a' as u32 + 26,
        '0'..='9' => c as u32 - '0' as u32 + 52,
        '+' | '-' => 62,
        '/' | '_' => 63,
        _ => return None,
    })
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
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, problem) in [
            ("Zm9!", "unexpected '!' at character 4"),
            ("Zg==Zg", "unexpected 'Z' at character 5"),
            ("Z", "the text ends early"),
            ("Zm9v=", "the text ends early"),
            ("Zg=", "the text ends early"),
        ] {
            assert_eq!(decode(text).unwrap_err(), problem, "{text}");
        }
    }
}
