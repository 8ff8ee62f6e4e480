//! `configuration`: the bytes that a plugin gets for the value in the file.

use super::secrets::Secrets;
use crate::reader::{Key, Kind, Read, Section, Type, Value, base64, quote, secret};

/// Reads a configuration as Envoy does: text is its own bytes, a mapping or list becomes compact JSON, and a value with
/// an `@type` is unwrapped.
///
/// differs: in a mapping or list without an `@type`, which Envoy does not have, `{file: PATH}`, `{env: NAME}` and `{credential: NAME}`
/// stand for texts elsewhere. With an `@type` they are mappings as all others, so that a file of Envoy means what it means there.
pub(super) fn read(value: &Value<'_>) -> Read<(Vec<u8>, Secrets)> {
    let plain = |bytes| Ok((bytes, Secrets::default()));
    match value.kind() {
        Kind::Null => plain(Vec::new()),
        Kind::String(text) => plain(text.as_bytes().to_vec()),
        Kind::Bool(_) | Kind::Integer(_) | Kind::Float(_) => plain(value.source().into_bytes()),
        Kind::Mapping => match value.entries()?.get(TYPE) {
            Some(name) => plain(typed(value, name)?),
            None if secret::is_reference(value) => {
                let text = secret::read(value)?.text.clone();
                Ok((text.clone().into_bytes(), Secrets::new(Some(json(value)?), vec![text])))
            }
            None => with_secrets(value),
        },
        Kind::List => with_secrets(value),
        Kind::Tagged(_) | Kind::Bad => Err(value.expected("a configuration", "write text, a mapping or a list")),
    }
}

/// Types that an `@type` may name.
#[derive(Clone, Copy)]
enum Wrapped {
    String,
    Bytes,
    Struct,
}

const TYPES: &[(&str, Wrapped)] = &[
    ("google.protobuf.StringValue", Wrapped::String),
    ("google.protobuf.BytesValue", Wrapped::Bytes),
    ("google.protobuf.Struct", Wrapped::Struct),
];

const TYPE: Key = Key::new(
    "@type",
    Type::Form(
        "`type.googleapis.com/google.protobuf.` and `StringValue`, `BytesValue` or `Struct`",
        r"^(.*/)?google\.protobuf\.(StringValue|BytesValue|Struct)$",
    ),
    "The type of the value.",
)
.required();
const VALUE: Key =
    Key::new("value", Type::Free, "Text, base64 or a mapping, as the type says.").computed("nothing, or `{}`");

/// A configuration with its type.
static TYPED_VALUE: Section = Section::new(
    "typed_value",
    "configuration",
    "A `configuration` with its protobuf type, as in Envoy's files; one without `@type` is any text, list or mapping, and lists and \
     mappings become JSON.",
    &[TYPE, VALUE],
);

/// A configuration.
pub(super) const CONFIGURATION: Type =
    Type::Either(const { &[Type::Section(&TYPED_VALUE), Type::Section(&secret::SECRET), Type::Free] });

fn typed(value: &Value<'_>, name: &Value<'_>) -> Read<Vec<u8>> {
    let text = name.string()?;
    let short = text.rsplit('/').next().unwrap_or(text);
    let Some((_, kind)) = TYPES.iter().find(|(name, _)| *name == short) else {
        let message = format!("the type {} is not supported for a configuration", quote(text));
        let names = "StringValue, BytesValue or Struct";
        let help =
            format!("use {names} from type.googleapis.com/google.protobuf, or write the value without \"@type\"");
        return Err(name.fail(message, help));
    };
    let mapping = value.mapping(&TYPED_VALUE)?;
    match (kind, mapping.get(VALUE)) {
        (Wrapped::Struct, None) => Ok(b"{}".to_vec()),
        (_, None) => Ok(Vec::new()),
        (Wrapped::String, Some(value)) => value.string().map(|text| text.as_bytes().to_vec()),
        (Wrapped::Bytes, Some(value)) => base64::read(value),
        (Wrapped::Struct, Some(value)) => value.entries().and_then(|_| json(value)),
    }
}

/// Returns a value as compact JSON.
pub fn json(value: &Value<'_>) -> Read<Vec<u8>> {
    let mut text = String::new();
    write(value, &mut text, None)?;
    Ok(text.into_bytes())
}

/// Returns a value as compact JSON, with the values that it refers to.
fn with_secrets(value: &Value<'_>) -> Read<(Vec<u8>, Secrets)> {
    let (mut text, mut values) = (String::new(), Vec::new());
    write(value, &mut text, Some(&mut values))?;
    let shown = if values.is_empty() { None } else { Some(json(value)?) };
    Ok((text.into_bytes(), Secrets::new(shown, values)))
}

/// Appends a value as compact JSON, with the keys in the order of the file. With `secrets`, references are what they refer to, which
/// is put there.
fn write(value: &Value<'_>, out: &mut String, mut secrets: Option<&mut Vec<String>>) -> Read<()> {
    if let Some(secrets) = &mut secrets
        && secret::is_reference(value)
    {
        let secret = secret::read(value)?;
        push_string(&secret.text, out);
        secrets.push(secret.text.clone());
        return Ok(());
    }
    match value.kind() {
        Kind::Null => out.push_str("null"),
        Kind::Bool(flag) => out.push_str(&flag.to_string()),
        Kind::Integer(number) => out.push_str(&number.to_string()),
        Kind::Float(number) => out.push_str(&float(value, number)?),
        Kind::String(text) => push_string(text, out),
        Kind::List => {
            out.push('[');
            value.list(|index, item| {
                separate(index, out);
                write(item, out, secrets.as_deref_mut())
            })?;
            out.push(']');
        }
        Kind::Mapping => {
            out.push('{');
            for (index, entry) in value.entries()?.entries().iter().enumerate() {
                separate(index, out);
                push_string(&entry.key, out);
                out.push(':');
                write(&entry.value, out, secrets.as_deref_mut())?;
            }
            out.push('}');
        }
        Kind::Tagged(_) | Kind::Bad => return Err(value.expected("a value that JSON can hold", "remove the tag")),
    }
    Ok(())
}

fn separate(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

fn push_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// Writes whole numbers without a fraction, like Envoy: `1.0` is `1`.
fn float(value: &Value<'_>, number: f64) -> Read<String> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Ok(format!("{number:.0}"));
    }
    match serde_json::Number::from_f64(number) {
        Some(number) => Ok(number.to_string()),
        None => Err(value.expected("a value that JSON can hold", "put it in quotes")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::reader::Document;

    fn bytes(text: &str) -> Result<String, String> {
        let document = Document::parse("test.yaml", text, "an example").map_err(|error| error.to_string())?;
        let result =
            read(document.root().entries().unwrap().entry(Key::new("configuration", CONFIGURATION, "")).unwrap());
        let ((bytes, _), _) = document.finish(result).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn plain_values_are_their_bytes() {
        for (text, expected) in [
            ("configuration: hello", "hello"),
            ("configuration: |\n  two\n  lines\n", "two\nlines\n"),
            ("configuration: 1.50", "1.50"),
            ("configuration: true # yes", "true"),
            ("configuration:", ""),
            ("configuration: \"42\"", "42"),
        ] {
            assert_eq!(bytes(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mappings_and_lists_are_compact_json() {
        let text = r#"
configuration:
  z: [1, -2, 1.5, 2.0, 1e300, null, true]
  a: {quoted: "a\"b\n", 8080: é, empty: {}, none: []}
"#;
        let expected = r#"{"z":[1,-2,1.5,2,1e+300,null,true],"a":{"quoted":"a\"b\n","8080":"é","empty":{},"none":[]}}"#;
        assert_eq!(bytes(text).unwrap(), expected);
        assert_eq!(bytes("configuration: [a, b]").unwrap(), r#"["a","b"]"#);
    }

    #[test]
    fn typed_values_are_unwrapped() {
        let typed = |name: &str, value: &str| {
            let text = format!("configuration: {{\"@type\": type.googleapis.com/google.protobuf.{name}{value}}}");
            bytes(&text).unwrap()
        };
        assert_eq!(typed("StringValue", ", value: hello"), "hello");
        assert_eq!(typed("StringValue", ""), "");
        assert_eq!(typed("BytesValue", ", value: aGVsbG8="), "hello");
        assert_eq!(typed("Struct", ", value: {a: 1}"), r#"{"a":1}"#);
        assert_eq!(typed("Struct", ""), "{}");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            (
                "configuration: {\"@type\": type.googleapis.com/google.protobuf.Duration, value: 1s}",
                "test.yaml:1:26: configuration[\"@type\"]: the type \"type.googleapis.com/google.protobuf.Duration\" is \
                 not supported for a configuration; use StringValue, BytesValue or Struct from \
                 type.googleapis.com/google.protobuf, or write the value without \"@type\"",
            ),
            (
                "configuration: {\"@type\": google.protobuf.BytesValue, value: \"a!\"}",
                "test.yaml:1:61: configuration.value: not base64: unexpected '!' at character 2; \
                 encode the bytes with `base64 -w0 FILE`",
            ),
            (
                "configuration: {a: 1, b: {c: 1, c: 2}}",
                "test.yaml:1:33: configuration.b: duplicate key \"c\", first written in line 1; keep one of the two",
            ),
            (
                "configuration: [1, .inf]",
                "test.yaml:1:20: configuration[1]: expected a value that JSON can hold, found the number .inf; \
                 put it in quotes",
            ),
        ] {
            assert_eq!(bytes(text).unwrap_err(), expected, "{text}");
        }
    }
}
