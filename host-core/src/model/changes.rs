//! The difference between the headers that came and those that plugins have left.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec;

use super::headers::{Entries, Headers};

/// Changes of a header map since it was made of a list, which [`Headers::changes`] finds.
#[derive(Clone, Debug)]
pub enum Changes<'a, F> {
    /// None: the entries are those of the list, in its order.
    None,
    /// Entries behind all those of the list.
    Appended(Entries<'a>),
    /// Any changes; they are not worked out before [`Mixed::edits`] is called.
    Mixed(Mixed<'a, F>),
}

/// Any changes of a header map.
#[derive(Clone, Debug)]
pub struct Mixed<'a, F> {
    headers: &'a Headers,
    original: F,
}

/// One step from the list that came to the map that was left, as proxies that change headers in place take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Remove all values of this name.
    Remove(&'a [u8]),
    /// Put this value in the place of all that the name has.
    Set(&'a [u8], &'a [u8]),
    /// Add this value behind those that the name has.
    Add(&'a [u8], &'a [u8]),
}

impl Headers {
    /// Compares the map with the list that it was made of, which `original` goes through. Names are compared without regard to case.
    /// Allocates nothing.
    #[inline]
    pub fn changes<'a, 'o, I, F>(&'a self, original: F) -> Changes<'a, F>
    where
        I: Iterator<Item = (&'o [u8], &'o [u8])>,
        F: Fn() -> I,
    {
        let mut entries = self.iter();
        let is_same = |(name, value): (&[u8], &[u8])| {
            entries.next().is_some_and(|(own, now)| now == value && (own == name || own.eq_ignore_ascii_case(name)))
        };
        if !original().all(is_same) {
            return Changes::Mixed(Mixed { headers: self, original });
        }
        if entries.len() == 0 { Changes::None } else { Changes::Appended(entries) }
    }
}

impl<'a, F> Changes<'a, F> {
    /// Returns the entries that stand behind all those of the list, maybe none; `None` if there are other changes.
    #[inline]
    pub fn appended(self) -> Option<Entries<'a>> {
        match self {
            Self::None => Some(Entries::default()),
            Self::Appended(entries) => Some(entries),
            Self::Mixed(_) => None,
        }
    }
}

impl<'a, I: Iterator<Item = (&'a [u8], &'a [u8])>, F: Fn() -> I> Mixed<'a, F> {
    /// Returns the edits, which have to be made in this order, that give each name the values that the map has of it.
    ///
    /// The order of values of one name is kept. That of different names is not: it has no meaning (RFC 9110, section 5.3), and proxies that
    /// change headers in place cannot set it. Takes the time of sorting both lists.
    pub fn edits(&self) -> Vec<Edit<'a>> {
        let mut edits = Vec::new();
        let (mut came, mut left) = (by_name((self.original)()), by_name(self.headers.iter()));
        while let Some(name) = least(&mut came, &mut left) {
            edits_of(name, &values(&mut came, name), &values(&mut left, name), &mut edits);
        }
        edits
    }
}

type Sorted<'a> = Peekable<vec::IntoIter<(&'a [u8], &'a [u8])>>;

/// Returns entries in the order of their names; those of one name stay in their order.
fn by_name<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Sorted<'a> {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by(|(one, _), (other, _)| compare(one, other));
    entries.into_iter().peekable()
}

/// Returns the name that comes first in either list.
fn least<'a>(one: &mut Sorted<'a>, other: &mut Sorted<'a>) -> Option<&'a [u8]> {
    match (one.peek(), other.peek()) {
        (Some((one, _)), Some((other, _))) if compare(other, one) == Ordering::Less => Some(other),
        (Some((one, _)), _) => Some(one),
        (None, other) => other.map(|(other, _)| *other),
    }
}

/// Takes the values of the name that comes first in a list.
fn values<'a>(entries: &mut Sorted<'a>, name: &[u8]) -> Vec<&'a [u8]> {
    std::iter::from_fn(|| entries.next_if(|(next, _)| next.eq_ignore_ascii_case(name)))
        .map(|(_, value)| value)
        .collect()
}

/// Adds the edits of one name.
fn edits_of<'a>(name: &'a [u8], came: &[&'a [u8]], left: &[&'a [u8]], edits: &mut Vec<Edit<'a>>) {
    let added = match (left.strip_prefix(came), left) {
        (Some(added), _) => added,
        (None, []) => {
            edits.push(Edit::Remove(name));
            &[]
        }
        (None, [first, others @ ..]) => {
            edits.push(Edit::Set(name, first));
            others
        }
    };
    edits.extend(added.iter().map(|value| Edit::Add(name, value)));
}

fn compare(one: &[u8], other: &[u8]) -> Ordering {
    one.iter().map(u8::to_ascii_lowercase).cmp(other.iter().map(u8::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

    fn borrowed(pairs: &Pairs) -> impl Iterator<Item = (&[u8], &[u8])> {
        pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    fn apply(headers: &mut Headers, edit: Edit<'_>) {
        match edit {
            Edit::Remove(name) => drop(headers.remove(name)),
            Edit::Set(name, value) => headers.replace(name, value),
            Edit::Add(name, value) => headers.add(name, value),
        }
    }

    /// Each name with its values, in their order.
    fn by_names(headers: &Headers) -> Vec<(&[u8], &[u8])> {
        by_name(headers.iter()).collect()
    }

    fn pairs() -> impl Strategy<Value = Pairs> {
        proptest::collection::vec(("[a-cA-C]{0,2}", "[01]{0,1}"), 0..8)
            .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect())
    }

    /// An edit, or all headers anew, as a plugin makes them.
    #[derive(Clone, Debug)]
    enum Step {
        Add(String, String),
        Replace(String, String),
        Remove(String),
        Rewrite(Pairs),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let (name, value) = ("[a-cA-C]{0,2}", "[01]{0,1}");
        let step = prop_oneof![
            6 => (name, value).prop_map(|(name, value)| Step::Add(name, value)),
            2 => (name, value).prop_map(|(name, value)| Step::Replace(name, value)),
            2 => name.prop_map(Step::Remove),
            1 => pairs().prop_map(Step::Rewrite),
        ];
        proptest::collection::vec(step, 0..4)
    }

    proptest! {
        /// Changes that are made to what came give what was left: to the entry, unless they are mixed; name for name, if they are.
        #[test]
        fn changes_lead_from_what_came_to_what_was_left(came in pairs(), steps in steps()) {
            let original: Headers = came.iter().cloned().collect();
            let mut left = original.clone();
            for step in steps {
                match step {
                    Step::Add(name, value) => left.add(name.as_bytes(), value.as_bytes()),
                    Step::Replace(name, value) => left.replace(name.as_bytes(), value.as_bytes()),
                    Step::Remove(name) => drop(left.remove(name.as_bytes())),
                    Step::Rewrite(pairs) => left = pairs.into_iter().collect(),
                }
            }
            let mut made = original.clone();
            match left.changes(|| borrowed(&came)) {
                Changes::None => prop_assert_eq!(&made, &left),
                Changes::Appended(entries) => {
                    prop_assert!(entries.len() > 0);
                    entries.for_each(|(name, value)| made.add(name, value));
                    prop_assert_eq!(&made, &left);
                }
                Changes::Mixed(mixed) => {
                    let begins = left.iter().take(original.len()).eq(original.iter());
                    prop_assert!(!begins || left.len() < original.len(), "what was only added to is not mixed");
                    mixed.edits().into_iter().for_each(|edit| apply(&mut made, edit));
                    prop_assert_eq!(by_names(&made), by_names(&left));
                }
            }
        }
    }

    #[test]
    fn edits_are_as_few_as_names_that_have_changed() {
        let came: Pairs =
            [("a", "1"), ("B", "2"), ("b", "3"), ("c", "4"), ("d", "5")].map(|(n, v)| (n.into(), v.into())).into();
        let left: Headers =
            [("d", "5"), ("b", "3"), ("b", "2"), ("c", "4"), ("c", "6"), ("e", "7")].into_iter().collect();
        let Changes::Mixed(mixed) = left.changes(|| borrowed(&came)) else { panic!("mixed") };
        let expected = [
            Edit::Remove(b"a"),
            Edit::Set(b"B", b"3"),
            Edit::Add(b"B", b"2"),
            Edit::Add(b"c", b"6"),
            Edit::Add(b"e", b"7"),
        ];
        assert_eq!(mixed.edits(), expected);
        assert!(left.changes(|| borrowed(&came)).appended().is_none());
    }

    #[test]
    fn an_emptied_map_is_mixed_and_an_empty_one_is_not() {
        let came: Pairs = vec![(b"a".to_vec(), b"1".to_vec())];
        assert!(matches!(Headers::new().changes(|| borrowed(&came)), Changes::Mixed(_)));
        assert!(matches!(Headers::new().changes(std::iter::empty), Changes::None));
    }
}
