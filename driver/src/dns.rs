//! Names that plugins have looked up.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use portcullis_chain::CalloutId;
use tokio::sync::Semaphore;

use crate::driver::Driver;
use crate::threads::Threads;
use crate::upstreams::Upstreams;

/// Maximum time that a plugin waits for an answer.
pub const RESOLVE_LIMIT: Duration = Duration::from_secs(10);

/// Maximum number of a driver's lookups with the system's resolver at once; others wait. Each takes a thread, and cannot be
/// stopped.
const LOOKUPS: usize = 16;

/// The operating system's resolver, with a bound on the threads that it takes.
#[derive(Debug)]
pub struct SystemResolver(Arc<Semaphore>);

impl Default for SystemResolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS)))
    }
}

impl SystemResolver {
    /// Looks up a name.
    ///
    /// # Errors
    /// The operating system's, also if it knows no such name.
    pub async fn resolve(&self, name: String) -> io::Result<Vec<IpAddr>> {
        let thread = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
        let lookup = tokio::task::spawn_blocking(move || {
            // The permit is held until the resolver returns, also when nobody waits for it any more.
            let _thread = thread;
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        });
        lookup.await.map_err(io::Error::other)?
    }
}

/// Looks up a name and tells the plugin its addresses.
pub(crate) async fn run<T: Threads, U: Upstreams>(driver: &Driver<T, U>, id: CalloutId, name: String) {
    let lookup = driver.upstreams().resolve(name.clone(), driver.resolver());
    let addresses = match tokio::time::timeout(RESOLVE_LIMIT, lookup).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => {
            tracing::debug!(name, %error, "a plugin's lookup failed");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(name, "a plugin's lookup took more than {RESOLVE_LIMIT:?}");
            Vec::new()
        }
    };
    let _turn = driver.answer_turn(id).await;
    driver.forget(id);
    driver.call(|worker| worker.resolved(id, &addresses));
}
