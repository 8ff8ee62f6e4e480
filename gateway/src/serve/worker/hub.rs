//! A worker as a whole: its listeners, the generation that it serves, and how it changes over to the next one.
//!
//! | the worker | is asked to | and |
//! |---|---|---|
//! | serves | prepare a generation | starts its plugins, with IO between two of them, and reports; what it serves is as before |
//! | has prepared one | change over | serves that one from the next request on, and unloads the one before |
//! | has prepared one | give it up | ends what it has started, and serves as before |
//! | serves | leave, as there are to be fewer workers | gives away its sockets, and ends with its last connection |

use std::collections::VecDeque;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis::Chain;
use portcullis::chain::Backoff;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::net::listen::Listener;
use crate::net::sockets::WorkerSockets;
use crate::plan::planned::{Identity, Plan};
use crate::plan::source::ConnectionSource;
use crate::serve::generation::Cancel;
use crate::serve::starts::{NotStarted, Report};
use crate::serve::worker::common::Common;
use crate::serve::worker::context::Context;
use crate::serve::worker::generation::Generation;
use crate::serve::worker::load::{backoffs, load, load_one};
use crate::serve::worker::post::Post;
use crate::upstream::clusters::Table;

/// A request of who reloads.
pub(crate) enum Command {
    /// Starts what the next generation needs.
    Prepare(Box<Prepare>),
    /// Changes over to the generation that was prepared.
    ChangeOver(Report),
    /// Gives up the generation that was prepared.
    GiveUp(Report),
    /// Accepts the connections of these sockets, too.
    Accept(Given, Report),
    /// Leaves: gives away the sockets of listeners that stay, tells connections to end, and ends with the last of these.
    Leave { staying: Vec<Identity>, given: Arc<Mutex<Given>>, report: Report },
}

/// Sockets, each with its listener.
pub(crate) type Given = Vec<(Identity, WorkerSockets)>;

/// The next generation of a worker.
pub(crate) struct Prepare {
    pub(crate) plan: Plan,
    /// The sockets of listeners that are new, each with the index of its listener.
    pub(crate) sockets: Vec<(usize, WorkerSockets)>,
    /// Ends it before the next plugin starts. It has no condition: a worker calls no file system.
    pub(crate) cancel: Cancel,
    pub(crate) report: Report,
}

/// A generation whose plugins run, and to which no request comes yet.
struct Prepared {
    plan: Plan,
    generation: Generation,
    /// How long the plugins of each chain rest.
    backoffs: Vec<(Chain, Vec<Backoff>)>,
    sockets: Vec<(usize, Listener)>,
}

/// The worker.
pub(super) struct Hub {
    context: Rc<Context>,
    generation: Generation,
    prepared: Option<Prepared>,
    /// Generations that have been replaced and may live still, the oldest first.
    replaced: VecDeque<Weak<Common>>,
    posts: Vec<(Identity, Rc<Post>)>,
    /// The tasks of posts, those that leave included.
    running: JoinSet<()>,
    services: JoinHandle<()>,
    linger: Duration,
    is_leaving: bool,
    stop: watch::Receiver<bool>,
}

/// The pause between two looks at plugins that are ending.
const POLL: Duration = Duration::from_millis(50);

impl Hub {
    /// Begins to serve the first generation of a plan from these sources.
    pub(super) fn begin(
        context: Rc<Context>,
        generation: Generation,
        plan: &Plan,
        sources: Vec<ConnectionSource>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let services = look_after(&context, &generation);
        let (posts, running, replaced) = (Vec::new(), JoinSet::new(), VecDeque::new());
        let (linger, is_leaving) = (plan.reload.linger, false);
        let mut hub =
            Self { context, generation, prepared: None, replaced, posts, running, services, linger, is_leaving, stop };
        let mut sources = sources.into_iter();
        for (listener, identity) in hub.generation.listeners.clone().into_iter().zip(plan.planned.identities()) {
            let post = Post::new(Rc::clone(&hub.context), listener);
            // Where there are none yet, sockets are given later.
            sources.next().into_iter().for_each(|source| post.accept(source));
            hub.add(identity, post);
        }
        hub
    }

    /// Serves, and does what `commands` ask for, until it is stopped or leaves.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut stop = self.stop.clone();
        while !self.is_leaving {
            let next = async {
                match commands.recv().await {
                    Some(command) => self.carry_out(command).await,
                    // Nobody will ask any more.
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = next => {}
            }
        }
        // Who waits for a report is told that there is none.
        drop(commands);
        self.posts.iter().for_each(|(_, post)| post.leave());
        while self.running.join_next().await.is_some() {}
        self.services.abort();
    }

    async fn carry_out(&mut self, command: Command) {
        match command {
            Command::Prepare(prepare) => {
                self.give_up();
                let Prepare { plan, sockets, cancel, mut report } = *prepare;
                let prepared = self.prepare(plan, sockets, &cancel).await;
                report.send(prepared.map(|prepared| self.prepared = Some(prepared)));
            }
            Command::ChangeOver(mut report) => {
                // Without one the report is that the worker has ended.
                if let Some(prepared) = self.prepared.take() {
                    self.change_over(prepared);
                    report.send(Ok(()));
                }
            }
            Command::GiveUp(mut report) => {
                self.give_up();
                report.send(Ok(()));
            }
            Command::Accept(sockets, mut report) => {
                report.send(self.accept(sockets).map_err(NotStarted::Worker));
            }
            Command::Leave { staying, given, mut report } => {
                self.give_up();
                self.leave(&staying, &given).await;
                report.send(Ok(()));
            }
        }
    }

    async fn prepare(
        &self,
        plan: Plan,
        sockets: Vec<(usize, WorkerSockets)>,
        cancel: &Cancel,
    ) -> Result<Prepared, NotStarted> {
        let register = |(index, sockets): (usize, WorkerSockets)| Ok((index, sockets.register()?));
        let sockets: Result<_, std::io::Error> = sockets.into_iter().map(register).collect();
        let sockets = sockets.map_err(NotStarted::Worker)?;
        let clusters = self.context.clusters();
        let table = self.context.table(&plan, &clusters.current());
        // Plugins may send to them while they start.
        clusters.add(&table);
        let (generation, backoffs) = self.start(&plan, table, cancel).await?;
        Ok(Prepared { generation, backoffs, plan, sockets })
    }

    /// Starts the plugins of a plan that do not run yet. If one cannot, the others end as those of a generation that goes do.
    async fn start(
        &self,
        plan: &Plan,
        table: Rc<Table>,
        cancel: &Cancel,
    ) -> Result<(Generation, Vec<(Chain, Vec<Backoff>)>), NotStarted> {
        let driver = &self.context.driver;
        let mut started: Vec<Chain> = Vec::new();
        let mut result = Ok(());
        for placed in plan.plugins_here() {
            if cancel.is_cancelled() {
                result = Err(NotStarted::Cancelled);
                break;
            }
            match driver.call(|worker| load_one(&placed, worker)) {
                Ok(chain) => started.push(chain),
                Err(failed) => {
                    result = Err(NotStarted::Plugin(failed));
                    break;
                }
            }
            // Requests go on between two plugins.
            tokio::task::yield_now().await;
        }
        // Each of these runs now, so no code of a guest does.
        let loaded = result.and_then(|()| driver.call(|worker| load(plan, worker)).map_err(NotStarted::Plugin));
        driver.call(|worker| started.iter().for_each(|chain| worker.unload(chain)));
        match loaded {
            Ok(loaded) => {
                let backoffs = loaded.chains().cloned().zip(backoffs(plan)).collect();
                Ok((Generation::new(plan, loaded, table), backoffs))
            }
            Err(failed) => {
                tokio::task::spawn_local(see_off(Rc::clone(&self.context), started, table));
                Err(failed)
            }
        }
    }

    /// Accepts the connections of more sockets.
    fn accept(&self, sockets: Given) -> std::io::Result<()> {
        for (identity, socket) in sockets {
            if let Some((_, post)) = self.posts.iter().find(|(known, _)| *known == identity) {
                post.accept_registered(socket.register()?);
            }
        }
        Ok(())
    }

    /// Gives away the sockets of listeners that stay, and has all posts leave. Streams that go on have `reload.linger`, as those of a
    /// generation that was replaced.
    async fn leave(&mut self, staying: &[Identity], given: &Mutex<Given>) {
        self.is_leaving = true;
        // All are told before one is waited for: a stop may come meanwhile, and they end only if they have been told to.
        let mut giving = Vec::new();
        for (identity, post) in &self.posts {
            if staying.contains(identity) {
                giving.push((*identity, post.give_away()));
            } else {
                post.leave();
            }
        }
        for (identity, sockets) in giving {
            let sockets = sockets.await;
            let mut given = given.lock().unwrap_or_else(PoisonError::into_inner);
            given.extend(sockets.into_iter().map(|socket| (identity, socket)));
        }
        let linger = self.linger;
        let (common, context) = (Rc::downgrade(&self.generation.common), Rc::clone(&self.context));
        if !linger.is_zero() {
            tokio::task::spawn_local(async move {
                tokio::time::sleep(linger).await;
                common.upgrade().iter().for_each(|common| common.cut());
                context.cut(u64::MAX);
            });
        }
    }

    /// Gives up the generation that was prepared, if one was.
    fn give_up(&mut self) {
        if let Some(Prepared { generation, sockets, .. }) = self.prepared.take() {
            drop(sockets);
            self.unload(generation, Duration::ZERO);
        }
    }

    /// Changes over to a generation. Nothing of the worker runs meanwhile: what begins before belongs to the old one, what
    /// begins afterwards to the new one.
    fn change_over(&mut self, prepared: Prepared) {
        let Prepared { plan, generation, backoffs, sockets } = prepared;
        self.context.driver.call(|worker| {
            // The first word counts.
            backoffs.iter().rev().for_each(|(chain, backoffs)| worker.set_backoff(chain, backoffs));
        });
        let before = std::mem::replace(&mut self.generation, generation);
        self.context.change_over(&plan, &self.generation);
        self.renew_posts(plan.planned.identities(), sockets);
        let services = look_after(&self.context, &self.generation);
        std::mem::replace(&mut self.services, services).abort();
        self.replaced.push_back(Rc::downgrade(&before.common));
        self.linger = plan.reload.linger;
        self.unload(before, self.linger);
        self.cut_oldest(plan.reload.max_generations);
    }

    /// Gives the listeners of the current generation their posts, and ends others.
    fn renew_posts(&mut self, identities: Vec<Identity>, mut sockets: Vec<(usize, Listener)>) {
        while self.running.try_join_next().is_some() {}
        let mut before = std::mem::take(&mut self.posts);
        for (index, (identity, listener)) in identities.into_iter().zip(self.generation.listeners.clone()).enumerate() {
            if let Some(at) = before.iter().position(|(known, _)| *known == identity) {
                let (_, post) = before.swap_remove(at);
                post.renew(listener);
                self.posts.push((identity, post));
                continue;
            }
            let post = Post::new(Rc::clone(&self.context), listener);
            for (_, socket) in sockets.extract_if(.., |(of, _)| *of == index) {
                post.accept_registered(socket);
            }
            self.add(identity, post);
        }
        before.iter().for_each(|(_, post)| post.leave());
    }

    fn add(&mut self, identity: Identity, post: Rc<Post>) {
        self.running.spawn_local(Rc::clone(&post).run(self.stop.clone()));
        self.posts.push((identity, post));
    }

    /// Cuts the requests and streams of the oldest generations, if more live than may.
    fn cut_oldest(&mut self, most: usize) {
        self.replaced.retain(|common| common.strong_count() > 0);
        // The current one is not among them.
        while self.replaced.len() >= most.max(1)
            && let Some(oldest) = self.replaced.pop_front()
        {
            if let Some(common) = oldest.upgrade() {
                let number = common.number();
                tracing::info!(
                    generation = number,
                    limit = most,
                    "requests and streams of a replaced configuration are cut"
                );
                common.cut();
                self.context.cut(number);
            }
        }
    }

    /// Unloads a generation: what no other has ends, when the last of its requests and streams is over. TCP streams have `linger` for
    /// it; zero for no limit.
    fn unload(&self, generation: Generation, linger: Duration) {
        let chains: Vec<Chain> = generation.chains().cloned().collect();
        self.context.driver.call(|worker| chains.iter().for_each(|chain| worker.unload(chain)));
        let (ended, table) = (generation.common.ended(), Rc::clone(generation.common.clusters()));
        let common = Rc::downgrade(&generation.common);
        drop(generation);
        let context = Rc::clone(&self.context);
        tokio::task::spawn_local(async move {
            linger_for(linger, &ended, &common).await;
            see_off(context, chains, table).await;
        });
    }
}

/// Waits until a generation has gone, and cuts its TCP streams when it has not after a time; zero for no limit.
async fn linger_for(linger: Duration, ended: &Notify, common: &Weak<Common>) {
    let mut gone = pin!(ended.notified());
    if !linger.is_zero() {
        if tokio::time::timeout(linger, &mut gone).await.is_ok() {
            return;
        }
        common.upgrade().iter().for_each(|common| common.cut());
    }
    gone.await;
}

/// Keeps the clusters of a generation that has gone until its plugins have ended, for which they have as long as a graceful stop may take.
async fn see_off(context: Rc<Context>, chains: Vec<Chain>, table: Rc<Table>) {
    let driver = &context.driver;
    let left = || driver.with(|worker| chains.iter().map(|chain| worker.ending(chain)).sum::<usize>());
    let pending = async {
        while left() > 0 {
            tokio::time::sleep(POLL).await;
        }
    };
    let limit = context.shutdown_timeout();
    if tokio::time::timeout(limit, pending).await.is_err() {
        let plugins: usize = driver.call(|worker| chains.iter().map(|chain| worker.end_now(chain)).sum());
        tracing::warn!(
            plugins,
            ?limit,
            "plugins that a reload has taken away did not end within shutdown_timeout and were stopped; raise it if they need longer"
        );
    }
    drop(table);
    context.clusters().renew_names();
}

fn look_after(context: &Rc<Context>, generation: &Generation) -> JoinHandle<()> {
    let (driver, services) = (context.driver.clone(), Rc::clone(&generation.services));
    tokio::task::spawn_local(async move { services.keep_up(&driver).await })
}
