//! HTTP filters: a stream of Envoy's, a stream of the chain's.

mod answer;
mod filter;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
mod way;

use std::cell::OnceCell;
use std::sync::Arc;

pub(crate) use self::filter::{BodyStatus, Filter, HeadersStatus, TrailersStatus};
use crate::envoy::Http;
use crate::process::Loaded;

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

    /// Begins the stream over the plugin of its route, if that has one, unless it has begun; `None` if the plugin runs nowhere.
    pub(crate) fn begin(&self, envoy: &mut dyn Http, route: Option<Arc<Loaded>>) -> Option<&Filter> {
        self.filter.get_or_init(|| Filter::new(&route.unwrap_or_else(|| Arc::clone(&self.loaded)), envoy)).as_ref()
    }

    /// Returns the stream if it has begun.
    pub(crate) fn filter(&self) -> Option<&Filter> {
        self.filter.get()?.as_ref()
    }
}
