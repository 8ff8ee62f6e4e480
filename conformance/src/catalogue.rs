//! All that the kit knows to examine, as one list.

use crate::check::Check;
use crate::decisions::{Decision, decisions};
#[cfg(feature = "engines")]
use crate::engine::{OwnGuest, own_guests};
use crate::report::{Result, Verdict};
use crate::suite;

/// One thing that a host must do.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its topic.
    pub topic: &'static str,
    /// Its name, a sentence.
    pub name: String,
    /// Where the rule stands: an ABI version and a heading of its specification, `wasi` and a function, `host` and what the
    /// reference host does, or `portcullis` and our own decision.
    pub spec: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    #[cfg(feature = "engines")]
    OwnGuest(OwnGuest),
    Check(Box<Check>),
    Decision(Decision),
}

/// Returns all entries: cases with a guest of their own, which run on engines (with the feature `engines`), and checks of the probe,
/// which run on any host.
pub fn entries() -> impl Iterator<Item = Entry> {
    #[cfg(not(feature = "engines"))]
    let guests = std::iter::empty();
    #[cfg(feature = "engines")]
    let guests = own_guests().map(|guest| Entry {
        topic: guest.topic(),
        name: guest.name(),
        spec: guest.spec(),
        kind: Kind::OwnGuest(guest),
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
    guests.chain(checks).chain(decisions)
}

impl Entry {
    /// Returns its full name: `topic::name`.
    pub fn path(&self) -> String {
        format!("{}::{}", self.topic, self.name)
    }

    /// Returns the duty of a host, in words.
    pub fn must(&self) -> String {
        self.name.replace('_', " ")
    }

    /// Returns the guest, in WebAssembly's text format; of a check, the script. Nothing for what is derived and has many.
    pub fn guest(&self) -> String {
        match &self.kind {
            #[cfg(feature = "engines")]
            Kind::OwnGuest(guest) => guest.guest(),
            Kind::Check(check) => check.task.script.clone(),
            Kind::Decision(_) => String::new(),
        }
    }

    /// Returns whether an engine alone can run it: what a pause holds back is the affair of whoever feeds a VM.
    pub fn is_for_engines(&self) -> bool {
        !matches!(self.kind, Kind::Decision(_))
    }

    pub(crate) fn result(&self, verdict: Verdict) -> Result {
        let (topic, name, spec) = (self.topic.to_owned(), self.name.clone(), self.spec.to_owned());
        Result { topic, name, spec, verdict, is_earlier: false }
    }
}
