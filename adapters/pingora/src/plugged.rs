//! Any proxy behind plugins.

use std::any::Any;
use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora_cache::key::HashBinary;
use pingora_cache::{CacheKey, CacheMeta, ForcedFreshness, HitHandler, PurgeAction, RespCacheable};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_core::{BError, Error, ErrorSource, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, PurgeStatus, RangeType, Session};
use portcullis_core::model::response_flag;
use portcullis_driver::{ManyThreads, Plugins, Upstreams};
use tokio::sync::mpsc;

use crate::attributes::inet;
use crate::context::Context;
use crate::options::Options;
use crate::request;
use crate::response;
use crate::route_info::RouteInfo;

/// A proxy behind plugins: requests pass them before they come to the proxy's hooks, and responses after.
///
/// | | the order |
/// |---|---|
/// | request | Pingora's modules, the plugins, `request_filter` of the proxy, its other hooks, the upstream |
/// | response | the upstream, the proxy's hooks (`response_filter`, ...), the plugins, Pingora's modules (compression) |
///
/// All hooks of the proxy are called. What it answers itself in `request_filter` passes the response side of the plugins; so do responses
/// from a cache. Error pages that Pingora makes pass no plugin: they see the status in `proxy_on_log`.
pub struct Plugged<P: ProxyHttp, U: Upstreams> {
    proxy: P,
    plugins: Plugins<ManyThreads, U>,
    options: Options,
    routes: Option<Routes<P::CTX>>,
}

/// Tells where a request goes.
type Routes<C> = Box<dyn Fn(&Session, &C) -> RouteInfo + Send + Sync>;

impl<P: ProxyHttp, U: Upstreams> Plugged<P, U> {
    /// Puts plugins before a proxy. They need a task that runs them, too: [`PluginService`](crate::PluginService), or
    /// [`Plugins::run`].
    #[must_use]
    pub fn new(proxy: P, plugins: Plugins<ManyThreads, U>) -> Self {
        Self { proxy, plugins, options: Options::default(), routes: None }
    }

    /// Sets the options.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Tells plugins where a request goes, as they ask for names of routes and clusters. `routes` is called once for each request, after the
    /// proxy's `early_request_filter` and before the plugins, with the session and the proxy's context. Without it, and where the proxy
    /// chooses later, there are no such names: an upstream's address is known when it is connected to.
    ///
    /// ```
    /// # use portcullis_driver::{ManyThreads, Plugins};
    /// # use pingora_proxy::ProxyHttp;
    /// use portcullis_pingora::{Clusters, Plugged, RouteInfo};
    ///
    /// # fn plug<P: ProxyHttp>(proxy: P, plugins: Plugins<ManyThreads, Clusters>) -> Plugged<P, Clusters> {
    /// Plugged::new(proxy, plugins).with_routes(|session, _| match session.req_header().uri.path() {
    ///     "/orders" => RouteInfo::default().with_route("orders").with_cluster("shop").with_endpoints(2),
    ///     _ => RouteInfo::default(),
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn with_routes(mut self, routes: impl Fn(&Session, &P::CTX) -> RouteInfo + Send + Sync + 'static) -> Self {
        self.routes = Some(Box::new(routes));
        self
    }

    /// Returns the proxy.
    pub fn proxy(&self) -> &P {
        &self.proxy
    }
}

#[async_trait]
impl<P, U> ProxyHttp for Plugged<P, U>
where
    P: ProxyHttp + Send + Sync,
    P::CTX: Send + Sync,
    U: Upstreams + Send + Sync,
{
    type CTX = Context<P::CTX, U>;

    fn new_ctx(&self) -> Self::CTX {
        Context::new(self.proxy.new_ctx())
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        ctx.upload.attempt();
        self.proxy.upstream_peer(session, &mut ctx.inner).await
    }

    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        self.proxy.init_downstream_modules(modules);
        modules.add_module(Box::new(response::Builder::<U>::new()));
    }

    fn init_upstream_modules(&self, modules: &mut HttpModules) {
        self.proxy.init_upstream_modules(modules);
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        let route = self.routes.as_ref().map(|routes| routes(session, &ctx.inner)).unwrap_or_default();
        if request::begin(self.plugins.shard(), self.options, &route, session, ctx).await? {
            return Ok(true);
        }
        self.proxy.request_filter(session, &mut ctx.inner).await
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<()> {
        self.proxy.early_request_filter(session, &mut ctx.inner).await
    }

    fn allow_spawning_subrequest(&self, session: &Session, ctx: &Self::CTX) -> bool {
        self.proxy.allow_spawning_subrequest(session, &ctx.inner)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if !ctx.is_upload_held && !session.was_upgraded() {
            request::pass_body(ctx, body, end_of_stream).await?;
        }
        self.proxy.request_body_filter(session, body, end_of_stream, &mut ctx.inner).await
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<()> {
        self.proxy.request_cache_filter(session, &mut ctx.inner)
    }

    fn cache_key_callback(&self, session: &Session, ctx: &mut Self::CTX) -> Result<CacheKey> {
        self.proxy.cache_key_callback(session, &mut ctx.inner)
    }

    fn cache_miss(&self, session: &mut Session, ctx: &mut Self::CTX) {
        self.proxy.cache_miss(session, &mut ctx.inner);
    }

    async fn cache_hit_filter(
        &self,
        session: &mut Session,
        meta: &CacheMeta,
        hit_handler: &mut HitHandler,
        is_fresh: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<ForcedFreshness>> {
        self.proxy.cache_hit_filter(session, meta, hit_handler, is_fresh, &mut ctx.inner).await
    }

    async fn proxy_upstream_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        self.proxy.proxy_upstream_filter(session, &mut ctx.inner).await
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        resp: &ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<RespCacheable> {
        self.proxy.response_cache_filter(session, resp, &mut ctx.inner)
    }

    fn cache_vary_filter(&self, meta: &CacheMeta, ctx: &mut Self::CTX, req: &RequestHeader) -> Option<HashBinary> {
        self.proxy.cache_vary_filter(meta, &mut ctx.inner, req)
    }

    fn cache_not_modified_filter(&self, session: &Session, resp: &ResponseHeader, ctx: &mut Self::CTX) -> Result<bool> {
        self.proxy.cache_not_modified_filter(session, resp, &mut ctx.inner)
    }

    fn range_header_filter(&self, session: &mut Session, resp: &mut ResponseHeader, ctx: &mut Self::CTX) -> RangeType {
        self.proxy.range_header_filter(session, resp, &mut ctx.inner)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream_request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        self.proxy.upstream_request_filter(session, upstream_request, &mut ctx.inner).await
    }

    async fn adjust_upstream_modules(
        &self,
        session: &mut Session,
        upstream_response: &ResponseHeader,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        self.proxy.adjust_upstream_modules(session, upstream_response, end_of_stream, &mut ctx.inner).await
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        upstream_response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if let Some(stream) = &ctx.stream
            && !upstream_response.status.is_informational()
        {
            stream.note_response();
        }
        self.proxy.upstream_response_filter(session, upstream_response, &mut ctx.inner).await
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        upstream_response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        self.proxy.response_filter(session, upstream_response, &mut ctx.inner).await
    }

    async fn custom_forwarding(
        &self,
        session: &mut Session,
        ctx: &mut Self::CTX,
        custom_message_to_upstream: Option<mpsc::Sender<Bytes>>,
        custom_message_to_downstream: mpsc::Sender<Bytes>,
    ) -> Result<()> {
        let (up, down) = (custom_message_to_upstream, custom_message_to_downstream);
        self.proxy.custom_forwarding(session, &mut ctx.inner, up, down).await
    }

    async fn downstream_custom_message_proxy_filter(
        &self,
        session: &mut Session,
        custom_message: Bytes,
        ctx: &mut Self::CTX,
        final_hop: bool,
    ) -> Result<Option<Bytes>> {
        let ctx = &mut ctx.inner;
        self.proxy.downstream_custom_message_proxy_filter(session, custom_message, ctx, final_hop).await
    }

    async fn upstream_custom_message_proxy_filter(
        &self,
        session: &mut Session,
        custom_message: Bytes,
        ctx: &mut Self::CTX,
        final_hop: bool,
    ) -> Result<Option<Bytes>> {
        let ctx = &mut ctx.inner;
        self.proxy.upstream_custom_message_proxy_filter(session, custom_message, ctx, final_hop).await
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        if let Some(stream) = &ctx.stream
            && end_of_stream
        {
            stream.note_complete();
        }
        self.proxy.upstream_response_body_filter(session, body, end_of_stream, &mut ctx.inner)
    }

    fn upstream_response_trailer_filter(
        &self,
        session: &mut Session,
        upstream_trailers: &mut HeaderMap,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        self.proxy.upstream_response_trailer_filter(session, upstream_trailers, &mut ctx.inner)
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        self.proxy.response_body_filter(session, body, end_of_stream, &mut ctx.inner)
    }

    async fn response_trailer_filter(
        &self,
        session: &mut Session,
        upstream_trailers: &mut HeaderMap,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Bytes>> {
        self.proxy.response_trailer_filter(session, upstream_trailers, &mut ctx.inner).await
    }

    /// Ends the stream through the plugins after the proxy has logged the request: they log it then.
    async fn logging(&self, session: &mut Session, e: Option<&Error>, ctx: &mut Self::CTX) {
        self.proxy.logging(session, e, &mut ctx.inner).await;
        if let Some(handle) = ctx.held.take() {
            handle.restore(session);
        }
        let Some(stream) = ctx.stream.take() else { return };
        if let Ok(module) = request::module::<U>(session) {
            module.set(None);
        }
        let status = session.response_written().map(|head| head.status.as_u16());
        let is_of_client = |error: &Error| *error.esource() == ErrorSource::Downstream;
        let is_gone = !ctx.is_answered && e.is_some_and(is_of_client);
        stream.info().with(|info| {
            info.response_code = info.response_code.or(status);
            if is_gone {
                info.response_flags |= response_flag::DOWNSTREAM_CONNECTION_TERMINATION;
            }
        });
        stream.finish();
    }

    fn persist_connection_context(&self, session: &Session, ctx: &Self::CTX) -> Option<Box<dyn Any + Send + Sync>> {
        self.proxy.persist_connection_context(session, &ctx.inner)
    }

    fn on_connection_reuse(&self, session: &mut Session, ctx: &mut Self::CTX, prev_ctx: Box<dyn Any + Send + Sync>) {
        self.proxy.on_connection_reuse(session, &mut ctx.inner, prev_ctx);
    }

    /// Suppresses the line of what is no error: plugins have answered.
    fn suppress_error_log(&self, session: &Session, ctx: &Self::CTX, error: &Error) -> bool {
        ctx.is_answered || self.proxy.suppress_error_log(session, &ctx.inner, error)
    }

    fn suppress_proxy_warn_log(
        &self,
        session: &Session,
        ctx: &Self::CTX,
        error: &Error,
        context: ProxyWarnLogContext,
    ) -> bool {
        self.proxy.suppress_proxy_warn_log(session, &ctx.inner, error, context)
    }

    /// Allows no other attempt where plugins have answered, or have been given a response, or more of the body was sent than is kept.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        e: BError,
        ctx: &mut Self::CTX,
        client_reused: bool,
    ) -> BError {
        let mut error = self.proxy.error_while_proxy(peer, session, e, &mut ctx.inner, client_reused);
        let is_over =
            ctx.stream.as_ref().is_some_and(|stream| stream.outs(|outs| outs.is_answered() || outs.has_response));
        if is_over || !ctx.upload.can_repeat() {
            error.set_retry(false);
        }
        error
    }

    fn fail_to_connect(&self, session: &mut Session, peer: &HttpPeer, ctx: &mut Self::CTX, e: BError) -> BError {
        if let Some(stream) = &ctx.stream {
            stream.info().with(|info| {
                info.upstream = inet(peer.address());
                info.upstream_failure = Some(e.to_string());
                info.response_flags |= response_flag::UPSTREAM_CONNECTION_FAILURE;
            });
        }
        self.proxy.fail_to_connect(session, peer, &mut ctx.inner, e)
    }

    /// Sends what plugins have answered in place of the upstream's response.
    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, ctx: &mut Self::CTX) -> FailToProxy {
        if let Some(error_code) = request::send_answer(session, ctx).await {
            return FailToProxy { error_code, can_reuse_downstream: false };
        }
        self.proxy.fail_to_proxy(session, e, &mut ctx.inner).await
    }

    fn should_serve_stale(&self, session: &mut Session, ctx: &mut Self::CTX, error: Option<&Error>) -> bool {
        self.proxy.should_serve_stale(session, &mut ctx.inner, error)
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        #[cfg(unix)] fd: std::os::unix::io::RawFd,
        #[cfg(windows)] sock: std::os::windows::io::RawSocket,
        digest: Option<&Digest>,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        #[cfg(windows)]
        let fd = sock;
        if let Some(stream) = &ctx.stream {
            let socket = digest.and_then(|digest| digest.socket_digest.as_ref());
            let local = socket.and_then(|socket| socket.local_addr()).and_then(inet);
            stream.note_upstream(inet(peer.address()), local);
        }
        self.proxy.connected_to_upstream(session, reused, peer, fd, digest, &mut ctx.inner).await
    }

    fn request_summary(&self, session: &Session, ctx: &Self::CTX) -> String {
        self.proxy.request_summary(session, &ctx.inner)
    }

    fn is_purge(&self, session: &Session, ctx: &Self::CTX) -> bool {
        self.proxy.is_purge(session, &ctx.inner)
    }

    fn purge_action(&self, session: &Session, ctx: &Self::CTX) -> PurgeAction {
        self.proxy.purge_action(session, &ctx.inner)
    }

    fn purge_response_filter(
        &self,
        session: &Session,
        ctx: &mut Self::CTX,
        purge_status: PurgeStatus,
        purge_response: &mut Cow<'static, ResponseHeader>,
    ) -> Result<()> {
        self.proxy.purge_response_filter(session, &mut ctx.inner, purge_status, purge_response)
    }
}

impl<P: ProxyHttp, U: Upstreams> std::fmt::Debug for Plugged<P, U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugged").field("options", &self.options).finish_non_exhaustive()
    }
}
