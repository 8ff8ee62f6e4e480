//! Names of metrics as they are exposed: each byte that Prometheus does not allow is `_`, and `_` is put before a digit at
//! the start, and in place of nothing.
//!
//! | name | exposed |
//! |---|---|
//! | `counter.requests`, `counter-requests`, `counter_requests` | `counter_requests` |
//! | `2xx` | `_2xx` |
//! | `é`, two bytes | `__`; some write `_` for a character, so a rule has to allow both |

use std::borrow::Cow;

use super::super::likeness::Likeness;
use super::super::pattern::Patterns;

/// Writes a pattern as names are exposed. Its other bytes are compared like theirs.
pub(super) fn pattern(text: &str) -> Cow<'_, str> {
    if needs_start(text.as_bytes()) { format!("_{text}").into() } else { text.into() }
}

/// Returns whether a list allows a name.
pub(super) fn allows(list: &Patterns, name: &[u8]) -> bool {
    all_forms(name, |form| list.allows(form))
}

/// Returns whether a list takes a name away.
pub(super) fn takes(list: &Patterns, name: &[u8]) -> bool {
    list.has_exceptions() && !all_forms(name, |form| !list.takes(form, Likeness::Metric))
}

/// Returns whether something holds for all forms in which a name is exposed. Only one that is spelt oddly allocates.
fn all_forms(name: &[u8], holds: impl Fn(&[u8]) -> bool) -> bool {
    let holds = |form: &[u8]| if needs_start(form) { holds(&[b"_", form].concat()) } else { holds(form) };
    let by_character = |name| String::from_utf8_lossy(name).replace(|c: char| !c.is_ascii(), "_");
    holds(name) && (name.is_ascii() || holds(by_character(name).as_bytes()))
}

fn needs_start(name: &[u8]) -> bool {
    name.first().is_none_or(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(texts: &[&str], name: &str) -> bool {
        allows(&Patterns::new(texts.iter().copied(), Likeness::Metric, pattern), name.as_bytes())
    }

    #[test]
    fn names_are_judged_as_prometheus_has_them() {
        let list = ["*", "!counter_*"];
        for name in ["counter.requests", "counter-requests", "counter requests", "counter_requests", "counter\n"] {
            assert!(!allowed(&list, name), "{name}");
            assert!(allowed(&["counter.*"], name), "{name}");
        }
        assert!(allowed(&list, "counter") && allowed(&list, "Counter_requests") && allowed(&list, "counter:requests"));
    }

    #[test]
    fn a_name_does_not_begin_with_a_digit() {
        for name in ["2xx", "_2xx", ".2xx"] {
            assert!(!allowed(&["*", "!2xx"], name) && !allowed(&["*", "!_2*"], name), "{name}");
        }
        assert!(!allowed(&["*", "!_"], "") && !allowed(&["*", "!"], "_"));
    }

    #[test]
    fn a_character_of_two_bytes_is_judged_as_one_and_as_two() {
        assert!(!allowed(&["*", "!a_b"], "a\u{e9}b") && !allowed(&["*", "!a__b"], "a\u{e9}b"));
        assert!(allowed(&["*", "!a_b"], "a\u{e9}\u{e9}b") && allowed(&["*"], "\u{e9}"));
    }
}
