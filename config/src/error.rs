//! Findings about a configuration: place, message and remedy.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One finding: place, fault and remedy.
///
/// Displays as `gateway.yaml:12:7: listeners[0].plugins[0].vm_config: unknown key "cod"; did you mean "code"?`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// The configuration file, as it was named by the caller.
    pub file: String,
    /// The line, from 1; 0 if the finding is about the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 if the finding is about the file as a whole.
    pub column: usize,
    /// The keys that lead to the place, such as `listeners[0].tls`; empty at the top of the file.
    pub path: String,
    /// The finding.
    pub message: String,
    /// The remedy.
    pub help: String,
    /// The line with a caret below it, if it shows more than the path of keys; else empty.
    pub excerpt: String,
}

impl Diagnostic {
    /// Makes a finding about a file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        let (message, help) = (message.into(), help.into());
        Self { file: file.to_owned(), line: 0, column: 0, path: String::new(), message, help, excerpt: String::new() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}; {}", self.message, self.help)?;
        if self.excerpt.is_empty() { Ok(()) } else { write!(f, "\n{}", self.excerpt) }
    }
}

/// Everything that is wrong with a configuration, in the order of the file; displays one finding a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(diagnostics))]
pub struct ConfigError {
    diagnostics: Vec<Diagnostic>,
}

impl ConfigError {
    /// Collects findings into one error, sorted by their place in the file.
    pub fn new(diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics: sorted(diagnostics) }
    }

    /// Returns the findings, in the order of the file.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl From<Diagnostic> for ConfigError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::new(vec![diagnostic])
    }
}

/// Where a part of the configuration was written, for messages about it that come up later.
///
/// All origins are equal to each other: two plugins with equal settings are equal, wherever they are defined.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The configuration file, as it was named by the caller.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The keys that lead to the place, such as `listeners[0].plugins[1]`.
    pub path: String,
}

impl Origin {
    /// Returns a finding about this place.
    pub fn diagnostic(&self, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic {
            file: self.file.to_string(),
            line: self.line,
            column: self.column,
            path: self.path.clone(),
            message: message.into(),
            help: help.into(),
            excerpt: String::new(),
        }
    }
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A name from the configuration that is checked later, and its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Located {
    /// The name as it was written.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
}

/// Brings findings into the order of the file.
pub(crate) fn sorted(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by_key(|found| (found.line, found.column));
    diagnostics
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(line: usize, path: &str) -> Origin {
        Origin { file: "gateway.yaml".into(), line, column: 7, path: path.to_owned() }
    }

    #[test]
    fn a_diagnostic_reads_as_one_line() {
        let found = origin(12, "listeners[0]").diagnostic("unknown key \"tsl\"", "did you mean \"tls\"?");
        assert_eq!(found.to_string(), "gateway.yaml:12:7: listeners[0]: unknown key \"tsl\"; did you mean \"tls\"?");
    }

    #[test]
    fn findings_are_sorted_by_place() {
        let error = ConfigError::new(vec![
            origin(9, "b").diagnostic("late", "fix it"),
            origin(2, "").diagnostic("early", "fix it"),
        ]);
        assert_eq!(error.to_string(), "gateway.yaml:2:7: early; fix it\ngateway.yaml:9:7: b: late; fix it");
    }

    #[test]
    fn origins_do_not_tell_equal_values_apart() {
        let here = Located { value: "v8".to_owned(), origin: origin(1, "a") };
        let there = Located { origin: origin(2, "b"), ..here.clone() };
        assert_eq!(here, there);
    }
}
