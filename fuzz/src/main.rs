//! Every fuzz target in one binary, which libFuzzer drives. The environment variable `PORTCULLIS_FUZZ_TARGET` chooses one;
//! `list` prints their names.
#![no_main]

mod dwarf;
mod meter;
mod smith;
mod snapshot;

use std::sync::OnceLock;

type Target = fn(&[u8]);

const TARGETS: &[(&str, Target)] = &[
    ("bytecode", portcullis_core::fuzzing::bytecode),
    ("code_sections", portcullis::fuzzing::code_sections),
    ("configuration", portcullis_gateway::fuzzing::configuration),
    ("convert", portcullis_gateway::fuzzing::convert),
    ("dwarf", dwarf::dwarf),
    ("foreign", portcullis::fuzzing::foreign),
    ("frames", portcullis_driver::fuzzing::frames),
    ("hostcalls", portcullis::fuzzing::hostcalls),
    ("messages", portcullis_core::fuzzing::messages),
    ("meter", meter::meter),
    ("names", portcullis_core::fuzzing::names),
    ("properties", portcullis_core::fuzzing::properties),
    ("snapshot", snapshot::snapshot),
    ("transcript", portcullis::fuzzing::transcript),
];

static CHOSEN: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        CHOSEN.get_or_init(chosen);
    },
    |data: &[u8]| CHOSEN.get_or_init(chosen)(data)
);

fn chosen() -> Target {
    let name = std::env::var("PORTCULLIS_FUZZ_TARGET").unwrap_or_default();
    if let Some((_, target)) = TARGETS.iter().find(|(known, _)| *known == name) {
        return *target;
    }
    for (name, _) in TARGETS {
        println!("{name}");
    }
    std::process::exit(if name == "list" { 0 } else { 2 });
}
