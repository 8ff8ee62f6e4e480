//! Responses that no upstream made (abi: `proxy_send_local_response`).

use portcullis_core::{Body, Direction, Headers, LocalResponse, lock};

use super::Http;
use super::gate::Item;
use crate::effect::StreamEffect;
use crate::id::StreamId;
use crate::vms::Vms;

/// A response with a plain text body, for [`Worker::reply`](crate::Worker::reply).
pub fn local_response(status: u16, details: &str, body: &str) -> LocalResponse {
    LocalResponse {
        status,
        details: details.to_owned(),
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        ..LocalResponse::default()
    }
}

impl Http {
    /// Answers a stream.
    ///
    /// Before a response has begun the answer passes the response side of the chain. When one has
    /// begun but its headers have not left, the answer takes its place and passes no plugin again.
    /// When headers have left, the stream is cut.
    pub(crate) fn reply(&mut self, vms: &mut Vms, stream: StreamId, response: LocalResponse) {
        self.reply_or_cut(vms, stream, response, "local_response_after_headers", String::new());
    }

    /// Answers a stream, or cuts it when headers have left. `details` are those of `reason` if they are empty.
    pub(crate) fn reply_or_cut(
        &mut self,
        vms: &mut Vms,
        stream: StreamId,
        response: LocalResponse,
        reason: &'static str,
        details: String,
    ) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.is_done(Direction::Response) {
            // Nothing is left to answer, and nobody waits for the rest of the request.
            return self.end_request(vms, stream);
        }
        if state.are_headers_out(Direction::Response) {
            self.cut(vms, stream, reason);
            if !details.is_empty()
                && let Some(state) = self.streams.get(stream)
            {
                lock(state.info()).response_details = Some(details);
            }
            return;
        }
        lock(state.info()).response_details = Some(response.details.clone());
        let (headers, body) = render(response, state.is_grpc(), state.is_head());
        lock(state.info()).response_code = status_of(&headers);
        state.make_local();
        let passes_chain = state.begin(Direction::Response);
        self.end_request(vms, stream);
        if passes_chain {
            let direction = Direction::Response;
            self.streams.push_back(stream, direction, 0, Item::Headers { headers, end: body.is_empty() });
            if !body.is_empty() {
                self.streams.push_back(stream, direction, 0, Item::Data { body, end: true });
            }
            return;
        }
        self.drop_held(vms, stream, Direction::Response);
        let Some(state) = self.streams.get_mut(stream) else { return };
        state.note_out(Direction::Response, true);
        let mut info = lock(state.info());
        info.response_headers = Some(headers);
        info.response_trailers = None;
        info.response_size += body.len() as u64;
        drop(info);
        self.emit(stream, StreamEffect::ResponseHeaders { local: true, end: body.is_empty() });
        if !body.is_empty() {
            self.emit(stream, StreamEffect::ResponseBody { body, end: true });
        }
    }

    /// Answers a stream whose plugin has failed.
    pub(super) fn fail_stream(&mut self, vms: &mut Vms, stream: StreamId) {
        let unavailable = 14;
        let response = LocalResponse {
            status: 503,
            details: "wasm_fail_stream".to_owned(),
            grpc_status: Some(unavailable),
            ..LocalResponse::default()
        };
        self.reply(vms, stream, response);
    }

    /// Cuts a stream: its response cannot be completed.
    pub(crate) fn cut(&mut self, vms: &mut Vms, stream: StreamId, reason: &'static str) {
        self.end_request(vms, stream);
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.finish(Direction::Response) {
            lock(state.info()).response_details = Some(reason.to_owned());
            self.emit(stream, StreamEffect::Reset { reason });
        }
    }

    /// Drops what is left of the request: it no longer matters.
    fn end_request(&mut self, vms: &mut Vms, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.drop_request() {
            self.drop_held(vms, stream, Direction::Request);
            self.emit(stream, StreamEffect::RequestDone);
        }
    }

    /// Takes back what plugins hold of a direction; its headers stay known to the log.
    fn drop_held(&mut self, vms: &mut Vms, stream: StreamId, direction: Direction) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        for index in 0..state.plugin_count() {
            let Some(gate) = state.gate_mut(direction, index) else { continue };
            let held_headers = gate.release().held_headers.is_some();
            let Some((vm, context)) = state.context(index) else { continue };
            let Some(lent) = vms.lent(vm, context) else { continue };
            lent.take_body(direction);
            lent.take_trailers(direction);
            let headers = lent.take_headers(direction);
            if direction == Direction::Request && held_headers {
                lock(state.info()).request_headers = headers;
            }
        }
    }
}

/// Headers and body of a local response, as the client gets them. Some statuses have no body (RFC 9110, sections 15.3.5,
/// 15.3.6 and 15.4.5).
fn render(response: LocalResponse, grpc: bool, head: bool) -> (Headers, Body) {
    let mut headers = Headers::with_capacity(response.headers.len() + 3, 128);
    if grpc {
        let status = response.grpc_status.unwrap_or_else(|| grpc_status(response.status));
        headers.add(b":status", b"200");
        headers.add(b"content-type", b"application/grpc");
        headers.add(b"grpc-status", status.to_string().as_bytes());
        if !response.body.is_empty() {
            headers.add(b"grpc-message", percent_encode(&response.body).as_bytes());
        }
        add_fields(&mut headers, &response.headers);
        return (headers, Body::new());
    }
    headers.add(b":status", response.status.to_string().as_bytes());
    add_fields(&mut headers, &response.headers);
    let bare = matches!(response.status, 204 | 205 | 304);
    if !response.body.is_empty() && !bare {
        headers.add(b"content-length", response.body.len().to_string().as_bytes());
        if headers.get(b"content-type").is_none() {
            headers.add(b"content-type", b"text/plain");
        }
    }
    (headers, if head || bare { Body::new() } else { response.body.into() })
}

fn add_fields(headers: &mut Headers, fields: &Headers) {
    // The length is for the host to say: a wrong one leaves the client waiting.
    let sent = |name: &[u8]| !name.starts_with(b":") && name != b"content-length";
    for (name, value) in fields.iter().filter(|(name, _)| sent(name)) {
        headers.add(name, value);
    }
}

/// Whether a content type is gRPC's: `application/grpc` alone, with `+` and a format, or with
/// parameters. gRPC-Web (`application/grpc-web`) wants plain answers.
pub(super) fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The status of a response.
pub(super) fn status_of(headers: &Headers) -> Option<u16> {
    headers.get_str(":status").and_then(|code| code.parse().ok())
}

/// The gRPC status that stands for an HTTP status (gRPC: "HTTP to gRPC Status Code Mapping").
fn grpc_status(http: u16) -> u8 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// A `grpc-message`: bytes outside printable ASCII, and `%`, percent-encoded.
fn percent_encode(message: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b' '..=b'~' if *byte != b'%' => char::from(*byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    message.iter().map(encode).collect()
}
