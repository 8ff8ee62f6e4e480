//! Known differences of a host, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::Outcome;

/// Known differences of a host, with reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Differences(Vec<Group>);

/// Differences that have one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// Why the host does that, and why this kit expects something else.
    why: String,
    /// The observations, by the full names of the checks; [`VARIES`] if that is another thing in each run.
    cases: BTreeMap<String, String>,
}

/// Stands for what depends on chance, such as what a host's freed memory holds.
pub(super) const VARIES: &str = "varies";

/// One known difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// The observations.
    pub observed: &'a str,
    /// Why.
    pub why: &'a str,
}

/// The lists that the kit brings along, by the names of their hosts.
const OWN: &[(&str, &str)] = &[
    ("envoy", include_str!("../../differences/envoy.json")),
    ("portcullis", include_str!("../../differences/portcullis.json")),
];

impl Differences {
    /// Returns the text of the list that the kit brings along for a host: `envoy` or `portcullis`.
    pub fn own(host: &str) -> Option<&'static str> {
        OWN.iter().find(|(name, _)| *name == host).map(|(_, json)| *json)
    }

    /// Reads a list of groups, each with `why` and `cases`.
    ///
    /// # Errors
    /// The text is no such list, a reason is empty, or a check is there twice or not at all.
    pub fn read(json: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let decisions = crate::decisions::decisions().map(|decision| decision.path());
        let known: std::collections::HashSet<_> =
            crate::suite::checks().map(|check| check.path()).chain(decisions).collect();
        let mut seen = std::collections::HashSet::new();
        for group in &read.0 {
            if group.why.trim().is_empty() {
                return Err(format!("why? of {:?}", group.cases.keys().next()));
            }
            for case in group.cases.keys() {
                if !known.contains(case) {
                    return Err(format!("there is no check {case}"));
                }
                if !seen.insert(case) {
                    return Err(format!("{case} is there twice"));
                }
            }
        }
        Ok(read)
    }

    /// Returns the known difference of a check.
    pub fn of(&self, path: &str) -> Option<Known<'_>> {
        self.0.iter().find_map(|group| {
            let observed = group.cases.get(path)?;
            Some(Known { observed, why: &group.why })
        })
    }
}

impl Known<'_> {
    /// Returns whether an outcome is no news.
    pub fn is_seen_in(&self, outcome: &Outcome) -> bool {
        self.observed == VARIES || matches!(outcome, Outcome::Differs(observed) if observed == self.observed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_the_kit_are_right() {
        for (host, json) in OWN {
            assert!(Differences::read(json).is_ok_and(|read| !read.0.is_empty()), "{host}");
        }
        assert_eq!(Differences::own("nginx"), None);
    }

    #[test]
    fn a_list_of_differences_is_checked() {
        let of = |why: &str, case: &str| format!(r#"[{{"why": {why:?}, "cases": {{{case:?}: "1"}}}}]"#);
        let name = crate::suite::checks().next().map(|check| check.path()).unwrap_or_default();
        let read = Differences::read(&of("because", &name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read.of(&name), Some(Known { observed: "1", why: "because" }));
        assert!(Differences::read(&of("", &name)).is_err());
        assert!(Differences::read(&of("because", "answers::nope")).is_err());
        assert!(Differences::read("{}").is_err());
    }
}
