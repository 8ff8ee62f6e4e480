//! Getting a guest to where it calls.
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use bytes::Bytes;
use portcullis::core::{
    Access, Action, AnyEngine, Body, Bytecode, CallOutcome, CallResponse, Compatibility, Direction, ForeignFunctions,
    GrpcEvent, Headers, Limits, Plugin, Shared, SharedLimits, Status,
};

use super::script::{self, Guest, TEXTS};
use super::{Row, Stage};
use crate::prelude;
use crate::running::{Running, Setup};

/// Runs a row; what the guest reports.
pub(super) fn run(row: &Row, engine: &dyn AnyEngine) -> Vec<String> {
    let wasm = wat::parse_str(guest(row)).unwrap();
    let bytecode = Bytecode::judge(&wasm).unwrap();
    let module = engine.load(&bytecode).unwrap();
    let mut guest = Running::start(&*module, bytecode.abi, setup_for(row.at)).unwrap();
    enter(&mut guest, row.at);
    guest.seen()
}

fn setup_for(at: Stage) -> Setup {
    let foreign = ForeignFunctions::default()
        .with("works", |call| {
            call.result.extend_from_slice(call.arguments);
            Ok(())
        })
        .with("fails", |_| Err(Status::BadArgument))
        .with("cannot", |_| Err(Status::SerializationFailure))
        .with("breaks", |_| Err(Status::InternalFailure));
    let compatibility = if at == Stage::TickOfSpec { Compatibility::Spec } else { Compatibility::Envoy };
    let plugin = Plugin { configuration: Bytes::from_static(b"{}"), compatibility, ..Plugin::new("test") };
    let setup = Setup { foreign, plugin, environment: vec![("K".to_owned(), "v".to_owned())], ..Setup::default() };
    if at != Stage::TickWithoutRoom {
        return setup;
    }
    let limits = Limits { callouts: 0, metrics: 0, ..setup.limits };
    let shared = Shared::new(SharedLimits { keys: 0, data: 0, queues: 1, items: 0, queue: 0 });
    Setup { limits, shared, ..setup }
}

/// The module: in its stage it reports the answer. What leads there it does with calls of its own.
fn guest(row: &Row) -> String {
    let Guest { mut hostcalls, data, code } = script::compile(row.script, TEXTS);
    let report = format!("(call $report {code})");
    let report =
        if row.hostcall().decl().results.is_empty() { format!("{code} (call $report (i32.const 0))") } else { report };
    let (export, params, result) = export(row.at);
    let marker = match row.at {
        Stage::TickOf010 | Stage::RequestHeadersOf010 => "(func (export \"proxy_abi_version_0_1_0\"))",
        _ => "",
    };
    let lead = match row.at {
        Stage::CallResponse => Some(HTTP_CALL),
        Stage::GrpcMessage | Stage::GrpcMetadata => Some(GRPC_STREAM),
        _ => None,
    };
    let mut fields = format!(
        "{marker}{data}(func (export \"{export}\") (param{params}) {result})",
        result = match result {
            None => report,
            Some(value) => format!("(result i32) {report} (i32.const {value})"),
        }
    );
    if let Some(lead) = lead {
        let Guest { hostcalls: more, data, code } = script::compile(lead, LEAD);
        hostcalls.extend(more.into_iter().filter(|id| !row.script.contains(id.decl().name)));
        fields.push_str(&format!("{data}(func (export \"proxy_on_tick\") (param i32) (drop {code}))"));
    }
    if row.at == Stage::TickOfPending {
        fields.push_str("(func (export \"proxy_on_done\") (param i32) (result i32) (i32.const 0))");
    }
    prelude::module(&hostcalls, &fields)
}

/// What the guest exports, with which parameters, and what it returns.
fn export(at: Stage) -> (&'static str, &'static str, Option<i32>) {
    match at {
        Stage::Configure => ("proxy_on_configure", " i32 i32", Some(1)),
        Stage::Tick | Stage::TickWithoutRoom | Stage::TickOfPending | Stage::TickOfSpec | Stage::TickOf010 => {
            ("proxy_on_tick", " i32", None)
        }
        Stage::RequestHeaders => ("proxy_on_request_headers", " i32 i32 i32", Some(0)),
        Stage::RequestHeadersOf010 => ("proxy_on_request_headers", " i32 i32", Some(0)),
        Stage::RequestBody => ("proxy_on_request_body", " i32 i32 i32", Some(0)),
        Stage::Log => ("proxy_on_log", " i32", None),
        Stage::CallResponse => ("proxy_on_http_call_response", " i32 i32 i32 i32 i32", None),
        Stage::GrpcMessage => ("proxy_on_grpc_receive", " i32 i32 i32", None),
        Stage::GrpcMetadata => ("proxy_on_grpc_receive_initial_metadata", " i32 i32 i32", None),
        Stage::Downstream => ("proxy_on_downstream_data", " i32 i32 i32", Some(0)),
        Stage::ForeignFunction => ("proxy_on_foreign_function", " i32 i32 i32", None),
    }
}

/// Where the texts of what leads to a stage begin.
const LEAD: usize = 3072;

const HTTP_CALL: &str = "proxy_http_call 'auth' '\\03\\00\\00\\00\\07\\00\\00\\00\\03\\00\\00\\00\\05\\00\\00\\00\\01\\00\\00\\00\
    \\0a\\00\\00\\00\\01\\00\\00\\00:method~GET~:path~/~:authority~a~' '' '' 0 64";

const GRPC_STREAM: &str = "proxy_grpc_stream 'auth' 'S' 'M' '' 64";

fn enter(guest: &mut Running, at: Stage) {
    match at {
        Stage::Configure => {}
        Stage::Tick | Stage::TickWithoutRoom | Stage::TickOfSpec | Stage::TickOf010 => guest.tick().unwrap(),
        Stage::TickOfPending => {
            assert_eq!(guest.vm.end_root(guest.root), Ok(false));
            guest.tick().unwrap();
        }
        Stage::RequestHeaders | Stage::RequestHeadersOf010 => {
            let stream = guest.open(REQUEST);
            guest.headers(stream).unwrap();
        }
        Stage::RequestBody => {
            let stream = guest.open(REQUEST);
            guest.vm.stream(stream).unwrap().take_headers(Direction::Request);
            guest.lend_body(stream, Direction::Request, "hello");
            guest.vm.on_body(stream, Direction::Request, true).unwrap();
        }
        Stage::Log => {
            let stream = guest.open(&[]);
            let headers: Headers = REQUEST.iter().copied().collect();
            guest.vm.stream(stream).unwrap().lend_headers(Direction::Request, headers, Access::Read);
            guest.vm.on_log(stream).unwrap();
        }
        Stage::CallResponse => {
            guest.tick().unwrap();
            let call = guest.actions().into_iter().find_map(|action| match action {
                Action::HttpCall { call, .. } => Some(call),
                _ => None,
            });
            let headers: Headers = [(":status", "200")].into_iter().collect();
            let response =
                CallResponse { headers, body: Body::from(Bytes::from_static(b"ok")), ..CallResponse::default() };
            guest.vm.on_http_call_response(call.unwrap(), CallOutcome::Response(response)).unwrap();
        }
        Stage::GrpcMessage | Stage::GrpcMetadata => {
            guest.tick().unwrap();
            let id = guest.actions().into_iter().find_map(|action| match action {
                Action::GrpcStart { id, .. } => Some(id),
                _ => None,
            });
            let event = match at {
                Stage::GrpcMessage => GrpcEvent::Message(Bytes::from_static(b"ok")),
                _ => GrpcEvent::InitialMetadata([("k", "v")].into_iter().collect()),
            };
            guest.vm.on_grpc(id.unwrap(), event).unwrap();
        }
        Stage::Downstream => {
            let stream = guest.connect();
            guest.lend_body(stream, Direction::Request, "hello");
            guest.vm.on_data(stream, Direction::Request, false).unwrap();
        }
        Stage::ForeignFunction => guest.vm.on_foreign_function(guest.root, 1, Bytes::from_static(b"args")).unwrap(),
    }
}

const REQUEST: &[(&str, &str)] = &[(":method", "GET"), (":path", "/"), ("x-id", "7"), ("empty", "")];
