//! Names that plugins have looked up, with the operating system's resolver.

use std::net::{IpAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis::chain::CalloutId;
use tokio::sync::Semaphore;

use crate::serve::worker::context::Context;

/// Maximum time that a plugin waits for an answer.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// Looks up a name and tells the plugin its addresses.
pub(super) async fn run(context: Rc<Context>, id: CalloutId, name: String) {
    let addresses = match tokio::time::timeout(LIMIT, addresses(&context.lookups, name.clone())).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => {
            tracing::debug!(name, %error, "a plugin's lookup failed");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(name, "a plugin's lookup took more than {LIMIT:?}");
            Vec::new()
        }
    };
    let _turn = context.answer_turn(id).await;
    context.callouts.borrow_mut().remove(&id);
    context.worker.borrow_mut().resolved(id, &addresses);
    context.pump();
}

async fn addresses(threads: &Arc<Semaphore>, name: String) -> std::io::Result<Vec<IpAddr>> {
    let thread = Arc::clone(threads).acquire_owned().await.map_err(std::io::Error::other)?;
    let lookup = tokio::task::spawn_blocking(move || {
        // It is taken until the resolver returns, also when nobody waits for it any more.
        let _thread = thread;
        let found = (name.as_str(), 0).to_socket_addrs()?;
        Ok(found.map(|address| address.ip()).collect())
    });
    lookup.await.map_err(std::io::Error::other)?
}
