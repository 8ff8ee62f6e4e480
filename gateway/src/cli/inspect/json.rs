//! The report for programs.

use serde_json::{Value, json};

use super::report::{Accepted, Report};

/// Returns the report with every key for every file; unknown values are null, or an empty list.
pub(super) fn of(report: &Report) -> Value {
    let Report { file, size, anatomy, verdict, refused_imports } = report;
    let accepted = verdict.as_ref().ok();
    let names = |ids: fn(&Accepted) -> Vec<&'static str>| accepted.map(ids).unwrap_or_default();
    let producers =
        anatomy.producers.iter().map(|tool| json!({ "field": tool.field, "name": tool.name, "version": tool.version }));
    json!({
        "file": file,
        "size": size,
        "refused": verdict.as_ref().err().map(ToString::to_string),
        "abi": accepted.map(|accepted| accepted.abi.to_string()),
        "allocator": accepted.map(|accepted| accepted.allocator),
        "start": { "section": anatomy.start_section, "functions": names(|accepted| accepted.start.clone()) },
        "memory": anatomy.memory.map(|memory| json!({
            "min": memory.min,
            "max": memory.max,
            "export": accepted.map(|accepted| &accepted.memory),
        })),
        "toolchain": { "producers": producers.collect::<Vec<_>>(), "function_names": anatomy.names },
        "callbacks": names(Accepted::callbacks),
        "hostcalls": names(|accepted| Accepted::names(&accepted.needs.hostcalls, false)),
        "wasi": names(|accepted| Accepted::names(&accepted.needs.hostcalls, true)),
        "unreachable_imports": names(|accepted| {
            accepted.needs.unreachable.iter().map(|id| id.decl().name).collect()
        }),
        "refused_imports": refused_imports.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "capabilities": names(|accepted| accepted.needs.capabilities().held().collect()),
    })
}
