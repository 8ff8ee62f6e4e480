//! Names and globs, as rules list them.

use std::borrow::Cow;

use super::likeness::Likeness;

/// A list of patterns. A pattern is a name, in which `*` stands for any bytes, also none; one that
/// begins with `!` takes away from what the others allow. If all take away, they do so from
/// everything; an empty list allows nothing.
#[derive(Debug)]
pub(super) struct Patterns {
    likeness: Likeness,
    allowed: Vec<Pattern>,
    except: Vec<Pattern>,
}

/// Bytes without a star.
type Part = Box<[u8]>;

/// The bytes around the stars.
#[derive(Debug)]
struct Pattern {
    start: Part,
    /// Between stars, and after the last; `None` if there is no star.
    rest: Option<(Vec<Part>, Part)>,
}

impl Patterns {
    /// Reads a list, in which `spell` writes each pattern as names are written when they are compared.
    pub(super) fn new<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        likeness: Likeness,
        spell: fn(&str) -> Cow<'_, str>,
    ) -> Self {
        let (mut allowed, mut except) = (Vec::new(), Vec::new());
        for text in texts {
            match text.strip_prefix('!') {
                Some(text) => except.push(Pattern::new(&spell(text))),
                None => allowed.push(Pattern::new(&spell(text))),
            }
        }
        if allowed.is_empty() && !except.is_empty() {
            allowed.push(Pattern::new("*"));
        }
        Self { likeness, allowed, except }
    }

    /// Returns whether the list allows a name. It allocates nothing.
    pub(super) fn allows(&self, name: &[u8]) -> bool {
        self.includes(name, self.likeness) && !self.takes(name, self.likeness)
    }

    /// Returns whether the list allows a thing that has several names: one of them, and takes none away.
    pub(super) fn allows_any(&self, names: &[&[u8]]) -> bool {
        names.iter().any(|name| self.includes(name, self.likeness))
            && !names.iter().any(|name| self.takes(name, self.likeness))
    }

    /// Returns whether a pattern names what is compared like this, so that it is allowed; others may take it away.
    pub(super) fn includes(&self, name: &[u8], likeness: Likeness) -> bool {
        self.allowed.iter().any(|pattern| pattern.matches(name, likeness, false))
    }

    /// Returns whether the list takes away a name that is compared like this. What is too long to be searched might hold
    /// what is taken away, so it is.
    pub(super) fn takes(&self, name: &[u8], likeness: Likeness) -> bool {
        self.except.iter().any(|pattern| pattern.matches(name, likeness, true))
    }

    /// Returns whether the list takes away something that stands below a path that is compared like this.
    pub(super) fn takes_below(&self, path: &[u8], likeness: Likeness) -> bool {
        self.except.iter().any(|pattern| pattern.may_match_below(path, likeness))
    }

    /// Returns whether the list allows whatever is asked for.
    pub(super) fn allow_all(&self) -> bool {
        self.except.is_empty() && self.allowed.iter().any(Pattern::is_star)
    }

    /// Returns whether the list takes something away.
    pub(super) fn has_exceptions(&self) -> bool {
        !self.except.is_empty()
    }
}

/// Returns whether each name that meets `inner` meets `outer`. Of patterns that are written in different ways it may say no although it
/// is so.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    // Of the rest of `outer`: whether it covers each rest of `inner`, from the end of both.
    let inner = inner.as_bytes();
    let mut below = vec![false; inner.len() + 1];
    if let Some(end) = below.last_mut() {
        *end = true;
    }
    for byte in outer.bytes().rev() {
        let mut row = vec![false; inner.len() + 1];
        for at in (0..=inner.len()).rev() {
            let next = |row: &[bool]| row.get(at + 1).copied().unwrap_or(false);
            let holds = match (byte, inner.get(at)) {
                (b'*', _) => below.get(at).copied().unwrap_or(false) || next(&row),
                (_, Some(own)) => *own != b'*' && byte == *own && next(&below),
                (_, None) => false,
            };
            if let Some(slot) = row.get_mut(at) {
                *slot = holds;
            }
        }
        below = row;
    }
    below.first().copied().unwrap_or(false)
}

impl Pattern {
    /// Returns whether it is a star and nothing else.
    fn is_star(&self) -> bool {
        let is_bare = |(between, end): &(Vec<Part>, Part)| end.is_empty() && between.iter().all(|part| part.is_empty());
        self.start.is_empty() && self.rest.as_ref().is_some_and(is_bare)
    }

    /// Returns whether there are names that meet it and begin with a path and a dot.
    fn may_match_below(&self, path: &[u8], likeness: Likeness) -> bool {
        if let Some((start, behind)) = self.start.split_at_checked(path.len()) {
            let has_star = behind.is_empty() && self.rest.is_some();
            return likeness.same(start, path) && (has_star || behind.starts_with(b"."));
        }
        let begins =
            path.split_at_checked(self.start.len()).is_some_and(|(begin, _)| likeness.same(&self.start, begin));
        begins && self.rest.is_some()
    }

    fn new(text: &str) -> Self {
        let mut parts = text.split('*').map(|part| Part::from(part.as_bytes()));
        let start = parts.next().unwrap_or_default();
        let mut between: Vec<_> = parts.collect();
        let rest = between.pop().map(|end| (between, end));
        Self { start, rest }
    }

    /// Returns whether a name meets it; `unknown` is the answer where that would take too long to find out.
    fn matches(&self, name: &[u8], likeness: Likeness, unknown: bool) -> bool {
        /// A guest chooses names; looking for parts within them must not take its host long.
        const MOST_SEARCHED: usize = 8 << 10;
        let Some((start, name)) = name.split_at_checked(self.start.len()) else { return false };
        if !likeness.same(&self.start, start) {
            return false;
        }
        let Some((between, end)) = &self.rest else { return name.is_empty() };
        let Some((mut middle, tail)) = name.len().checked_sub(end.len()).and_then(|at| name.split_at_checked(at))
        else {
            return false;
        };
        likeness.same(end, tail)
            && between.iter().filter(|part| !part.is_empty()).all(|part| {
                let mut windows = middle.windows(part.len()).take(MOST_SEARCHED);
                let is_long = middle.len() > MOST_SEARCHED;
                let Some(at) = windows.position(|window| likeness.same(part, window)) else {
                    return is_long && unknown;
                };
                middle = middle.get(at + part.len()..).unwrap_or_default();
                true
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allows(texts: &[&str], name: &str) -> bool {
        Patterns::new(texts.iter().copied(), Likeness::Exact, |text| text.into()).allows(name.as_bytes())
    }

    #[test]
    fn stars_stand_for_any_bytes() {
        for (pattern, yes, no) in [
            ("a", &["a"][..], &["", "ab", "A"][..]),
            ("*", &["", "a"], &[]),
            ("a*", &["a", "ab"], &["", "ba"]),
            ("*a", &["a", "ba"], &["", "ab"]),
            ("a*b", &["ab", "axb", "abb"], &["a", "b", "aba"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("a*b*c", &["abc", "axbxc", "abbc"], &["ac", "acb", "abcx"]),
            ("*b*", &["b", "abc"], &["", "ac"]),
            ("a**b", &["ab", "axb"], &["a"]),
        ] {
            assert!(yes.iter().all(|name| allows(&[pattern], name)), "{pattern}");
            assert!(!no.iter().any(|name| allows(&[pattern], name)), "{pattern}");
        }
    }

    #[test]
    fn what_begins_with_an_exclamation_mark_takes_away() {
        assert!(allows(&["x-*", "!x-secret"], "x-a") && !allows(&["x-*", "!x-secret"], "x-secret"));
        assert!(allows(&["!cookie"], "host") && !allows(&["!cookie"], "cookie"), "from everything");
        assert!(!allows(&[], "") && !allows(&[], "a"), "an empty list allows nothing");
    }

    #[test]
    fn what_is_too_long_to_be_searched_is_not_allowed() {
        let long = "a".repeat(9000) + "secret";
        assert!(!allows(&["!*secret*"], &long) && !allows(&["*secret*"], &long));
    }

    /// The same by trying every split.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|at| naive(rest, &name[at..])),
            Some((byte, rest)) => name.split_first().is_some_and(|(first, name)| first == byte && naive(rest, name)),
        }
    }

    #[test]
    fn a_pattern_covers_those_that_say_less() {
        for (outer, yes, no) in [
            ("*", &["", "a", "*", "a*b"][..], &[][..]),
            ("a", &["a"], &["", "A", "ab", "a*", "*"]),
            ("a*", &["a", "ab", "a*", "a*b"], &["*", "*a"]),
            ("a*b", &["ab", "a*b", "axb", "ax*yb", "a*b*b"], &["a*", "*b", "b*a"]),
            ("**", &["*", ""], &[]),
        ] {
            assert!(yes.iter().all(|inner| covers(outer, inner)), "{outer}");
            assert!(!no.iter().any(|inner| covers(outer, inner)), "{outer}");
        }
    }

    proptest! {
        #[test]
        fn what_is_covered_allows_no_more(outer in "[ab*]{0,6}", inner in "[ab*]{0,6}", name in "[ab]{0,8}") {
            if covers(&outer, &inner) && naive(inner.as_bytes(), name.as_bytes()) {
                prop_assert!(naive(outer.as_bytes(), name.as_bytes()));
            }
        }

        #[test]
        fn matching_agrees_with_trying_everything(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(allows(&[&pattern], &name), naive(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
