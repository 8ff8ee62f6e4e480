//! A test that each sandbox is always charged for exactly the data that it has stored.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Inbox, Item, Queue, Shared, SharedStore};
use crate::abi::Status;
use crate::model::context::ContextId;
use crate::sandbox::byte_budget::ByteBudget;

const SANDBOXES: usize = 3;
const VM_IDS: [&str; 2] = ["", "b"];
/// A few entries or queues.
const BUDGET: usize = 1500;

#[derive(Clone, Debug)]
enum Step {
    /// A sandbox sets a value, which its rules may not allow.
    Set { sandbox: usize, vm_id: usize, key: u8, len: usize, cas: u32, allowed: bool },
    /// A sandbox registers a queue.
    Register { sandbox: usize, vm_id: usize, name: u8 },
    /// A sandbox puts an item into a queue of any id.
    Enqueue { sandbox: usize, vm_id: usize, name: u8, len: usize },
    /// An item is taken; it may come back.
    Dequeue { vm_id: usize, name: u8, handed: bool },
    /// The last VM of an id goes, and another one comes.
    Free { vm_id: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = || (0..SANDBOXES, 0..VM_IDS.len());
    let set = (place(), 0u8..4, 0usize..500, 0u32..4, any::<bool>())
        .prop_map(|((sandbox, vm_id), key, len, cas, allowed)| Step::Set { sandbox, vm_id, key, len, cas, allowed });
    let register = (place(), 0u8..3).prop_map(|((sandbox, vm_id), name)| Step::Register { sandbox, vm_id, name });
    let enqueue = (place(), 0u8..3, 0usize..500).prop_map(|((sandbox, vm_id), name, len)| Step::Enqueue {
        sandbox,
        vm_id,
        name,
        len,
    });
    let dequeue = (0..VM_IDS.len(), 0u8..3, any::<bool>()).prop_map(|(vm_id, name, handed)| Step::Dequeue {
        vm_id,
        name,
        handed,
    });
    let free = (0..VM_IDS.len()).prop_map(|vm_id| Step::Free { vm_id });
    let step = prop_oneof![6 => set, 3 => register, 6 => enqueue, 4 => dequeue, 1 => free];
    proptest::collection::vec(step, 0..80)
}

/// Returns the bytes of a sandbox in some stores.
fn held(stores: &[Arc<SharedStore>], payer: &Arc<ByteBudget>) -> usize {
    let in_queues = |store: &Arc<SharedStore>| {
        let queues = super::lock(&store.queues);
        assert_eq!(queues.by_name.len(), queues.by_id.len());
        queues.by_name.values().map(|queue| queue.charged_to(payer).0).sum::<usize>()
    };
    stores.iter().map(|store| store.data.charged_to(payer) + in_queues(store)).sum()
}

proptest! {
    #[test]
    fn the_sum_of_charges_is_what_is_held(steps in steps()) {
        let shared = Shared::default();
        let budgets: Vec<_> = (0..SANDBOXES).map(|_| ByteBudget::new(BUDGET)).collect();
        let mut stores: Vec<_> = VM_IDS.iter().map(|vm_id| shared.store(vm_id, None)).collect();
        let inbox = Arc::new(Inbox::new(None));
        for step in steps {
            match step {
                Step::Set { sandbox, vm_id, key, len, cas, allowed } => {
                    let keep = |_: Option<&mut _>| if allowed { Ok(None) } else { Err(Status::InternalFailure) };
                    let _ = stores[vm_id].set(&[key], &vec![0; len], cas, &budgets[sandbox], keep);
                }
                Step::Register { sandbox, vm_id, name } => {
                    let _ = stores[vm_id].register(&[name], &inbox, ContextId::VM, &budgets[sandbox]);
                }
                Step::Enqueue { sandbox, vm_id, name, len } => {
                    let queue: Option<Arc<Queue>> = stores[0].resolve(Some(VM_IDS[vm_id]), &[name]);
                    let _ = queue.map(|queue| queue.enqueue(&vec![0; len], &budgets[sandbox]));
                }
                Step::Dequeue { vm_id, name, handed } => {
                    let Some(queue) = stores[vm_id].resolve(None, &[name]) else { continue };
                    let item: Option<Item> = queue.dequeue();
                    if let Some(item) = item.filter(|_| !handed) {
                        queue.put_back(item);
                    }
                }
                Step::Free { vm_id } => {
                    // Nothing is there in between.
                    drop(std::mem::replace(&mut stores[vm_id], shared.store("nobody's", None)));
                    stores[vm_id] = shared.store(VM_IDS[vm_id], None);
                }
            }
            for budget in &budgets {
                prop_assert!(budget.taken() <= BUDGET);
                prop_assert_eq!(budget.taken(), held(&stores, budget));
            }
        }
        drop(stores);
        for budget in &budgets {
            prop_assert_eq!(budget.taken(), 0);
        }
    }
}
