//! Envoy's `string_match`.

use portcullis_config::reader::{Key, Read, Refused, Section, Type, Value};

use super::pattern;
use super::route_match::HeaderRule;

const EXACT: Key = Key::new("exact", Type::Text, "The text is this.");
const PREFIX: Key = Key::new("prefix", Type::Name, "The text begins so.");
const SUFFIX: Key = Key::new("suffix", Type::Name, "The text ends so.");
const CONTAINS: Key = Key::new("contains", Type::Name, "The text contains this.");
const SAFE_REGEX: Key = Key::new("safe_regex", Type::Section(&pattern::PATTERN), "All of it matches.");
const IGNORE_CASE: Key =
    Key::new("ignore_case", Type::Boolean, "Whether ASCII letters count in either case; not with `safe_regex`.")
        .default("false");

pub(super) static STRING_MATCH: Section = Section::new(
    "string_match",
    "listeners[].routes[].match.headers[].string_match",
    "A rule for a text; one of the first five keys.",
    &[EXACT, PREFIX, SUFFIX, CONTAINS, SAFE_REGEX, IGNORE_CASE],
);

const FORMS: &[Key] = &[EXACT, PREFIX, SUFFIX, CONTAINS, SAFE_REGEX];

const CUSTOM: Refused = ("custom", "there are no extensions", "use exact, prefix, suffix, contains or safe_regex");

/// Reads a rule for a text.
pub(super) fn read(value: &Value<'_>) -> Read<HeaderRule> {
    let mapping = value.mapping_without(&STRING_MATCH, &[CUSTOM])?;
    let ignore_case = mapping.or(IGNORE_CASE, false, Value::boolean)?;
    let Some((form, place)) = mapping.at_most_one(FORMS)? else {
        return Err(value.fail("no rule for the text", "add exact, prefix, suffix, contains or safe_regex"));
    };
    if form == "safe_regex" {
        if let Some(flag) = mapping.get(IGNORE_CASE).filter(|_| ignore_case) {
            return Err(flag.fail("ignore_case does not apply to safe_regex", "begin the expression with (?i)"));
        }
        return pattern::read(place).map(HeaderRule::Regex);
    }
    let text = place.string()?;
    if text.is_empty() && form != "exact" {
        return Err(place.expected("text", "write `present_match: true` for any value"));
    }
    let text = if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    let rule = match form {
        "exact" => HeaderRule::Exact(text),
        "prefix" => HeaderRule::Prefix(text),
        "suffix" => HeaderRule::Suffix(text),
        _ => HeaderRule::Contains(text),
    };
    Ok(if ignore_case { HeaderRule::IgnoreCase(Box::new(rule)) } else { rule })
}
