//! The end of connections that have no deadlines yet when the gateway stops: TLS handshakes, and TCP streams without a byte
//! so far. The guard of a connection ([`super::deadline`]) has those that may send requests.

use std::time::Duration;

use tokio::sync::watch;

use crate::serve::seats::State;

/// A connection may be without a request for so long when the gateway stops: its first bytes may be on their way.
const GRACE: Duration = Duration::from_secs(1);

/// Does the work of a connection. Drops it if the connection is without a request when the grace after a stop has passed.
pub(super) async fn unless_free<T>(
    mut stop: watch::Receiver<bool>,
    standing: &State,
    work: impl Future<Output = T>,
) -> Option<T> {
    let over = async {
        // No sender is left when the listener has gone, and its connections with it.
        if stop.wait_for(|stop| *stop).await.is_ok() {
            tokio::time::sleep(GRACE).await;
            if standing.is_free() {
                return;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = over => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use tokio::task::JoinHandle;

    use super::*;

    fn work(stop: &watch::Sender<bool>, standing: &Arc<State>) -> JoinHandle<Option<()>> {
        let (stop, standing) = (stop.subscribe(), Arc::clone(standing));
        tokio::spawn(async move { unless_free(stop, &standing, pending()).await })
    }

    async fn pass(time: Duration) {
        // Tasks reach their timers first.
        tokio::task::yield_now().await;
        tokio::time::advance(time).await;
        tokio::task::yield_now().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_who_has_no_request() {
        let stop = watch::Sender::new(false);
        let (free, busy) = (Arc::new(State::alone()), Arc::new(State::alone()));
        let request = busy.begin();
        let (ends, stays) = (work(&stop, &free), work(&stop, &busy));
        pass(GRACE * 9).await;
        assert!(!ends.is_finished(), "nobody stops");
        stop.send_replace(true);
        pass(GRACE - Duration::from_millis(1)).await;
        assert!(!ends.is_finished());
        pass(Duration::from_millis(1)).await;
        assert!(ends.is_finished());
        assert_eq!(ends.await.ok(), Some(None));
        pass(GRACE * 9).await;
        assert!(!stays.is_finished());
        drop(request);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_counts_before_a_stop() {
        let stop = watch::Sender::new(true);
        assert_eq!(unless_free(stop.subscribe(), &State::alone(), async { 7 }).await, Some(7));
    }
}
