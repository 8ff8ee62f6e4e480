//! JSON is YAML but for one thing: characters that JSON writes as two escapes, which YAML does not have.

use std::borrow::Cow;

/// Returns a text in which the pairs of escapes that JSON writes for a character outside the basic plane are one of YAML's. Any other text
/// is returned as it is.
pub(crate) fn as_yaml(text: &str) -> Cow<'_, str> {
    let has_pairs = text.contains("\\ud") || text.contains("\\uD");
    if !has_pairs || serde_json::from_str::<serde_json::Value>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let mut yaml = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        yaml.push_str(before);
        match pair(escape) {
            Some((character, behind)) => {
                yaml.push_str(&format!("\\U{:08X}", u32::from(character)));
                rest = behind;
            }
            None => {
                // What is escaped may be a backslash, which begins no escape.
                let mut characters = escape.chars();
                yaml.push('\\');
                yaml.extend(characters.next());
                rest = characters.as_str();
            }
        }
    }
    yaml.push_str(rest);
    Cow::Owned(yaml)
}

/// Takes `uD83D\uDE00` off the start of a text, as one character.
fn pair(escape: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
    let second = escape.get(5..)?.strip_prefix('\\')?;
    let units = [unit(escape)?, unit(second)?];
    let character = char::decode_utf16(units).next()?.ok()?;
    (character.len_utf16() == 2).then_some((character, second.get(5..)?))
}

#[cfg(test)]
mod tests {
    use super::as_yaml;

    #[test]
    fn pairs_of_escapes_become_one() {
        for (json, yaml) in [
            (r#"{"a": "\ud83d\ude00"}"#, r#"{"a": "\U0001F600"}"#),
            (r#"["\uD83D\uDE00\u00e9\ud83d\ude01", "é\n"]"#, r#"["\U0001F600\u00e9\U0001F601", "é\n"]"#),
            (r#"["\\ud83d\\ude00", "\\\ud83d\ude00"]"#, r#"["\\ud83d\\ude00", "\\\U0001F600"]"#),
        ] {
            assert_eq!(as_yaml(json), yaml);
        }
    }

    #[test]
    fn any_other_text_stays() {
        for text in [r#"{"a": "\u00e9"}"#, r"a: '\ud83d\ude00'", r#"["\ud83d"]"#, r#"["\ud83d\u0041"]"#, ""] {
            assert_eq!(as_yaml(text), text);
        }
    }
}
