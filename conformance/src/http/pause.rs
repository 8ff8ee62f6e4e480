//! Whether a pause holds, seen from both ends of the host.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use portcullis_core::abi::{AbiVersion, CallbackId};

use super::HttpHost;
use super::upstream::{LATER, MORE, Seen, Upstream};
use crate::decisions::{Decision, Event, Way};
use crate::host_under_test::{HostUnderTest, Needs, Setting, Trouble};
use crate::kit::{ask, compile, subject};
use crate::probe::dialogue;

/// How often is looked whether something has come about.
const LOOKS: usize = 1500;

/// A stream that the probe pauses, and what can be seen of it.
struct Held<'a> {
    host: &'a mut HttpHost,
    upstream: Upstream,
    client: TcpStream,
    decision: Decision,
    /// The bytes that the client has sent, and got so far.
    said: Vec<&'static [u8]>,
    got: Vec<u8>,
    /// TCP connections beside the stream's, and how many bytes went over each.
    others: usize,
    before: Seen,
}

/// The bytes that have passed the host, whichever way the decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Passed(usize, usize, usize);

/// Brings about a pause and something later.
pub(super) fn decide(host: &mut HttpHost, decision: &Decision) -> Result<String, Trouble> {
    let Some(upstream) = host.upstream.clone() else {
        return Err(Trouble::Unsupported("the kit does not serve its upstream"));
    };
    let target = match (decision.way().is_tcp(), &host.tcp) {
        (true, Some(tcp)) => tcp.clone(),
        (true, None) => return Err(Trouble::Unsupported("no TCP listener was given")),
        (false, _) => host.targets.first().map(|(_, client)| client.authority().to_owned()).unwrap_or_default(),
    };
    host.prepare(&Needs { abi: AbiVersion::V0_2_1, setting: Setting::Plain, starts: false })?;
    ask(host, &dialogue::hold(decision.phase, decision.result, decision.asked_again()))?;
    if decision.event == Event::OwnAnswer {
        lead(host, decision.phase, Some(decision.result), &callout())?;
    }
    // Connections of others, which clients have closed, end before this one is looked at.
    for _ in 0..LOOKS {
        let Seen { connections, closed, .. } = upstream.seen();
        if connections == closed {
            break;
        }
        host.wait();
    }
    let before = upstream.seen();
    let client = connect(&target).map_err(no_answer)?;
    let held =
        Held { host, upstream, client, decision: *decision, said: Vec::new(), got: Vec::new(), others: 0, before };
    let observed = held.observe();
    // Whatever came of it, the next is not to be held.
    ask(host, dialogue::LET_GO)?;
    ask(host, dialogue::QUIET)?;
    observed
}

impl Held<'_> {
    fn observe(mut self) -> Result<String, Trouble> {
        self.open()?;
        self.until_called(self.decision.phase)?;
        self.let_others_pass()?;
        let paused = self.passed();
        if !self.is_paused(paused) {
            return Ok("not held".to_owned());
        }
        self.happen()?;
        self.let_others_pass()?;
        if self.passed() != paused {
            return Ok("passed at once".to_owned());
        }
        self.go_on()?;
        for _ in 0..LOOKS {
            if self.is_complete() {
                return Ok(crate::decisions::EXPECTED.to_owned());
            }
            self.host.wait();
        }
        Ok("held for ever".to_owned())
    }

    /// Sends as much of a message as leads to the pause.
    fn open(&mut self) -> Result<(), Trouble> {
        use CallbackId as Id;
        if self.decision.way().is_tcp() {
            // What a new connection says first is what comes later.
            return if self.decision.phase == Id::on_new_connection { Ok(()) } else { self.say(HELLO) };
        }
        self.say(HEAD)?;
        match self.decision.phase {
            Id::on_request_body | Id::on_response_body => self.say(CHUNK),
            Id::on_request_trailers | Id::on_response_trailers => {
                self.say(CHUNK)?;
                self.say(TRAILERS)
            }
            _ => Ok(()),
        }
    }

    /// Makes happen what happens later.
    fn happen(&mut self) -> Result<(), Trouble> {
        match (self.decision.event, self.decision.way()) {
            (Event::Data | Event::OwnAnswer, Way::Request | Way::Response) => self.say(CHUNK),
            (Event::Data | Event::OwnAnswer, Way::Downstream) => self.say(HELLO),
            (Event::Data | Event::OwnAnswer, Way::Upstream) => self.say(MORE),
            (Event::End, Way::Request | Way::Response) => self.say(END),
            (Event::End, Way::Downstream | Way::Upstream) => self.shut(),
            (Event::Trailers, _) => self.say(TRAILERS),
            (Event::Tick, _) => {
                let ticks = self.ticks()?;
                self.until(|held| Ok(held.ticks()? > ticks + 1))
            }
            (Event::Answer, _) => {
                let waiting = self.upstream.seen().waiting;
                lead(self.host, CallbackId::on_tick, None, &callout())?;
                self.until(|held| Ok(held.upstream.seen().waiting > waiting))?;
                let way = self.decision.way().stream_type();
                lead(self.host, CallbackId::on_http_call_response, None, &format!("proxy_continue_stream {way}"))?;
                self.upstream.answer();
                self.until_called(CallbackId::on_http_call_response)
            }
        }
    }

    /// Has the probe continue the stream, and sends the rest.
    fn go_on(&mut self) -> Result<(), Trouble> {
        ask(self.host, dialogue::LET_GO)?;
        let way = self.decision.way();
        let script = format!("proxy_set_effective_context subject; proxy_continue_stream {}", way.stream_type());
        if self.decision.event == Event::OwnAnswer {
            lead(self.host, CallbackId::on_http_call_response, None, &script)?;
            self.upstream.answer();
        } else {
            lead(self.host, CallbackId::on_tick, None, &script)?;
        }
        let has_ended = matches!(self.decision.event, Event::End | Event::Trailers)
            || matches!(self.decision.phase, CallbackId::on_request_trailers | CallbackId::on_response_trailers);
        match way {
            _ if has_ended => Ok(()),
            Way::Request | Way::Response => self.say(END),
            Way::Downstream if self.decision.phase == CallbackId::on_new_connection => self.say(HELLO),
            Way::Downstream | Way::Upstream => self.say(MORE),
        }
    }

    /// Returns the bytes that have passed so far.
    fn passed(&mut self) -> Passed {
        let Seen { heads, bytes, ends, connections, data, closed, .. } = self.upstream.seen();
        match self.decision.way() {
            Way::Request => Passed(heads - self.before.heads, bytes - self.before.bytes, ends - self.before.ends),
            Way::Downstream => {
                let (connections, data) = (connections - self.before.connections, data - self.before.data);
                Passed(
                    connections - self.others,
                    data - self.others * HELLO.len(),
                    (closed - self.before.closed).saturating_sub(self.others),
                )
            }
            Way::Response | Way::Upstream => {
                let is_open = self.read();
                Passed(self.got.len(), usize::from(is_open), 0)
            }
        }
    }

    /// Returns whether no more has passed than what came before the part that is paused.
    fn is_paused(&self, passed: Passed) -> bool {
        use CallbackId as Id;
        match self.decision.phase {
            Id::on_request_headers | Id::on_new_connection => passed == Passed(0, 0, 0),
            Id::on_request_body | Id::on_downstream_data => passed == Passed(1, 0, 0),
            Id::on_request_trailers => passed == Passed(1, DATA.len(), 0),
            // Of a head, a host may wait for a body before it sends one.
            Id::on_response_body => !self.got.windows(DATA.len()).any(|bytes| bytes == DATA),
            Id::on_response_trailers => passed.1 == 1,
            _ => self.got.is_empty(),
        }
    }

    /// Returns whether all has passed: every byte, and the end if it was said.
    fn is_complete(&mut self) -> bool {
        let is_open = self.read();
        let said = |text: &[u8]| self.said.iter().filter(|said| **said == text).count();
        let (chunks, hellos, more) = (said(CHUNK), said(HELLO), said(MORE));
        match self.decision.way() {
            Way::Request => self.passed() == Passed(1, chunks * DATA.len(), 1),
            Way::Response => {
                let got = self.got.windows(DATA.len()).filter(|bytes| *bytes == DATA).count();
                !is_open && self.got.starts_with(b"HTTP/1.1 200 ") && got == chunks
            }
            Way::Downstream => {
                let ends = usize::from(self.decision.event == Event::End);
                self.passed() == Passed(1, hellos * HELLO.len() + more * MORE.len(), ends)
            }
            Way::Upstream => {
                let has_ended = self.decision.event == Event::End;
                self.got == HELLO.repeat(hellos + more) && is_open != has_ended
            }
        }
    }

    /// Lets two other streams pass, one after the other: whatever the host was to do with this one before, it has done,
    /// and the upstream has got it. The host reads sockets in turn and has one connection to the upstream, over which
    /// nothing overtakes; connections of TCP are accepted in turn.
    fn let_others_pass(&mut self) -> Result<(), Trouble> {
        for _ in 0..2 {
            if self.decision.way().is_tcp() {
                self.others += 1;
                let answer = self.host.connect(HELLO)?;
                if answer != HELLO {
                    return Err(Trouble::NoAnswer("another connection is held, too".to_owned()));
                }
                let (closed, others) = (self.before.closed, self.others);
                self.until(|held| Ok(held.upstream.seen().closed >= closed + others))?;
            } else {
                self.host.request(&subject())?;
            }
        }
        Ok(())
    }

    /// Reads what has come for the client; whether more may come.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.client.read(&mut bytes) {
                Ok(0) => return false,
                Ok(read) => self.got.extend(bytes.get(..read).unwrap_or_default()),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    fn say(&mut self, bytes: &'static [u8]) -> Result<(), Trouble> {
        self.said.push(bytes);
        self.client.write_all(bytes).map_err(no_answer)
    }

    fn shut(&mut self) -> Result<(), Trouble> {
        self.client.shutdown(Shutdown::Write).map_err(no_answer)
    }

    fn until_called(&mut self, phase: CallbackId) -> Result<(), Trouble> {
        self.until(|held| Ok(held.trace()?.contains(&(phase as u8))))
    }

    fn until(&mut self, mut condition: impl FnMut(&mut Self) -> Result<bool, Trouble>) -> Result<(), Trouble> {
        for _ in 0..LOOKS {
            if condition(self)? {
                return Ok(());
            }
            self.host.wait();
        }
        Err(Trouble::NotCalled)
    }

    fn trace(&mut self) -> Result<Vec<u8>, Trouble> {
        Ok(ask(self.host, dialogue::TRACE)?.bytes)
    }

    fn ticks(&mut self) -> Result<usize, Trouble> {
        Ok(self.trace()?.iter().filter(|row| **row == CallbackId::on_tick as u8).count())
    }
}

const HELLO: &[u8] = b"hello";
const HEAD: &[u8] =
    b"POST /echo HTTP/1.1\r\nhost: probe.test\r\nte: trailers\r\ntrailer: x-trailer\r\nconnection: close\r\n\
    transfer-encoding: chunked\r\n\r\n";
const DATA: &[u8] = b"abc";
const CHUNK: &[u8] = b"3\r\nabc\r\n";
const END: &[u8] = b"0\r\n\r\n";
const TRAILERS: &[u8] = b"0\r\nx-trailer: sent\r\n\r\n";

/// Returns a socket that is never waited for.
fn connect(target: &str) -> io::Result<TcpStream> {
    let client = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    client.set_nonblocking(true)?;
    Ok(client)
}

fn no_answer(error: io::Error) -> Trouble {
    Trouble::NoAnswer(error.to_string())
}

fn lead(host: &mut HttpHost, phase: CallbackId, returns: Option<u8>, script: &str) -> Result<(), Trouble> {
    ask(host, &dialogue::lead(phase, returns, &compile(script, 0)?)).map(drop)
}

/// Returns a callout that is answered when the kit says so.
fn callout() -> String {
    let pairs: [(&str, &str); 3] = [(":method", "GET"), (":path", LATER), (":authority", "a")];
    let word = |number: usize| format!("\\{number:02x}\\00\\00\\00");
    let lengths: String = pairs.iter().map(|(name, value)| word(name.len()) + &word(value.len())).collect();
    let texts: String = pairs.iter().map(|(name, value)| format!("{name}~{value}~")).collect();
    format!("proxy_http_call 'auth' '{}{lengths}{texts}' '' '' 60000 64", word(pairs.len()))
}
