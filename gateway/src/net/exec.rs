//! The executor that hyper uses for HTTP/2, on both sides.

use std::future::Future;

use hyper::rt::Executor;

/// Spawns onto the current thread's `LocalSet`, so that futures need not be `Send`.
///
/// # Panics
///
/// As [`tokio::task::spawn_local`] does, when no `LocalSet` is running.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalExec;

impl<F> Executor<F> for LocalExec
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn runs_futures_that_are_not_send() {
        let ran = Rc::new(Cell::new(false));
        let inner = Rc::clone(&ran);
        let set = tokio::task::LocalSet::new();
        set.run_until(async { LocalExec.execute(async move { inner.set(true) }) }).await;
        set.await;
        assert!(ran.get());
    }
}
