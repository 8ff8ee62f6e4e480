//! Examines an engine, and a host of one's own.
//!
//! `cargo run -p portcullis-conformance --example own_host`

use std::error::Error;
use std::sync::Arc;

use portcullis::engine::EngineSettings;
use portcullis::model::{Body, Direction, Headers, Plugin, SharedStreamInfo, StreamInfo};
use portcullis::{DefaultEngine, Module, PluginSpec, StreamEffect, SystemHost, Worker};
use portcullis_conformance::engine::examine_engine;
use portcullis_conformance::probe::Probe;
use portcullis_conformance::report;
use portcullis_conformance::{
    Examination, Feature, HostUnderTest, Message, Needs, Setting, Trouble, suite::start_configuration,
};

fn main() -> Result<(), Box<dyn Error>> {
    // An engine: whatever implements `AnyEngine`. Here one topic of its cases; "" is all of them.
    let engine = DefaultEngine::new(&EngineSettings::default())?;
    let report = examine_engine(&engine, "headers::");
    print!("{}", report::text(&report));

    // A host: whatever implements `HostUnderTest`.
    let mut host = ChainInMemory { engine, worker: None };
    // Nothing is known to differ, and what needs streams of TCP is left out.
    let examination = Examination::default().containing("exchange::").without([Feature::Tcp]);
    let report = examination.of(&mut host, env!("CARGO_PKG_VERSION"));
    print!("{}", report::text(&report));
    if report.counts().failed > 0 { Err("the host does not conform".into()) } else { Ok(()) }
}

/// A filter chain without sockets: requests go in, and the upstream is a function.
struct ChainInMemory {
    engine: DefaultEngine,
    worker: Option<(Worker, portcullis::Chain)>,
}

impl HostUnderTest for ChainInMemory {
    fn name(&self) -> &str {
        "chain in memory"
    }

    /// Makes a new worker with a new plugin for each task. A task that this host cannot do is reported as such, and is no failure.
    fn prepare(&mut self, needs: &Needs) -> Result<(), Trouble> {
        if needs.setting != Setting::Plain {
            return Err(Trouble::Unsupported("this host has one set-up"));
        }
        let probe = Probe::new(needs.abi);
        let wasm = probe.wasm().map_err(|error| Trouble::NoProbe(error.to_string()))?;
        let module = Module::load(&self.engine, wasm.into()).map_err(|error| Trouble::NoProbe(error.to_string()))?;
        let mut spec = PluginSpec::new(Plugin::new("test"), Arc::new(module));
        spec.vm.configuration = start_configuration(&probe).into();
        let mut worker = Worker::new(|| Box::new(SystemHost::new(|_| {})));
        let chain = worker.load(&[spec]).map_err(|error| Trouble::PluginEnded(error.to_string()))?;
        self.worker = Some((worker, chain));
        Ok(())
    }

    fn request(&mut self, request: &Message) -> Result<Message, Trouble> {
        let (worker, chain) = self.worker.as_mut().ok_or(Trouble::Unsupported("nothing was prepared"))?;
        let info = StreamInfo::default().into_shared();
        let stream = worker.open(chain, info.clone(), 1 << 20);
        send(worker, stream, Direction::Request, request);
        let (mut upstream, mut client) = (Message::default(), Message::default());
        let mut answered = false;
        while let Some(effect) = worker.stream_effect(stream) {
            let ended = match effect {
                StreamEffect::RequestHeaders { end } => {
                    upstream.headers = taken(&info, |info| &info.request_headers);
                    end
                }
                StreamEffect::RequestBody { body, end } => {
                    upstream.body = [upstream.body, body.to_bytes()].concat().into();
                    end
                }
                StreamEffect::RequestTrailers => {
                    upstream.trailers = taken(&info, |info| &info.request_trailers);
                    true
                }
                StreamEffect::ResponseHeaders { .. } => {
                    client.headers = taken(&info, |info| &info.response_headers);
                    false
                }
                StreamEffect::ResponseBody { body, .. } => {
                    client.body = [client.body, body.to_bytes()].concat().into();
                    false
                }
                StreamEffect::ResponseTrailers => {
                    client.trailers = taken(&info, |info| &info.response_trailers);
                    false
                }
                StreamEffect::Reset { reason } => return Err(Trouble::NoAnswer(reason.to_owned())),
                _ => false,
            };
            if ended && !std::mem::replace(&mut answered, true) {
                send(worker, stream, Direction::Response, &upstream.answer());
            }
        }
        worker.finish(stream);
        Ok(client)
    }
}

fn send(worker: &mut Worker, stream: portcullis::chain::StreamId, direction: Direction, message: &Message) {
    let (no_body, no_trailers) = (message.body.is_empty(), message.trailers.is_empty());
    worker.headers(stream, direction, headers(&message.headers), no_body && no_trailers);
    if !no_body {
        worker.body(stream, direction, Body::from(message.body.clone()), no_trailers);
    }
    if !no_trailers {
        worker.trailers(stream, direction, headers(&message.trailers));
    }
}

fn headers(pairs: &[(String, String)]) -> Headers {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn taken(info: &SharedStreamInfo, which: fn(&StreamInfo) -> &Option<Headers>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = |headers: &Headers| headers.iter().map(|(name, value)| (text(name), text(value))).collect();
    info.with(|info| which(info).as_ref().map(pairs).unwrap_or_default())
}
