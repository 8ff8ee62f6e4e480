//! The only list of what is known not to work.

/// A case that an engine is known to fail. When it passes, the suite fails until the row is gone.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// The engine's name.
    pub engine: &'static str,
    /// The case, as `topic::name`.
    pub case: &'static str,
    /// Why it fails, and what would have to change.
    pub reason: &'static str,
}

/// The known gaps.
pub const GAPS: &[Gap] = &[
    Gap { engine: "wasmi", case: "traps::the_message_names_the_functions", reason: NO_BACKTRACE },
    Gap { engine: "wasmi", case: "traps::a_deadline_names_the_functions", reason: NO_BACKTRACE },
    Gap { engine: "wasmi", case: "traps::endless_recursion_names_the_functions", reason: NO_BACKTRACE },
    Gap { engine: "wasmer", case: "traps::endless_recursion_names_the_functions", reason: NO_BACKTRACE_OF_STACK },
    Gap {
        engine: "wasmer-singlepass",
        case: "traps::endless_recursion_names_the_functions",
        reason: NO_BACKTRACE_OF_STACK,
    },
    Gap { engine: "wasmi", case: "traps::names_of_rust_functions_are_readable", reason: NO_BACKTRACE },
    Gap { engine: "wasmer-singlepass", case: "linking::simd_runs", reason: NO_SIMD },
    Gap { engine: "wasmer-singlepass", case: "assemblyscript::floating_point_crosses_both_ways", reason: NO_FLOATS },
];

const NO_SIMD: &str = "Singlepass compiles no vector instructions; its features say so (no simd)";

const NO_FLOATS: &str =
    "code of Singlepass reads floating-point results of hostcalls as 0; its features say so (no float results)";

const NO_BACKTRACE_OF_STACK: &str = "wasmer unwinds no stack that overflowed";

const NO_BACKTRACE: &str = "wasmi does not say which functions were running; its features say so (no backtrace)";
