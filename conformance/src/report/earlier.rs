//! Results of an earlier run, for the entries that a run of a share leaves out.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::check::Outcome;

/// Results of one host in an earlier run, read from what [`results`](super::results()) wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier(HashMap<String, Outcome>);

/// The lines of [`results`](super::results()). Entries that failed, and gaps, which no host over HTTP has, count as not there.
#[derive(Deserialize)]
struct Results {
    cases: BTreeMap<String, Case>,
}

/// The hosts by what came of a case.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Case {
    passed: Vec<String>,
    not_examined: Vec<String>,
    observed: Vec<Observed>,
}

/// The behaviour of a host that is known to differ.
#[derive(Deserialize)]
struct Observed {
    host: String,
    observed: String,
}

impl Earlier {
    /// Reads the results of a host.
    ///
    /// # Errors
    /// The text has no results, or none of that host.
    pub fn read(json: &str, host: &str) -> Result<Self, String> {
        let read: Results = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let of_host = |(path, case): (String, Case)| Some((path, case.outcome(host)?));
        let outcomes: HashMap<_, _> = read.cases.into_iter().filter_map(of_host).collect();
        match outcomes.is_empty() {
            true => Err(format!("there is no result of a host {host:?}; --name is to be a name in its list of hosts")),
            false => Ok(Self(outcomes)),
        }
    }

    /// Returns what came of an entry, if it was judged.
    pub(crate) fn of(&self, path: &str) -> Option<Outcome> {
        self.0.get(path).cloned()
    }
}

impl Case {
    fn outcome(self, host: &str) -> Option<Outcome> {
        if self.passed.iter().any(|name| name == host) {
            return Some(Outcome::Passed);
        }
        if self.not_examined.iter().any(|name| name == host) {
            return Some(Outcome::NotExamined("an earlier run did not examine it either"));
        }
        let differs = self.observed.into_iter().find(|observed| observed.host == host)?;
        Some(Outcome::Differs(differs.observed))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::report::{Report, Result, Verdict, results};

    #[test]
    fn results_are_read_as_they_are_written() {
        let result = |(name, verdict): (&str, Verdict)| Result {
            topic: "t".to_owned(),
            name: name.to_owned(),
            spec: "wasi#x".to_owned(),
            verdict,
            is_earlier: false,
        };
        let differs = Verdict::Differs { expected: "1".to_owned(), observed: "2".to_owned(), why: "so".to_owned() };
        let unseen = Verdict::NotExamined { why: "no".to_owned() };
        let own = [("a", Verdict::Passed), ("b", differs), ("c", unseen), ("d", Verdict::failed("x".to_owned()))];
        let others = ["a", "b", "c", "d", "e"].map(|name| (name, Verdict::Passed));
        let json = results(&[
            Report { host: "h".to_owned(), version: "1".to_owned(), results: own.map(result).into() },
            Report { host: "h 1".to_owned(), version: String::new(), results: others.map(result).into() },
        ]);
        let read = Earlier::read(&json, "h").unwrap();
        assert_eq!(read.of("t::a"), Some(Outcome::Passed));
        assert_eq!(read.of("t::b"), Some(Outcome::Differs("2".to_owned())));
        assert!(matches!(read.of("t::c"), Some(Outcome::NotExamined(_))));
        assert_eq!([read.of("t::d"), read.of("t::e")], [None, None]);
        assert!(Earlier::read(&json, "g").unwrap_err().contains("\"g\""));
        assert!(Earlier::read("{}", "h").is_err());
    }
}
