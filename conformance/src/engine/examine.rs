//! Examining an engine, in memory.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use portcullis::engine::AnyEngine;

use crate::catalogue::{Entry, Kind, entries};
use crate::check::{Check, Outcome, Sees};
use crate::engine::expectation::{GAPS, Gap};
use crate::engine::host::{EngineHost, Probes};
use crate::kit;
use crate::report::{Report, Verdict};

/// Examines an engine: every entry whose full name contains `filter`.
pub fn examine_engine(engine: &dyn AnyEngine, filter: &str) -> Report {
    let probes = Probes::new(engine);
    let one = |entry: Entry| {
        let verdict = match (entry.run(engine, &probes), entry.gap(engine.name())) {
            (Ok(()), None) => Verdict::Passed,
            (Ok(()), Some(gap)) => Verdict::Gap { why: gap.reason.to_owned() },
            (Err(what), _) => Verdict::failed(what),
        };
        entry.result(verdict)
    };
    let wanted = |entry: &Entry| entry.is_for_engines() && entry.path().contains(filter);
    let results = entries().filter(wanted).map(one).collect();
    Report { host: engine.name().to_owned(), version: engine.version().to_owned(), results }
}

/// Running an entry on an engine.
impl Entry {
    /// Returns the known gap of an engine, if there is one.
    pub fn gap(&self, engine: &str) -> Option<&'static Gap> {
        GAPS.iter().find(|gap| gap.engine == engine && self.path() == gap.case)
    }

    /// Runs it on an engine.
    ///
    /// # Errors
    /// The engine does something else, or passes a known gap.
    pub fn run(&self, engine: &dyn AnyEngine, probes: &Probes<'_>) -> Result<(), String> {
        let run = || match &self.kind {
            Kind::OwnGuest(guest) => {
                guest.run(engine);
                Ok(())
            }
            Kind::Check(check) => check_engine(check, probes),
            Kind::Decision(_) => Err("not examined: it is for hosts".to_owned()),
        };
        let gap = self.gap(engine.name());
        let result = quietly(gap.is_some(), || catch_unwind(AssertUnwindSafe(run))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
        });
        match (result, gap) {
            (Ok(()), Some(gap)) => Err(format!("passes, but is a known gap ({}): take it out of GAPS", gap.reason)),
            (Err(_), Some(_)) => Ok(()),
            (result, None) => result,
        }
    }
}

/// Runs a check on an engine, in a VM of its own.
fn check_engine(check: &Check, probes: &Probes<'_>) -> Result<(), String> {
    let result = match check.sees {
        Sees::Property { .. } => probes.observe_once(&check.task),
        _ => kit::observe(&mut EngineHost::new(probes), &check.task, 0, probes.starts()),
    };
    match check.judge(result) {
        Outcome::Passed => Ok(()),
        Outcome::Differs(observed) => Err(check.complaint(&observed)),
        Outcome::NotExamined(why) => Err(format!("not examined: {why}")),
    }
}

/// Runs something, without a word of this thread's panics if these are expected.
fn quietly<R>(expected: bool, run: impl FnOnce() -> R) -> R {
    thread_local! {
        static EXPECTED: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if !EXPECTED.get() {
                others(panic);
            }
        }));
    });
    EXPECTED.set(expected);
    let result = run();
    EXPECTED.set(false);
    result
}
