//! The state of one VM: what hostcalls read and write. It knows no engine.

mod frame;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use frame::Frame;

use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::{AbiVersion, BufferType, LogLevel, MapType, Status};
use crate::engine::trap::Trap;
use crate::hostcall::Source;
use crate::model::action::Action;
use crate::model::body::Body;
use crate::model::context::{Access, ContextId, Contexts, Direction, RootContext, Slot, StreamKind};
use crate::model::drawn::Drawn;
use crate::model::headers::Headers;
use crate::model::limits::Budget;
use crate::model::plugin::Plugin;
use crate::model::visible::Visible;
use crate::observe::observer::{Observer, Seen};
use crate::resources::callouts::Callouts;
use crate::resources::dns::Lookups;
use crate::resources::files::FileTable;
use crate::resources::foreign::ForeignFunctions;
use crate::resources::grpc::{GrpcCalls, Received};
use crate::resources::host::{Host, LogRecord};
use crate::resources::in_flight::OnAccountOf;
use crate::resources::metric::MetricTable;
use crate::resources::shared::{Inbox, Item, Queue, Shared, Space, Wake};
use crate::rights::rate::Flow;
use crate::rights::{Capabilities, DenialLog, Family, Rules};
use crate::sandbox::byte_budget::HeldBytes;
use crate::sandbox::{Budgets, SandboxKey, VmSpec};
use crate::vm::output::{Output, OutputStream};
use crate::vm::quotas::Together;
use crate::vm::usage::CpuBudget;

/// What a VM is made with.
#[derive(Debug)]
pub struct VmConfig {
    /// The ABI that its module declares.
    pub abi: AbiVersion,
    /// What it is given.
    pub vm: VmSpec,
    /// What start functions may call, of what start functions may call in any case.
    pub capabilities: Capabilities,
    /// With which arguments start functions may call it.
    pub rules: Rules,
    /// The callbacks that its module exports, so that those that a plugin may not receive are told as
    /// denials, and what the module has no callback for passes by it. `None`, the default, if that is not known.
    pub exports: Option<Capabilities>,
    /// The id under which it shares data and queues.
    pub vm_id: String,
    /// Its sandbox, for the record of denials. VMs of one sandbox that share have [`Limits::shared`] and [`Limits::buffers`] together; a
    /// VM of none has them alone.
    pub sandbox: Option<SandboxKey>,
    /// The sandbox whose data and queues it sees alone, if it is kept apart from others of its id.
    pub partition: Option<SandboxKey>,
    /// With which VMs it shares.
    pub shared: Shared,
    /// What its plugins may call beyond the ABI.
    pub foreign: ForeignFunctions,
    /// Wakes its thread when [`Vm::on_queue_ready`](crate::Vm::on_queue_ready) has something to do.
    pub wake: Option<Wake>,
}

impl VmConfig {
    /// No configuration, every right, default limits, nothing shared with other VMs.
    pub fn new(abi: AbiVersion) -> Self {
        Self {
            abi,
            vm: VmSpec::default(),
            capabilities: Capabilities::ALL,
            rules: Rules::NONE,
            exports: None,
            vm_id: String::new(),
            sandbox: None,
            partition: None,
            shared: Shared::default(),
            foreign: ForeignFunctions::default(),
            wake: None,
        }
    }
}

/// The state of one VM.
#[derive(Debug)]
pub struct VmState {
    pub(crate) host: Box<dyn Host>,
    pub(crate) config: Arc<VmConfig>,
    pub(crate) contexts: Contexts,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) metrics: Arc<MetricTable>,
    pub(crate) calls: Callouts,
    pub(crate) grpc: GrpcCalls,
    pub(crate) lookups: Lookups,
    /// Its directories and open files; none until its start section has run.
    pub(crate) files: FileTable,
    budget: Budget,
    /// The budgets of its sandbox.
    pub(crate) budgets: Arc<Budgets>,
    /// What it shares with the VMs of its id.
    pub(crate) space: Arc<Space>,
    /// Where queues tell it of their items.
    pub(crate) inbox: Arc<Inbox>,
    /// Queues of other ids that it has asked for by name; it may use no others.
    pub(crate) resolved_queues: HashMap<u32, Weak<Queue>>,
    /// An item on its way to the guest, and the queue that it came from.
    pub(crate) item: Option<(Arc<Queue>, Item)>,
    /// What the guest has written and not ended with a newline.
    output: Output,
    /// The arguments of `proxy_on_foreign_function`, while it runs.
    pub(crate) call_data: Option<Bytes>,
    /// Bytes on their way to the guest; reused.
    pub(crate) reply: Vec<u8>,
    /// The keys that the operator has been told of.
    pub(crate) noted: Vec<&'static str>,
    pub(crate) denials: Arc<DenialLog>,
    /// What it has together with others, if it lasts for one stream, and its guest was made in the state after configure.
    pub(crate) together: Option<Arc<Together>>,
    /// What its callbacks may use of a CPU.
    cpu_budget: CpuBudget,
    frame: Frame,
    /// What it took that is never the same again.
    pub(crate) drawn: Drawn,
    /// The plugin that ran last, to be counted no more when it runs next.
    pub(crate) last_plugin: Option<Arc<Plugin>>,
    /// On whose account the next callback of a root runs.
    acts_for: OnAccountOf,
    /// What looks at each of its calls.
    observer: Option<Box<dyn Observer>>,
}

impl VmState {
    /// The state of a VM that has not started.
    pub fn new(config: VmConfig, host: Box<dyn Host>) -> Self {
        let space = config.shared.space(&config.vm_id, config.partition);
        let budgets = config.shared.budgets(config.sandbox, &config.vm.limits);
        Self::within(Arc::new(config), space, budgets, host)
    }

    /// The same in a space that is known, and with budgets that are.
    pub(crate) fn within(config: Arc<VmConfig>, space: Arc<Space>, budgets: Arc<Budgets>, host: Box<dyn Host>) -> Self {
        let frame = Frame::before_start(&config, ContextId::VM, None);
        let metrics = Arc::new(MetricTable::new(config.vm.limits.metrics));
        let budget = Budget::new(&config.vm.limits);
        let inbox = Arc::new(Inbox::new(config.wake.clone()));
        Self {
            host,
            config,
            contexts: Contexts::default(),
            actions: VecDeque::new(),
            metrics,
            calls: Callouts::default(),
            grpc: GrpcCalls::default(),
            lookups: Lookups::default(),
            files: FileTable::default(),
            budget,
            budgets,
            space,
            inbox,
            resolved_queues: HashMap::new(),
            item: None,
            output: Output::default(),
            call_data: None,
            reply: Vec::new(),
            noted: Vec::new(),
            denials: Arc::default(),
            together: None,
            frame,
            drawn: Drawn::default(),
            last_plugin: None,
            acts_for: OnAccountOf::default(),
            cpu_budget: CpuBudget::default(),
            observer: None,
        }
    }

    /// What memory and tables may still take; for engines.
    #[inline]
    pub fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// Has each call looked at by an observer, from before its guest is made.
    pub(crate) fn set_observer(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
        self.frame.look_at_all();
    }

    /// Drops the observer. Callbacks that begin from now on cost what they did without.
    pub(crate) fn drop_observer(&mut self) {
        self.observer = None;
    }

    /// Hands `look` the observer, if there is one.
    pub(crate) fn observe<R>(&mut self, look: impl FnOnce(&mut dyn Observer, Seen<'_>) -> R) -> Option<R> {
        let seen = Seen { host: &*self.host, plugin: self.frame.plugin.as_deref() };
        Some(look(&mut **self.observer.as_mut()?, seen))
    }

    /// What observers see of it.
    pub(crate) fn seen(&self) -> Seen<'_> {
        Seen { host: &*self.host, plugin: self.frame.plugin.as_deref() }
    }

    /// The embedder's side.
    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// Room for bytes that the embedder holds for the plugins of the VM; none of it is taken yet.
    pub fn held_bytes(&self) -> HeldBytes {
        HeldBytes::none(&self.budgets.buffers)
    }

    /// How many hostcalls were denied.
    pub fn denials(&self) -> u64 {
        self.denials.total()
    }

    /// Logs in the host's own name, about the plugin that runs.
    pub fn note(&mut self, level: LogLevel, message: &str) {
        self.flush_output();
        self.log_as(level, message.as_bytes(), true);
    }

    /// Warns of something that the guest does and that is of no use, at a bounded rate: it may do so in every stream.
    #[cold]
    pub(crate) fn remark(&mut self, message: &str) {
        let now = self.host.monotonic_clock();
        match self.denials.remark(now) {
            None => {}
            Some(0) => self.note(LogLevel::Warn, message),
            Some(more) => {
                self.note(LogLevel::Warn, &format!("{message} ({more} such lines before it were not logged)"))
            }
        }
    }

    /// Tells the operator that a budget is used up; the status that says so to the guest is this one.
    #[cold]
    pub(crate) fn used_up(&mut self, budget: UsedUp, status: Status) -> Status {
        self.remark(match budget {
            UsedUp::Shared => {
                "limits.shared is used up: what the plugin's sandbox adds to shared data, queues and metrics is refused; raise limits.shared, \
                 or have the plugin keep less"
            }
            UsedUp::Buffers => {
                "limits.buffers is used up: what the plugin's sandbox adds to bodies, local responses, callouts and properties is refused; raise \
                 limits.buffers, or have the plugin hold less"
            }
        });
        status
    }

    /// Logs what the guest says.
    ///
    /// # Errors
    /// The plugin's rules do not allow so much, and its operator has its VM end then. If not, the line is
    /// lost and the guest does not know: some SDKs give up when a line cannot be logged.
    #[inline]
    pub(crate) fn log(&mut self, level: LogLevel, message: &[u8]) -> Result<(), Trap> {
        self.flush_output();
        if self.may_log(Family::Log, HostcallId::proxy_log, level, message)? {
            self.log_as(level, message, false);
        }
        Ok(())
    }

    /// Whether the rules of the plugin allow one more line.
    #[inline]
    fn may_log(&mut self, family: Family, id: HostcallId, level: LogLevel, message: &[u8]) -> Result<bool, Trap> {
        let Some(rule) = self.rule(family) else { return Ok(true) };
        if level < self.host.log_level() {
            return Ok(true);
        }
        let now = self.host.monotonic_clock();
        let over = |flow: &Option<Flow>, count| flow.as_ref().is_some_and(|flow| !flow.take(count, now));
        let key = match () {
            () if over(&rule.rate, 1) => "rate",
            () if over(&rule.byte_rate, message.len() as u64) => "bytes",
            () => return Ok(true),
        };
        self.deny(id, Some((key, None)))?;
        Ok(false)
    }

    /// Takes what the guest writes to its standard output or error; logs the lines that are complete.
    pub(crate) fn write_output(&mut self, stream: OutputStream, bytes: &[u8]) {
        let mut output = std::mem::take(&mut self.output);
        output.write(stream, bytes, |line| self.log_line(stream, line));
        self.output = output;
    }

    /// Logs the lines that the guest has not ended, before something else is logged.
    #[inline(always)]
    fn flush_output(&mut self) {
        if !self.output.is_empty() {
            self.log_unended();
        }
    }

    #[cold]
    fn log_unended(&mut self) {
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            let line = self.output.take(stream);
            self.log_line(stream, &line);
        }
    }

    fn log_line(&mut self, stream: OutputStream, line: &[u8]) {
        let level = stream.level();
        // Lines are logged when a callback has ended, too, where no trap can be raised any more.
        if !line.is_empty() && matches!(self.may_log(Family::Output, HostcallId::fd_write, level, line), Ok(true)) {
            self.log_as(level, line, false);
        }
    }

    fn log_as(&mut self, level: LogLevel, message: &[u8], from_host: bool) {
        if level < self.host.log_level() {
            return;
        }
        let plugin = self.frame.plugin.as_deref();
        let (context, stream) = (self.frame.current, self.acting_for());
        self.host.log(&LogRecord { level, message, plugin, context, stream, from_host });
    }

    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.config.vm.environment
    }
}

/// What hostcalls may see.
impl VmState {
    /// A map that the guest may read now.
    #[inline]
    pub(crate) fn map(&self, map: MapType) -> Option<&Headers> {
        match map {
            MapType::HttpCallResponseHeaders => self.call_response().map(|response| &response.headers),
            MapType::HttpCallResponseTrailers => self.call_response().map(|response| &response.trailers),
            MapType::GrpcReceiveInitialMetadata => self.received()?.initial_metadata.as_ref(),
            MapType::GrpcReceiveTrailingMetadata => self.received()?.trailing_metadata.as_ref(),
            _ => {
                let slot = self.acting_stream()?.slot(map)?;
                slot.map.as_ref().filter(|_| slot.access != Access::None)
            }
        }
    }

    /// The same, as far as the rules of the plugin let it see it.
    pub(crate) fn visible(&self, map: MapType) -> Option<Visible<'_>> {
        Some(Visible { headers: self.map(map)?, map, rule: self.rule(Family::ReadHeaders) })
    }

    /// The slot of a map that the guest may write now.
    pub(crate) fn writable_slot(&mut self, map: MapType) -> Result<&mut Slot, Status> {
        let slot = self.acting_stream_mut().and_then(|stream| stream.slot_mut(map));
        slot.filter(|slot| slot.access == Access::Write).ok_or(Status::BadArgument)
    }

    /// A buffer that the guest may read now.
    pub(crate) fn buffer(&self, buffer: BufferType) -> Buffer<'_> {
        match buffer {
            BufferType::HttpRequestBody => self.stream_data(StreamKind::Http, Direction::Request),
            BufferType::HttpResponseBody => self.stream_data(StreamKind::Http, Direction::Response),
            BufferType::DownstreamData => self.stream_data(StreamKind::Tcp, Direction::Request),
            BufferType::UpstreamData => self.stream_data(StreamKind::Tcp, Direction::Response),
            BufferType::GrpcReceiveBuffer => self
                .received()
                .and_then(|received| received.message.as_ref())
                .map_or_else(|| self.absent(), Buffer::Bytes),
            BufferType::HttpCallResponseBody => self.call_response_body().map_or(Buffer::Unavailable, Buffer::Body),
            BufferType::VmConfiguration => Buffer::Bytes(&self.config.vm.configuration),
            BufferType::PluginConfiguration => match (self.callback(), self.plugin()) {
                (Some(CallbackId::on_configure | CallbackId::on_context_create), Some(plugin))
                    if self.contexts.root(self.acting()).is_some() =>
                {
                    Buffer::Bytes(&plugin.configuration)
                }
                _ => Buffer::Unavailable,
            },
            BufferType::CallData => self.call_data.as_ref().map_or(Buffer::Unavailable, Buffer::Bytes),
        }
    }

    /// How many bytes a source has.
    pub(crate) fn source_len(&self, source: Source) -> usize {
        match source {
            Source::Reply => self.reply.len(),
            Source::Item => self.item.as_ref().map_or(0, |(_, item)| item.len()),
            Source::Pairs(map) => self.visible(map).map_or(0, |visible| visible.serialized_len()),
            Source::Buffer { len, .. } => len,
        }
    }

    /// Copies a source into guest memory of its size; says whether it fitted.
    pub(crate) fn copy_source(&self, source: Source, out: &mut [u8]) -> bool {
        match source {
            Source::Reply => copy_whole(&self.reply, out),
            Source::Item => self.item.as_ref().is_some_and(|(_, item)| copy_whole(item, out)),
            Source::Pairs(map) => self.visible(map).is_some_and(|visible| visible.encode_into(out)),
            Source::Buffer { buffer, start, .. } => self.buffer(buffer).copy_to(start, out),
        }
    }

    fn call_response(&self) -> Option<&crate::model::context::CallResponse> {
        self.contexts.root(self.acting_root()?)?.call_response.as_ref()
    }

    /// The body of the answer to a callout; none of one that was reset.
    fn call_response_body(&self) -> Option<&Body> {
        let root = self.contexts.root(self.acting_root()?).filter(|root| !root.call_was_reset)?;
        root.call_response.as_ref().map(|response| &response.body)
    }

    fn received(&self) -> Option<&Received> {
        Some(&self.contexts.root(self.acting_root()?)?.grpc)
    }

    fn stream_data(&self, kind: StreamKind, direction: Direction) -> Buffer<'_> {
        let stream = self.acting_stream().filter(|stream| stream.kind == kind);
        let half = stream.map(|stream| stream.half_ref(direction));
        let body = half.filter(|half| !half.continued).and_then(|half| half.body.as_ref());
        body.map_or_else(|| self.absent(), Buffer::Body)
    }

    /// A buffer that there is at other times.
    fn absent(&self) -> Buffer<'_> {
        if self.keeps_to_spec() { Buffer::Unavailable } else { Buffer::Empty }
    }

    /// A queue that this VM may know: one of its own id, or one that it has asked for by name.
    pub(crate) fn queue(&self, id: u32) -> Option<Arc<Queue>> {
        let resolved = self.resolved_queues.get(&id).and_then(Weak::upgrade);
        resolved.or_else(|| self.space.queue(id))
    }

    /// Lets this VM know a queue by its id.
    pub(crate) fn know(&mut self, queue: &Arc<Queue>) -> Result<(), Status> {
        /// As many as a plugin could name one by one.
        const MOST: usize = 1000;
        if self.resolved_queues.len() >= MOST && !self.resolved_queues.contains_key(&queue.id()) {
            self.resolved_queues.retain(|_, queue| queue.strong_count() > 0);
            if self.resolved_queues.len() >= MOST {
                return Err(Status::InternalFailure);
            }
        }
        self.resolved_queues.insert(queue.id(), Arc::downgrade(queue));
        Ok(())
    }

    pub(crate) fn root_mut(&mut self) -> Option<(ContextId, &mut RootContext)> {
        let id = self.acting_root()?;
        Some((id, self.contexts.root_mut(id)?))
    }
}

/// A budget of the sandbox.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UsedUp {
    Shared,
    Buffers,
}

fn copy_whole(bytes: &[u8], out: &mut [u8]) -> bool {
    let fits = bytes.len() == out.len();
    if fits {
        out.copy_from_slice(bytes);
    }
    fits
}

/// A view of a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buffer<'a> {
    Body(&'a Body),
    Bytes(&'a Bytes),
    /// Known, and without bytes now.
    Empty,
    /// Not to be had in this callback.
    Unavailable,
}

impl Buffer<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Body(body) => body.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Empty | Self::Unavailable => 0,
        }
    }

    fn copy_to(&self, start: usize, out: &mut [u8]) -> bool {
        match self {
            Self::Body(body) => body.copy_to(start, out),
            Self::Bytes(bytes) => match bytes.get(start..start.saturating_add(out.len())) {
                Some(from) => {
                    out.copy_from_slice(from);
                    true
                }
                None => false,
            },
            Self::Empty | Self::Unavailable => out.is_empty(),
        }
    }
}
