//! Drives guests that are Rust closures through a VM.

mod sample;

use std::sync::{Arc, Mutex};

use portcullis_core::abi::{AbiVersion, CallbackId};
use portcullis_core::engine::{StartError, Trap};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Access, Action, CallId, ContextId, Direction, Headers, Plugin, StreamInfo};
use portcullis_core::rights::{Capabilities, RuleTexts, Rules};
use portcullis_core::testing::{FakeHost, NullCaller, NullEngine, Script};
use portcullis_core::vm::{CallOutcome, Vm, VmConfig};

pub(crate) use sample::{body, call_response, get, ok, pairs, trailers};

type Run = Box<dyn FnMut(&mut NullCaller<'_>, &[i32]) -> Result<i32, Trap> + Send>;
type Calls = Arc<Mutex<Vec<(CallbackId, Vec<i32>)>>>;

/// A guest and a plugin that are to be started.
pub(crate) struct Setup {
    pub(crate) config: VmConfig,
    pub(crate) plugin: Plugin,
    pub(crate) host: FakeHost,
    pub(crate) info: StreamInfo,
    callbacks: Vec<(CallbackId, Run)>,
}

/// A VM with one plugin.
pub(crate) struct Started {
    pub(crate) vm: Vm,
    pub(crate) host: FakeHost,
    pub(crate) root: ContextId,
    calls: Calls,
    info: StreamInfo,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self::abi(AbiVersion::V0_2_1)
    }

    pub(crate) fn abi(abi: AbiVersion) -> Self {
        let plugin = Plugin::new("plugin").with_root_id("root").with_vm_id("vm");
        let host = FakeHost::new().with_upstream("up");
        Self { config: VmConfig::new(abi), plugin, host, info: StreamInfo::default(), callbacks: Vec::new() }
    }

    /// One whose streams have this.
    pub(crate) fn stream(info: StreamInfo) -> Self {
        Self { info, ..Self::new() }
    }

    /// Gives the plugin the rights that are named, and no others.
    pub(crate) fn with_rights(mut self, names: &[&str]) -> Self {
        self.plugin.capabilities = Capabilities::from_names(names.iter().copied()).unwrap();
        self
    }

    /// Rules for arguments: capability, key, values.
    pub(crate) fn ruled(mut self, rules: &[(&str, &str, &[&str])]) -> Self {
        let mut texts = RuleTexts::new();
        for (capability, key, values) in rules {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            texts.entry((*capability).to_owned()).or_default().insert((*key).to_owned(), values);
        }
        self.plugin.rules = Rules::new(&texts).unwrap();
        self
    }

    pub(crate) fn try_on(
        mut self,
        id: CallbackId,
        run: impl FnMut(&mut NullCaller<'_>, &[i32]) -> Result<i32, Trap> + Send + 'static,
    ) -> Self {
        self.callbacks.push((id, Box::new(run)));
        self
    }

    pub(crate) fn on(
        self,
        id: CallbackId,
        mut run: impl FnMut(&mut NullCaller<'_>, &[i32]) -> i32 + Send + 'static,
    ) -> Self {
        self.try_on(id, move |caller, args| Ok(run(caller, args)))
    }

    /// Exports callbacks that do nothing but return this.
    pub(crate) fn returning(self, result: i32, ids: &[CallbackId]) -> Self {
        ids.iter().fold(self, |setup, id| setup.on(*id, move |_, _| result))
    }

    pub(crate) fn vm(self) -> (Result<Vm, StartError>, Plugin, Calls, FakeHost) {
        let calls = Calls::default();
        let (noted, callbacks) = (Arc::clone(&calls), Mutex::new(self.callbacks));
        let engine = NullEngine::new(move || {
            let callbacks = std::mem::take(&mut *callbacks.lock().unwrap());
            callbacks.into_iter().fold(Script::new(), |script, (id, mut run)| {
                let noted = Arc::clone(&noted);
                script.try_on(id, move |caller, args| {
                    noted.lock().unwrap().push((id, args.to_vec()));
                    run(caller, args)
                })
            })
        });
        let vm = Vm::start(&*engine.module().unwrap(), self.config, Box::new(self.host.clone()));
        (vm, self.plugin, calls, self.host)
    }

    pub(crate) fn start(self) -> Started {
        let info = self.info.clone();
        let (vm, plugin, calls, host) = self.vm();
        let mut vm = vm.unwrap();
        let root = vm.add_plugin(Arc::new(plugin)).unwrap();
        Started { vm, host, root, calls, info }
    }

    /// Runs the guest up to one callback, in which it does this.
    pub(crate) fn during(self, id: CallbackId, mut run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Started {
        let mut started = self.on(id, move |caller, _| {
            run(caller);
            1
        });
        if id == CallbackId::on_http_call_response {
            started = started.on(CallbackId::on_tick, |caller, _| {
                http_call(caller, "up", &get("/"), b"").unwrap();
                0
            });
        }
        let mut started = started.start();
        started.go_to(id);
        assert_eq!(started.called(id), 1, "{id} ran once");
        started
    }
}

impl Started {
    /// How often a callback ran.
    pub(crate) fn called(&self, id: CallbackId) -> usize {
        self.calls.lock().unwrap().iter().filter(|(called, _)| *called == id).count()
    }

    /// Which callbacks ran since the last time this was asked, with their arguments.
    pub(crate) fn calls(&self) -> Vec<(CallbackId, Vec<i32>)> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// Takes the actions that the guest asked for.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.vm.next_action()).collect()
    }

    pub(crate) fn stream(&mut self) -> ContextId {
        self.vm.create_stream(self.root, self.info.clone().into_shared()).unwrap()
    }

    /// Has the guest make a callout in its tick; says which.
    pub(crate) fn callout(&mut self) -> CallId {
        self.vm.on_tick(self.root).unwrap();
        self.actions().into_iter().find_map(|action| call_id(&action)).unwrap()
    }

    /// Does what leads to a callback, with everything lent that belongs to it.
    fn go_to(&mut self, id: CallbackId) {
        use CallbackId as C;
        use Direction::{Request, Response};
        match id {
            C::on_vm_start | C::on_configure | C::on_context_create => return,
            C::on_tick => return self.vm.on_tick(self.root).unwrap(),
            C::on_http_call_response => {
                let call = self.callout();
                return self.vm.on_http_call_response(call, CallOutcome::Response(call_response())).unwrap();
            }
            _ => {}
        }
        let stream = self.stream();
        let lent = self.vm.stream(stream).unwrap();
        let access = if id == C::on_log { Access::Read } else { Access::Write };
        match id {
            C::on_request_headers | C::on_request_headers_0_1_0 => lent.lend_headers(Request, get("/p?q"), access),
            C::on_response_headers | C::on_response_headers_0_1_0 => lent.lend_headers(Response, ok(), access),
            C::on_request_body => lent.lend_body(Request, body()),
            C::on_response_body => lent.lend_body(Response, body()),
            C::on_request_trailers => lent.lend_trailers(Request, Some(trailers()), access),
            C::on_response_trailers => lent.lend_trailers(Response, Some(trailers()), access),
            C::on_log => {
                lent.lend_headers(Request, get("/p?q"), access);
                lent.lend_headers(Response, ok(), access);
                lent.lend_trailers(Response, Some(trailers()), access);
            }
            _ => {}
        }
        match id {
            C::on_request_headers | C::on_request_headers_0_1_0 => drop(self.vm.on_headers(stream, Request, false)),
            C::on_response_headers | C::on_response_headers_0_1_0 => drop(self.vm.on_headers(stream, Response, false)),
            C::on_request_body => drop(self.vm.on_body(stream, Request, false)),
            C::on_response_body => drop(self.vm.on_body(stream, Response, false)),
            C::on_request_trailers => drop(self.vm.on_trailers(stream, Request)),
            C::on_response_trailers => drop(self.vm.on_trailers(stream, Response)),
            C::on_log => self.vm.on_log(stream).unwrap(),
            C::on_done => self.vm.on_done(stream).unwrap(),
            C::on_delete => self.vm.delete(stream).unwrap(),
            other => panic!("nothing leads to {other}"),
        }
    }
}

/// Runs a guest up to one callback, in which it does this.
pub(crate) fn during(id: CallbackId, run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Started {
    Setup::new().during(id, run)
}

/// `proxy_http_call` with a timeout of 50 ms: the id, or the status.
pub(crate) fn http_call(
    caller: &mut NullCaller<'_>,
    upstream: &str,
    headers: &Headers,
    body: &[u8],
) -> Result<u32, i32> {
    let (upstream, upstream_len) = caller.put(upstream.as_bytes());
    let (headers, headers_len) = caller.put(&pairs(headers));
    let (body, body_len) = caller.put(body);
    let call =
        entry::proxy_http_call(caller, upstream, upstream_len, headers, headers_len, body, body_len, 0, 0, 50, 16);
    match call.unwrap() {
        0 => Ok(caller.word(16)),
        status => Err(status),
    }
}

pub(crate) fn call_id(action: &Action) -> Option<CallId> {
    if let Action::HttpCall { call, .. } = action { Some(*call) } else { None }
}
