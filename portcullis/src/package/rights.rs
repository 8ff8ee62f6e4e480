//! The rights that a module requests.

use wasmparser::{Parser, Payload};

/// The custom section that they are in.
const NAME: &str = "portcullis.rights";

/// The most bytes of their text.
pub const MOST_REQUESTED: usize = 64 << 10;

/// Why the rights that a module requests cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The module cannot be read.
    #[error("it cannot be read as a module: {0}")]
    Unreadable(String),
    /// Two sections have the name.
    #[error("it has two custom sections \"portcullis.rights\"")]
    Twice,
    /// The text is longer than [`MOST_REQUESTED`].
    #[error("the rights that it requests are a text of {0} bytes; at most 65536 are read")]
    TooLong(usize),
    /// The text is not UTF-8.
    #[error("the rights that it requests are not valid UTF-8")]
    NotUtf8,
    /// The module requests rights already.
    #[error("it requests rights already; begin with the module as it was built")]
    Present,
}

/// Returns the text of the rights that a module requests, if it does. Whoever reads it has to judge it: the module's author has written
/// it.
///
/// # Errors
/// The module or the text cannot be read.
pub fn requested_rights(module: &[u8]) -> Result<Option<&str>, RequestError> {
    let mut found = None;
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(|error| RequestError::Unreadable(error.message().to_owned()))? {
            Payload::CustomSection(section) if section.name() == NAME => {
                if found.is_some() {
                    return Err(RequestError::Twice);
                }
                found = Some(section.data());
            }
            _ => {}
        }
    }
    let Some(text) = found else { return Ok(None) };
    match text.len() {
        0..=MOST_REQUESTED => std::str::from_utf8(text).map(Some).map_err(|_| RequestError::NotUtf8),
        long => Err(RequestError::TooLong(long)),
    }
}

/// Returns the module with rights that it requests, at its end. A module is signed after that.
///
/// # Errors
/// The module cannot be read, requests rights already, or the text is too long.
pub fn with_requested_rights(module: &[u8], text: &str) -> Result<Vec<u8>, RequestError> {
    if text.len() > MOST_REQUESTED {
        return Err(RequestError::TooLong(text.len()));
    }
    match requested_rights(module) {
        Ok(None) => {}
        Err(error @ RequestError::Unreadable(_)) => return Err(error),
        Ok(Some(_)) | Err(_) => return Err(RequestError::Present),
    }
    let content = [leb128(NAME.len()), NAME.as_bytes().to_vec(), text.as_bytes().to_vec()].concat();
    Ok([module, &[0], &leb128(content.len()), &content].concat())
}

/// Writes a length as modules have it, which is below 2^32 for each that [`MOST_REQUESTED`] allows.
fn leb128(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or_default();
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 100, 109, 110, 200, 16_000, 17_000, MOST_REQUESTED] {
            let text = "r".repeat(length);
            let module = with_requested_rights(MODULE, &text).unwrap();
            assert_eq!(requested_rights(&module), Ok(Some(text.as_str())), "{length}");
            assert_eq!(with_requested_rights(&module, "{}"), Err(RequestError::Present));
        }
        assert_eq!(requested_rights(MODULE), Ok(None));
    }

    #[test]
    fn what_is_no_text_is_told() {
        let section = |text: &[u8]| {
            let content = [&[17][..], NAME.as_bytes(), text].concat();
            [&[0], &leb128(content.len())[..], &content].concat()
        };
        let with = |sections: &[Vec<u8>]| [MODULE, &sections.concat()].concat();
        for (module, expected) in [
            (with(&[section(b"{}"), section(b"{}")]), RequestError::Twice),
            (with(&[section(&[0xff])]), RequestError::NotUtf8),
            (with(&[section(&[b' '; MOST_REQUESTED + 1])]), RequestError::TooLong(MOST_REQUESTED + 1)),
        ] {
            assert_eq!(requested_rights(&module), Err(expected));
            assert_eq!(with_requested_rights(&module, "{}"), Err(RequestError::Present));
        }
        assert!(matches!(requested_rights(b"(module)"), Err(RequestError::Unreadable(_))));
        assert!(matches!(with_requested_rights(b"(module)", ""), Err(RequestError::Unreadable(_))));
        let long = " ".repeat(MOST_REQUESTED + 1);
        assert_eq!(with_requested_rights(MODULE, &long), Err(RequestError::TooLong(MOST_REQUESTED + 1)));
    }
}
