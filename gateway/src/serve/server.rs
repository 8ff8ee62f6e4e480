//! The whole gateway: workers, admin interface, signals.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use portcullis::chain::Isolation;
use portcullis::resources::Shared;
use portcullis::system::SystemClock;
pub use portcullis_config::plan::EngineOptions;
use portcullis_config::plan::{Compiler, Sandboxes, advise, compile_all, stack_size, take_snapshots};
use tokio::sync::watch;

use crate::config::{self, AdminPath, Config, Diagnostic};
use crate::error::ServeError;
use crate::explain::{Outline, Placed};
use crate::net::listen;
use crate::net::passed::Passed;
use crate::net::sockets::{Sockets, WorkerSockets};
use crate::observe::admin::{Admin, AdminSocket, PAGES, Showing, Shown, UnixSocket};
use crate::observe::denials::Denials;
use crate::observe::health::PluginHealth;
use crate::observe::learn::{self, LearnedRights};
use crate::observe::metrics::Metrics;
use crate::observe::profile::Profiling;
use crate::observe::recorder::{self, TranscriptOptions};
use crate::plan::error::explain;
use crate::plan::host::GatewayHost;
use crate::plan::maker::{Made, Maker};
use crate::plan::planned::Plan;
use crate::plan::source::{ConnectionSource, Sample};
use crate::serve::control::Source;
use crate::serve::descriptors::{self, Bounds, Wishes};
use crate::serve::drain::Drain;
use crate::serve::generation::crew::Crew;
use crate::serve::generation::reloader::{Show, State};
use crate::serve::generation::{Cancel, LiveCounts, Reloader};
use crate::serve::openings::Openings;
use crate::serve::pulse::Pulse;
pub use crate::serve::running::Running;
use crate::serve::running::{Predecessor, Replacing};
use crate::serve::starts::{NotStarted, Reports};
use crate::serve::upgrade::{Upgrade, Upgrades};
use crate::serve::worker;

/// A configuration with its plugins compiled, ready to be served.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    plan: Plan,
    maker: Maker,
    compiler: Compiler,
    /// Tells the workers that a plugin has been compiled.
    tier_ups: watch::Sender<usize>,
    metrics: Metrics,
    sandboxes: Sandboxes,
    recording: Option<(TranscriptOptions, Plan)>,
    profiling: Option<Profiling>,
    shows_configuration: bool,
    /// The file that is read again.
    source: Option<Source>,
    /// Rights of plugins are learned.
    learns: bool,
    /// Listening sockets that the process was started with.
    passed: Passed,
    sockets: Sockets,
    /// Why the process cannot be replaced by another one, if it cannot.
    stays: Option<&'static str>,
    /// The time at which its preparation began.
    begun: Instant,
}

impl Gateway {
    /// Compiles the plugins of a configuration and reads its certificates.
    ///
    /// # Errors
    /// A fault, with its place in the configuration.
    pub fn prepare(config: Config) -> Result<Self, ServeError> {
        Self::prepare_on(config, None)
    }

    /// Prepares a configuration with all plugins on the engine of this name, which overrides theirs.
    ///
    /// # Errors
    /// The errors of [`Self::prepare`], or no engine has the name.
    pub fn prepare_on(config: Config, engine: Option<&str>) -> Result<Self, ServeError> {
        Self::prepare_with(config, EngineOptions { engine, ..EngineOptions::default() })
    }

    /// Prepares a configuration with engines that are started with these options.
    ///
    /// # Errors
    /// The errors of [`Self::prepare`]; no engine has the name, or it cannot do what it is started for.
    pub fn prepare_with(config: Config, options: EngineOptions<'_>) -> Result<Self, ServeError> {
        let begun = Instant::now();
        for notice in &config.notices {
            tracing::warn!("{notice}");
        }
        let metrics = Metrics::install(&config.stats_tags);
        let maker = Maker::new(options);
        let Made { planned, sandboxes, compiler } = maker.make(&config, None, &Cancel::default())?;
        let host = GatewayHost {
            clock: SystemClock::new(),
            metrics: metrics.clone(),
            worker: None,
            health: PluginHealth::default(),
            denials: Denials::default(),
            clusters: config.clusters.iter().map(|cluster| cluster.name.clone()).collect(),
            missing: Arc::default(),
            line: Vec::new(),
        };
        let (tier_ups, workers_hear) = watch::channel(0);
        let plan = Plan {
            number: 1,
            counts: LiveCounts::default(),
            host,
            planned: Arc::new(planned),
            runs_singletons: true,
            shutdown_timeout: config.shutdown_timeout,
            drain: Drain::new(config.drain_delay),
            pulse: Pulse::default(),
            reload: config.reload,
            tick_share: config.tick_share,
            bounds: Bounds::default(),
            shared: Shared::default(),
            tier_ups: workers_hear,
        };
        Ok(Self {
            config,
            plan,
            maker,
            compiler,
            tier_ups,
            metrics,
            sandboxes,
            recording: None,
            profiling: None,
            shows_configuration: false,
            source: None,
            learns: false,
            passed: Passed::default(),
            sockets: Sockets::default(),
            stays: Some("it was not started by `portcullis serve FILE`; stop it and start it again"),
            begun,
        })
    }

    /// Notes what plugins use, once it is served. Their argument rules are not applied meanwhile.
    pub fn learn(&mut self) -> LearnedRights {
        self.learns = true;
        learn::begin(&self.config, Arc::make_mut(&mut self.plan.planned))
    }

    /// Records what plugins do with sampled connections, once it is served. One more worker has VMs for these.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn record(&mut self, mut recording: TranscriptOptions) -> Result<(), ServeError> {
        let secrets = self.config.all_plugins().flat_map(config::Plugin::secrets);
        recording.redaction = recording.redaction.with_known(secrets);
        if self.plan.planned.plugins().any(|spec| spec.tier.is_some()) {
            tracing::warn!(
                "--record: plugins with `tier: fast-start` are recorded on wasmi and do not switch to compiled code"
            );
        }
        if self.plan.planned.plugins().any(|spec| spec.isolation == Isolation::Stream) {
            tracing::warn!("--record: plugins with `isolation: stream` are recorded in one VM for all streams");
        }
        if !self.plan.planned.services.is_empty() {
            tracing::warn!("--record: services are not recorded, since they have no connections");
        }
        let planned = Arc::new(recorder::with_recorder(&recording, &self.plan.planned)?);
        self.recording = Some((recording, Plan { planned, runs_singletons: false, ..self.plan.clone() }));
        Ok(())
    }

    /// Measures where plugins spend their time, once it is served, but for the VMs that are recorded. Every 10 seconds and
    /// when it ends the profile is written into this folder, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made, or not be written to.
    pub fn profile(&mut self, folder: &Path) -> Result<(), ServeError> {
        self.profiling = Some(Profiling::open(folder)?);
        Ok(())
    }

    /// Makes `/config` of the admin interface show the configurations of plugins and VMs, but for members that are called like a
    /// secret.
    pub fn show_configuration(&mut self) {
        self.shows_configuration = true;
    }

    /// Has the file of the configuration read again by SIGHUP, by `POST /reload` of the admin interface and, with `watch: true`, when it
    /// or a file that it names changes, once it is served.
    pub fn reload_from(&mut self, source: Source) {
        self.source = Some(source);
    }

    /// Returns which plugins share a VM, and which do not and why.
    pub fn sandboxes(&self) -> &Sandboxes {
        &self.sandboxes
    }

    /// Returns the configuration with the sandboxes of its plugins.
    pub(crate) fn outline(&self) -> Outline {
        let plugins = self.plan.planned.plugins().map(Placed::of).collect();
        Outline::new(self.config.clone(), self.sandboxes.clone(), plugins)
    }

    /// Returns advice on rights that differ from what plugins can use; none where they have every right.
    /// The work is that of reading all of their code.
    pub fn advice(&self) -> Vec<Diagnostic> {
        let plugins: Vec<_> = self.plan.planned.configured(&self.config).collect();
        advise(&plugins)
    }

    /// Starts every plugin once, away from traffic.
    ///
    /// # Errors
    /// The first plugin that does not start.
    pub fn rehearse(&mut self) -> Result<(), ServeError> {
        let mut plan = Plan { shared: Shared::default(), ..self.plan.clone() };
        self.take_snapshots(&mut plan)?;
        let (jobs, cache) = self.compiler.take_jobs();
        for job in jobs {
            job.run(cache.as_deref()).map_err(|error| ServeError::Compile { what: job.what().to_owned(), error })?;
        }
        worker::rehearse(&plan).map_err(|failed| explain(&self.config, &failed).into())
    }

    /// Opens the sockets and starts the workers.
    ///
    /// # Errors
    /// A socket cannot be had, or a plugin does not start.
    pub fn serve(mut self) -> Result<Running, ServeError> {
        let mut plan = self.plan.clone();
        self.take_snapshots(&mut plan)?;
        self.plan = plan;
        let profile = self.profiling.take();
        if let Some(profiling) = &profile {
            profiling.announce(&self.plan.planned);
            self.plan.planned = Arc::new(profiling.measured(&self.plan.planned)?);
        }
        let (stop, stopped) = watch::channel(false);
        let (jobs, cache) = self.compiler.take_jobs();
        // With a recorder there is no process before this one.
        let waits = self.passed.is_handed_over() && self.recording.is_none();
        let identities = self.plan.planned.identities();
        let openings = Openings::open(&self.config, &identities, &self.sockets, &mut self.passed, waits)?;
        let Openings { at_once, later, addresses } = openings;
        let open = self.share_descriptors();
        let stack = stack_size(self.plan.planned.plugins());
        let mut crew = Crew::new(stack, stopped.clone());
        let mut reports = Reports::new();
        for (name, plan, sources) in self.posts(at_once) {
            crew.hire(name, plan, sources, reports.expect_one())?;
        }
        let threads = crew.threads().clone();
        if !jobs.is_empty() {
            let (tier_ups, stopped) = (self.tier_ups.clone(), stopped.clone());
            let published = move || tier_ups.send_modify(|count| *count += 1);
            compile_all(jobs, cache, published, move || *stopped.borrow())?;
        }
        let profile = profile.map(Profiling::start).transpose()?;
        let fixed = match (&self.recording, &profile, self.learns) {
            (Some(_), ..) => Some("a gateway that was started with --record"),
            (_, Some(_), _) => Some("a gateway that was started with --profile"),
            (.., true) => Some("a gateway that learns rights"),
            _ => None,
        };
        let state = State {
            config: self.config.clone(),
            plan: self.plan.clone(),
            maker: self.maker.clone(),
            hired: crew.len(),
            crew,
            sockets: self.sockets.clone(),
            addresses: addresses.clone(),
            tier_ups: self.tier_ups.clone(),
            fixed,
            open,
        };
        let mut admin = self.admin();
        let (showing, with_values) = (admin.showing.clone(), self.shows_configuration);
        let show = Show(Box::new(move |outline| showing.replace(Shown::of_outline(outline, with_values))));
        let reloader = Reloader::new(state, show);
        let (drain, pulse) = (self.plan.drain.clone(), self.plan.pulse.clone());
        let mut running = Running::new(addresses, stop, drain, pulse, threads, profile, reloader);
        if let Err(error) = reports.wait() {
            running.stop();
            return Err(match error {
                NotStarted::Plugin(failed) => explain(&self.config, &failed).into(),
                NotStarted::Worker(error) => error.into(),
                NotStarted::Ended | NotStarted::Cancelled => ServeError::WorkerPanicked,
            });
        }
        if let Some(source) = self.source.take() {
            admin.control = Some(running.reload_from(source, self.config.watch)?);
        }
        let turn = admin.control.as_ref().filter(|_| waits).and_then(|control| control.refuse_reloads().ok());
        let (upgrades, asked) = Upgrades::channel();
        let socket = self.admin_socket()?;
        let kept = socket.as_ref().map(AdminSocket::keep).transpose()?;
        let predecessor = self.passed.take_channel().map(|channel| Predecessor { channel, sockets: later, turn });
        let upgrade = Upgrade::new(self.sockets.clone(), kept, self.stays);
        running.replace(Replacing { upgrade, asked, predecessor });
        self.passed.tell_left();
        if let Some(socket) = socket {
            running.serve_admin(Admin { upgrades, ..admin }, socket)?;
        }
        for (listener, address) in self.config.listeners.iter().zip(&running.addresses) {
            tracing::info!(listener = listener.name, %address, workers = self.config.workers, "listening");
        }
        if let Some((recording, _)) = &self.recording {
            let (folder, sample) = (recording.folder.display(), recording.sample);
            tracing::info!(%folder, sample, "recording transcripts of sampled connections");
        }
        if let Some(address) = running.admin {
            tracing::info!(%address, "admin interface");
        }
        if let Some(AdminPath { path, .. }) = &self.config.admin_socket {
            tracing::info!(path = %path.display(), "admin interface");
        }
        let plugins = self.plan.planned.plugins().count();
        tracing::info!(elapsed = ?self.begun.elapsed(), plugins, "ready");
        Ok(running)
    }

    /// Returns what the admin interface shows.
    pub(crate) fn admin(&self) -> Admin {
        Admin {
            pages: PAGES,
            showing: Showing::new(Shown::of_outline(self.outline(), self.shows_configuration)),
            metrics: self.metrics.clone(),
            host: self.plan.host.clone(),
            drain: self.plan.drain.clone(),
            upgrades: Upgrades::default(),
            control: None,
        }
    }

    /// Opens the socket of the admin interface, if there is one. One thread serves it: a gateway that already runs must not get
    /// half of its scrapes.
    fn admin_socket(&mut self) -> Result<Option<AdminSocket>, ServeError> {
        if let Some(AdminPath { path, mode }) = &self.config.admin_socket {
            let socket = match self.passed.take_admin_unix(path) {
                Some((socket, is_shared)) => UnixSocket::passed(socket, path, is_shared)?,
                None => UnixSocket::bind(path, *mode)
                    .map_err(|reason| ServeError::AdminSocket { path: path.clone(), reason })?,
            };
            return Ok(Some(AdminSocket::Unix(socket)));
        }
        let Some(address) = self.config.admin else { return Ok(None) };
        Ok(Some(AdminSocket::Tcp(match self.passed.take_admin(address) {
            Some(socket) => socket,
            None => listen::bind_alone(address)?,
        })))
    }

    /// Returns the name, plan and connection sources of each worker. The one that records has no sockets of its own.
    fn posts(&self, sockets: Vec<Vec<WorkerSockets>>) -> Vec<(String, Plan, Vec<ConnectionSource>)> {
        let (samples, handed) = match &self.recording {
            None => (Vec::new(), Vec::new()),
            Some((recording, _)) => Sample::channels(recording.sample, self.config.listeners.len()),
        };
        let source = |(index, socket)| ConnectionSource::Socket(socket, samples.get(index).cloned());
        let sockets = sockets.into_iter().map(|sockets| sockets.into_iter().enumerate().map(source).collect());
        let numbered = |plan: &Plan, worker, runs_singletons| {
            let host = plan.host.of_worker(Some(worker));
            Plan { host, runs_singletons, ..plan.clone() }
        };
        let named = |(index, sources)| (format!("worker-{index}"), numbered(&self.plan, index, index == 0), sources);
        let mut posts: Vec<_> = sockets.enumerate().map(named).collect();
        if let Some((_, plan)) = &self.recording {
            let mut plan = numbered(plan, posts.len(), false);
            // Only sampled connections come to it: whether traffic is served is no matter of its plugins.
            plan.host.health = PluginHealth::default();
            posts.push(("recorder".to_owned(), plan, handed.into_iter().map(ConnectionSource::Handed).collect()));
        }
        posts
    }

    /// Starts the plugins of which each stream gets a VM of its own.
    fn take_snapshots(&mut self, plan: &mut Plan) -> Result<(), ServeError> {
        let planned = Arc::make_mut(&mut plan.planned);
        let (config, compiler) = (&self.config, &mut self.compiler);
        let workers = config.workers + usize::from(self.recording.is_some());
        let (host, shared) = (&plan.host, &plan.shared);
        let mut plugins: Vec<_> = config.all_plugins().zip(planned.plugins_mut()).collect();
        take_snapshots(&mut plugins, compiler, workers, &|| Box::new(host.clone()), shared)??;
        Ok(())
    }

    /// Uses listening sockets that the process was started with, in place of opening its own.
    pub fn use_sockets(&mut self, passed: Passed) {
        self.passed = passed;
    }

    /// Allows that SIGUSR2 and `POST /upgrade` start the command line of this process again, to take its place.
    pub fn allow_upgrade(&mut self) {
        self.stays = None;
    }

    /// Forbids that another process takes the place of this one.
    pub fn refuse_upgrade(&mut self, reason: &'static str) {
        self.stays = Some(reason);
    }

    /// Shares out the descriptors that the sockets have left. Returns how many are open.
    fn share_descriptors(&mut self) -> u64 {
        let workers = self.config.workers + usize::from(self.recording.is_some());
        let open = descriptors::open();
        let bounds = Bounds::share(open, &Wishes::of(&self.config, workers), |_| None);
        if let Some((_, plan)) = &mut self.recording {
            plan.bounds = bounds.clone();
        }
        self.plan.bounds = bounds;
        open
    }
}
