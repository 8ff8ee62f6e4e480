use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use portcullis_core::abi::{BufferType, CallbackId, StreamType};
use portcullis_core::engine::{CallStack, Trap, WasmTrap};
use portcullis_core::hostcall::entry;
use portcullis_core::testing::{NullCaller, Script};

/// The callbacks of a stream that have a result.
const FILTERS: [(CallbackId, &str); 6] = [
    (CallbackId::on_request_headers, "request headers"),
    (CallbackId::on_request_body, "request body"),
    (CallbackId::on_request_trailers, "request trailers"),
    (CallbackId::on_response_headers, "response headers"),
    (CallbackId::on_response_body, "response body"),
    (CallbackId::on_response_trailers, "response trailers"),
];

/// A guest that logs each callback and lets everything pass but where a result is given: the first
/// for the first call, and so on; the last one stays.
pub(crate) fn recorder(results: &[(CallbackId, &[i32])]) -> Script {
    let mut script = Script::new();
    for (id, name) in FILTERS {
        let given = results.iter().find(|(of, _)| *of == id).map_or(&[0][..], |(_, values)| values);
        let (values, mut next) = (given.to_vec(), 0);
        script = script.on(id, move |caller, args| {
            log_filter(caller, id, name, args);
            let value = values.get(next).or_else(|| values.last()).copied().unwrap_or(0);
            next += 1;
            value
        });
    }
    for (id, name) in [(CallbackId::on_log, "log"), (CallbackId::on_done, "done"), (CallbackId::on_delete, "delete")] {
        script = script.on(id, move |caller, _| {
            caller.log(name);
            1
        });
    }
    script
}

/// Logs a callback with what it shows: how many headers or which bytes, and the end.
pub(crate) fn log_filter(caller: &mut NullCaller<'_>, id: CallbackId, name: &str, args: &[i32]) {
    let buffer = match id {
        CallbackId::on_request_body => Some(BufferType::HttpRequestBody),
        CallbackId::on_response_body => Some(BufferType::HttpResponseBody),
        _ => None,
    };
    let size = args.get(1).copied().unwrap_or_default();
    let what = match buffer.map(|buffer| caller.buffer(buffer).unwrap_or_default()) {
        Some(bytes) => {
            assert_eq!(i32::try_from(bytes.len()), Ok(size), "the size that {id} is told");
            super::text(&bytes)
        }
        None => size.to_string(),
    };
    let end = if args.get(2) == Some(&1) { " end" } else { "" };
    caller.log(&format!("{name} {what}{end}"));
}

/// Adds a tick, once a second, that acts on the stream that was created last.
pub(crate) fn ticking(script: Script, mut act: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Script {
    try_ticking(script, move |caller| {
        act(caller);
        Ok(())
    })
}

/// As [`ticking`], with a tick that may trap.
pub(crate) fn try_ticking(
    script: Script,
    mut act: impl FnMut(&mut NullCaller<'_>) -> Result<(), Trap> + Send + 'static,
) -> Script {
    let (script, newest) = knowing(script);
    script.on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000)).try_on(
        CallbackId::on_tick,
        move |caller, _| {
            caller.set_effective(newest.load(Ordering::Relaxed));
            act(caller).map(|()| 0)
        },
    )
}

/// Adds an answer to callouts that acts on the stream that was created last.
pub(crate) fn answering(script: Script, mut act: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Script {
    let (script, newest) = knowing(script);
    script.on(CallbackId::on_http_call_response, move |caller, args| {
        caller.log(&format!("answer {} headers {}", args.get(1).unwrap_or(&-1), args.get(2).unwrap_or(&-1)));
        caller.set_effective(newest.load(Ordering::Relaxed));
        act(caller);
        0
    })
}

/// Keeps the id of the stream that was created last.
fn knowing(script: Script) -> (Script, Arc<AtomicI32>) {
    let newest = Arc::new(AtomicI32::new(0));
    let cell = Arc::clone(&newest);
    let script = script.on(CallbackId::on_context_create, move |_, args| {
        if let [context, parent] = args
            && *parent != 0
        {
            cell.store(*context, Ordering::Relaxed);
        }
        0
    });
    (script, newest)
}

pub(crate) fn set_tick(caller: &mut NullCaller<'_>, milliseconds: i32) -> i32 {
    let set = entry::proxy_set_tick_period_milliseconds(caller, milliseconds);
    i32::from(set.is_ok())
}

/// Continues both directions.
pub(crate) fn continue_both(caller: &mut NullCaller<'_>) {
    caller.continue_stream(StreamType::Request);
    caller.continue_stream(StreamType::Response);
}

/// Makes a callout to `auth` with a time limit; its id, or -1.
pub(crate) fn call_out(caller: &mut NullCaller<'_>) -> i32 {
    let (upstream, upstream_len) = caller.put(b"auth");
    let (pairs, pairs_len) = caller.put_pairs(&[(":method", "GET"), (":path", "/"), (":authority", "a")]);
    let status = entry::proxy_http_call(caller, upstream, upstream_len, pairs, pairs_len, 0, 0, 0, 0, 1000, 16);
    if matches!(status, Ok(0)) { caller.word(16).cast_signed() } else { -1 }
}

/// `proxy_send_local_response` with headers and a gRPC status.
pub(crate) fn respond(
    caller: &mut NullCaller<'_>,
    status: i32,
    body: &str,
    headers: &[(&str, &str)],
    grpc: i32,
) -> i32 {
    let (body, body_len) = caller.put(body.as_bytes());
    let (details, details_len) = caller.put(b"because");
    let (pairs, pairs_len) = if headers.is_empty() { (0, 0) } else { caller.put_pairs(headers) };
    entry::proxy_send_local_response(caller, status, details, details_len, body, body_len, pairs, pairs_len, grpc)
        .unwrap_or(-1)
}

/// A trap.
pub(crate) fn trap() -> Trap {
    Trap::Wasm(WasmTrap::Unreachable, CallStack::default())
}
