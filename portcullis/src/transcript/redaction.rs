//! Redaction of transcripts: hides the values of some headers and of some parameters in queries wherever they occur.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_core::abi::HostcallId;
use portcullis_core::observe::transcript::{Event, RecordedTrap, Span, Then, Value};

use super::secrets::{SHORTEST, Secrets};
use super::{names, pairs};

/// The names of headers, and of parameters in queries, whose values are not to be written down. Clones share what they have seen, so that a value that
/// one VM got as a header is hidden when another finds it in shared data.
///
/// A value is known from when it first crosses the wall with its name: in a header map, as the value of one header, or as
/// a property, or in a query, a form or a line of a log (`name=value`). From then on asterisks stand for it everywhere, and for its parts of 8 bytes and more (`;`, `,`, `=`, `"` and
/// spaces part it). Values shorter than 6 bytes are hidden at their header alone. What is derived from a value, such as
/// decoded base64 or a digest, is not found, and neither is a value in a body before it was seen under its name.
#[derive(Clone, Debug)]
pub struct Redaction {
    names: Arc<[String]>,
    /// Whether some values are known before any crosses the wall.
    knows: bool,
    secrets: Arc<Mutex<Secrets>>,
}

impl Default for Redaction {
    fn default() -> Self {
        Self::new(Self::DEFAULT.iter().copied())
    }
}

impl Redaction {
    /// The names that are taken where nobody gives any.
    pub const DEFAULT: &'static [&'static str] = &[
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "x-auth-token",
        "x-vault-token",
        "*-api-key",
        "*-token",
        "*-secret",
        "*-password",
    ];

    /// Hides the values of these names. Letters and digits count, without regard to case, so `*-api-key` is `api_key` and `apiKey`
    /// as well; `*` at the beginning stands for any bytes or none.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(str::to_ascii_lowercase).filter(|name| !name.is_empty()).collect();
        Self { names, knows: false, secrets: Arc::default() }
    }

    /// Hides these values, too, wherever they occur, also as JSON writes them in text; values shorter than 6 bytes are not
    /// found.
    ///
    /// ```
    /// use portcullis::transcript::Redaction;
    ///
    /// let redaction = Redaction::default().with_known(["key-of-the-plugin"]);
    /// # let _ = redaction;
    /// ```
    #[must_use]
    pub fn with_known<'a>(mut self, values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        for value in values {
            let escaped = serde_json::Value::from(value).to_string();
            let escaped = escaped.strip_prefix('"').and_then(|escaped| escaped.strip_suffix('"'));
            for form in std::iter::once(value).chain(escaped).filter(|form| form.len() >= SHORTEST) {
                // Without room for it, transcripts end where it would be written.
                let _ = secrets.learn(form.as_bytes());
                self.knows = true;
            }
        }
        drop(secrets);
        self
    }

    /// Returns the names, in lower case.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns whether the values of a name are hidden.
    pub fn hides(&self, name: &str) -> bool {
        self.is_named(name.as_bytes())
    }

    fn is_named(&self, name: &[u8]) -> bool {
        names::is_named(&self.names, name)
    }
}

/// Redacts the events of one VM.
#[derive(Debug)]
pub(super) struct Redactor {
    redaction: Redaction,
    /// For each hostcall whose allocator runs, whether its answer is a secret.
    waiting: Vec<bool>,
}

impl Redactor {
    pub(super) fn new(redaction: Redaction) -> Self {
        Self { redaction, waiting: Vec::new() }
    }

    /// Hides secrets in an event; returns whether all of them could be remembered.
    pub(super) fn redact(&mut self, event: &mut Event) -> bool {
        if self.redaction.names.is_empty() && !self.redaction.knows {
            return true;
        }
        let mut all = true;
        match event {
            Event::Hostcall { id, arguments, reads, writes, then } => {
                let is_secret = self.names_a_secret(*id, arguments, reads);
                if matches!(then, Then::Allocate(_)) {
                    self.waiting.push(is_secret);
                }
                if is_secret && let Some(at) = argument(*id, arguments, "value") {
                    all &= self.hide_at(at, reads);
                }
                all &= self.hide_maps(reads) & self.hide_maps(writes);
                all &= reads.iter_mut().chain(&mut *writes).all(|span| self.hide_queries(&mut span.bytes));
                self.hide_known(reads.iter_mut().chain(writes).map(|span| &mut span.bytes));
                if let Then::Answer(Err(trap)) = then {
                    self.hide_in(trap);
                }
            }
            Event::Allocated { address, writes, answer } => {
                let is_secret = self.waiting.pop().unwrap_or(false);
                if let (true, Ok(address)) = (is_secret, &*address) {
                    all &= self.hide_at(*address, writes);
                }
                all &= self.hide_maps(writes);
                all &= writes.iter_mut().all(|span| self.hide_queries(&mut span.bytes));
                self.hide_known(writes.iter_mut().map(|span| &mut span.bytes));
                for trap in address.as_mut().err().into_iter().chain(answer.as_mut().err()) {
                    self.hide_in(trap);
                }
            }
            Event::Returned(Err(trap)) | Event::Instantiated(Err(trap)) => self.hide_in(trap),
            _ => {}
        }
        all
    }

    /// Returns whether a hostcall reads or writes a header that is to be hidden.
    fn names_a_secret(&self, id: HostcallId, arguments: &[Value], reads: &[Span]) -> bool {
        let read = |name| {
            let at = argument(id, arguments, name);
            reads.iter().find(|span| Some(span.address) == at).map_or(&[][..], |span| &span.bytes)
        };
        match id {
            HostcallId::proxy_get_header_map_value
            | HostcallId::proxy_add_header_map_value
            | HostcallId::proxy_replace_header_map_value => self.redaction.is_named(read("key")),
            HostcallId::proxy_get_property | HostcallId::proxy_set_property => {
                read("path").split(|byte| *byte == 0).any(|part| self.redaction.is_named(part))
            }
            _ => false,
        }
    }

    /// Hides all bytes of the span at an address.
    fn hide_at(&self, address: u32, spans: &mut [Span]) -> bool {
        let span = spans.iter_mut().find(|span| span.address == address);
        span.is_none_or(|span| self.hide(&mut span.bytes))
    }

    /// Hides values in header maps.
    fn hide_maps(&self, spans: &mut [Span]) -> bool {
        spans.iter_mut().all(|span| {
            let entries = pairs::entries(&span.bytes).unwrap_or_default();
            let named =
                |range: &Range<usize>| span.bytes.get(range.clone()).is_some_and(|name| self.redaction.is_named(name));
            let secret: Vec<_> = entries.into_iter().filter(|(name, _)| named(name)).map(|(_, value)| value).collect();
            secret.into_iter().all(|value| span.bytes.get_mut(value).is_none_or(|value| self.hide(value)))
        })
    }

    /// Hides values in queries and in texts that look like queries.
    fn hide_queries(&self, bytes: &mut [u8]) -> bool {
        let found = names::in_queries(&self.redaction.names, bytes);
        found.into_iter().fold(true, |all, value| all & bytes.get_mut(value).is_none_or(|value| self.hide(value)))
    }

    /// Remembers a value and its decoded form, and hides it.
    fn hide(&self, value: &mut [u8]) -> bool {
        if value.iter().all(|byte| *byte == b'*') {
            return true;
        }
        let mut secrets = self.redaction.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = secrets.learn(value) & names::decoded(value).is_none_or(|value| secrets.learn(&value));
        value.fill(b'*');
        is_known
    }

    fn hide_known<'a>(&self, all: impl Iterator<Item = &'a mut Vec<u8>>) {
        let secrets = self.redaction.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        all.for_each(|bytes| secrets.hide(bytes));
    }

    fn hide_in(&self, trap: &mut RecordedTrap) {
        let mut bytes = trap.as_str().as_bytes().to_vec();
        self.hide_queries(&mut bytes);
        self.hide_known(std::iter::once(&mut bytes));
        *trap = RecordedTrap::new(String::from_utf8_lossy(&bytes));
    }
}

/// Returns the argument with this name, which is an address.
fn argument(id: HostcallId, arguments: &[Value], name: &str) -> Option<u32> {
    let index = id.decl().names.iter().position(|known| *known == name)?;
    match arguments.get(index) {
        Some(Value::I32(address)) => Some(address.cast_unsigned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(address: u32, bytes: &[u8]) -> Span {
        Span { address, bytes: bytes.to_vec() }
    }

    fn call(id: HostcallId, arguments: &[i32], reads: Vec<Span>, then: Then) -> Event {
        let arguments = arguments.iter().map(|number| (*number).into()).collect();
        Event::Hostcall { id, arguments, reads, writes: Vec::new(), then }
    }

    fn done() -> Then {
        Then::Answer(Ok(Some(0.into())))
    }

    fn redacted(redactor: &mut Redactor, mut event: Event) -> Vec<u8> {
        assert!(redactor.redact(&mut event));
        match event {
            Event::Hostcall { reads, .. } => reads,
            Event::Allocated { writes, .. } => writes,
            _ => Vec::new(),
        }
        .into_iter()
        .flat_map(|span| span.bytes)
        .collect()
    }

    #[test]
    fn a_value_that_is_asked_for_is_hidden_and_so_are_its_copies() {
        let redaction = Redaction::default();
        let mut redactor = Redactor::new(redaction.clone());
        let ask = |name: &[u8]| {
            let len = i32::try_from(name.len()).unwrap_or(0);
            call(HostcallId::proxy_get_header_map_value, &[0, 8, len, 16, 20], vec![span(8, name)], Then::Allocate(6))
        };
        let answer = |bytes: &[u8]| Event::Allocated {
            address: Ok(90),
            writes: vec![span(90, bytes), span(16, &[90, 0, 0, 0])],
            answer: Ok(Some(0.into())),
        };
        assert_eq!(redacted(&mut redactor, ask(b"Cookie")), b"Cookie");
        // The allocator may log meanwhile.
        let log = |text: &[u8]| call(HostcallId::proxy_log, &[2, 7, 0], vec![span(7, text)], done());
        assert_eq!(redacted(&mut redactor, log(b"a=1234")), b"a=1234");
        assert_eq!(redacted(&mut redactor, answer(b"a=1234")), b"******Z\0\0\0");
        let mut another = Redactor::new(redaction);
        assert_eq!(redacted(&mut another, log(b"got a=1234.")), b"got ******.");
        assert_eq!(redacted(&mut redactor, ask(b"accept")), b"accept");
        assert_eq!(redacted(&mut redactor, answer(b"a=1235")), b"a=1235Z\0\0\0");
        let mut trap = Event::Returned(Err(RecordedTrap::new("aborted: a=1234")));
        assert!(redactor.redact(&mut trap));
        assert_eq!(trap, Event::Returned(Err(RecordedTrap::new("aborted: ******"))));
    }

    #[test]
    fn values_in_queries_are_hidden_and_so_are_their_copies() {
        let mut redactor = Redactor::new(Redaction::default());
        let map = [(":path", "/a?b=1&access_token=s%26cret-1&c=2"), ("x-vault-token", "vault-1"), ("x-user", "anna")];
        let map = map.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let map = pairs::encode(&map).unwrap_or_default();
        let set = call(HostcallId::proxy_set_header_map_pairs, &[0, 8, 99], vec![span(8, &map)], done());
        let hidden = redacted(&mut redactor, set);
        let text = String::from_utf8_lossy(&hidden).into_owned();
        assert!(
            text.contains("/a?b=1&access_token=**********&c=2\0x-vault-token\0*******\0x-user\0anna\0"),
            "{text:?}"
        );
        let log = |text: &[u8]| call(HostcallId::proxy_log, &[2, 7, 0], vec![span(7, text)], done());
        assert_eq!(redacted(&mut redactor, log(b"s%26cret-1, s&cret-1, vault-1")), b"**********, ********, *******");
        assert_eq!(redacted(&mut redactor, log(b"apiKey=k b=1")), b"apiKey=* b=1");
        let mut trap = Event::Returned(Err(RecordedTrap::new("aborted: ?token=abc")));
        assert!(redactor.redact(&mut trap));
        assert_eq!(trap, Event::Returned(Err(RecordedTrap::new("aborted: ?token=***"))));
    }

    #[test]
    fn values_that_are_known_are_hidden_from_the_start() {
        for redaction in [Redaction::new([]), Redaction::default()] {
            let mut redactor = Redactor::new(redaction.with_known(["pass\"word", "k-12345", "short"]));
            let log = |text: &[u8]| call(HostcallId::proxy_log, &[2, 7, 0], vec![span(7, text)], done());
            let shown = redacted(&mut redactor, log(br#"{"a":"pass\"word","b":"k-12345"} pass"word short"#));
            assert_eq!(String::from_utf8_lossy(&shown), r#"{"a":"**********","b":"*******"} ********* short"#);
        }
    }

    #[test]
    fn a_short_value_is_hidden_at_its_header() {
        let mut redactor = Redactor::new(Redaction::new(["x-pin"]));
        let reads = vec![span(8, b"x-pin"), span(20, b"123")];
        let add = call(HostcallId::proxy_add_header_map_value, &[0, 8, 5, 20, 3], reads, done());
        assert_eq!(redacted(&mut redactor, add), b"x-pin***");
        let log = call(HostcallId::proxy_log, &[2, 7, 3], vec![span(7, b"123")], done());
        assert_eq!(redacted(&mut redactor, log), b"123");
    }

    #[test]
    fn values_in_maps_and_properties_are_hidden() {
        let mut redactor = Redactor::new(Redaction::default());
        let map = [("accept", "*/*"), ("Set-Cookie", "id=one two"), ("authorization", "Bearer xyz")];
        let map = map.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let map = pairs::encode(&map).unwrap_or_default();
        let set = call(HostcallId::proxy_set_header_map_pairs, &[0, 8, 99], vec![span(8, &map)], done());
        let hidden = redacted(&mut redactor, set);
        let text = String::from_utf8_lossy(&hidden).into_owned();
        assert_eq!(hidden.len(), map.len());
        assert!(text.contains("accept\0*/*\0Set-Cookie\0**********\0authorization\0**********\0"), "{text:?}");
        let path = span(8, b"request\0headers\0cookie");
        redacted(&mut redactor, call(HostcallId::proxy_get_property, &[8, 22, 16, 20], vec![path], Then::Allocate(9)));
        let answer = Event::Allocated { address: Ok(90), writes: vec![span(90, b"no=secret")], answer: Ok(None) };
        assert_eq!(redacted(&mut redactor, answer), b"*********");
    }
}
