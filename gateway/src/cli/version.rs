//! `--version`: the command, its commit, and the engines in it.

use std::sync::OnceLock;

/// The commit that the command is built from, where that is known.
const COMMIT: Option<&str> = option_env!("PORTCULLIS_BUILT_FROM");

/// Returns the version without the name of the command, which clap puts before it.
pub(super) fn long() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| text(COMMIT, portcullis::engine::all().iter().map(|engine| (engine.name, engine.version))))
}

fn text<'a>(commit: Option<&str>, engines: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let engines: Vec<_> = engines.map(|(name, version)| format!("{name} {version}")).collect();
    let (version, commit) = (env!("CARGO_PKG_VERSION"), commit.unwrap_or("unknown"));
    format!("{version}\ncommit: {commit}\nengines: {}", engines.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_named_if_it_is_known() {
        let engines = || [("one", "1.2.3"), ("two", "4.5.6")].into_iter();
        let expected =
            |commit| format!("{}\ncommit: {commit}\nengines: one 1.2.3, two 4.5.6", env!("CARGO_PKG_VERSION"));
        assert_eq!(text(Some("0123456789ab"), engines()), expected("0123456789ab"));
        assert_eq!(text(None, engines()), expected("unknown"));
    }
}
