//! Network filters: a connection of a client.

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use portcullis::abi::{LogLevel, PeerType};
use portcullis::chain::{ConnectionEffect, ConnectionId};
use portcullis::model::{Body, Direction, SharedStreamInfo, StreamInfo};
use portcullis::{Chain, Worker};
use tokio::task::AbortHandle;

use crate::call::{Call, WOKEN};
use crate::callouts::{Exchanges, Outbox};
use crate::envoy::{self, StreamAttributes, Tcp};
use crate::process::{Loaded, Shard};

/// How much a direction may hold where Envoy has no limit.
const LIMIT: usize = 1 << 20;

/// `envoy_dynamic_module_type_on_network_filter_data_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum DataStatus {
    Continue = 0,
    StopIteration = 1,
}

/// A connection in a filter. Shared and not borrowed for change, since hooks run within others.
///
/// | event | to the chain | back |
/// |---|---|---|
/// | new connection | `connect` | Continue, or StopIteration until the plugin lets it go on |
/// | data of a direction | `data` | what leaves takes their place; what leaves later is injected behind the filter |
/// | the chain holds as much of the client's data as it may | | the client is not read until it holds less |
/// | the same of the upstream's | | the connection is cut: the ABI has no function that stops reading there |
/// | closed by either side | `connection_closed`, at the end `finish_connection` | |
/// | a plugin closes a side | | the client's connection is closed, once all is written, as Envoy's own filter does for either side |
#[derive(Debug)]
pub(crate) struct Filter {
    loaded: Arc<Loaded>,
    shard: Shard,
    id: ConnectionId,
    info: SharedStreamInfo,
    attributes: Arc<dyn StreamAttributes>,
    call: Option<Arc<Call>>,
    /// Passes wake-ups of the chain on.
    task: Option<AbortHandle>,
    /// The plugin lets the connection go on.
    is_connected: Cell<bool>,
    /// Envoy was told to wait with the connection.
    waits: Cell<bool>,
    is_read_stopped: Cell<bool>,
    has_closed: Cell<bool>,
    is_over: Cell<bool>,
    /// The revision of properties that Envoy knows.
    published: Cell<u64>,
    early: RefCell<Vec<(Direction, Body, bool)>>,
    /// Requests that are made by way of the connection.
    pub(crate) exchanges: Exchanges,
    outbox: Arc<Outbox>,
}

/// Effects of one step.
#[derive(Debug, Default)]
struct Step {
    data: Vec<(Direction, Body, bool)>,
    close: Option<&'static str>,
    cut: Option<&'static str>,
}

impl Filter {
    /// Begins a connection; `None` if the plugin runs nowhere.
    pub(crate) fn new(loaded: &Arc<Loaded>, envoy: &mut dyn Tcp) -> Option<Self> {
        let worker = envoy.worker();
        let (shard, chain): (&Shard, &Chain) = loaded.on(worker)?;
        let attributes = envoy.attributes();
        let pulled: Arc<dyn portcullis::model::Attributes> = Arc::<dyn StreamAttributes>::clone(&attributes);
        let info = StreamInfo {
            connection_id: envoy.id(),
            start_time: loaded.process().host().clock.wall(),
            attributes: Some(pulled),
            ..StreamInfo::default()
        };
        let info = info.into_shared();
        let limit = match envoy.buffer_limit() {
            0 => LIMIT,
            limit => limit as usize,
        };
        let id = shard.with(|worker| worker.connect(chain, info.clone(), limit));
        let outbox = Arc::new(Outbox::new(envoy.scheduler()));
        shard.upstreams().add(id, Arc::clone(&outbox));
        let call = envoy.scheduler().map(|scheduler| Arc::new(Call::new(Some(scheduler))));
        let task = call.clone().zip(loaded.process().runtime(worker)).map(|(call, runtime)| {
            let woken = shard.connection_woken(id);
            let pass_on = async move {
                loop {
                    woken.notified().await;
                    call.call(WOKEN);
                }
            };
            runtime.spawn(pass_on).abort_handle()
        });
        shard.pump();
        Some(Self {
            loaded: Arc::clone(loaded),
            shard: shard.clone(),
            id,
            info,
            attributes,
            call,
            task,
            is_connected: Cell::new(false),
            waits: Cell::new(false),
            is_read_stopped: Cell::new(false),
            has_closed: Cell::new(false),
            is_over: Cell::new(false),
            published: Cell::new(0),
            early: RefCell::default(),
            exchanges: Exchanges::default(),
            outbox,
        })
    }

    pub(crate) fn connected(&self, envoy: &mut dyn Tcp) -> DataStatus {
        let step = self.step(|_| ());
        self.inject(envoy, step);
        if self.is_connected.get() {
            return DataStatus::Continue;
        }
        self.attributes.keep();
        self.waits.set(true);
        DataStatus::StopIteration
    }

    pub(crate) fn data(&self, envoy: &mut dyn Tcp, direction: Direction, end: bool) -> DataStatus {
        if self.is_over.get() {
            return DataStatus::StopIteration;
        }
        let data = envoy.data(direction);
        let (first, length) = (data.as_ptr(), data.len());
        let mut step = self.step(|worker| {
            worker.data(self.id, direction, Body::from(data), end);
            if end && direction == Direction::Response {
                // As deployed hosts do: the end of its data is told as its close, too.
                worker.connection_closed(self.id, direction, PeerType::Unknown);
            }
        });
        // What leaves as one piece with the same end takes the place of what came.
        let status = match &step.data[..] {
            [(of, body, ends)] if *of == direction && *ends == end && self.is_connected.get() => {
                let body = body.to_bytes();
                if body.len() != length || (length > 0 && body.as_ptr() != first) {
                    envoy.drain(direction, length);
                    envoy.append(direction, &body);
                }
                step.data.clear();
                DataStatus::Continue
            }
            _ => {
                envoy.drain(direction, length);
                DataStatus::StopIteration
            }
        };
        self.inject(envoy, step);
        self.attributes.keep();
        self.steer(envoy);
        if self.is_over.get() { DataStatus::StopIteration } else { status }
    }

    /// Tells the plugin who has closed the connection.
    pub(crate) fn closed(&self, envoy: &mut dyn Tcp, by: PeerType) {
        if self.has_closed.replace(true) {
            return;
        }
        let step = self.step(|worker| worker.connection_closed(self.id, Direction::Request, by));
        // The connection is gone, and with it whatever else plugins want of it.
        drop(step);
        self.publish(envoy);
        self.is_over.set(true);
    }

    /// Makes the requests of plugins.
    pub(crate) fn call_out(&self, envoy: &mut dyn Tcp) {
        self.exchanges.carry_out(envoy, self.outbox.take());
    }

    /// Carries out what has come for the connection from elsewhere.
    pub(crate) fn woken(&self, envoy: &mut dyn Tcp) {
        if self.is_over.get() {
            return;
        }
        let step = self.step(|_| ());
        self.inject(envoy, step);
        if self.is_connected.get() && self.waits.replace(false) {
            envoy.go_on();
            for (direction, body, end) in self.early.take() {
                envoy.inject(direction, &body.to_bytes(), end);
            }
        }
        self.steer(envoy);
    }

    /// Ends the connection: nothing of Envoy's is used from now on.
    pub(crate) fn finish(&self) {
        self.is_over.set(true);
        self.attributes.close();
        if let Some(task) = &self.task {
            task.abort();
        }
        if let Some(call) = &self.call {
            call.close();
        }
        self.shard.upstreams().remove(self.id);
        self.outbox.close();
        if !self.has_closed.replace(true) {
            self.shard.with(|worker| worker.connection_closed(self.id, Direction::Request, PeerType::Local));
        }
        let now = self.loaded.process().host().clock.wall();
        self.info.with(|info| info.duration = Some(now.saturating_sub(info.start_time)));
        self.shard.finish_connection(self.id);
    }

    /// Feeds the chain and takes what comes of it. No lock is held when it returns.
    fn step(&self, feed: impl FnOnce(&mut Worker)) -> Step {
        let mut effects = Vec::new();
        self.shard.with(|worker| {
            feed(worker);
            effects.extend(std::iter::from_fn(|| worker.connection_effect(self.id)));
        });
        self.shard.pump();
        let mut step = Step::default();
        for effect in effects {
            match effect {
                ConnectionEffect::Connect => self.is_connected.set(true),
                ConnectionEffect::Data { direction, data, end } => step.data.push((direction, data, end)),
                ConnectionEffect::Close { .. } => step.close = Some("portcullis_plugin_closed"),
                ConnectionEffect::Reset { reason } => step.cut = Some(reason),
                _ => {}
            }
        }
        step
    }

    /// Sends what has left the chain on, and closes what plugins have closed. Envoy calls other filters meanwhile.
    fn inject(&self, envoy: &mut dyn Tcp, step: Step) {
        self.publish(envoy);
        for (direction, body, end) in step.data {
            // Behind the filter nobody knows of a connection that waits.
            if self.waits.get() {
                self.early.borrow_mut().push((direction, body, end));
            } else {
                envoy.inject(direction, &body.to_bytes(), end);
            }
        }
        if let Some(reason) = step.cut {
            self.is_over.set(true);
            envoy.cut(reason.as_bytes());
        } else if let Some(reason) = step.close {
            envoy.close(reason.as_bytes());
        }
    }

    /// Shows what plugins have set as properties to the rest of Envoy.
    fn publish(&self, envoy: &mut dyn Tcp) {
        for (key, value) in envoy::set_by_plugins(&self.info, &self.published) {
            envoy.set_filter_state(&key, &value);
        }
    }

    /// Has Envoy read the client as far as plugins take its data. An upstream cannot be told to wait, so a connection of which plugins hold
    /// as much as they may is cut.
    fn steer(&self, envoy: &mut dyn Tcp) {
        if self.is_over.get() {
            return;
        }
        let [client, upstream] = self.shard.with(|worker| {
            [Direction::Request, Direction::Response].map(|direction| worker.wants_data(self.id, direction))
        });
        if !upstream {
            self.is_over.set(true);
            let line = format!(
                "the plugin {} holds as much of an upstream's data as a connection may buffer, and Envoy has no function that \
                 stops reading there; the connection is cut. Let the plugin hold less, or raise per_connection_buffer_limit_bytes",
                self.loaded.plugins(),
            );
            self.loaded.process().host().say(LogLevel::Error, &line);
            envoy.cut(b"portcullis_upstream_data_held");
            return;
        }
        if self.is_read_stopped.replace(!client) == client {
            envoy.stop_reading(!client);
        }
    }
}
