use portcullis::model::StreamInfo;
use portcullis::resources::Host;
use portcullis::{Chain, Worker};
use tokio::time::{advance, sleep_until};

use super::connection::LONGEST_GRACE;
use super::timer::StreamTimer;
use super::*;
use crate::config::Keepalive;

const S: fn(u64) -> Duration = Duration::from_secs;

/// A connection and what its guard would do.
struct Connection {
    deadlines: Rc<Deadlines>,
    began: Instant,
    worker: Worker,
    answering: Vec<StreamId>,
}

impl Connection {
    fn new(limits: Timeouts) -> Self {
        let worker = Worker::new(|| -> Box<dyn Host> { panic!("there is no plugin") });
        Self { deadlines: Deadlines::new(limits), began: Instant::now(), worker, answering: Vec::new() }
    }

    fn request(&mut self, version: Version) -> StreamTimer {
        assert!(self.deadlines.request(version).is_none());
        let stream = self.worker.open(&Chain::default(), StreamInfo::default().into_shared(), 0);
        StreamTimer::begin(Rc::clone(&self.deadlines), stream, 1, None)
    }

    /// Lets time pass until something is due; says when since the connection, and what.
    async fn next(&mut self) -> (Duration, Verdict) {
        loop {
            sleep_until(self.deadlines.armed.get().unwrap()).await;
            let due = self.deadlines.due(Instant::now());
            let answered = !due.answering.is_empty();
            self.answering.extend(due.answering);
            if due.verdict != Verdict::Wait || answered {
                return (self.began.elapsed(), due.verdict);
            }
        }
    }

    /// The same, in whole seconds.
    async fn next_at(&mut self) -> (u64, Verdict) {
        let (at, verdict) = self.next().await;
        // The clock of timers has milliseconds.
        (u64::try_from(at.as_millis() / 1000).unwrap(), verdict)
    }
}

const NONE: Timeouts = Timeouts {
    handshake: Duration::ZERO,
    request_headers: Duration::ZERO,
    idle: Duration::ZERO,
    stream_idle: Duration::ZERO,
    max_stream_duration: Duration::ZERO,
    write: Duration::ZERO,
    keepalive: Keepalive { interval: Duration::ZERO, timeout: Duration::ZERO },
};

#[tokio::test(start_paused = true)]
async fn a_connection_that_asks_nothing_is_closed() {
    let mut silent = Connection::new(Timeouts::default());
    assert_eq!(silent.next_at().await, (30, Verdict::Close(Overdue::Head)));
    // It has a moment to go.
    assert_eq!(silent.next_at().await, (31, Verdict::Cut(Overdue::Closing)));

    // A head that drips has no more time than one that does not come.
    let mut dripping = Connection::new(Timeouts::default());
    for _ in 0..5 {
        advance(S(5)).await;
        dripping.deadlines.received(b"G");
    }
    assert_eq!(dripping.next_at().await, (30, Verdict::Cut(Overdue::Head)));

    for preface in ["PRI", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04"] {
        let mut http2 = Connection::new(Timeouts::default());
        http2.deadlines.received(preface.as_bytes());
        assert_eq!(http2.next_at().await, (30, Verdict::Close(Overdue::Head)), "{preface}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_between_requests_is_idle() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut connection = Connection::new(Timeouts::default());
        connection.deadlines.received(b"GET");
        advance(S(5)).await;
        let stream = connection.request(version);
        advance(S(100)).await;
        drop(stream);
        advance(S(50)).await;
        drop(connection.request(version));
        assert_eq!(connection.next_at().await, (215, Verdict::Close(Overdue::Idle)), "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_head_of_http1_has_as_long_as_the_first() {
    for (version, expected) in [
        (Version::HTTP_11, (40 + 30, Verdict::Cut(Overdue::Head))),
        // Frames are no request.
        (Version::HTTP_2, (60, Verdict::Close(Overdue::Idle))),
    ] {
        let mut connection = Connection::new(Timeouts::default());
        drop(connection.request(version));
        advance(S(40)).await;
        connection.deadlines.received(b"G");
        advance(S(10)).await;
        connection.deadlines.received(b"E");
        assert_eq!(connection.next_at().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_is_reset() {
    let mut connection = Connection::new(Timeouts::default());
    let stream = connection.request(Version::HTTP_11);
    advance(S(10)).await;
    for taken in [false, false, true, true, false] {
        connection.deadlines.sent(taken);
        advance(S(20)).await;
    }
    assert_eq!(connection.next_at().await, (90 + 60, Verdict::Cut(Overdue::Write)));
    assert_eq!(stream.ended(), Some(Expired::Write));

    // The rest of a response is taken after its stream has ended: the connection is not idle meanwhile.
    let mut slow = Connection::new(Timeouts { write: S(100), ..Timeouts::default() });
    let stream = slow.request(Version::HTTP_11);
    slow.deadlines.sent(false);
    drop(stream);
    advance(S(90)).await;
    slow.deadlines.sent(true);
    assert_eq!(slow.next_at().await, (150, Verdict::Close(Overdue::Idle)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_answers_and_then_ends() {
    let mut connection = Connection::new(Timeouts::default());
    let stream = connection.request(Version::HTTP_11);
    let armed = connection.deadlines.armed.get();
    for _ in 0..10 {
        advance(S(200)).await;
        stream.moved();
    }
    assert_eq!(connection.deadlines.armed.get(), armed, "what moves on moves no timer");
    assert_eq!(connection.next_at().await, (2300, Verdict::Wait));
    assert_eq!((connection.answering.len(), stream.expired()), (1, Some(Expired::Idle)));
    assert_eq!(stream.expired(), None, "it is told once");
    // The answer does not get through either.
    assert_eq!(connection.next_at().await, (2600, Verdict::Wait));
    assert_eq!(stream.expired(), Some(Expired::Idle));
    stream.head_gone();
    assert_eq!(connection.next_at().await, (2900, Verdict::Cut(Overdue::Stream(Expired::Idle))));
    assert_eq!(stream.ended(), Some(Expired::Idle));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_has_its_time_from_the_end_of_the_request() {
    let mut connection = Connection::new(Timeouts::default());
    let stream = connection.request(Version::HTTP_11);
    stream.limit_upstream(Some(S(15)));
    for _ in 0..10 {
        advance(S(10)).await;
        stream.moved();
    }
    stream.request_sent();
    assert_eq!(connection.next_at().await, (115, Verdict::Wait));
    assert_eq!(stream.expired(), Some(Expired::Upstream(S(15))));
    drop(stream);

    let stream = connection.request(Version::HTTP_11);
    stream.limit_upstream(Some(S(15)));
    stream.request_sent();
    stream.upstream_done();
    assert_eq!(connection.next_at().await, (115 + 300, Verdict::Wait));
    assert_eq!(stream.expired(), Some(Expired::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_its_longest_duration_whatever_moves() {
    let mut connection = Connection::new(Timeouts { max_stream_duration: S(20), ..Timeouts::default() });
    let stream = connection.request(Version::HTTP_11);
    advance(S(19)).await;
    stream.moved();
    assert_eq!(connection.next_at().await, (20, Verdict::Wait));
    assert_eq!(stream.expired(), Some(Expired::Duration));
    stream.head_gone();
    assert_eq!(connection.next_at().await, (21, Verdict::Cut(Overdue::Stream(Expired::Duration))));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_begins_later_and_ends_earlier_is_kept() {
    let mut connection = Connection::new(Timeouts { request_headers: S(100), idle: S(100), ..Timeouts::default() });
    let first = connection.request(Version::HTTP_2);
    let second = connection.request(Version::HTTP_2);
    second.limit_upstream(Some(S(2)));
    advance(S(50)).await;
    second.request_sent();
    assert_eq!(connection.next_at().await, (52, Verdict::Wait));
    assert_eq!((first.expired(), second.expired()), (None, Some(Expired::Upstream(S(2)))));
}

#[tokio::test(start_paused = true)]
async fn zero_is_no_limit() {
    let mut connection = Connection::new(NONE);
    connection.deadlines.received(b"G");
    let stream = connection.request(Version::HTTP_11);
    stream.limit_upstream(None);
    stream.request_sent();
    connection.deadlines.sent(false);
    drop(stream);
    assert_eq!(connection.deadlines.armed.get(), None);
    connection.deadlines.sent(true);
    connection.deadlines.received(b"G");
    assert_eq!(connection.deadlines.armed.get(), None);
    // Without the limit for heads, a connection that asks nothing is idle.
    let mut silent = Connection::new(Timeouts { idle: S(60), ..NONE });
    assert_eq!(silent.next_at().await, (60, Verdict::Close(Overdue::Idle)));
}

#[tokio::test(start_paused = true)]
async fn a_closing_connection_may_finish_what_the_peer_takes() {
    let mut connection = Connection::new(Timeouts::default());
    let stream = connection.request(Version::HTTP_2);
    connection.deadlines.close(CLOSE_GRACE);
    advance(S(10)).await;
    drop(stream);
    for _ in 0..10 {
        advance(Duration::from_millis(500)).await;
        connection.deadlines.sent(true);
        assert_eq!(connection.deadlines.due(Instant::now()).verdict, Verdict::Wait);
    }
    assert_eq!(connection.next_at().await, (16, Verdict::Cut(Overdue::Closing)));
    // For ever is too long.
    let mut connection = Connection::new(Timeouts::default());
    connection.deadlines.close(CLOSE_GRACE);
    for _ in 0..59 {
        advance(Duration::from_millis(500)).await;
        connection.deadlines.sent(true);
    }
    assert_eq!(connection.next_at().await, (30, Verdict::Cut(Overdue::Closing)));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_cross_a_goaway_on_a_slow_path() {
    let mut connection = Connection::new(Timeouts::default());
    drop(connection.request(Version::HTTP_2));
    connection.deadlines.tell();
    assert!(connection.deadlines.close(S(5)), "GOAWAY");
    assert_eq!(connection.deadlines.due(Instant::now()).verdict, Verdict::Wait);
    advance(S(4)).await;
    let stream = connection.request(Version::HTTP_2);
    advance(S(100)).await;
    assert_eq!(connection.deadlines.due(Instant::now()).verdict, Verdict::Wait, "it is answered first");
    drop(stream);
    // A client that does not answer the PING has no more than this.
    assert_eq!(connection.next_at().await, (104 + 5, Verdict::Cut(Overdue::Closing)));

    // HTTP/1 has been told with an answer, or not at all.
    let mut connection = Connection::new(Timeouts::default());
    drop(connection.request(Version::HTTP_11));
    connection.deadlines.tell();
    advance(S(2)).await;
    assert!(!connection.deadlines.close(S(5)));
    assert_eq!(connection.next_at().await, (2, Verdict::Cut(Overdue::Closing)));
}

#[tokio::test(start_paused = true)]
async fn a_preface_that_comes_late_is_answered_by_a_goaway() {
    let mut connection = Connection::new(Timeouts::default());
    connection.deadlines.tell();
    assert!(!connection.deadlines.close(S(5)), "it has not said its protocol");
    advance(Duration::from_millis(500)).await;
    connection.deadlines.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(connection.deadlines.close(S(5)));
    assert!(!connection.deadlines.close(S(5)), "one is enough");
    assert_eq!(connection.next_at().await, (5, Verdict::Cut(Overdue::Closing)));

    let mut connection = Connection::new(Timeouts::default());
    connection.deadlines.tell();
    connection.deadlines.close(S(5));
    connection.deadlines.received(b"GET");
    assert!(!connection.deadlines.close(S(5)));
    assert_eq!(connection.next_at().await, (1, Verdict::Cut(Overdue::Closing)));
}

/// The limits that have no key stand on the page of all limits.
#[test]
fn limits_without_a_key_are_documented() {
    let page = include_str!("../../../../../docs/timeouts.md");
    for (what, limit) in [
        ("a connection that is closing and has no stream, for the peer to take something", CLOSE_GRACE),
        ("the same, for a peer that takes a little again and again", LONGEST_GRACE),
        ("the answer 408 to a head that did not come", guard::ANSWER_LIMIT),
        ("a plugin's lookup of a name", portcullis_driver::RESOLVE_LIMIT),
    ] {
        let row = format!("| {what} | {}s |", limit.as_secs());
        assert!(page.contains(&row), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_of_a_configuration_that_was_replaced_are_cut() {
    let mut connection = Connection::new(NONE);
    let stream = connection.request(Version::HTTP_11);
    connection.deadlines.cut(0);
    assert_eq!(connection.deadlines.armed.get(), None, "it is of a later generation");
    connection.deadlines.cut(1);
    assert_eq!(connection.next_at().await, (0, Verdict::Wait));
    assert_eq!((connection.answering.len(), stream.expired()), (1, Some(Expired::Replaced)));
    drop(stream);
    let answered = connection.request(Version::HTTP_11);
    answered.head_gone();
    connection.deadlines.cut(2);
    assert_eq!(connection.next_at().await, (0, Verdict::Cut(Overdue::Stream(Expired::Replaced))));
    assert_eq!(answered.ended(), Some(Expired::Replaced));
}
