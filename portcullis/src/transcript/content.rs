//! Bytes as text that people can read, without loss.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::pairs;

/// Bytes in a transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    /// Printable text.
    Text(String),
    /// One word, little-endian.
    Word(u32),
    /// A header map of printable texts.
    Pairs {
        /// Names and values.
        pairs: Vec<(String, String)>,
    },
    /// Anything else.
    Base64 {
        /// In the standard alphabet, padded.
        base64: String,
    },
}

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if let Some(text) = printable(bytes) {
            return Self::Text(text.to_owned());
        }
        if let Ok(word) = bytes.try_into() {
            return Self::Word(u32::from_le_bytes(word));
        }
        let text = |range| bytes.get::<std::ops::Range<usize>>(range).and_then(printable).map(str::to_owned);
        let texts = pairs::entries(bytes).and_then(|entries| {
            entries.into_iter().map(|(name, value)| Some((text(name)?, text(value)?))).collect::<Option<Vec<_>>>()
        });
        match texts {
            Some(pairs) => Self::Pairs { pairs },
            None => Self::Base64 { base64: STANDARD.encode(bytes) },
        }
    }

    /// Decodes the bytes; returns `None` if the text is not an encoding of bytes.
    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Word(word) => Some(word.to_le_bytes().to_vec()),
            Self::Pairs { pairs } => pairs::encode(&pairs),
            Self::Base64 { base64 } => STANDARD.decode(base64).ok(),
        }
    }
}

fn printable(bytes: &[u8]) -> Option<&str> {
    let is_fine = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    std::str::from_utf8(bytes).ok().filter(|text| text.chars().all(is_fine))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(bytes: &[u8]) -> String {
        serde_json::to_string(&Content::of(bytes)).unwrap()
    }

    #[test]
    fn bytes_are_as_readable_as_they_can_be() {
        assert_eq!(json(b"GET /\n"), r#""GET /\n""#);
        assert_eq!(json(&[0, 4, 0, 0]), "1024");
        assert_eq!(json(&[0, 255]), r#"{"base64":"AP8="}"#);
        let map = pairs::encode(&[(":path".to_owned(), "/".to_owned()), ("a".to_owned(), String::new())]).unwrap();
        assert_eq!(json(&map), r#"{"pairs":[[":path","/"],["a",""]]}"#);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let back: Content = serde_json::from_str(&json(&bytes)).unwrap();
            prop_assert_eq!(back.bytes(), Some(bytes));
        }

        #[test]
        fn no_map_is_changed(map in proptest::collection::vec(("[a-z]{0,3}", ".{0,3}"), 1..4)) {
            let bytes = pairs::encode(&map).unwrap();
            let back: Content = serde_json::from_str(&json(&bytes)).unwrap();
            prop_assert_eq!(back.bytes(), Some(bytes));
        }

        #[test]
        fn any_bytes_are_looked_at_without_a_panic(bytes in proptest::collection::vec(0..9u8, 0..40)) {
            prop_assert!(pairs::entries(&bytes).is_none_or(|entries| !entries.is_empty()));
        }
    }
}
