//! A driver that does one step after the other, to whatever it knows an id of.

use std::time::Duration;

use super::guests::{self, Behaviour};
use bytes::Bytes;
use portcullis_chain::{
    CalloutId, Chain, ConnectionId, Effect, PluginSpec, StreamEffect, StreamId, Worker, local_response,
};
use portcullis_core::abi::PeerType;
use portcullis_core::model::{CallResponse, Direction, Headers, StreamInfo};
use portcullis_core::resources::{GrpcEvent, Host};
use portcullis_core::testing::FakeHost;
use portcullis_core::vm::CallOutcome;

/// A step of a driver: which kind of thing it does, to which of those that it knows, and in which way.
pub(super) type Step = (u8, u8, u8);

/// How far a message has been fed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
enum Fed {
    #[default]
    Nothing,
    Headers,
    End,
}

/// A driver: all ids that it was ever given, and whether they are of something that is there.
pub(super) struct Driver {
    worker: Worker,
    host: FakeHost,
    specs: Vec<PluginSpec>,
    chains: Vec<(Chain, bool)>,
    streams: Vec<(StreamId, bool)>,
    connections: Vec<(ConnectionId, bool)>,
    callouts: Vec<(CalloutId, bool)>,
    /// How far each direction of each stream has been fed.
    fed: Vec<[Fed; 2]>,
    /// All that it has seen.
    pub(super) seen: Vec<String>,
    /// Whether it uses ids of what has gone.
    uses_stale: bool,
    /// How often it has.
    pub(super) stale: u64,
    now: Duration,
}

/// Picks one of what a driver knows; marks it as gone if the step ends it.
fn pick<T: Clone>(known: &mut [(T, bool)], which: u8, ends: bool) -> Option<(T, bool)> {
    let count = known.len().max(1);
    let (id, is_live) = known.get_mut(usize::from(which) % count)?;
    let was_live = *is_live;
    *is_live &= !ends;
    Some((id.clone(), was_live))
}

impl Driver {
    pub(super) fn new(behaviours: &[Behaviour], uses_stale: bool) -> Self {
        let host = FakeHost::new().with_upstream("auth");
        let hosts = host.clone();
        let mut driver = Self {
            worker: Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>),
            host,
            specs: guests::specs(behaviours),
            chains: Vec::new(),
            streams: Vec::new(),
            connections: Vec::new(),
            callouts: Vec::new(),
            fed: Vec::new(),
            seen: Vec::new(),
            uses_stale,
            stale: 0,
            now: Duration::ZERO,
        };
        driver.load(0);
        driver.load(1);
        driver
    }

    fn load(&mut self, which: u8) {
        let specs = if which.is_multiple_of(2) { &self.specs[..2] } else { &self.specs[1..] };
        match self.worker.load(specs) {
            Ok(chain) => self.chains.push((chain, true)),
            Err(error) => self.seen.push(error.to_string()),
        }
    }

    /// Says whether a step is to be made over what is there, or has gone.
    fn may_use(&mut self, is_live: bool) -> bool {
        self.stale += u64::from(!is_live && self.uses_stale);
        is_live || self.uses_stale
    }

    /// Does a step, and takes the effects.
    pub(super) fn step(&mut self, (kind, which, way): Step) {
        let direction = if way.is_multiple_of(2) { Direction::Request } else { Direction::Response };
        let end = way & 2 != 0;
        match kind % 16 {
            0 | 1 => self.open(which, kind.is_multiple_of(2)),
            2 => self.pass_time(),
            3 => match way % 4 {
                0 => self.load(which),
                1 => _ = self.worker.tier_up(),
                _ => self.unload(which),
            },
            4 => self.finish(which),
            5..=10 => self.step_stream(which, kind % 16, direction, end),
            11 | 12 => self.step_connection(which, way, direction, end),
            _ => self.step_callout(which, way),
        }
        self.look();
    }

    fn open(&mut self, which: u8, http: bool) {
        // Over one that is unloaded, too: its plugins answer as if they had failed.
        let Some((chain, _)) = pick(&mut self.chains, which, false) else { return };
        let info = StreamInfo { connection_id: u64::from(which % 3), ..StreamInfo::default() }.into_shared();
        if http {
            self.streams.push((self.worker.open(&chain, info, 8), true));
            self.fed.push(Default::default());
        } else {
            self.connections.push((self.worker.connect(&chain, info, 8), true));
        }
    }

    fn pass_time(&mut self) {
        self.now += Duration::from_secs(1);
        self.host.set_time(u64::try_from(self.now.as_nanos()).unwrap());
        for _ in 0..4 {
            self.worker.tick();
        }
    }

    fn unload(&mut self, which: u8) {
        let Some((chain, is_live)) = pick(&mut self.chains, which, true) else { return };
        if self.may_use(is_live) {
            self.worker.unload(&chain);
        }
    }

    fn finish(&mut self, which: u8) {
        if let Some((id, is_live)) = pick(&mut self.streams, which, true)
            && self.may_use(is_live)
        {
            self.worker.finish(id);
        }
        if let Some((id, is_live)) = pick(&mut self.connections, which, true)
            && self.may_use(is_live)
        {
            self.worker.finish_connection(id);
        }
    }

    fn step_stream(&mut self, which: u8, kind: u8, direction: Direction, end: bool) {
        let Some((id, is_live)) = pick(&mut self.streams, which, false) else { return };
        if !self.may_use(is_live) || is_live && !self.feed(which, kind, direction, end) {
            return;
        }
        let worker = &mut self.worker;
        let asked = match kind {
            5 | 6 => {
                let headers: Headers = [(":method", "POST"), (":status", "200")].into_iter().collect();
                worker.headers(id, direction, headers, end);
                None
            }
            7 => {
                worker.body(id, direction, Bytes::from_static(b"abc").into(), end);
                None
            }
            8 => {
                worker.trailers(id, direction, [("t", "1")].into_iter().collect());
                None
            }
            9 if end => {
                worker.fail(id, local_response(502, "", "gone"), "upstream_reset", "reset".to_owned());
                None
            }
            9 => {
                worker.reply(id, local_response(404, "", "none"));
                None
            }
            _ => {
                let (wants, hears) = (worker.wants_body(id, direction), worker.hears_body(id, direction));
                Some(format!("{wants} {hears} {:?}", worker.resized(id, direction)))
            }
        };
        match (asked, is_live) {
            (Some(asked), true) => self.seen.push(asked),
            (Some(asked), false) => assert_eq!(asked, "false false []", "of a stream that is over"),
            (None, _) => {}
        }
    }

    /// Notes what is fed to a stream; says whether a driver may feed it now: a message has an order, and a response comes after its request.
    fn feed(&mut self, which: u8, kind: u8, direction: Direction, end: bool) -> bool {
        let index = usize::from(which) % self.fed.len();
        let [request, response] = &mut self.fed[index];
        let has_request = *request != Fed::Nothing;
        let fed = if direction == Direction::Request { request } else { response };
        let (may, next) = match kind {
            5 | 6 => (*fed == Fed::Nothing && (direction == Direction::Request || has_request), Fed::Headers),
            7 => (*fed == Fed::Headers, Fed::Headers),
            8 => (*fed == Fed::Headers, Fed::End),
            _ => return true,
        };
        if may {
            *fed = if end { Fed::End } else { next };
        }
        may
    }

    fn step_connection(&mut self, which: u8, way: u8, direction: Direction, end: bool) {
        let Some((id, is_live)) = pick(&mut self.connections, which, false) else { return };
        if !self.may_use(is_live) {
            return;
        }
        match way % 5 {
            0 => self.worker.connection_closed(id, direction, PeerType::Remote),
            1 => {
                let wants = self.worker.wants_data(id, direction);
                assert!(is_live || !wants, "data of a stream that is over");
            }
            _ => self.worker.data(id, direction, Bytes::from_static(b"xyz").into(), end),
        }
    }

    fn step_callout(&mut self, which: u8, way: u8) {
        let Some((id, is_live)) = pick(&mut self.callouts, which, true) else { return };
        if !self.may_use(is_live) {
            return;
        }
        if way & 4 != 0 {
            let (turn, room) = (self.worker.answer_turn(id), self.worker.answer_room(id));
            assert!(is_live || turn.is_none() && room.is_none(), "of a callout that is over");
        }
        match way % 4 {
            0 if !is_live => self.worker.resolved(id, &[]),
            1 if !is_live => self.worker.grpc_event(id, GrpcEvent::Message(Bytes::new())),
            2 => self.worker.callout_done(id, CallOutcome::Reset("reset".to_owned())),
            _ => self.worker.callout_done(id, CallOutcome::Response(CallResponse::default())),
        }
    }

    /// Takes all effects.
    fn look(&mut self) {
        while let Some(effect) = self.worker.effect() {
            match &effect {
                Effect::Callout { id, .. } => self.callouts.push((*id, true)),
                Effect::CancelCallout { id } => {
                    let known = self.callouts.iter_mut().find(|(of, _)| of == id);
                    assert!(std::mem::take(&mut known.unwrap().1), "{id:?} is cancelled, and was in flight");
                }
                _ => {}
            }
            self.seen.push(format!("{effect:?}"));
        }
        let uses = |is_live: bool, stale: &mut u64| {
            *stale += u64::from(!is_live && self.uses_stale);
            is_live || self.uses_stale
        };
        for (id, is_live) in self.streams.iter().filter(|(_, is_live)| uses(*is_live, &mut self.stale)) {
            while let Some(effect) = self.worker.stream_effect(*id) {
                assert!(*is_live, "{effect:?} of a stream that is over");
                let body = match &effect {
                    StreamEffect::RequestBody { body, .. } | StreamEffect::ResponseBody { body, .. } => body.to_bytes(),
                    _ => Bytes::new(),
                };
                self.seen.push(format!("{id:?} {effect:?} {body:?}"));
            }
        }
        for (id, is_live) in self.connections.iter().filter(|(_, is_live)| uses(*is_live, &mut self.stale)) {
            while let Some(effect) = self.worker.connection_effect(*id) {
                assert!(*is_live, "{effect:?} of a connection that is over");
                self.seen.push(format!("{id:?} {effect:?}"));
            }
        }
    }

    /// Ends all streams, and takes the worker down.
    pub(super) fn take_down(&mut self) {
        let all = 0..u8::try_from(self.streams.len().max(self.connections.len())).unwrap();
        all.for_each(|which| self.finish(which));
        self.worker.shut_down();
        self.look();
        let lines = self.host.lines().into_iter().map(|line| format!("{}: {}", line.plugin, line.message));
        self.seen.extend(lines);
    }

    /// Returns how often the worker has counted an id of something that has gone.
    pub(super) fn counted(&self) -> u64 {
        let shown = format!("{:?}", self.worker);
        let number = shown.split("stale_ids: ").nth(1).and_then(|rest| rest.split(&[',', ' '][..]).next());
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{shown} counts no ids"))
    }
}
