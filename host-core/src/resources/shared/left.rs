//! Bytes that sandboxes that have gone have left in a store.
//!
//! Data outlive their sandbox while another one of the `vm_id` is there, so that a plugin that is loaded in a new version finds them. Each
//! version has a budget of its own: without a bound on what all versions before have left, N of them could leave N budgets.
//!
//! differs: Envoy has no bound.

use std::collections::HashSet;
use std::sync::Arc;

use super::queue::Queue;
use super::{SharedStore, lock};
use crate::sandbox::byte_budget::{ByteBudget, Charge};

/// The budgets of sandboxes that have gone.
#[derive(Debug)]
pub(crate) struct Gone(HashSet<*const ByteBudget>);

impl Gone {
    pub(crate) fn new(budgets: impl IntoIterator<Item = Arc<ByteBudget>>) -> Self {
        Self(budgets.into_iter().map(|budget| Arc::as_ptr(&budget)).collect())
    }

    /// Returns whether one of them pays for something.
    pub(super) fn pay_for(&self, charge: &Charge) -> bool {
        self.0.contains(&charge.budget())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl SharedStore {
    /// Frees what sandboxes that have gone have left beyond so many bytes: the oldest data first, then queues that nobody is told of, then
    /// items of other queues.
    pub(super) fn free_left(&self, gone: &Gone, most: usize) {
        let mut data = self.data.charged(gone);
        let queues: Vec<Arc<Queue>> = lock(&self.queues).by_id.values().cloned().collect();
        let in_queues: usize = queues.iter().map(|queue| queue.left(gone).bytes).sum();
        let in_data: usize = data.iter().map(|entry| entry.bytes).sum();
        let mut excess = in_data.saturating_add(in_queues).saturating_sub(most);
        if excess == 0 {
            return;
        }
        data.sort_unstable_by_key(|entry| entry.cas);
        for entry in data {
            if excess == 0 {
                return;
            }
            excess = excess.saturating_sub(self.data.remove(&entry));
        }
        self.free_queues(queues, gone, excess);
    }

    fn free_queues(&self, mut queues: Vec<Arc<Queue>>, gone: &Gone, mut excess: usize) {
        queues.sort_unstable_by_key(|queue| queue.id());
        for queue in &queues {
            // Before the queue is looked at: else somebody registers it meanwhile.
            let mut all = lock(&self.queues);
            let left = queue.left(gone);
            if excess == 0 || !left.is_abandoned {
                continue;
            }
            all.by_name.remove(queue.name());
            all.by_id.remove(&queue.id());
            excess = excess.saturating_sub(left.bytes);
        }
        for queue in queues {
            excess = excess.saturating_sub(queue.drop_items(gone, excess));
        }
    }
}

/// Bytes that were left in a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeftInQueue {
    pub(super) bytes: usize,
    /// Nobody is told of items, and all of it was left.
    pub(super) is_abandoned: bool,
}

/// An entry that was left.
#[derive(Debug)]
pub(super) struct LeftEntry {
    pub(super) key: Box<[u8]>,
    pub(super) cas: u32,
    pub(super) bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContextId;
    use crate::model::limits::Limits;
    use crate::resources::shared::{Inbox, Shared};
    use crate::rights::{Capabilities, Rules};
    use crate::sandbox::{Budgets, SandboxKey, SandboxSpec, VmSpec};

    const COST: usize = Limits::ENTRY_COST;

    fn key(version: usize) -> SandboxKey {
        let vm = VmSpec::default().with_configuration(version.to_string());
        let (capabilities, rules) = (Capabilities::ALL, const { &Rules::NONE });
        SandboxSpec { vm_id: "", code: b"", engine: "", vm: &vm, capabilities, rules, alone: None }.key()
    }

    /// A version of a plugin: what a VM of it has.
    fn version(shared: &Shared, version: usize) -> (Arc<SharedStore>, Arc<Budgets>) {
        let limits = Limits { shared: 10 * COST, ..Limits::default() };
        shared.enter("vm", None, Some(key(version)), &limits)
    }

    fn set(store: &SharedStore, budgets: &Budgets, key: &str) {
        assert_eq!(store.set(key.as_bytes(), b"", 0, &budgets.shared, |_| Ok(None)), Ok(()), "{key}");
    }

    #[test]
    fn versions_that_have_gone_leave_one_budget_and_the_oldest_goes_first() {
        let shared = Shared::default();
        let mut running = version(&shared, 0);
        for number in 0..1377 {
            (0..4).for_each(|key| set(&running.0, &running.1, &format!("{number} {key}")));
            let next = version(&shared, number + 1);
            running = next;
            let kept = |number: usize| {
                let keys = (0..4).map(|key| format!("{number} {key}"));
                keys.filter(|key| running.0.get(key.as_bytes(), |_, _| ()).is_some()).count()
            };
            assert_eq!(kept(number), 4, "the last one's are all there");
            let left: usize = (0..=number).map(kept).sum();
            // Nine fit into a budget, beside those of the version before, which runs as the next one starts.
            assert_eq!(left, (4 * (number + 1)).min(13), "{number}");
            assert!(number < 4 || kept(number - 4) == 0);
            assert!(shared.0.budgets.len() <= 6);
        }
    }

    #[test]
    fn queues_that_nobody_is_told_of_go_and_items_of_others() {
        let shared = Shared::default();
        let limits = Limits { shared: 2000, ..Limits::default() };
        let enter = |number| shared.enter("vm", None, Some(key(number)), &limits);
        let (inbox, root) = (Arc::new(Inbox::new(None)), ContextId::VM);
        let (store, keeper) = enter(1000);
        let kept = store.register(b"kept", &inbox, root, &keeper.shared);
        let queue = store.queue(kept.unwrap_or_default());
        let Some(queue) = queue else { panic!("it is there") };
        for number in 0..1377 {
            let own = Arc::new(Inbox::new(None));
            let (store, budgets) = enter(number);
            assert!(store.register(format!("{number}").as_bytes(), &own, root, &budgets.shared).is_ok());
            assert!(number == 1000 || queue.enqueue(b"item", &budgets.shared).is_ok(), "{number}");
            let left: usize = lock(&store.queues).by_id.len();
            assert!(left <= 6, "{left} queues after {number}");
        }
        let items = std::iter::from_fn(|| queue.dequeue()).count();
        assert!((1..40).contains(&items), "{items}");
        assert!(store.resolve(None, b"kept").is_some(), "somebody is told of it");
    }
}
