//! `preopens`: the directories of a VM.

use portcullis::resources::Preopen;

use super::document::Read;
use super::files;
use super::key::{Key, Section, Type};
use super::unique::Unique;
use super::value::{Value, quote};

const GUEST: Key =
    Key::new("guest", Type::Form("absolute path, or `.`", r"^(/|\.$|\./*$)"), "The path by which the plugin opens it.")
        .required();
const HOST: Key =
    Key::new("host", Type::Name, "The directory, found from the working directory or beside the configuration.")
        .required();
const WRITE: Key = Key::new("write", Type::Boolean, "Whether the plugin may change what is there.").default("false");

pub(super) static PREOPEN: Section = Section::new(
    "preopen",
    "vm_config.preopens[]",
    "A directory of a VM; elsewhere it has no files.",
    &[GUEST, HOST, WRITE],
);

/// Reads `preopens`, in their order.
pub(super) fn read(value: &Value<'_>) -> Read<Vec<Preopen>> {
    let mut guests = Unique::new("guest path");
    value.list(|_, preopen| {
        let mapping = preopen.mapping(&PREOPEN)?;
        let guest = mapping.required(GUEST, "add what the plugin calls it: `guest: /data`", |path| {
            let guest = guest(path)?;
            guests.check(path, &guest)?;
            Ok(guest)
        });
        let host = mapping.required(HOST, "add where it is: `host: ./data`", |path| {
            files::existing_directory(path, "make the directory, or correct the path")
        });
        let write = mapping.or(WRITE, false, Value::boolean);
        Ok(Preopen::new(guest?, host?).with_write(write?))
    })
}

/// Reads the name of a directory for a plugin, without slashes at the end.
fn guest(value: &Value<'_>) -> Read<String> {
    let path = value.name()?;
    if path.contains('\0') || path.split('/').any(|part| part == "..") {
        let message = format!("{} cannot be what a plugin calls a directory", quote(&path));
        return Err(value.fail(message, "leave out \"..\" and NUL characters"));
    }
    match path.trim_end_matches('/') {
        "" => Ok("/".to_owned()),
        trimmed if trimmed == "." || trimmed.starts_with('/') => Ok(trimmed.to_owned()),
        relative => {
            let message = format!("the guest path {} is not absolute", quote(&path));
            Err(value.fail(
                message,
                format!("write {}, or \".\"", quote(&format!("/{}", relative.trim_start_matches("./")))),
            ))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::Config;

    /// Returns a file whose plugin has these directories.
    fn with(preopens: &str) -> String {
        format!(
            "clusters: [{{name: e, echo: {{}}}}]\nlisteners:\n  - address: 127.0.0.1:8080\n    routes: [{{cluster: e}}]\n    \
             plugins: [{{vm_config: {{code: {{local: {{inline_string: x}}}}, preopens: [{preopens}]}}}}]"
        )
    }

    #[test]
    fn they_are_read_in_their_order() {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let text = with("{guest: /data/, host: src}, {guest: ., host: tests, write: true}, {guest: /, host: src}");
        // Beside the configuration, wherever the tests run.
        let config = Config::parse(here.join("gateway.yaml").to_str().unwrap(), &text).unwrap();
        let found = &config.listeners[0].plugins[0].vm.preopens;
        let expected: Vec<(&str, bool)> = vec![("/data", false), (".", true), ("/", false)];
        assert_eq!(found.iter().map(|p| (p.guest.as_str(), p.write)).collect::<Vec<_>>(), expected);
        assert!(found.iter().all(|Preopen { host, .. }| host.is_dir()));
        let json = config.to_json();
        let shown = &json["listeners"][0]["plugins"][0]["vm_config"]["preopens"][1];
        assert_eq!((&shown["guest"], &shown["write"]), (&".".into(), &true.into()));
    }

    #[test]
    fn mistakes_have_a_remedy() {
        for (preopens, expected) in [
            ("{guest: /a}", "vm_config.preopens[0]: missing key \"host\"; add where it is: `host: ./data`"),
            ("{host: /}", "vm_config.preopens[0]: missing key \"guest\"; add what the plugin calls it: `guest: /data`"),
            (
                "{guest: /a, host: /no/such}",
                "preopens[0].host: there is no directory \"/no/such\"; make the directory, or correct the path",
            ),
            ("{guest: /a, host: ./no}", "there is no directory \"./no\", neither in the working directory"),
            (
                "{guest: /a, host: Cargo.toml}",
                "preopens[0].host: \"Cargo.toml\" is a file; name the directory that it is in",
            ),
            (
                "{guest: ./a, host: /}",
                "preopens[0].guest: the guest path \"./a\" is not absolute; write \"/a\", or \".\"",
            ),
            ("{guest: /a/../b, host: /}", "preopens[0].guest: \"/a/../b\" cannot be what a plugin calls a directory"),
            (
                "{guest: /a, host: /}, {guest: /a/, host: /}",
                "preopens[1].guest: duplicate guest path \"/a\", first used in line 5; choose another one",
            ),
            ("{guest: /a, host: /, write: yes please}", "preopens[0].write: expected true or false"),
            ("{guest: /a, host: /, writ: true}", "unknown key \"writ\"; did you mean \"write\"?"),
        ] {
            let errors = Config::parse("gateway.yaml", &with(preopens)).unwrap_err().to_string();
            assert!(errors.contains(expected), "{preopens}: {errors}");
        }
    }
}
