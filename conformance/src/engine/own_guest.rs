//! Cases with a guest of their own, which run on engines.

use portcullis::abi::AbiVersion;
use portcullis::engine::AnyEngine;

use crate::engine::callbacks::{self, Callback};
use crate::engine::case::Case;
use crate::engine::cases::TOPICS;
use crate::engine::denied::{Denied, denied};
use crate::engine::hostile::{self, Derived};

/// A case that brings its guest along, or guests.
#[derive(Clone, Debug)]
pub(crate) enum OwnGuest {
    /// Of a topic.
    Case(&'static str, &'static Case),
    /// Of what is derived from the tables.
    Derived(Derived),
    /// Of a hostcall that is denied.
    Denied(Denied),
    /// Of a callback that is denied.
    Callback(Callback),
}

/// Returns every case with a guest of its own, in the order in which reports show them.
pub(crate) fn own_guests() -> impl Iterator<Item = OwnGuest> {
    let cases = TOPICS.iter().flat_map(|topic| topic.cases.iter().map(|case| OwnGuest::Case(topic.name, case)));
    let derived = hostile::derived().map(OwnGuest::Derived);
    let denied = denied().map(OwnGuest::Denied);
    let callbacks = callbacks::callbacks().map(OwnGuest::Callback);
    cases.chain(derived).chain(denied).chain(callbacks)
}

impl OwnGuest {
    /// Returns what it is about.
    pub(crate) fn topic(&self) -> &'static str {
        match self {
            Self::Case(topic, _) => topic,
            Self::Derived(derived) => derived.topic,
            Self::Denied(_) | Self::Callback(_) => "denied",
        }
    }

    /// Returns its name, a sentence.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Case(_, case) => case.name.to_owned(),
            Self::Derived(derived) => derived.name.clone(),
            Self::Denied(Denied { hostcall, answer: Some(answer) }) => format!("{hostcall}_answers_{answer}"),
            Self::Denied(Denied { hostcall, answer: None }) => format!("{hostcall}_has_no_effect"),
            Self::Callback(Callback { id, abi: AbiVersion::V0_1_0 }) => {
                format!("{}_of_0_1_0_is_not_called", id.decl().export)
            }
            Self::Callback(Callback { id, .. }) => format!("{}_is_not_called", id.decl().export),
        }
    }

    /// Returns where the rule stands; see [`Case::spec`].
    pub(crate) fn spec(&self) -> &'static str {
        match self {
            Self::Case(_, case) => case.spec,
            Self::Derived(_) => "portcullis#a guest is an attacker",
            Self::Denied(_) | Self::Callback(_) => "host#capability_restriction_config",
        }
    }

    /// Returns the guest in WebAssembly's text format; nothing for what is derived and has many.
    pub(crate) fn guest(&self) -> String {
        match self {
            Self::Case(_, case) => case.wat(),
            Self::Derived(_) => String::new(),
            Self::Denied(denied) => denied.wat(),
            Self::Callback(callback) => callback.wat(),
        }
    }

    /// Runs it on an engine, and panics if the guest sees something else.
    pub(crate) fn run(&self, engine: &dyn AnyEngine) {
        match self {
            Self::Case(_, case) => (case.run)(case, engine),
            Self::Derived(derived) => derived.run(engine),
            Self::Denied(denied) => denied.run(engine),
            Self::Callback(callback) => callback.run(engine),
        }
    }
}
