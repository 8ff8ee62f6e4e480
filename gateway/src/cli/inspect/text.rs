//! The report for people.

use std::fmt::Write;

use portcullis::abi::HostcallId;
use portcullis::module::{MemoryShape, ModuleInfo};

use super::report::{Accepted, Report};

pub(super) fn of(report: &Report) -> String {
    let Report { file, size, anatomy, verdict, refused_imports } = report;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match verdict {
        Ok(accepted) => writeln!(out, "{file}: a plugin for ABI {}", accepted.abi),
        Err(error) => writeln!(out, "{file}: refused: {error}"),
    };
    row(&mut out, "size", &bytes(*size as u64));
    if let Ok(accepted) = verdict {
        row(&mut out, "allocator", accepted.allocator);
        row(&mut out, "start", &start(accepted, anatomy));
    }
    if let Some(memory) = anatomy.memory {
        row(&mut out, "memory", &memory_text(memory, verdict.as_ref().ok().map(|accepted| &*accepted.memory)));
    }
    // Of what is no module at all, nothing is known.
    if verdict.is_ok() || *anatomy != ModuleInfo::default() {
        row(&mut out, "toolchain", &toolchain(anatomy));
    }
    if let Ok(accepted) = verdict {
        let needs = &accepted.needs;
        list(&mut out, "CALLBACKS that it exports", &accepted.callbacks());
        list(&mut out, "HOSTCALLS that it can reach", &Accepted::names(&needs.hostcalls, false));
        list(&mut out, "WASI functions that it can reach", &Accepted::names(&needs.hostcalls, true));
        list(&mut out, "IMPORTED, but out of its reach", &names_of(&needs.unreachable));
    }
    list(&mut out, "IMPORTS that keep it from running", refused_imports);
    if verdict.is_ok() {
        out.push_str("\nIt needs the first three as capabilities: `portcullis inspect --yaml` prints them.\n");
    }
    out
}

fn names_of(ids: &[HostcallId]) -> Vec<&'static str> {
    ids.iter().map(|id| id.decl().name).collect()
}

fn row(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "{key:<11} {value}");
}

fn list(out: &mut String, title: &str, names: &[impl std::fmt::Display]) {
    if names.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title} ({})", names.len());
    for name in names {
        let _ = writeln!(out, "  {name}");
    }
}

fn start(accepted: &Accepted, anatomy: &ModuleInfo) -> String {
    let section = anatomy.start_section.then_some("its start section");
    let steps: Vec<_> = section.into_iter().chain(accepted.start.iter().copied()).collect();
    if steps.is_empty() { "nothing to call".to_owned() } else { steps.join(", then ") }
}

fn memory_text(memory: MemoryShape, export: Option<&str>) -> String {
    let max = memory.max.map_or_else(|| "without a maximum of its own".to_owned(), |max| format!("to {}", bytes(max)));
    let export = export.map(|name| format!(", exported as {}", shortened(name))).unwrap_or_default();
    format!("{} {max}{export}", bytes(memory.min))
}

/// Shortens a name that the module chose.
fn shortened(name: &str) -> String {
    const SHOWN: usize = 64;
    let start: String = name.chars().take(SHOWN).collect();
    if start.len() < name.len() { format!("{start:?}...") } else { format!("{start:?}") }
}

fn toolchain(anatomy: &ModuleInfo) -> String {
    let names = if anatomy.names { "with function names" } else { "without function names" };
    let tools = anatomy.producers.iter().map(|tool| format!("{} {}", tool.name, tool.version).trim().to_owned());
    let mut tools: Vec<_> = tools.collect();
    if tools.is_empty() {
        tools.push("not said".to_owned());
    }
    format!("{}; {names}", tools.join(", "))
}

/// Formats a size for people, exact where it is small.
fn bytes(size: u64) -> String {
    match size {
        0..1024 => format!("{size} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", size as f64 / 1024.0),
        _ => format!("{:.1} MiB", size as f64 / 1_048_576.0),
    }
}
