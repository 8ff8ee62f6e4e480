//! Runs every case on every engine that is built in, as `engine::topic::case`.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use portcullis::core::{AnyEngine, EngineSettings, HOSTCALLS, HostcallId};
use portcullis_conformance::answers::{self, LISTED};
use portcullis_conformance::attacks::PAGE;
use portcullis_conformance::hostile;
use portcullis_conformance::{Case, GAPS, TOPICS};

type Check = fn() -> Result<(), String>;

/// What must hold of the suite itself.
const META: &[(&str, Check)] = &[
    ("names_are_unique_and_say_where_the_rule_stands", names_are_unique_and_say_where_the_rule_stands),
    ("a_case_calls_the_hostcalls_that_it_names", a_case_calls_the_hostcalls_that_it_names),
    ("every_hostcall_is_named_by_a_case", every_hostcall_is_named_by_a_case),
    ("gaps_name_cases_and_reasons", gaps_name_cases_and_reasons),
    ("the_page_of_attacks_explains_each", the_page_of_attacks_explains_each),
    ("every_answer_that_is_listed_is_driven_and_no_other", every_answer_that_is_listed_is_driven_and_no_other),
];

fn main() -> ExitCode {
    let mut trials: Vec<_> = META
        .iter()
        .map(|(name, check)| Trial::test(format!("meta::{name}"), || check().map_err(Failed::from)))
        .collect();
    for info in portcullis::engines() {
        match info.start(&EngineSettings::default()) {
            Ok(engine) => {
                // Trials outlive this function's borrows, and the process outlives the engine.
                let engine: &'static dyn AnyEngine = Box::leak(engine);
                trials.extend(cases().map(|(path, case)| trial(engine, path, case)));
                trials.extend(answer_trials(engine));
                trials.extend(hostile_trials(engine));
            }
            Err(error) => trials.push(Trial::test(format!("{}::starts", info.name), move || Err(error.into()))),
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn cases() -> impl Iterator<Item = (String, &'static Case)> {
    TOPICS.iter().flat_map(|topic| topic.cases.iter().map(|case| (format!("{}::{}", topic.name, case.name), case)))
}

fn trial(engine: &'static dyn AnyEngine, path: String, case: &'static Case) -> Trial {
    let gap = GAPS.iter().find(|gap| gap.engine == engine.name() && gap.case == path);
    Trial::test(format!("{}::{path}", engine.name()), move || {
        let Some(gap) = gap else {
            (case.run)(case, engine);
            return Ok(());
        };
        match catch_unwind(AssertUnwindSafe(|| (case.run)(case, engine))) {
            Ok(()) => Err(format!("passes, but is a known gap ({}): take it out of GAPS", gap.reason).into()),
            Err(_) => Ok(()),
        }
    })
}

fn answer_trials(engine: &'static dyn AnyEngine) -> impl Iterator<Item = Trial> {
    let rows = answers::rows().map(move |row| {
        Trial::test(format!("{}::answers::{}", engine.name(), row.name()), move || {
            row.run(engine);
            Ok(())
        })
    });
    let denied = answers::denied().map(move |denied| {
        let answers::Denied { hostcall, answer } = denied;
        let name = format!("{}::answers::{hostcall}_answers_{answer}_when_it_is_denied", engine.name());
        Trial::test(name, move || {
            denied.run(engine);
            Ok(())
        })
    });
    rows.chain(denied)
}

fn hostile_trials(engine: &'static dyn AnyEngine) -> impl Iterator<Item = Trial> {
    hostile::derived().map(move |derived| {
        Trial::test(format!("{}::{}", engine.name(), derived.name), move || {
            (derived.run)(engine);
            Ok(())
        })
    })
}

fn names_are_unique_and_say_where_the_rule_stands() -> Result<(), String> {
    const SOURCES: [&str; 6] = ["v0.1.0", "v0.2.0", "v0.2.1", "wasi", "host", "portcullis"];
    let mut seen = HashSet::new();
    for (path, case) in cases() {
        let source = case.spec.split_once('#').filter(|(source, rule)| SOURCES.contains(source) && !rule.is_empty());
        if source.is_none() {
            return Err(format!("{path}: its spec {:?} is not SOURCE#RULE, with one of {SOURCES:?}", case.spec));
        }
        if !seen.insert(path.clone()) {
            return Err(format!("{path} is there twice"));
        }
    }
    Ok(())
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
        Some(decl) => Err(format!("no case names {}", decl.name)),
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
        return Err(format!("{} is not listed", decl.name));
    }
    let mut names = HashSet::new();
    if let Some(row) = answers::rows().find(|row| !names.insert(row.name())) {
        return Err(format!("{} is there twice", row.name()));
    }
    let rows = answers::rows().map(|row| (row.hostcall(), row.answer));
    let driven: HashSet<_> = rows.chain(answers::denied().map(|denied| (denied.hostcall, denied.answer))).collect();
    let listed: HashSet<_> =
        LISTED.iter().flat_map(|(id, answers)| answers.iter().map(|answer| (*id, *answer))).collect();
    if let Some((id, answer)) = listed.difference(&driven).next() {
        return Err(format!("no row drives {id} to its answer {answer}"));
    }
    match driven.difference(&listed).next() {
        Some((id, answer)) => Err(format!("a row drives {id} to {answer}, which is not listed")),
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
