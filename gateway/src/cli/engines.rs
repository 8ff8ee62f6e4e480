//! `engines`: the engines of this binary, and what each can enforce.

use std::fmt::Write;

use portcullis::engine;

/// Returns the table.
pub(super) fn text() -> String {
    let mut text = String::new();
    let engines = engine::all();
    let _ = write!(text, "{:<16}", "");
    for (index, engine) in engines.iter().enumerate() {
        let _ = write!(text, "{:<20}", format!("{}{}", engine.name, if index == 0 { " (default)" } else { "" }));
    }
    text.push('\n');
    let _ = write!(text, "{:<16}", "version");
    for engine in engines {
        let _ = write!(text, "{:<20}", engine.version);
    }
    text.push('\n');
    let features: Vec<_> = engines.iter().map(|engine| engine.features.list()).collect();
    for (row, (name, _)) in features.first().into_iter().flatten().enumerate() {
        let _ = write!(text, "{name:<16}");
        for list in &features {
            let has = list.get(row).is_some_and(|(_, has)| *has);
            let _ = write!(text, "{:<20}", if has { "yes" } else { "no" });
        }
        text.push('\n');
    }
    for name in engine::missing() {
        let _ = writeln!(text, "\n{name}: not in this binary; build it with `--features {name}`");
    }
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
