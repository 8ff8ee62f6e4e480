//! The interface by which Pingora uses a session that is not its own.

use std::mem;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream as Messages;
use http::HeaderMap;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use portcullis_driver::Upstreams;

use super::{Held, Place, nobody};

#[async_trait]
impl<U: Upstreams + Send + Sync> CustomSession for Held<U> {
    fn req_header(&self) -> &RequestHeader {
        self.client.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.client.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.read_request().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.client.drain_request_body().await
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, _: bool) -> Result<()> {
        if self.begins_response(head.status) {
            return self.feed(HttpTask::Header(head, false)).await.map(drop);
        }
        self.client.write_response_header(head).await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(head.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.goes_through() {
            return self.feed(HttpTask::Body(Some(data), end)).await.map(drop);
        }
        self.client.write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.goes_through() {
            return self.feed(HttpTask::Trailer(Some(Box::new(trailers)))).await.map(drop);
        }
        self.client.write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut is_done = false;
        if self.goes_through() {
            for task in tasks {
                is_done |= self.feed(task).await?;
            }
        } else {
            is_done = self.client.response_duplex_vec(tasks).await?;
        }
        if self.client.was_upgraded() {
            // What the client sends now is no body.
            self.request = None;
        }
        Ok(is_done)
    }

    /// Gives the client's session back if the handle asks for it.
    fn set_proxy_tasks_enabled(&mut self, _: bool) {
        match self.handle.exchange(Place::Inside) {
            Place::Asked => {
                let client = mem::replace(&mut self.client, nobody());
                self.handle.exchange(Place::Here(Box::new(client)));
            }
            other => drop(self.handle.exchange(other)),
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.client.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.client.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.client.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.client.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.client.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.client.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.client.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.client.response_written()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        self.client.shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        match &self.request {
            Some(request) => request.is_done,
            None => self.client.is_body_done(),
        }
    }

    /// Ends the response; what was fed of it is sent.
    async fn finish(&mut self) -> Result<()> {
        let is_open = self
            .response
            .as_ref()
            .is_some_and(|response| response.has_begun && !response.has_ended && !response.passes_by);
        if is_open {
            self.feed(HttpTask::Done).await?;
        }
        self.client.finish_body().await
    }

    fn is_body_empty(&mut self) -> bool {
        match &self.request {
            Some(request) => request.is_empty,
            None => self.client.is_body_empty(),
        }
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        match &self.request {
            None => self.client.read_body_or_idle(no_body_expected).await,
            Some(request) if no_body_expected || request.is_done => self.client.read_body_or_idle(true).await,
            Some(_) => self.read_request().await,
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.client.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.client.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.client.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.client.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.client.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.client.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.client.to_h1_raw()
    }

    fn enable_retry_buffering(&mut self) {
        if self.request.is_none() {
            self.client.enable_retry_buffering();
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        match &self.request {
            Some(request) => request.kept.is_too_long(),
            None => self.client.retry_buffer_truncated(),
        }
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        match &self.request {
            Some(request) => Some(request.kept.bytes()).filter(|bytes| !bytes.is_empty()),
            None => self.client.get_retry_buffer(),
        }
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Box<dyn Messages<Item = Result<Bytes>> + Unpin + Send + Sync>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Messages<Item = Result<Bytes>> + Unpin + Send + Sync>,
    ) -> Result<()> {
        Error::e_explain(ErrorType::InternalError, "no custom messages")
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Error::e_explain(ErrorType::InternalError, "no custom messages")
    }

    fn is_upgrade_req(&self) -> bool {
        self.client.is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.client.was_upgraded()
    }
}
