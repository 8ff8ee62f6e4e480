//! All that the kit knows to examine, as one list.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use portcullis::core::{AbiVersion, AnyEngine};

use crate::answers::{self, Denied};
use crate::callbacks::{self, Callback};
use crate::case::Case;
use crate::cases::TOPICS;
use crate::decisions::{self, Decision, decisions};
use crate::expectation::{GAPS, Gap};
use crate::host_under_test::HostUnderTest;
use crate::hostile::{self, Derived};
use crate::hosts::Probes;
use crate::patience::Patience;
use crate::report::{Differences, Report, Result, Verdict};
use crate::suite::{self, Check, Outcome};

/// One thing that a host must do.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is about.
    pub topic: &'static str,
    /// Its name, a sentence.
    pub name: String,
    /// Where the rule stands; see [`Case::spec`].
    pub spec: &'static str,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Case(&'static Case),
    Check(Box<Check>),
    Denied(Denied),
    Callback(Callback),
    Derived(Derived),
    Decision(Decision),
}

/// Everything: cases with a guest of their own, which run on engines, and checks of the probe, which run on any
/// host.
pub fn entries() -> impl Iterator<Item = Entry> {
    let cases = TOPICS.iter().flat_map(|topic| {
        let entry = |case: &'static Case| Entry {
            topic: topic.name,
            name: case.name.to_owned(),
            spec: case.spec,
            kind: Kind::Case(case),
        };
        topic.cases.iter().map(entry)
    });
    let denied = answers::denied().map(|denied| Entry {
        topic: "denied",
        name: match denied.answer {
            Some(answer) => format!("{}_answers_{answer}", denied.hostcall),
            None => format!("{}_has_no_effect", denied.hostcall),
        },
        spec: "host#capability_restriction_config",
        kind: Kind::Denied(denied),
    });
    let callbacks = callbacks::callbacks().map(|callback| Entry {
        topic: "denied",
        name: match callback.abi {
            AbiVersion::V0_1_0 => format!("{}_of_0_1_0_is_not_called", callback.id.decl().export),
            _ => format!("{}_is_not_called", callback.id.decl().export),
        },
        spec: "host#capability_restriction_config",
        kind: Kind::Callback(callback),
    });
    let derived = hostile::derived().map(|derived| Entry {
        topic: derived.topic,
        name: derived.name.clone(),
        spec: "portcullis#a guest is an attacker",
        kind: Kind::Derived(derived),
    });
    let decisions = decisions().map(|decision| Entry {
        topic: "decisions",
        name: decision.name(),
        spec: "v0.2.1#proxy_continue_stream",
        kind: Kind::Decision(decision),
    });
    let checks = suite::checks().map(|check| Entry {
        topic: check.topic,
        name: check.name.clone(),
        spec: check.spec,
        kind: Kind::Check(Box::new(check)),
    });
    cases.chain(derived).chain(denied).chain(callbacks).chain(checks).chain(decisions)
}

impl Entry {
    /// Its full name: `topic::name`.
    pub fn path(&self) -> String {
        format!("{}::{}", self.topic, self.name)
    }

    /// What a host must do, in words.
    pub fn must(&self) -> String {
        self.name.replace('_', " ")
    }

    /// The guest, in WebAssembly's text format; of a check, the script. Nothing for what is derived and has many.
    pub fn guest(&self) -> String {
        match &self.kind {
            Kind::Case(case) => case.wat(),
            Kind::Check(check) => check.task.script.clone(),
            Kind::Denied(denied) => denied.wat(),
            Kind::Callback(callback) => callback.wat(),
            Kind::Derived(_) | Kind::Decision(_) => String::new(),
        }
    }

    /// Whether an engine alone can run it: what a pause holds back is the affair of whoever feeds a VM.
    pub fn is_for_engines(&self) -> bool {
        !matches!(self.kind, Kind::Decision(_))
    }

    /// Why it is known to fail on an engine, if it is.
    pub fn gap(&self, engine: &str) -> Option<&'static Gap> {
        GAPS.iter().find(|gap| gap.engine == engine && self.path() == gap.case)
    }

    /// Runs it on an engine.
    ///
    /// # Errors
    /// What the engine did instead; or that it did what it is known not to.
    pub fn run(&self, engine: &dyn AnyEngine, probes: &Probes<'_>) -> std::result::Result<(), String> {
        let run = || match &self.kind {
            Kind::Case(case) => {
                (case.run)(case, engine);
                Ok(())
            }
            Kind::Check(check) => check.run_on(probes),
            Kind::Denied(denied) => {
                denied.run(engine);
                Ok(())
            }
            Kind::Callback(callback) => {
                callback.run(engine);
                Ok(())
            }
            Kind::Derived(derived) => {
                derived.run(engine);
                Ok(())
            }
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

    /// The behaviour that a host must show.
    fn expected(&self) -> &str {
        match &self.kind {
            Kind::Check(check) => &check.expected,
            _ => decisions::EXPECTED,
        }
    }

    /// The message when something else was observed.
    fn complaint(&self, observed: &str) -> String {
        match &self.kind {
            Kind::Check(check) => check.complaint(observed),
            Kind::Decision(decision) => decision.complaint(observed),
            _ => observed.to_owned(),
        }
    }

    fn result(&self, verdict: Verdict) -> Result {
        Result { topic: self.topic.to_owned(), name: self.name.clone(), spec: self.spec.to_owned(), verdict }
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

/// Examines an engine: every entry whose full name contains `filter`.
pub fn examine_engine(engine: &dyn AnyEngine, filter: &str) -> Report {
    let probes = Probes::new(engine);
    let one = |entry: Entry| {
        let verdict = match (entry.run(engine, &probes), entry.gap(engine.name())) {
            (Ok(()), None) => Verdict::Passed,
            (Ok(()), Some(gap)) => Verdict::Gap { why: gap.reason.to_owned() },
            (Err(what), _) => Verdict::Failed { what },
        };
        entry.result(verdict)
    };
    let wanted = |entry: &Entry| entry.is_for_engines() && entry.path().contains(filter);
    let results = entries().filter(wanted).map(one).collect();
    Report { host: engine.name().to_owned(), version: engine.version().to_owned(), results }
}

/// Examines a host: every check of the probe whose full name contains `filter`. What is known to differ is in
/// `differences`; it fails if it differs no more.
pub fn examine_host(host: &mut dyn HostUnderTest, version: &str, filter: &str, differences: &Differences) -> Report {
    let (mut results, mut patience) = (Vec::new(), Patience::default());
    for (number, entry) in entries().enumerate() {
        let path = entry.path();
        if !path.contains(filter) {
            continue;
        }
        let outcome = match &entry.kind {
            Kind::Check(check) => check.run_with(host, number, &mut patience),
            Kind::Decision(decision) => decision.run(host),
            _ => continue,
        };
        let verdict = match (outcome, differences.of(&path)) {
            (Outcome::Passed, None) => Verdict::Passed,
            (Outcome::NotExamined(why), _) => Verdict::NotExamined { why: why.to_owned() },
            (outcome, Some(known)) if known.is_seen_in(&outcome) => {
                let (expected, why) = (entry.expected().to_owned(), known.why.to_owned());
                Verdict::Differs { expected, observed: known.observed.to_owned(), why }
            }
            (Outcome::Differs(observed), None) => Verdict::Failed { what: entry.complaint(&observed) },
            (outcome, Some(known)) => {
                let now = match outcome {
                    Outcome::Differs(observed) => observed,
                    _ => "what must be".to_owned(),
                };
                let what = format!("is known to differ, with {}; it is {now} now", known.observed);
                Verdict::Failed { what }
            }
        };
        results.push(entry.result(verdict));
    }
    Report { host: host.name().to_owned(), version: version.to_owned(), results }
}
