//! `stats_config`: which parts of metrics' names are labels.

use std::ops::Range;

use portcullis_config::reader::{Key, Read, Refused, Section, Type, Value};
use serde_json::{Value as Json, json};

use super::pattern;

/// A rule by which a part of a metric's name becomes a label, or all metrics of plugins get one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsTag {
    /// The name of the tag, as it was written.
    pub name: String,
    /// The same as Prometheus wants it: letters, digits and `_`, and no digit at the beginning.
    pub label: String,
    /// Where its value comes from.
    pub value: TagValue,
}

/// The value of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagValue {
    /// This text, for all metrics of plugins.
    Fixed(String),
    /// A part of the name, where the expression matches.
    Regex(TagRegex),
}

/// A regular expression with at least one group.
#[derive(Clone, Debug)]
pub struct TagRegex {
    text: String,
    compiled: regex::bytes::Regex,
}

impl TagRegex {
    /// Finds what is to be removed from a name, which is the first group, and the tag's value: the second group if the
    /// expression has one, and else the first.
    pub fn find(&self, name: &str) -> Option<(Range<usize>, String)> {
        let groups = self.compiled.captures(name.as_bytes())?;
        let removed = groups.get(1)?;
        let value = if groups.len() > 2 { groups.get(2) } else { Some(removed) };
        let value = value.map_or(&[][..], |value| value.as_bytes());
        Some((removed.range(), String::from_utf8_lossy(value).into_owned()))
    }

    /// Returns the expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for TagRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TagRegex {}

impl StatsTag {
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            TagValue::Fixed(value) => json!({ "tag_name": self.name, "fixed_value": value }),
            TagValue::Regex(regex) => json!({ "tag_name": self.name, "regex": regex.as_str() }),
        }
    }
}

/// The most rules. Each is matched against each name that a plugin defines, once.
const MOST: usize = 32;

/// The most bytes of a compiled expression. The time of a match is at most its states times the bytes of the name, which a
/// plugin chooses.
const LARGEST: usize = 16 << 10;

/// Labels that are there already.
const TAKEN: [&str; 4] = ["plugin", "name", "le", "quantile"];

const TAGS: Key = Key::new(
    "stats_tags",
    Type::List(const { &Type::Section(&TAG) }),
    "Rules by which parts of names become labels; at most 32.",
)
.default("[]");
const DEFAULT_TAGS: Key = Key::new(
    "use_all_default_tags",
    Type::Boolean,
    "Envoy's key; only `false` is taken, for there are no default tags.",
)
.default("false");

pub(super) static STATS: Section =
    Section::new("stats_config", "stats_config", "Labels of plugins' metrics.", &[TAGS, DEFAULT_TAGS])
        .page("metrics.md");

const TAG_NAME: Key = Key::new("tag_name", Type::Name, "The label.").required();
const REGEX: Key = Key::new(
    "regex",
    Type::Text,
    "A regular expression; its first group is removed from the name, and the second, or else the first, is the value.",
);
const FIXED_VALUE: Key =
    Key::new("fixed_value", Type::Text, "In place of `regex`: this value, for all metrics of plugins.");

static TAG: Section = Section::new(
    "stats_tag",
    "stats_config.stats_tags[]",
    "A label; `regex` or `fixed_value`.",
    &[TAG_NAME, REGEX, FIXED_VALUE],
);

const REFUSED: &[Refused] = &[
    (
        "stats_matcher",
        "a plugin's metrics are all shown",
        "bound them with the rules `names` and `count` of proxy_define_metric",
    ),
    ("histogram_bucket_settings", "histograms have fixed buckets, from 1 to 10 million", "remove the key"),
];

/// Reads `{stats_tags: [{tag_name: NAME, regex: EXPRESSION}]}`.
pub(super) fn read(value: &Value<'_>) -> Read<Vec<StatsTag>> {
    let mapping = value.mapping_without(&STATS, REFUSED)?;
    if let Some(defaults) = mapping.get(DEFAULT_TAGS)
        && defaults.boolean()?
    {
        let message = "there are no default tags: Envoy's are for metrics of its own";
        return Err(defaults.fail(message, "remove the key, and write what is to be a label into stats_tags"));
    }
    mapping.or(TAGS, Vec::new(), |tags| {
        if let Some(place) = tags.items().nth(MOST) {
            return Err(
                place.fail(format!("more than {MOST} tags"), "take several tags of one form out by one expression")
            );
        }
        tags.list(|_, tag| self::tag(tag))
    })
}

fn tag(value: &Value<'_>) -> Read<StatsTag> {
    let mapping = value.mapping(&TAG)?;
    let name = mapping.required(TAG_NAME, "add `tag_name: NAME`, the label", |name| {
        let text = name.name()?;
        let label = label(&text);
        if TAKEN.contains(&label.as_str()) || label.starts_with("__") {
            let message = format!("the label {label:?} is not free");
            return Err(name
                .fail(message, format!("choose another name than {}, and none with __ before it", TAKEN.join(", "))));
        }
        Ok((text, label))
    });
    let value = match mapping.at_most_one(&[REGEX, FIXED_VALUE])? {
        Some(("regex", place)) => regex(place).map(TagValue::Regex),
        Some((_, place)) => place.string().map(|text| TagValue::Fixed(text.to_owned())),
        None => Err(value.fail("the tag has no value", "add `regex: EXPRESSION`, or `fixed_value: TEXT`")),
    };
    let (name, label) = name?;
    Ok(StatsTag { name, label, value: value? })
}

fn regex(place: &Value<'_>) -> Read<TagRegex> {
    let text = place.string()?;
    let compiled = pattern::compile(place, text, LARGEST)?;
    if compiled.captures_len() < 2 {
        let message = "the regular expression has no group, so nothing would be taken out of a name";
        let help = "put what is to be removed into brackets, and in them the value: (_tenant_([a-z]+))";
        return Err(place.fail(message, help));
    }
    Ok(TagRegex { text: text.to_owned(), compiled })
}

/// Turns a name into that of a label.
fn label(name: &str) -> String {
    let mut label: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        label.insert(0, '_');
    }
    label
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use crate::config::{Config, TagValue};

    fn read(stats: &str) -> Result<Config, String> {
        let text = format!(
            "listeners: [{{address: 127.0.0.1:0, routes: [{{cluster: e}}]}}]\nclusters: [{{name: e, echo: {{}}}}]\n\
             stats_config: {stats}\n"
        );
        Config::parse("test.yaml", &text).map_err(|error| error.to_string())
    }

    #[test]
    fn tags_are_read_and_shown() {
        let stats =
            r#"{stats_tags: [{tag_name: envoy.tenant, regex: "(_tenant_([a-z]+))"}, {tagName: 1st, fixedValue: x}]}"#;
        let config = read(stats).unwrap();
        assert_eq!(
            config.stats_tags.iter().map(|tag| tag.label.as_str()).collect::<Vec<_>>(),
            ["envoy_tenant", "_1st"]
        );
        let shown = config.to_json()["stats_config"].to_string();
        let expected = r#"{"stats_tags":[{"regex":"(_tenant_([a-z]+))","tag_name":"envoy.tenant"},{"fixed_value":"x","tag_name":"1st"}]}"#;
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_first_group_is_removed_and_the_second_is_the_value() {
        for (regex, found) in [
            ("(_t_([a-z]+))", Some((1..6, "ab"))),
            ("_t_([a-z]+)", Some((4..6, "ab"))),
            ("(_t(_)?([a-z]+))", Some((1..6, "_"))),
            ("(_t_(x)?)", Some((1..4, ""))),
            ("(x)?_t_", None),
            ("(y)", None),
        ] {
            let config = read(&format!("{{stats_tags: [{{tag_name: t, regex: '{regex}'}}]}}")).unwrap();
            let TagValue::Regex(regex) = &config.stats_tags[0].value else { panic!() };
            assert_eq!(regex.find("c_t_ab").as_ref().map(|(range, value)| (range.clone(), value.as_str())), found);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let many = "{tag_name: t, fixed_value: x}, ".repeat(33);
        for (stats, expected) in [
            ("{stats_tags: [{tag_name: t}]}", "the tag has no value; add `regex: EXPRESSION`, or `fixed_value: TEXT`"),
            ("{stats_tags: [{regex: (a)}]}", "tag_name"),
            ("{stats_tags: [{tag_name: t, regex: abc}]}", "has no group, so nothing would be taken out of a name"),
            ("{stats_tags: [{tag_name: t, regex: '(abc'}]}", "not a regular expression: unclosed group"),
            ("{stats_tags: [{tag_name: t, regex: '((a{1,900}){1,900})'}]}", "takes more than 16 KiB"),
            ("{stats_tags: [{tag_name: plugin, fixed_value: x}]}", "the label \"plugin\" is not free"),
            ("{stats_tags: [{tag_name: __x, fixed_value: x}]}", "the label \"__x\" is not free"),
            (
                "{stats_tags: [{tag_name: t, regex: (a), fixed_value: x}]}",
                "both \"regex\" and \"fixed_value\" are given",
            ),
            ("{use_all_default_tags: true}", "there are no default tags"),
            ("{stats_matcher: {reject_all: true}}", "a plugin's metrics are all shown"),
            (&format!("{{stats_tags: [{many}]}}"), "stats_config.stats_tags[32]: more than 32 tags"),
        ] {
            let error = read(stats).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(read("{use_all_default_tags: false}").unwrap().stats_tags.is_empty());
    }
}
