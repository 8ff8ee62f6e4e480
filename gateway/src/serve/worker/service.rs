//! Services: plugins that no stream comes to. Nobody meets one that has failed, so a task looks after them.

use std::rc::Rc;

use crate::serve::worker::context::Context;

/// Starts services again that have failed, as their policies say; for ever. The chain logs what happens to them.
pub(super) async fn keep_up(context: Rc<Context>) {
    let services = &context.services;
    if services.plugins.is_empty() {
        return;
    }
    let period = services.period();
    loop {
        context.worker.borrow_mut().keep_up(&services.chain);
        context.pump();
        tokio::time::sleep(period).await;
    }
}
