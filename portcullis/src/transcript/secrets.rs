//! Secret values, and the search for them in bytes.

use std::collections::HashMap;

/// Values shorter than this are not looked for: they would be found in everything.
pub(super) const SHORTEST: usize = 6;
/// Parts of values shorter than this are not looked for.
const SHORTEST_PART: usize = 8;
/// The most values that begin alike and are told apart; if there are more, as of tokens of one kind, what begins like
/// them is hidden as far as the longest of them would be.
const MOST_ALIKE: usize = 16;
/// As much of a value is compared, so that looking for values has its bounds; all of it is hidden.
const COMPARED: usize = 256;
/// The most beginnings, and the most bytes, that are remembered.
const MOST_STARTS: usize = 1 << 16;
const MOST_BYTES: usize = 32 << 20;

/// Secret values, by how they begin.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    starts: HashMap<[u8; SHORTEST], Alike>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Alike {
    /// The compared part of each, and its length.
    values: Vec<(Box<[u8]>, usize)>,
    longest: usize,
    is_too_many: bool,
}

impl Secrets {
    /// Remembers a value, and the parts of it that a plugin may take it into: of cookies, and what stands behind `Bearer`.
    /// Says whether there was room.
    pub(super) fn learn(&mut self, value: &[u8]) -> bool {
        let parts = value.split(|byte| matches!(byte, b' ' | b';' | b',' | b'=' | b'"'));
        let parts = parts.filter(|part| part.len() >= SHORTEST_PART && part.len() < value.len());
        std::iter::once(value).chain(parts).all(|value| self.learn_one(value))
    }

    /// Puts asterisks over all that is secret.
    pub(super) fn hide(&self, bytes: &mut [u8]) {
        if self.starts.is_empty() {
            return;
        }
        let mut hidden: Vec<std::ops::Range<usize>> = Vec::new();
        for (at, start) in bytes.windows(SHORTEST).enumerate() {
            let Some(alike) = <[u8; SHORTEST]>::try_from(start).ok().and_then(|start| self.starts.get(&start)) else {
                continue;
            };
            let rest = bytes.get(at..).unwrap_or_default();
            let found = alike.values.iter().filter(|(value, _)| rest.starts_with(value)).map(|(_, len)| *len).max();
            let Some(len) = (if alike.is_too_many { Some(alike.longest) } else { found }) else { continue };
            let end = at + len.min(rest.len());
            match hidden.last_mut() {
                Some(last) if at <= last.end => last.end = last.end.max(end),
                _ => hidden.push(at..end),
            }
        }
        for range in hidden {
            if let Some(range) = bytes.get_mut(range) {
                range.fill(b'*');
            }
        }
    }

    fn learn_one(&mut self, value: &[u8]) -> bool {
        // What is hidden already has been hidden by another VM.
        let Some(start) = value.first_chunk().filter(|start| start.iter().any(|byte| *byte != b'*')) else {
            return true;
        };
        if self.starts.len() >= MOST_STARTS && !self.starts.contains_key(start) {
            return false;
        }
        let alike = self.starts.entry(*start).or_default();
        alike.longest = alike.longest.max(value.len());
        let compared = value.get(..COMPARED).unwrap_or(value);
        let is_known = |(known, len): &(Box<[u8]>, usize)| **known == *compared && *len == value.len();
        if alike.is_too_many || alike.values.iter().any(is_known) {
            return true;
        }
        if alike.values.len() >= MOST_ALIKE {
            alike.is_too_many = true;
            self.bytes -= alike.values.drain(..).map(|(value, _)| value.len()).sum::<usize>();
            return true;
        }
        alike.values.push((compared.into(), value.len()));
        self.bytes += compared.len();
        self.bytes <= MOST_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(secrets: &Secrets, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        secrets.hide(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn a_value_and_its_parts_are_hidden_wherever_they_stand() {
        let mut secrets = Secrets::default();
        assert!(secrets.learn(b"session=abcdef123; t=1"));
        assert_eq!(hidden(&secrets, "got session=abcdef123; t=1!"), "got **********************!");
        assert_eq!(hidden(&secrets, "got abcdef123, not abcdef12"), "got *********, not abcdef12");
        assert_eq!(hidden(&secrets, "t=1"), "t=1");
    }

    #[test]
    fn many_values_that_begin_alike_are_hidden_by_their_beginning() {
        let mut secrets = Secrets::default();
        for index in 0..1000 {
            assert!(secrets.learn(format!("Bearer{index:04}").as_bytes()));
        }
        assert_eq!(hidden(&secrets, "a Bearer0001, Bearer9999 b"), "a **********, ********** b");
        assert_eq!(hidden(&secrets, "Bearer"), "******");
    }

    #[test]
    fn they_take_no_more_than_their_room() {
        let mut secrets = Secrets::default();
        let learned = |index: usize| format!("{index:06}{}", "x".repeat(1000));
        assert!((0..MOST_STARTS).all(|index| secrets.learn(learned(index).as_bytes())));
        assert!(!secrets.learn(b"abcdefg"));
        assert_eq!(hidden(&secrets, &learned(7)), "*".repeat(1006));
    }
}
