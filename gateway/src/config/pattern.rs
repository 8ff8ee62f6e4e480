//! `safe_regex`: regular expressions whose time is linear in the text.

use std::hash::{Hash, Hasher};

use portcullis_config::reader::{EMPTY, Key, Read, Section, Type, Value};
use regex::bytes::RegexBuilder;

/// A regular expression that a whole text has to match.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    compiled: regex::bytes::Regex,
}

impl Pattern {
    /// Returns whether it matches all of a text.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.compiled.is_match(text)
    }

    /// Returns the expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// The most bytes of a compiled expression. The time of a match is at most its states times the bytes of the text, and a client
/// chooses the text.
const LARGEST: usize = 64 << 10;

const REGEX: Key =
    Key::new("regex", Type::Text, "The expression, in the syntax of RE2; it has to match the whole text.").required();
const GOOGLE_RE2: Key = Key::new("google_re2", Type::Nothing, "Envoy's key, which changes nothing.");

pub(super) static PATTERN: Section = Section::new(
    "safe_regex",
    "safe_regex",
    "A regular expression whose time is linear in the text.",
    &[REGEX, GOOGLE_RE2],
);

/// Reads `{regex: ...}`. Of Envoy's `google_re2`, which has chosen the only engine, nothing is left to say.
pub(super) fn read(value: &Value<'_>) -> Read<Pattern> {
    let mapping = value.mapping(&PATTERN)?;
    if let Some(engine) = mapping.get(GOOGLE_RE2) {
        engine.mapping(&EMPTY)?;
    }
    mapping.required(REGEX, "add `regex: EXPRESSION`", |regex| {
        let text = regex.string()?;
        // Alone first: `a)(b` is no expression, and would be one in brackets.
        compile(regex, text, LARGEST)?;
        let compiled = compile(regex, &format!("\\A(?:{text})\\z"), LARGEST)?;
        Ok(Pattern { text: text.to_owned(), compiled })
    })
}

/// Compiles the expression at `place`, unless it takes too many bytes. Classes such as \w are of ASCII, as in RE2.
pub(super) fn compile(place: &Value<'_>, text: &str, largest: usize) -> Read<regex::bytes::Regex> {
    RegexBuilder::new(text).unicode(false).size_limit(largest).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => place.fail(
            format!("the regular expression takes more than {} KiB", largest >> 10),
            "repeat less: {1,1000} is written out",
        ),
        error => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let help = "correct it; the syntax is that of RE2, without look-around and back-references";
            place.fail(format!("not a regular expression: {reason}"), help)
        }
    })
}
