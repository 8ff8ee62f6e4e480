use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use super::call::Left;
use crate::abi::{PeerType, StreamType};
use crate::model::action::{Action, CallId};
use crate::model::body::Body;
use crate::model::context::{Access, CallResponse, ContextId, Direction};
use crate::model::headers::Headers;
use crate::model::plugin::Plugin;
use crate::model::steering::Steering;
use crate::model::stream_info::StreamInfo;
use crate::resources::dns::LookupId;
use crate::resources::files::Preopen;
use crate::resources::grpc::{GrpcEvent, GrpcId};
use crate::testing::{FakeFiles, FakeHost};
use crate::vm::{CallOutcome, Vm};

/// Streams at once, so that inputs stay short.
const MOST_STREAMS: usize = 4;
/// Events of one input.
const MOST_STEPS: usize = 256;

/// A VM and what an embedder knows of it.
pub(super) struct World {
    vm: Vm,
    host: FakeHost,
    secret: String,
    is_ruled: bool,
    roots: Vec<ContextId>,
    streams: Vec<ContextId>,
    calls: Vec<CallId>,
    grpc: Vec<GrpcId>,
    lookups: Vec<LookupId>,
    /// Messages of actions, which count until they are dropped.
    held: Vec<Bytes>,
    steps: usize,
}

pub(super) fn files() -> FakeFiles {
    FakeFiles::new(&[("ro/file", b"0123456789"), ("ro/folder/b", b"bb"), ("rw/file", b"cc")])
}

pub(super) fn preopens() -> Vec<Preopen> {
    let preopen = |guest: &str, host: &str, write| Preopen { guest: guest.into(), host: host.into(), write };
    vec![preopen("/ro", "ro", false), preopen("/rw", "rw", true)]
}

impl World {
    pub(super) fn new(vm: Vm, host: FakeHost, secret: String, is_ruled: bool) -> Self {
        Self {
            vm,
            host,
            secret,
            is_ruled,
            roots: Vec::new(),
            streams: Vec::new(),
            calls: Vec::new(),
            grpc: Vec::new(),
            lookups: Vec::new(),
            held: Vec::new(),
            steps: 0,
        }
    }

    pub(super) fn memory(&mut self) -> &[u8] {
        self.vm.memory()
    }

    pub(super) fn add(&mut self, plugin: Plugin) {
        if let Ok(root) = self.vm.add_plugin(plugin.into()) {
            self.roots.push(root);
        }
    }

    /// Has one thing happen; says whether another may.
    pub(super) fn step(&mut self, left: &Left) -> bool {
        self.steps += 1;
        if left.is_empty() || self.roots.is_empty() || self.steps > MOST_STEPS {
            return false;
        }
        let (what, which) = left.read(|input| (input.byte(), input.byte()));
        let root = self.roots[usize::from(which) % self.roots.len()];
        let chosen = self.streams.get(usize::from(which) % self.streams.len().max(1)).copied();
        match what % 20 {
            0 => self.open(root, which & 64 != 0, left),
            1 => ignore(self.vm.on_tick(root)),
            2 => ignore(self.vm.on_queue_ready()),
            3 => {
                let arguments = left.read(|input| Bytes::copy_from_slice(input.bytes()));
                ignore(self.vm.on_foreign_function(chosen.unwrap_or(root), which.into(), arguments));
            }
            4 => self.answer_call(which, left),
            5 => self.answer_grpc(which, left),
            6 => {
                if let Some(id) = pick(&self.lookups, which) {
                    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                    ignore(self.vm.on_resolve_dns(id, &addresses[..usize::from(which >> 4) % 3]));
                }
            }
            7 => ignore(self.vm.end_root(root)),
            8 => self.host.advance(u64::from(which) << 24),
            9 => self.held.clear(),
            what => {
                if let Some(stream) = chosen {
                    self.on_stream(stream, what, which, left);
                }
            }
        }
        self.take_actions();
        true
    }

    fn open(&mut self, root: ContextId, is_tcp: bool, left: &Left) {
        if self.streams.len() >= MOST_STREAMS {
            return;
        }
        let info = StreamInfo {
            id: 7,
            request_headers: left.read(|input| input.flag()).then(|| self.headers(&[(":path", "/p")])),
            steering: is_tcp.then(Steering::default),
            ..StreamInfo::default()
        };
        let info = info.into_shared();
        let stream = if is_tcp { self.vm.create_tcp_stream(root, info) } else { self.vm.create_stream(root, info) };
        self.streams.extend(stream);
    }

    fn on_stream(&mut self, stream: ContextId, what: u8, which: u8, left: &Left) {
        let direction = if which & 16 == 0 { Direction::Request } else { Direction::Response };
        let access = [Access::Write, Access::Read, Access::None, Access::Write][usize::from(which >> 6)];
        let end = which & 32 != 0;
        match what {
            10 => {
                let headers = match direction {
                    Direction::Request => self.headers(&[(":method", "GET"), (":path", "/p?q"), (":authority", "a")]),
                    Direction::Response => self.headers(&[(":status", "200"), ("x-a", "1"), ("X-A", "2")]),
                };
                let Some(lent) = self.vm.stream(stream) else { return };
                lent.lend_headers(direction, headers, access);
                ignore(self.vm.on_headers(stream, direction, end));
            }
            11 | 12 => {
                let body = left.read(|input| Bytes::copy_from_slice(input.bytes()));
                let Some(lent) = self.vm.stream(stream) else { return };
                lent.lend_body(direction, Body::from(body));
                ignore(self.vm.on_body(stream, direction, end));
            }
            13 => {
                let trailers = end.then(|| self.headers(&[("t", "1")]));
                let Some(lent) = self.vm.stream(stream) else { return };
                lent.lend_trailers(direction, trailers, access);
                ignore(self.vm.on_trailers(stream, direction));
            }
            14 => ignore(self.vm.on_new_connection(stream)),
            15 => {
                let data = left.read(|input| Bytes::copy_from_slice(input.bytes()));
                let Some(lent) = self.vm.stream(stream) else { return };
                lent.lend_body(direction, Body::from(data));
                ignore(self.vm.on_data(stream, direction, end));
            }
            16 => {
                let peer = if end { PeerType::Local } else { PeerType::Remote };
                ignore(self.vm.on_connection_close(stream, direction, peer));
            }
            17 => {
                // What has passed on is taken back.
                let Some(lent) = self.vm.stream(stream) else { return };
                lent.take_headers(direction);
                lent.take_body(direction);
                lent.take_trailers(direction);
            }
            18 => {
                ignore(self.vm.on_log(stream));
                ignore(self.vm.on_done(stream));
            }
            _ => {
                ignore(self.vm.delete(stream));
                self.streams.retain(|other| *other != stream);
            }
        }
    }

    fn answer_call(&mut self, which: u8, left: &Left) {
        let Some(call) = pick(&self.calls, which) else { return };
        let body = left.read(|input| Bytes::copy_from_slice(input.bytes()));
        let outcome = if which & 16 == 0 {
            let (headers, trailers) = (self.headers(&[(":status", "200")]), self.headers(&[]));
            CallOutcome::Response(CallResponse { headers, body: Body::from(body), trailers })
        } else {
            CallOutcome::Reset("broken".to_owned())
        };
        ignore(self.vm.on_http_call_response(call, outcome));
        self.calls.retain(|other| *other != call);
    }

    fn answer_grpc(&mut self, which: u8, left: &Left) {
        let Some(id) = pick(&self.grpc, which) else { return };
        let event = match which >> 4 & 3 {
            0 => GrpcEvent::InitialMetadata(self.headers(&[(":status", "200")])),
            1 => GrpcEvent::Message(left.read(|input| Bytes::copy_from_slice(input.bytes()))),
            2 => GrpcEvent::TrailingMetadata(self.headers(&[("grpc-status", "0")])),
            _ => GrpcEvent::Close { status: u32::from(which & 15), message: "over".to_owned() },
        };
        ignore(self.vm.on_grpc(id, event));
    }

    /// These headers, and one that rules hide.
    fn headers(&self, entries: &[(&str, &str)]) -> Headers {
        entries.iter().copied().chain([("Authorization", self.secret.as_str())]).collect()
    }

    fn take_actions(&mut self) {
        while let Some(action) = self.vm.next_action() {
            match action {
                Action::HttpCall { call, request, .. } => {
                    self.calls.push(call);
                    let path = request.headers.get(b":path").unwrap_or_default();
                    if self.is_ruled {
                        let rest = path.strip_prefix(b"/check");
                        assert!(rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?'))), "{path:?}");
                        assert!(!path.windows(2).take_while(|two| two[0] != b'?').any(|two| two == b".."), "{path:?}");
                        assert_eq!(request.headers.get(b":method"), Some(&b"GET"[..]));
                    }
                    assert_eq!(request.upstream, "up", "there is no other");
                    self.held.push(request.body);
                }
                Action::GrpcStart { id, request, .. } => {
                    self.grpc.push(id);
                    self.held.extend(request.message);
                }
                Action::GrpcSend { message, .. } => self.held.push(message),
                Action::GrpcCancel { id } => self.grpc.retain(|other| *other != id),
                Action::ResolveDns { id, name, .. } => {
                    assert!((1..=253).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()));
                    self.lookups.push(id);
                }
                Action::LocalResponse { context, response } => {
                    assert!((200..=599).contains(&response.status));
                    assert!(response.grpc_status.is_none_or(|status| status <= 16));
                    // What an embedder does: the answer goes through the plugins as a response.
                    if let Some(stream) = self.vm.stream(context) {
                        stream.lend_headers(Direction::Response, response.headers, Access::Write);
                    }
                }
                Action::Close { stream, .. } => {
                    assert!(matches!(
                        stream,
                        StreamType::Request | StreamType::Response | StreamType::Downstream | StreamType::Upstream
                    ));
                }
                Action::RootDone { root } => {
                    ignore(self.vm.delete(root));
                    self.roots.retain(|other| *other != root);
                }
                _ => {}
            }
        }
    }
}

fn pick<T: Copy>(list: &[T], which: u8) -> Option<T> {
    list.get(usize::from(which & 15) % list.len().max(1)).copied()
}

/// An event may fail, as an embedder may go on after.
fn ignore<T>(_: T) {}
