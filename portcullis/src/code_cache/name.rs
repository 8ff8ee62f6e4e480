//! Names of files of compiled code: `ENGINE-VERSION-DIGEST.code`. They serve housekeeping alone; what may be run is said by the seal.

use portcullis_core::engine::AnyEngine;

use crate::engine;

/// Returns the name of the code whose subject has this digest.
pub(super) fn of(engine: &dyn AnyEngine, digest: &str) -> String {
    format!("{}-{}-{digest}.code", engine.name(), engine.version())
}

/// Returns true for code of an engine that this binary has in another version, and for names without an engine, as they
/// were until 2026-11. Code of engines that this binary does not have is another binary's matter.
pub(super) fn is_outdated(file: &str) -> bool {
    let Some(name) = file.strip_suffix(".code") else { return false };
    let Some((maker, digest)) = name.rsplit_once('-') else { return is_digest(name) };
    let Some((engine, version)) = maker.rsplit_once('-') else { return false };
    is_digest(digest) && engine::all().iter().any(|info| info.name == engine && info.version != version)
}

/// Returns true for code of an engine that this binary has in this version.
pub(super) fn is_current(file: &str) -> bool {
    let name = file.strip_suffix(".code").and_then(|name| name.rsplit_once('-'));
    let maker = name.filter(|(_, digest)| is_digest(digest)).and_then(|(maker, _)| maker.rsplit_once('-'));
    maker.is_some_and(|(engine, version)| {
        engine::all().iter().any(|info| info.name == engine && info.version == version)
    })
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_another_version_is_outdated() {
        let digest = "0".repeat(64);
        for info in engine::all() {
            let name = |version: &str| format!("{}-{version}-{digest}.code", info.name);
            assert!(!is_outdated(&name(info.version)) && is_current(&name(info.version)));
            assert!(is_outdated(&name("0.0.1")) && !is_current(&name("0.0.1")));
            assert!(is_outdated(&name(&format!("{}1", info.version))));
        }
        assert!(is_outdated(&format!("{digest}.code")));
        let others = [
            "key".to_owned(),
            "notes.code".to_owned(),
            format!("{digest}.12-0.part"),
            format!("another-1.0.0-{digest}.code"),
            format!("{}-0.0.1-{digest}1.code", engine::all()[0].name),
            format!("{}-{digest}.code", engine::all()[0].name),
        ];
        for other in others {
            assert!(!is_outdated(&other) && !is_current(&other), "{other}");
        }
    }
}
