//! State in which plugins are tried: they find the data and the queues of plugins that serve, and change nothing of these.
//!
//! | in a trial | finds | changes |
//! |---|---|---|
//! | data are read | those that the trial has set, or else those that serve | – |
//! | data are set | – | those of the trial; a version of what serves is not compared, since a plugin may set what it has read |
//! | a queue is resolved | the trial's, or an empty one in the place of one that serves | – |
//! | an item is enqueued | – | the trial's queue: nobody who serves is told |

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::lock::lock;
use crate::sandbox::byte_budget::ByteBudget;

/// A `vm_id`, and the name of a queue of it.
type Named = (Arc<str>, Box<[u8]>);

/// Queues that stand in a trial in the place of those that serve.
pub(super) struct Copies<Q> {
    /// Copies of which no plugin of the trial has the `vm_id`, by that and their names: as many as there are queues at most.
    kept: Mutex<HashMap<Named, Arc<Q>>>,
    payer: Arc<ByteBudget>,
}

impl<Q> Default for Copies<Q> {
    fn default() -> Self {
        Self { kept: Mutex::default(), payer: ByteBudget::new(usize::MAX) }
    }
}

impl<Q> Copies<Q> {
    /// Returns what pays for copies.
    pub(super) fn payer(&self) -> &Arc<ByteBudget> {
        &self.payer
    }

    /// Returns the copy of a queue of a `vm_id`, made if there is none.
    pub(super) fn keep(&self, vm_id: &Arc<str>, name: &[u8], make: impl FnOnce() -> Option<Arc<Q>>) -> Option<Arc<Q>> {
        let key = (Arc::clone(vm_id), name.into());
        let mut kept = lock(&self.kept);
        if let Some(copy) = kept.get(&key) {
            return Some(Arc::clone(copy));
        }
        let copy = make()?;
        kept.insert(key, Arc::clone(&copy));
        Some(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Inbox, Shared, SharedStore};
    use super::*;
    use crate::model::ContextId;

    fn get(store: &SharedStore, key: &[u8]) -> Option<Vec<u8>> {
        store.get(key, |value, _| value.to_vec())
    }

    #[test]
    fn a_trial_finds_what_serves_and_changes_nothing_of_it() {
        let (shared, payer) = (Shared::default(), ByteBudget::new(1 << 20));
        let (serving, inbox) = (shared.store("a", None), Arc::new(Inbox::new(None)));
        assert!(serving.set(b"k", b"serves", 0, &payer, |_| Ok(None)).is_ok());
        let registered = serving.register(b"q", &inbox, ContextId::VM, &payer);
        let trial = shared.trial();
        let (own, stranger) = (trial.store("a", None), trial.store("b", None));
        assert_eq!((get(&own, b"k"), get(&own, b"none")), (Some(b"serves".to_vec()), None));
        assert_eq!(get(&stranger, b"k"), None);
        let cas = own.get(b"k", |_, cas| cas).unwrap_or_default();
        assert!(own.set(b"k", b"tried", cas, &payer, |_| Ok(None)).is_ok());
        assert_eq!((get(&own, b"k"), get(&serving, b"k")), (Some(b"tried".to_vec()), Some(b"serves".to_vec())));
        for found in [own.resolve(None, b"q"), stranger.resolve(Some("a"), b"q")] {
            let Some(found) = found else { panic!("it is behind") };
            assert_eq!(found.enqueue(b"tried", &payer), Ok(()));
        }
        assert!(own.resolve(None, b"other").is_none() && stranger.resolve(Some("c"), b"q").is_none());
        assert!(own.register(b"new", &inbox, ContextId::VM, &payer).is_ok());
        assert!(stranger.resolve(Some("a"), b"new").is_some(), "one of the trial");
        assert!(inbox.take().is_none(), "nobody who serves is told");
        let queue = registered.ok().and_then(|id| serving.queue(id));
        assert!(queue.is_some_and(|queue| queue.dequeue().is_none()));
        assert!(serving.resolve(None, b"new").is_none());
    }

    #[test]
    fn a_queue_of_another_id_is_found_again_and_sandboxes_apart_are_not() {
        let (shared, payer) = (Shared::default(), ByteBudget::new(1 << 20));
        let (serving, inbox) = (shared.store("a", None), Arc::new(Inbox::new(None)));
        assert!(serving.register(b"q", &inbox, ContextId::VM, &payer).is_ok());
        let trial = shared.trial();
        let store = trial.store("b", None);
        let ids = [(); 2].map(|()| store.resolve(Some("a"), b"q").map(|queue| queue.id()));
        assert!(ids[0].is_some() && ids[0] == ids[1]);
        drop((serving, inbox));
        assert!(shared.store("a", None).resolve(None, b"q").is_none(), "the trial keeps nothing of it");
    }
}
