//! A list of names, compared in the form that all spellings of one thing have.
//!
//! | kind | spellings of one thing | refused by every list |
//! |---|---|---|
//! | names | none: bytes are compared | – |
//! | methods of HTTP | letters of either case: frameworks write them in capitals | – |
//! | headers | letters of either case; all that is neither letter nor digit is `-` | – |
//! | metrics | all that Prometheus does not allow is `_`; `_` before a digit at the start | – |
//! | hosts, authorities | see [`host`] | what is no host |
//! | methods of gRPC | none | what is no path of two segments, unreserved characters each |
//! | properties | see [`property_path`] | – |

use std::borrow::Cow;

use super::super::likeness::Likeness;
use super::super::pattern::Patterns;
use super::schema::Kind;
use super::{host, metric_name, property_path};

/// The names that a rule lists.
#[derive(Debug)]
pub(super) struct List {
    kind: Kind,
    patterns: Patterns,
}

impl List {
    /// Reads a list.
    ///
    /// # Errors
    /// The place of a text that no spelling can meet, and why.
    pub(super) fn new(texts: &[String], kind: Kind) -> Result<Self, (usize, String)> {
        let is_host = matches!(kind, Kind::Hosts | Kind::Authorities);
        if let Some((index, text)) = texts.iter().enumerate().find(|(_, text)| is_host && !text.is_ascii()) {
            return Err((
                index,
                format!("{text:?} is no name of a host as it is sent; write its ASCII form (xn--...)"),
            ));
        }
        let likeness = match kind {
            Kind::Methods | Kind::Hosts | Kind::Authorities => Likeness::Folded,
            Kind::Headers => Likeness::Header,
            Kind::Metrics => Likeness::Metric,
            Kind::Properties => Likeness::Dotted,
            _ => Likeness::Exact,
        };
        let spell: fn(&str) -> Cow<'_, str> = match kind {
            Kind::Hosts => host::name_pattern,
            Kind::Authorities => host::authority_pattern,
            Kind::Metrics => metric_name::pattern,
            Kind::GrpcMethods => |text| text.strip_prefix('/').unwrap_or(text).into(),
            _ => |text| text.into(),
        };
        Ok(Self { kind, patterns: Patterns::new(texts.iter().map(String::as_str), likeness, spell) })
    }

    /// Returns whether it allows a name, in any spelling.
    pub(super) fn allows(&self, name: &[u8]) -> bool {
        match self.kind {
            Kind::Hosts => host::allows_name(&self.patterns, name),
            Kind::Authorities => host::allows_authority(&self.patterns, name),
            Kind::Metrics => metric_name::allows(&self.patterns, name),
            Kind::GrpcMethods => is_grpc_method(name) && self.patterns.allows(name),
            Kind::Properties => property_path::allows(&self.patterns, name),
            _ => self.patterns.allows(name),
        }
    }

    /// Returns whether a list of hosts with ports allows the name of an upstream, which may be no host.
    pub(super) fn allows_upstream(&self, name: &str) -> bool {
        match host::is_authority(name.as_bytes()) {
            true => self.allows(name.as_bytes()),
            false => self.patterns.allows(host::authority_pattern(name).as_bytes()),
        }
    }

    /// Returns whether it allows a thing that has two names: one of them, and takes none away.
    pub(super) fn allows_either(&self, one: &[u8], other: &[u8]) -> bool {
        self.patterns.allows_any(&[one, other])
    }

    /// Its patterns.
    pub(super) const fn patterns(&self) -> &Patterns {
        &self.patterns
    }
}

/// Returns whether a service and a method are what every server reads as such: neither is empty, is made of dots, or has characters that
/// a path may have in another spelling.
fn is_grpc_method(path: &[u8]) -> bool {
    let is_plain = |segment: &[u8]| {
        segment.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte))
            && !segment.iter().all(|byte| *byte == b'.')
    };
    path.split(|byte| *byte == b'/').count() == 2 && path.split(|byte| *byte == b'/').all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(kind: Kind, texts: &[&str], name: &str) -> bool {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        List::new(&texts, kind).is_ok_and(|list| list.allows(name.as_bytes()))
    }

    #[test]
    fn methods_have_no_case_and_headers_are_what_a_program_is_told() {
        assert!(!allows(Kind::Methods, &["*", "!DELETE"], "delete") && allows(Kind::Methods, &["GET"], "get"));
        for spelling in ["x-user", "X-USER", "x_user", "x.user"] {
            assert!(!allows(Kind::Headers, &["*", "!x-user"], spelling), "{spelling}");
            assert!(allows(Kind::Headers, &["x_user"], spelling), "{spelling}");
        }
        assert!(allows(Kind::Headers, &["!:path"], "_path"), "a field is no pseudo-header");
    }

    #[test]
    fn a_grpc_method_is_two_segments_that_nobody_reads_otherwise() {
        for text in ["pkg.Auth/Check", "/pkg.Auth/Check"] {
            assert!(allows(Kind::GrpcMethods, &[text], "pkg.Auth/Check"), "{text}");
            assert!(!allows(Kind::GrpcMethods, &["*", &format!("!{text}")], "pkg.Auth/Check"), "{text}");
        }
        for odd in [
            "pkg.Auth/%43heck",
            "pkg.Auth/..",
            "../Check",
            "pkg.Auth/",
            "/Check",
            "a/b/c",
            "pkg.Auth/Check;x",
            "pkg.Auth/\u{ff0e}",
            "pkg.Auth",
            "a/\\b",
        ] {
            assert!(!allows(Kind::GrpcMethods, &["*"], odd), "{odd}");
        }
    }

    #[test]
    fn a_host_is_written_as_it_is_sent() {
        let texts = ["a".to_owned(), "b\u{fc}cher.example".to_owned()];
        for kind in [Kind::Hosts, Kind::Authorities] {
            let error = List::new(&texts, kind).err();
            assert!(error.is_some_and(|(index, problem)| index == 1 && problem.contains("xn--")));
        }
        assert!(List::new(&texts, Kind::Names).is_ok());
    }
}
