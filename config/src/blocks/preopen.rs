//! `preopens`: the directories of a VM.

use portcullis::resources::Preopen;

use crate::reader::{Key, Read, Section, Type, Unique, Value, files, quote};

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
