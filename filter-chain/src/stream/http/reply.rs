//! Responses that no upstream made (abi: `proxy_send_local_response`).

use portcullis_core::model::{Direction, LocalResponse};

use super::Http;
use super::gate::Item;
use super::render::{render, status_of};
use crate::effect::StreamEffect;
use crate::id::StreamId;
use crate::vms::Vms;

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
                state.info().with(|info| info.response_details = Some(details));
            }
            return;
        }
        state.info().with(|info| info.response_details = Some(response.details.clone()));
        let (headers, body) = render(response, state.is_grpc(), state.is_head());
        state.info().with(|info| info.response_code = status_of(&headers));
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
        let Some(state) = self.streams.known_mut(stream) else { return };
        state.note_out(Direction::Response, true);
        state.info().with(|info| {
            info.response_headers = Some(headers);
            info.response_trailers = None;
            info.response_size += body.len() as u64;
        });
        self.emit(stream, StreamEffect::ResponseHeaders { local: true, end: body.is_empty() });
        if !body.is_empty() {
            self.emit(stream, StreamEffect::ResponseBody { body, end: true });
        }
    }

    /// Answers a stream whose plugin has failed.
    pub(super) fn fail_stream(&mut self, vms: &mut Vms, stream: StreamId) {
        let unavailable = 14;
        let response = LocalResponse::new(503).with_details("wasm_fail_stream").with_grpc_status(Some(unavailable));
        self.reply(vms, stream, response);
    }

    /// Cuts a stream: its response cannot be completed.
    pub(crate) fn cut(&mut self, vms: &mut Vms, stream: StreamId, reason: &'static str) {
        self.end_request(vms, stream);
        let Some(state) = self.streams.known_mut(stream) else { return };
        if state.finish(Direction::Response) {
            state.info().with(|info| info.response_details = Some(reason.to_owned()));
            self.emit(stream, StreamEffect::Reset { reason });
        }
    }

    /// Drops what is left of the request: it no longer matters.
    fn end_request(&mut self, vms: &mut Vms, stream: StreamId) {
        let Some(state) = self.streams.known_mut(stream) else { return };
        if state.drop_request() {
            self.drop_held(vms, stream, Direction::Request);
            self.emit(stream, StreamEffect::RequestDone);
        }
    }

    /// Takes back what plugins hold of a direction; its headers stay known to the log.
    fn drop_held(&mut self, vms: &mut Vms, stream: StreamId, direction: Direction) {
        let Some(state) = self.streams.known_mut(stream) else { return };
        for index in 0..state.plugin_count() {
            let Some(gate) = state.gate_mut(direction, index) else { continue };
            let held_headers = gate.release().held_headers.is_some();
            let Some((vm, context)) = state.context(index) else { continue };
            let Some(lent) = vms.lent(vm, context) else { continue };
            lent.take_body(direction);
            lent.take_trailers(direction);
            let headers = lent.take_headers(direction);
            if direction == Direction::Request && held_headers {
                state.info().with(|info| info.request_headers = headers);
            }
        }
    }
}
