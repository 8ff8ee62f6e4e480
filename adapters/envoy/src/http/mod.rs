//! HTTP filters: a stream of Envoy's, a stream of the chain's.

mod answer;
mod filter;
mod length;
mod status;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
mod way;

use std::cell::OnceCell;
use std::sync::Arc;

use portcullis::model::{Direction, Headers};

pub(crate) use self::filter::Filter;
pub(crate) use self::status::{BodyStatus, HeadersStatus, TrailersStatus};
use crate::envoy::Http;
use crate::process::Loaded;

/// A stream whose route may have a plugin of its own, in one of its hooks.
pub(crate) trait Routed: Http {
    /// Returns the plugin that the stream's route has in place of the filter's.
    ///
    /// # Errors
    /// The route has something that was not made by this library.
    fn route(&self) -> Result<Option<Arc<Loaded>>, ForeignRoute>;
}

/// A route has the configuration of another library's filter, or of another copy of this one, under the name of this filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForeignRoute;

/// A filter that Envoy has made. Its stream begins with the first headers: only then is there a route, which may have a plugin of its own.
#[derive(Debug)]
pub(crate) struct Slot {
    loaded: Arc<Loaded>,
    filter: OnceCell<Option<Filter>>,
}

impl Slot {
    pub(crate) fn new(loaded: &Arc<Loaded>) -> Self {
        Self { loaded: Arc::clone(loaded), filter: OnceCell::new() }
    }

    /// Gives headers to the stream. The first begin it, over the plugin of its route, if that has one. A stream whose plugin cannot be had
    /// is answered 503, and the answer passes by.
    pub(crate) fn headers(&self, envoy: &mut dyn Routed, direction: Direction, end: bool) -> HeadersStatus {
        let is_first = self.filter.get().is_none();
        match self.filter.get_or_init(|| self.begin(envoy)) {
            Some(filter) => filter.headers(envoy, direction, end),
            None if is_first => {
                envoy.respond(503, &Headers::new(), b"", b"portcullis_no_plugin");
                HeadersStatus::StopIteration
            }
            None if direction == Direction::Response => HeadersStatus::Continue,
            None => HeadersStatus::StopIteration,
        }
    }

    /// Begins the stream; `None` if its plugin runs nowhere or cannot be told.
    fn begin(&self, envoy: &mut dyn Routed) -> Option<Filter> {
        match envoy.route() {
            Ok(route) => Filter::new(&route.unwrap_or_else(|| Arc::clone(&self.loaded)), envoy),
            Err(ForeignRoute) => {
                self.loaded.process().note_foreign_route();
                None
            }
        }
    }

    /// Returns the stream if it has begun.
    pub(crate) fn filter(&self) -> Option<&Filter> {
        self.filter.get()?.as_ref()
    }
}
