//! TCP streams: a client, a chain of plugins, an upstream.

mod pipe;
mod steered;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use portcullis::abi::PeerType;
use portcullis::chain::{ConnectionEffect, ConnectionId};
use portcullis::model::{Body, Direction, SharedStreamInfo, Steering, StreamInfo};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use self::pipe::Pipe;
use crate::net::io::{ConnectionInfo, Stream};
use crate::serve::seats::{Request, State};
use crate::serve::worker::context::{Context, next_stream};
use crate::serve::worker::listener::ListenerState;
use crate::serve::worker::slot::Slot;
use crate::serve::worker::{attributes, upstream_stats};
use crate::upstream::connector::{Dialed, Upstream};
use crate::upstream::pool::{Reached, Share};

/// The most bytes that are read at once.
const CHUNK: usize = 16 << 10;

const CLIENT: Direction = Direction::Request;
const UPSTREAM: Direction = Direction::Response;

/// Serves one client until both sides are done, or one is gone.
pub(super) async fn serve(
    context: Rc<Context>,
    slot: &Slot,
    connection: u64,
    client: Stream,
    info: &ConnectionInfo,
    standing: &Arc<State>,
) {
    let stay = slot.stay();
    let state = &*stay;
    let Some(proxy) = &state.tcp_proxy else { return };
    let info = StreamInfo {
        id: next_stream(),
        source: Some(info.peer),
        destination: Some(info.local),
        connection_id: connection,
        attributes: info.tls.as_ref().map(attributes::of),
        start_time: context.host.clock.wall(),
        cluster_name: Some(proxy.cluster.clone()),
        cluster_metadata: state.clusters().get(&proxy.cluster).map(|upstream| Arc::clone(upstream.metadata())),
        upstream_endpoints: state.clusters().get(&proxy.cluster).and_then(Upstream::endpoints),
        steering: Some(Steering::default()),
        ..StreamInfo::default()
    }
    .into_shared();
    state.tcp.opened.increment(1);
    state.tcp.active.increment(1.0);
    let id = context.driver.with(|worker| worker.connect(&state.chain, info.clone(), state.buffer_limit));
    let woken = context.driver.connection_woken(id);
    context.driver.pump();
    let client = Pipe::new(Box::new(client));
    let (context, upstream) = (&context, Pipe::default());
    let mut exchange = TcpExchange {
        context,
        state,
        id,
        info,
        client,
        upstream,
        connecting: None,
        dialled: None,
        by: None,
        share: None,
        standing,
        spoken: None,
    };
    let cut_off = stay.cut_off();
    let number = exchange.info.with(|info| info.id);
    tokio::select! {
        biased;
        () = exchange.run(&proxy.cluster, proxy.idle_timeout, &woken) => {}
        () = cut_off => tracing::debug!(stream = number, "a TCP stream was cut: its configuration was replaced"),
    }
}

/// A stream while it lasts.
struct TcpExchange<'a> {
    context: &'a Rc<Context>,
    state: &'a ListenerState,
    id: ConnectionId,
    info: SharedStreamInfo,
    client: Pipe,
    upstream: Pipe,
    connecting: Option<Pin<Box<dyn Future<Output = io::Result<Dialed>> + 'a>>>,
    /// The time at which the upstream was dialled.
    dialled: Option<std::time::Instant>,
    /// The side that closed the client's connection.
    by: Option<PeerType>,
    /// Counts the upstream's connection.
    share: Option<Share>,
    standing: &'a Arc<State>,
    /// True after the first byte from either side: from then on the connection keeps its seat.
    spoken: Option<Request>,
}

/// An event of a stream.
enum Event {
    Read(Direction, io::Result<Bytes>),
    /// A side could not be written to.
    Broken(Direction, io::Error),
    /// All has been written to a side.
    Ended,
    Connected(io::Result<Dialed>),
    Woken,
}

impl Drop for TcpExchange<'_> {
    /// Ends the stream in any case, also when a shutdown cuts it short: plugins are notified and log it.
    fn drop(&mut self) {
        let by = self.by.unwrap_or(PeerType::Local);
        self.context.driver.with(|worker| worker.connection_closed(self.id, CLIENT, by));
        let now = self.context.host.clock.wall();
        self.info.with(|info| info.duration = Some(now.saturating_sub(info.start_time)));
        self.context.driver.finish_connection(self.id);
        self.state.tcp.active.decrement(1.0);
    }
}

impl TcpExchange<'_> {
    async fn run(&mut self, cluster: &str, idle: Duration, woken: &Notify) {
        let mut buffer = vec![0; CHUNK];
        loop {
            if self.carry_out(cluster) || self.is_over() {
                return;
            }
            let moved = self.moved();
            let idle = steered::idle(&self.info, idle);
            let event = self.event(&mut buffer, woken);
            // A limit beyond what the clock can count is none.
            let event = match idle.and_then(|idle| moved.checked_add(idle)) {
                Some(due) => timeout_at(due, event).await,
                None => Ok(event.await),
            };
            match event {
                Ok(event) => self.handle(event),
                // Something has been written meanwhile.
                Err(_) if self.moved() > moved => continue,
                Err(_) => {
                    tracing::debug!(
                        stream = self.info.with(|info| info.id),
                        cluster,
                        "a TCP stream was idle for too long"
                    );
                    return;
                }
            }
            self.context.driver.pump();
        }
    }

    /// Returns the last time that a byte was read or written on either side, regardless of plugins.
    fn moved(&self) -> Instant {
        self.client.moved.max(self.upstream.moved)
    }

    /// Waits for the next event.
    async fn event(&mut self, buffer: &mut [u8], woken: &Notify) -> Event {
        let (down, up) = self
            .context
            .driver
            .with(|worker| (worker.wants_data(self.id, CLIENT), worker.wants_data(self.id, UPSTREAM)));
        let mut notified = pin!(woken.notified());
        poll_fn(|cx| {
            for (side, direction) in [(&mut self.client, CLIENT), (&mut self.upstream, UPSTREAM)] {
                match side.poll_write(cx) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Event::Ended),
                    Poll::Ready(Err(error)) => return Poll::Ready(Event::Broken(direction, error)),
                    Poll::Pending => {}
                }
            }
            if let Some(Poll::Ready(dialed)) = self.connecting.as_mut().map(|dialing| dialing.as_mut().poll(cx)) {
                return Poll::Ready(Event::Connected(dialed));
            }
            if notified.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Woken);
            }
            if up
                && self.client.has_room()
                && let Poll::Ready(read) = self.upstream.poll_read(cx, buffer)
            {
                return Poll::Ready(Event::Read(UPSTREAM, read));
            }
            if down
                && self.upstream.has_room()
                && let Poll::Ready(read) = self.client.poll_read(cx, buffer)
            {
                return Poll::Ready(Event::Read(CLIENT, read));
            }
            Poll::Pending
        })
        .await
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Woken | Event::Ended => {}
            Event::Read(direction, Ok(data)) => {
                let end = data.is_empty();
                if !end {
                    self.spoken.get_or_insert_with(|| self.standing.begin());
                }
                if end {
                    self.side(direction).read_all = true;
                    if direction == CLIENT {
                        self.by.get_or_insert(PeerType::Remote);
                    }
                }
                self.context.driver.with(|worker| {
                    worker.data(self.id, direction, Body::from(data), end);
                    if end && direction == UPSTREAM {
                        // As deployed hosts do: the end of its data is told as its close, too.
                        worker.connection_closed(self.id, UPSTREAM, PeerType::Unknown);
                    }
                });
            }
            Event::Read(direction, Err(error)) | Event::Broken(direction, error) => {
                tracing::debug!(stream = self.info.with(|info| info.id), %error, ?direction, "a side of a TCP stream is gone");
                self.lost(direction);
            }
            Event::Connected(dialed) => {
                self.connecting = None;
                match dialed {
                    Ok(dialed) => {
                        let Dialed { addresses, metadata, tls, .. } = &dialed;
                        let (metadata, tls) = (metadata.as_ref(), tls.as_ref());
                        let reached = addresses.map(|addresses| Reached { addresses, metadata, tls });
                        upstream_stats::established(&self.info, reached.as_ref(), self.dialled);
                        self.upstream.io = Some(dialed.io);
                        self.upstream.moved = Instant::now();
                        self.share = dialed.share;
                    }
                    Err(error) => {
                        tracing::debug!(stream = self.info.with(|info| info.id), %error, "cannot connect a TCP stream");
                        upstream_stats::unreachable(&self.info, &error);
                        self.lost(UPSTREAM);
                    }
                }
            }
        }
    }

    /// Carries out the effects of the chain; returns whether the stream is cut.
    fn carry_out(&mut self, cluster: &str) -> bool {
        loop {
            let effect = self.context.driver.with(|worker| worker.connection_effect(self.id));
            match effect {
                None => return false,
                Some(ConnectionEffect::Connect) => {
                    match steered::upstream(&self.info, self.state.clusters(), &self.context.host, cluster) {
                        Some(upstream) => {
                            self.dialled = Some(upstream_stats::dialled(&self.info));
                            self.connecting = Some(upstream.dial());
                        }
                        None => self.lost(UPSTREAM),
                    }
                }
                Some(ConnectionEffect::Data { direction, data, end }) => {
                    self.side(opposite(direction)).push(data, end);
                }
                Some(ConnectionEffect::Close { direction: CLIENT }) => {
                    self.by.get_or_insert(PeerType::Local);
                    self.client.push(Body::default(), true);
                    self.client.read_all = true;
                    self.hang_up();
                }
                Some(ConnectionEffect::Close { .. }) => {
                    self.hang_up();
                    self.context.driver.with(|worker| worker.data(self.id, UPSTREAM, Body::default(), true));
                }
                Some(ConnectionEffect::Reset { reason }) => {
                    tracing::debug!(stream = self.info.with(|info| info.id), reason, "a TCP stream was cut");
                    self.client.reset();
                    self.upstream.reset();
                    return true;
                }
                Some(_) => {}
            }
        }
    }

    /// Closes the connection with the upstream, on our own account.
    fn hang_up(&mut self) {
        self.connecting = None;
        if !self.upstream.ended || self.upstream.io.is_some() {
            self.upstream.close();
            self.context.driver.with(|worker| worker.connection_closed(self.id, UPSTREAM, PeerType::Local));
        }
    }

    /// Resets the other side of one that is gone without an end.
    fn lost(&mut self, direction: Direction) {
        if direction == UPSTREAM {
            self.context.driver.with(|worker| worker.connection_closed(self.id, UPSTREAM, PeerType::Remote));
        } else {
            self.by = Some(PeerType::Remote);
        }
        self.connecting = None;
        self.client.reset();
        self.upstream.reset();
    }

    /// Returns true if nothing can be read or written any more.
    fn is_over(&self) -> bool {
        self.client.ended
            && (self.client.read_all || self.upstream.io.is_none())
            && self.connecting.is_none()
            && (self.upstream.ended || self.upstream.io.is_none())
    }

    fn side(&mut self, direction: Direction) -> &mut Pipe {
        match direction {
            CLIENT => &mut self.client,
            UPSTREAM => &mut self.upstream,
        }
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        CLIENT => UPSTREAM,
        UPSTREAM => CLIENT,
    }
}
