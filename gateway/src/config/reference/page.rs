//! The page docs/configuration.md.

use std::fmt::Write;

use portcullis_config::reader::{Absent, Key, Section, Type, duration};

use super::sections;

const INTRODUCTION: &str = "\
# The configuration

<!-- Generated from config/src/blocks and gateway/src/config. After a change there: PORTCULLIS_WRITE=1 cargo test --workspace --lib -- config::reference -->

A configuration is a YAML file: `portcullis serve FILE` serves as it says, `portcullis check FILE` says whether it is right.
[examples/quickstart.yaml](../examples/quickstart.yaml) is the shortest one, [examples/gateway.yaml](../examples/gateway.yaml) shows nearly
every key in its place. The names are Envoy's where Envoy has the same thing, and a Wasm filter can be pasted from an Envoy file as it is,
also in camel case.

`portcullis schema` prints a JSON Schema of what stands below ([configuration.schema.json](configuration.schema.json)). Editors with the YAML
language server complete and check a file that begins with

```yaml
# yaml-language-server: $schema=configuration.schema.json
```

| values | written |
|---|---|
| duration | a number and its unit: `us`, `ms`, `s`, `m`, `h`, as `250ms` or `1.5s`; at most a year |
| size | bytes, or a whole number with `KiB`, `MiB` or `GiB`, as `65536` or `64KiB` |
| percentage | a whole number from 1 to 100 with `%`, as `20%` |
| base64 | either alphabet, with or without padding |

A key with nothing behind it counts as absent. An unknown key is an error, with the key that it resembles; all that is wrong with a file is
told at once, each with line, column, path and remedy.
";

/// Returns the page in Markdown: a table for each section.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in sections() {
        let _ = write!(page, "\n## {}\n\n{}", section.name, section.about);
        if !section.at.is_empty() {
            let places: Vec<String> = section.at.split(", ").map(|at| format!("`{at}`")).collect();
            let _ = write!(page, " At {}.", places.join(", "));
        }
        if let Some(file) = section.page {
            let _ = write!(page, " More: [{}]({file}).", file.trim_end_matches(".md"));
        }
        page.push_str("\n\n| key | values | without it | |\n|---|---|---|---|\n");
        for key in section.keys {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                key.name,
                values(key.values).replace('|', "\\|"),
                absent(*key),
                key.about.replace('|', "\\|")
            );
        }
    }
    page
}

fn absent(key: Key) -> String {
    match key.absent {
        Absent::Error => "an error".to_owned(),
        Absent::Nothing => String::new(),
        Absent::Value(value) => format!("`{value}`"),
        Absent::Computed(what) => what.to_owned(),
    }
}

/// Returns the values of a type in words.
fn values(values: Type) -> String {
    match values {
        Type::Text | Type::Name => "text".to_owned(),
        Type::Form(what, _) => what.to_owned(),
        Type::Base64 => "base64".to_owned(),
        Type::Boolean => "`true`, `false`".to_owned(),
        Type::Integer(least, most) => format!("number from {least} to {most}"),
        Type::Size(least, most) => format!("size from {} to {}", size(least), size(most)),
        Type::Duration => "duration".to_owned(),
        Type::Positive => "duration longer than `0s`".to_owned(),
        Type::Seconds(least, most) => {
            format!("duration from `{}` to `{}`", duration::seconds(least), duration::seconds(most))
        }
        Type::Percent => "percentage".to_owned(),
        Type::Words(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Type::Preset => "name of a [preset](rights.md)".to_owned(),
        Type::Capabilities => "[capabilities](rights.md)".to_owned(),
        Type::List(item) => format!("list of {}", self::values(*item)),
        Type::Map(item) => format!("names, each with {}", self::values(*item)),
        Type::Section(section) => link(section),
        Type::Either(types) => types.iter().map(|one| self::values(*one)).collect::<Vec<_>>().join(" or "),
        Type::Nothing => "`{}`".to_owned(),
        Type::Free => "anything".to_owned(),
    }
}

fn link(section: &Section) -> String {
    format!("[{0}](#{0})", section.name)
}

/// Returns a size in the largest unit that it is a multiple of.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(scale, _)| bytes > 0 && bytes.is_multiple_of(*scale));
    unit.map_or_else(|| format!("`{bytes}`"), |(scale, unit)| format!("`{}{unit}`", bytes / scale))
}
