use std::collections::VecDeque;

use bytes::Bytes;
use portcullis_chain::{StreamEffect, StreamId};
use portcullis_core::model::{Direction, Headers};

use super::Bench;

/// The message that goes in or comes out of one direction.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) headers: usize,
    pub(crate) body: String,
    pub(crate) trailers: usize,
    pub(crate) ends: usize,
}

/// A stream that is fed as a driver would.
pub(crate) struct Driven {
    pub(crate) id: StreamId,
    to_feed: [VecDeque<Event>; 2],
    pub(crate) seen: [Seen; 2],
}

enum Event {
    Headers(bool),
    Body(String, bool),
    Trailers,
}

fn events((chunks, trailers): &(Vec<String>, bool)) -> VecDeque<Event> {
    let mut events = VecDeque::from([Event::Headers(chunks.is_empty() && !trailers)]);
    for (index, chunk) in chunks.iter().enumerate() {
        events.push_back(Event::Body(chunk.clone(), index + 1 == chunks.len() && !trailers));
    }
    events.extend(trailers.then_some(Event::Trailers));
    events
}

impl Driven {
    /// A stream that is to be fed these chunks of a request and a response, and trailers or not.
    pub(crate) fn new(id: StreamId, bodies: &[(Vec<String>, bool); 2]) -> Self {
        Self { id, to_feed: [events(&bodies[0]), events(&bodies[1])], seen: Default::default() }
    }

    /// Feeds what is next, if a driver would; a response does not come before its request.
    pub(crate) fn feed(&mut self, bench: &mut Bench, direction: Direction) {
        let side = usize::from(direction == Direction::Response);
        if side == 1 && self.seen[0].headers == 0 {
            return;
        }
        if matches!(self.to_feed[side].front(), Some(Event::Body(..))) && !bench.worker.wants_body(self.id, direction) {
            return;
        }
        match self.to_feed[side].pop_front() {
            Some(Event::Headers(end)) => {
                let headers: Headers = [(":path", "/"), (":status", "200")].into_iter().collect();
                bench.worker.headers(self.id, direction, headers, end);
            }
            Some(Event::Body(chunk, end)) => bench.worker.body(self.id, direction, Bytes::from(chunk).into(), end),
            Some(Event::Trailers) => bench.worker.trailers(self.id, direction, [("t", "1")].into_iter().collect()),
            None => {}
        }
    }

    /// Takes the effects; they must come in an order that a peer understands.
    pub(crate) fn look(&mut self, bench: &mut Bench) {
        while let Some(effect) = bench.worker.stream_effect(self.id) {
            let [request, response] = &mut self.seen;
            match effect {
                StreamEffect::RequestHeaders { end } => request.headers(end),
                StreamEffect::RequestBody { body, end } => request.body(&body.to_bytes(), end),
                StreamEffect::RequestTrailers => request.trailers(),
                StreamEffect::ResponseHeaders { end, .. } => response.headers(end),
                StreamEffect::ResponseBody { body, end } => response.body(&body.to_bytes(), end),
                StreamEffect::ResponseTrailers => response.trailers(),
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Seen {
    fn headers(&mut self, end: bool) {
        assert_eq!(*self, Self::default(), "headers come first and once");
        self.headers += 1;
        self.ends += usize::from(end);
    }

    fn body(&mut self, bytes: &[u8], end: bool) {
        assert_eq!((self.headers, self.ends), (1, 0), "body comes between headers and end");
        self.body.push_str(&String::from_utf8_lossy(bytes));
        self.ends += usize::from(end);
    }

    fn trailers(&mut self) {
        assert_eq!((self.headers, self.ends), (1, 0), "trailers come last");
        self.trailers += 1;
        self.ends += 1;
    }
}
