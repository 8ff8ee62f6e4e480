//! Envoy's `string_match`.

use super::document::Read;
use super::mapping::Refused;
use super::pattern;
use super::route_match::HeaderRule;
use super::value::Value;

const FORMS: &[&str] = &["exact", "prefix", "suffix", "contains", "safe_regex"];

const CUSTOM: Refused = ("custom", "there are no extensions", "use exact, prefix, suffix, contains or safe_regex");

/// Reads a rule for a text.
pub(super) fn read(value: &Value<'_>) -> Read<HeaderRule> {
    let keys = [FORMS, &["ignore_case"]].concat();
    let mapping = value.mapping_without(&keys, &[CUSTOM])?;
    let ignore_case = mapping.or("ignore_case", false, Value::boolean)?;
    let Some((form, place)) = mapping.at_most_one(FORMS)? else {
        return Err(value.fail("no rule for the text", "add exact, prefix, suffix, contains or safe_regex"));
    };
    if form == "safe_regex" {
        if let Some(flag) = mapping.get("ignore_case").filter(|_| ignore_case) {
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
