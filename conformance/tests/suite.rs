//! Runs every case on every engine that is built in, as `engine::topic::case`, and rules for the suite itself, as `meta::rule`. With
//! `PORTCULLIS_SUITE=meta` in the environment there are the rules alone: CI has the command of the kit run the cases.

use std::collections::HashSet;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use portcullis::abi::{CALLBACKS, CallbackId, HOSTCALLS, HostcallId};
use portcullis::engine::{AnyEngine, EngineSettings};
use portcullis::rights::Capabilities;
use portcullis_conformance::answers::{self, LISTED};
use portcullis_conformance::engine::attacks::PAGE;
use portcullis_conformance::engine::hostile::THREATS;
use portcullis_conformance::engine::{Case, GAPS, Probes, TOPICS, callbacks, denied};
use portcullis_conformance::{Entry, entries};

type Check = fn() -> Result<(), String>;

/// Rules for the suite itself.
const META: &[(&str, Check)] = &[
    ("names_are_unique_and_say_where_the_rule_stands", names_are_unique_and_say_where_the_rule_stands),
    ("a_case_calls_the_hostcalls_that_it_names", a_case_calls_the_hostcalls_that_it_names),
    ("every_hostcall_is_named_by_a_case", every_hostcall_is_named_by_a_case),
    ("every_callback_is_named_by_a_case_or_never_called", every_callback_is_named_by_a_case_or_never_called),
    ("every_capability_is_denied_by_a_case", every_capability_is_denied_by_a_case),
    ("every_threat_is_met_by_cases_that_exist", every_threat_is_met_by_cases_that_exist),
    ("no_case_is_of_one_engine", no_case_is_of_one_engine),
    ("gaps_name_cases_and_reasons", gaps_name_cases_and_reasons),
    ("the_page_of_attacks_explains_each", the_page_of_attacks_explains_each),
    ("every_answer_that_is_listed_is_driven_and_no_other", every_answer_that_is_listed_is_driven_and_no_other),
];

fn main() -> ExitCode {
    let mut trials: Vec<_> = META
        .iter()
        .map(|(name, check)| Trial::test(format!("meta::{name}"), || check().map_err(Failed::from)))
        .collect();
    let has_cases = std::env::var_os("PORTCULLIS_SUITE").is_none_or(|part| part != "meta");
    for info in portcullis::engine::all().iter().filter(|_| has_cases) {
        match info.start(&EngineSettings::default()) {
            Ok(engine) => {
                // Trials outlive this function's borrows, and the process outlives the engine.
                let engine: &'static dyn AnyEngine = Box::leak(engine);
                let probes: &'static Probes<'static> = Box::leak(Box::new(Probes::new(engine)));
                trials.extend(entries().filter(Entry::is_for_engines).map(|entry| trial(engine, probes, entry)));
            }
            Err(error) => trials.push(Trial::test(format!("{}::starts", info.name), move || Err(error.into()))),
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(engine: &'static dyn AnyEngine, probes: &'static Probes<'static>, entry: Entry) -> Trial {
    Trial::test(format!("{}::{}", engine.name(), entry.path()), move || entry.run(engine, probes).map_err(Failed::from))
}

fn cases() -> impl Iterator<Item = (String, &'static Case)> {
    TOPICS.iter().flat_map(|topic| topic.cases.iter().map(|case| (format!("{}::{}", topic.name, case.name), case)))
}

fn names_are_unique_and_say_where_the_rule_stands() -> Result<(), String> {
    const SOURCES: [&str; 6] = ["v0.1.0", "v0.2.0", "v0.2.1", "wasi", "host", "portcullis"];
    let mut seen = HashSet::new();
    for entry in entries() {
        let (path, spec) = (entry.path(), entry.spec);
        let source = spec.split_once('#').filter(|(source, rule)| SOURCES.contains(source) && !rule.is_empty());
        if source.is_none() {
            return Err(format!("{path}: its spec {spec:?} is not SOURCE#RULE, with one of {SOURCES:?}"));
        }
        if !seen.insert(path.clone()) {
            return Err(format!("{path} is there twice"));
        }
    }
    if seen.len() < 4_900 { Err(format!("there are {} cases", seen.len())) } else { Ok(()) }
}

fn a_case_calls_the_hostcalls_that_it_names() -> Result<(), String> {
    for (path, case) in cases() {
        let calls: HashSet<&str> = case.guest.split(|c: char| c.is_whitespace() || c == '(' || c == ')').collect();
        for id in case.hostcalls {
            if !calls.contains(format!("${id}").as_str()) {
                return Err(format!("{path} names {id}, but its guest does not call ${id}"));
            }
        }
    }
    Ok(())
}

fn every_hostcall_is_named_by_a_case() -> Result<(), String> {
    let covered: HashSet<HostcallId> = cases().flat_map(|(_, case)| case.hostcalls.iter().copied()).collect();
    match HOSTCALLS.iter().find(|decl| !covered.contains(&decl.id)) {
        Some(decl) => Err(format!(
            "no case names {}; write one in conformance/src/engine/cases, with it among its hostcalls",
            decl.name
        )),
        None => Ok(()),
    }
}

fn every_callback_is_named_by_a_case_or_never_called() -> Result<(), String> {
    let named: HashSet<CallbackId> = callbacks::callbacks().map(|callback| callback.id).collect();
    let missing = CALLBACKS
        .iter()
        .map(|decl| decl.id)
        .find(|id| !id.is_start_function() && !named.contains(id) && !callbacks::NEVER_CALLED.contains(id));
    if let Some(id) = missing {
        return Err(format!("no case names {id}"));
    }
    // Start functions are no capabilities; cases export them by name.
    let guests: String = cases().map(|(_, case)| case.guest).collect();
    match CALLBACKS.iter().find(|decl| !guests.contains(&format!("\"{}\"", decl.export)) && decl.id.is_start_function())
    {
        Some(decl) => Err(format!("no case exports {}", decl.export)),
        None => Ok(()),
    }
}

fn every_capability_is_denied_by_a_case() -> Result<(), String> {
    let paths: Vec<_> = entries().filter(|entry| entry.topic == "denied").map(|entry| entry.name).collect();
    // What no set of rights lacks: plugins need it to start, or to say that they failed.
    let always: Vec<_> =
        HOSTCALLS.iter().filter(|decl| Capabilities::NONE.allows(decl.id)).map(|decl| decl.name).collect();
    let never = callbacks::NEVER_CALLED.iter().map(|id| id.decl().export).collect::<Vec<_>>();
    let missing = Capabilities::names().find(|name| {
        !always.contains(name)
            && !never.contains(name)
            && !paths.iter().any(|path| path.starts_with(&format!("{name}_")))
    });
    match missing {
        Some(name) => Err(format!(
            "no case denies {name}; a hostcall is denied once it is in LISTED, in conformance/src/answers/listed.rs"
        )),
        None => Ok(()),
    }
}

fn every_threat_is_met_by_cases_that_exist() -> Result<(), String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let paths: Vec<_> = entries().map(|entry| entry.path()).collect();
    let named: Vec<_> = THREATS.iter().flat_map(|(_, cases)| *cases).collect();
    let is_there = |name: &str| match name.contains('/') {
        true => std::path::Path::new(root).join(name).is_file(),
        false => paths.iter().any(|path| path.starts_with(name)),
    };
    if let Some(name) = named.iter().find(|name| !is_there(name)) {
        return Err(format!("there is no case {name}"));
    }
    let mut hostile = paths.iter().filter(|path| path.starts_with("hostile_"));
    match hostile.find(|path| !named.iter().any(|name| path.starts_with(**name))) {
        Some(path) => Err(format!("{path} meets no threat that is listed")),
        None => Ok(()),
    }
}

fn no_case_is_of_one_engine() -> Result<(), String> {
    let engines = portcullis::engine::all();
    match entries()
        .find(|entry| engines.iter().any(|info| entry.path().contains(info.name) || entry.guest().contains(info.name)))
    {
        Some(entry) => Err(format!("{} names an engine", entry.path())),
        None => Ok(()),
    }
}

fn the_page_of_attacks_explains_each() -> Result<(), String> {
    let attacks = TOPICS.iter().filter(|topic| topic.name.starts_with("attacks_")).flat_map(|topic| topic.cases);
    let rows: Vec<_> = PAGE.lines().filter(|line| line.starts_with("| `")).collect();
    let mut count = 0;
    for case in attacks {
        count += 1;
        if !rows.iter().any(|row| row.starts_with(&format!("| `{}` |", case.name))) {
            return Err(format!("{} is not explained", case.name));
        }
    }
    if rows.len() == count { Ok(()) } else { Err(format!("{} rows explain {count} attacks", rows.len())) }
}

fn every_answer_that_is_listed_is_driven_and_no_other() -> Result<(), String> {
    if let Some(decl) = HOSTCALLS.iter().find(|decl| !LISTED.iter().any(|(id, _)| *id == decl.id)) {
        return Err(format!("{} is not in LISTED; list its answers in conformance/src/answers/listed.rs", decl.name));
    }
    let mut names = HashSet::new();
    if let Some(row) = answers::rows().find(|row| !names.insert(row.name())) {
        return Err(format!("{} is there twice", row.name()));
    }
    let rows = answers::rows().map(|row| (row.hostcall(), row.answer));
    let driven: HashSet<_> =
        rows.chain(denied().filter_map(|denied| Some((denied.hostcall, denied.answer?)))).collect();
    let listed: HashSet<_> =
        LISTED.iter().flat_map(|(id, answers)| answers.iter().map(|answer| (*id, *answer))).collect();
    if let Some((id, answer)) = listed.difference(&driven).next() {
        return Err(format!("no row drives {id} to its answer {answer}; add one in conformance/src/answers"));
    }
    match driven.difference(&listed).next() {
        Some((id, answer)) => Err(format!(
            "a row drives {id} to {answer}, which LISTED lacks; mend the row, or conformance/src/answers/listed.rs"
        )),
        None => Ok(()),
    }
}

fn gaps_name_cases_and_reasons() -> Result<(), String> {
    for gap in GAPS {
        if !cases().any(|(path, _)| path == gap.case) {
            return Err(format!("{gap:?}: there is no such case"));
        }
        if gap.reason.is_empty() {
            return Err(format!("{gap:?}: why?"));
        }
    }
    Ok(())
}
