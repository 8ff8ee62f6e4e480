//! Drives a client connection, and ends it when a limit has passed.

use std::cell::RefCell;
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use hyper_util::server::graceful::GracefulConnection;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Overdue, Verdict};
use super::io::Watched;
use super::{Deadlines, Due};
use crate::net::io::Stream;
use crate::serve::worker::context::Context;
use crate::serve::worker::drain::{Ending, Stage};

/// A client's connection before hyper serves it.
#[derive(Debug)]
pub(in crate::serve::worker) struct Guard {
    deadlines: Rc<Deadlines>,
    stream: Rc<RefCell<Stream>>,
}

/// Spawns HTTP/2 streams onto the worker's thread, so that each can be ended alone.
#[derive(Clone, Debug)]
pub(in crate::serve::worker) struct StreamExec(Rc<Deadlines>);

impl<F> Executor<F> for StreamExec
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        let task = tokio::task::spawn_local(future);
        self.0.spawned.borrow_mut().push((task.id(), task.abort_handle()));
    }
}

impl Guard {
    /// Takes a connection.
    pub(in crate::serve::worker) fn new(deadlines: Rc<Deadlines>, stream: Stream) -> Self {
        Self { deadlines, stream: Rc::new(RefCell::new(stream)) }
    }

    /// Returns the connection for hyper.
    pub(in crate::serve::worker) fn io(&self) -> Watched {
        Watched::new(Rc::clone(&self.stream), Rc::clone(&self.deadlines))
    }

    /// Returns the executor for its HTTP/2 streams.
    pub(in crate::serve::worker) fn exec(&self) -> StreamExec {
        StreamExec(Rc::clone(&self.deadlines))
    }

    /// Serves the connection to its end; `ending` asks for it.
    pub(in crate::serve::worker) async fn serve<C>(self, context: &Context, connection: C, ending: Ending)
    where
        C: GracefulConnection,
        C::Error: Display,
    {
        let overdue = self.drive(context, connection, &ending).await;
        // hyper's half of the stream went with its connection.
        let Ok(stream) = Rc::try_unwrap(self.stream) else { return };
        let mut stream = stream.into_inner();
        let Some(overdue) = overdue else {
            if self.deadlines.has_announced() {
                let _ = timeout(ANSWER_LIMIT, leave(&mut stream)).await;
            }
            return;
        };
        match overdue {
            Overdue::Head => {
                let answer = async {
                    stream.write_all(HEAD_TIMEOUT.as_bytes()).await?;
                    stream.shutdown().await
                };
                // A client that does not take it has been told enough.
                let _ = timeout(ANSWER_LIMIT, answer).await;
            }
            // An end without a reset could be taken for that of the response.
            Overdue::Write | Overdue::Stream(_) => {
                let _ = SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO));
            }
            Overdue::Idle | Overdue::Closing => {}
        }
    }

    /// Polls the connection until it has ended, or has to be.
    async fn drive<C>(&self, context: &Context, connection: C, ending: &Ending) -> Option<Overdue>
    where
        C: GracefulConnection,
        C::Error: Display,
    {
        let deadlines = &self.deadlines;
        let mut connection = pin!(connection);
        let mut timer = pin!(sleep_until(Instant::now()));
        let mut stages = ending.stages();
        let (mut stage, mut busy) = (Stage::Open, None);
        let overdue = poll_fn(|cx| {
            let before = std::mem::replace(&mut stage, stages.poll(cx));
            if before == Stage::Open && stage > Stage::Open {
                deadlines.tell();
            }
            loop {
                deadlines.guarding.set(true);
                let ended = connection.as_mut().poll(cx);
                deadlines.guarding.set(false);
                if let Poll::Ready(ended) = ended {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                    return Poll::Ready(None);
                }
                if stage > Stage::Open {
                    ending.note(&mut busy);
                }
                // What has arrived has been read.
                if deadlines.closes(stage) && deadlines.close(ending.goaway_grace(context.shutdown_timeout())) {
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                let Some(at) = deadlines.armed.get() else { break };
                if timer.deadline() != at {
                    timer.as_mut().reset(at);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    break;
                }
                match carry_out(context, deadlines.due(Instant::now())) {
                    Verdict::Wait => {}
                    Verdict::Close(overdue) => {
                        let why = match overdue {
                            Overdue::Stream(_) => "the client did not read a response in time",
                            _ => "no request came in time",
                        };
                        tracing::debug!(limit = overdue.key(), "connection closed: {why}");
                        connection.as_mut().graceful_shutdown();
                    }
                    Verdict::Cut(overdue) => return Poll::Ready(Some(overdue)),
                }
            }
            let mut guard = deadlines.guard.borrow_mut();
            match &mut *guard {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *guard = Some(cx.waker().clone()),
            }
            Poll::Pending
        });
        let overdue = overdue.await?;
        tracing::debug!(limit = overdue.key(), "connection cut: a limit has passed");
        Some(overdue)
    }
}

/// Reads what the client has sent behind its last request, and until it closes: with it unread the system would reset the connection,
/// and the client could lose the answer.
async fn leave(stream: &mut Stream) -> std::io::Result<()> {
    // Not in the task, which every connection has.
    let mut unread = vec![0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// Maximum time for a client to take an answer that ends its connection.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// The answer to a head that did not come in time, as Envoy gives it.
const HEAD_TIMEOUT: &str = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 22\r\ncontent-type: text/plain\r\n\
                            connection: close\r\n\r\nrequest header timeout";

/// Wakes and ends streams; no borrow is held meanwhile, since both may run anything.
fn carry_out(context: &Context, due: Due) -> Verdict {
    let Due { verdict, answering, ending } = due;
    for stream in answering {
        context.driver.wake(stream);
    }
    ending.iter().for_each(tokio::task::AbortHandle::abort);
    verdict
}
