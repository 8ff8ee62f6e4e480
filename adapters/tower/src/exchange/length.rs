//! Bodies that are not as long as their heads promise, because a plugin changed one and not the other.

use portcullis_chain::local_response;
use portcullis_core::model::Direction;
use portcullis_driver::{Threads, Upstreams};

use super::Exchange;
use super::transport::Transport;

impl<T: Threads, U: Upstreams, X: Transport> Exchange<T, U, X> {
    /// Gives up a request whose upstream has its head, and would wait for bytes that never come or take the beginning of a
    /// body for all of it.
    pub(super) fn wrong_request_length(&mut self) {
        self.name_the_plugin(Direction::Request, "request");
        self.give_up_request();
        let body = "a plugin changed the length of the request's body";
        self.fail(local_response(500, "request_length_mismatch", body), "request_length_mismatch", String::new());
    }

    /// Cuts a response whose head was sent.
    pub(super) fn wrong_response_length(&mut self) {
        self.name_the_plugin(Direction::Response, "response");
        self.give_up_request();
        self.info.with(|info| info.response_details = Some("response_length_mismatch".to_owned()));
        self.out.cut("response_length_mismatch");
    }

    fn name_the_plugin(&self, direction: Direction, message: &str) {
        let Some(left_out) = self.transport.may_tell_length() else { return };
        let plugins = self.driver.with(|worker| worker.resized(self.stream, direction)).join(", ");
        tracing::warn!(
            stream = self.info.with(|info| info.id),
            plugin = plugins,
            left_out = Some(left_out).filter(|count| *count > 0),
            "the {message}'s body is longer or shorter than its content-length, which has been sent: a plugin that changes \
             bodies removes content-length, or holds the head until it has the whole body"
        );
    }
}
