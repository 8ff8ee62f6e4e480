//! Which lines of the engines are logged.

/// The targets of engines and their compilers, as prefixes.
const ENGINES: [&str; 5] = ["cranelift", "regalloc2", "wasmtime", "wasmer", "wasmi"];

/// The name of all of them together in a filter.
const NAME: &str = "engines";

/// Spells out `engines=LEVEL` in a filter. Where a filter that logs debugging lines does not say so, engines log warnings: they
/// would write thousands of lines for each plugin that they compile.
pub(super) fn with_engines(filter: &str) -> String {
    let parts = || filter.split(',').map(str::trim);
    let is_verbose = parts().any(|part| ["debug", "trace"].iter().any(|level| part.eq_ignore_ascii_case(level)));
    let said = parts().find_map(|part| part.strip_prefix(NAME)?.strip_prefix('='));
    let mut all = Vec::new();
    if let Some(level) = said.or(if is_verbose { Some("warn") } else { None }) {
        all.extend(ENGINES.iter().map(|target| format!("{target}={level}")));
    }
    // Behind the engines': what names one of them counts.
    all.extend(parts().filter(|part| !part.starts_with("engines=")).map(str::to_owned));
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: &str = "cranelift=warn,regalloc2=warn,wasmtime=warn,wasmer=warn,wasmi=warn";

    #[test]
    fn engines_are_quiet_unless_they_are_named() {
        assert_eq!(with_engines("debug"), format!("{QUIET},debug"));
        assert_eq!(with_engines("TRACE,plugin=warn"), format!("{QUIET},TRACE,plugin=warn"));
        assert_eq!(with_engines("debug,wasmtime=trace"), format!("{QUIET},debug,wasmtime=trace"));
        assert_eq!(with_engines("debug, engines=debug"), format!("{},debug", QUIET.replace("warn", "debug")));
        assert_eq!(with_engines("engines=info"), QUIET.replace("warn", "info"));
    }

    #[test]
    fn a_filter_that_is_not_verbose_is_left_alone() {
        for filter in ["info", "off", "info,plugin=debug", "portcullis_gateway=debug"] {
            assert_eq!(with_engines(filter), filter);
        }
    }

    /// The last directive counts, so a user's own directive overrides the built-in one.
    #[test]
    fn a_later_directive_of_a_target_counts() {
        let filter = tracing_subscriber::EnvFilter::new(with_engines("debug,wasmtime=trace"));
        let text = filter.to_string();
        assert!(text.contains("wasmtime=trace") && !text.contains("wasmtime=warn"), "{text}");
    }
}
