//! Bytes that the VM instances of a sandbox hold together outside of their own memory, on all threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// A number of bytes, and how many of them are taken. Each change is one relaxed atomic operation.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    most: usize,
    taken: AtomicUsize,
}

/// Bytes that were taken of a budget; dropped, they are given back.
#[derive(Debug)]
pub(crate) struct Charge {
    of: Arc<ByteBudget>,
    bytes: usize,
}

/// The charge of something that takes the place of something else, before it does.
#[derive(Debug)]
pub(crate) struct Change {
    charge: Option<Charge>,
    cost: usize,
    adds: bool,
}

/// Bytes that an embedder holds for a plugin, such as a part of the answer to a callout. They are charged to the plugin's sandbox
/// ([`Limits::buffers`](crate::model::Limits::buffers)) until this is dropped.
#[derive(Debug)]
pub struct HeldBytes(Charge);

/// Bytes that are charged as long as somebody holds them.
struct Charged {
    bytes: Box<[u8]>,
    _charge: Charge,
}

impl ByteBudget {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    /// Takes bytes; `None` if there are not so many left. Near the end of the budget a thread may be refused what another
    /// one, which is refused too, asks for at the same moment.
    #[inline]
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        // Looking first keeps a request that can never be met from being in the way of others.
        if self.taken().checked_add(bytes)? > self.most {
            return None;
        }
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let charge = Charge { of: Arc::clone(self), bytes };
        // The charge gives back what is too much as it is dropped.
        (before.saturating_add(bytes) <= self.most).then_some(charge)
    }

    /// Takes what something costs that takes the place of what `old` was charged for, if the same budget pays the difference alone.
    pub(crate) fn change(self: &Arc<Self>, old: Option<&Charge>, cost: usize) -> Option<Change> {
        let own = old.filter(|old| old.is_of(self));
        let charge = match cost.saturating_sub(own.map_or(0, |own| own.bytes)) {
            0 => None,
            more => Some(self.take(more)?),
        };
        Some(Change { charge, cost, adds: own.is_some() })
    }

    /// Returns how many bytes are taken now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Charge {
    /// Returns whether it is of this budget.
    pub(crate) fn is_of(&self, budget: &Arc<ByteBudget>) -> bool {
        Arc::ptr_eq(&self.of, budget)
    }

    /// Returns the budget, to be compared alone.
    pub(crate) fn budget(&self) -> *const ByteBudget {
        Arc::as_ptr(&self.of)
    }

    /// Returns how many bytes it is of.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes one of this and another one of the same budget.
    pub(crate) fn merge(&mut self, mut other: Self) {
        debug_assert!(other.is_of(&self.of));
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut other.bytes));
    }

    /// Gives back what is more than this.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        if less > 0 {
            self.bytes -= less;
            self.of.taken.fetch_sub(less, Ordering::Relaxed);
        }
    }

    /// Charges the same for a copy, whether or not there is room for it: who copies is not the one who pays.
    pub(crate) fn again(&self) -> Self {
        self.of.taken.fetch_add(self.bytes, Ordering::Relaxed);
        Self { of: Arc::clone(&self.of), bytes: self.bytes }
    }

    /// Copies bytes, which are charged until nobody holds a part of them any more.
    pub(crate) fn hold(self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(Charged { bytes: bytes.into(), _charge: self })
    }
}

impl Change {
    /// Charges in place of the old charge, whose budget gets back what is not needed any more.
    pub(crate) fn replace(self, old: &mut Charge) {
        match self.charge {
            Some(more) if self.adds => old.merge(more),
            Some(whole) => *old = whole,
            None => old.shrink(self.cost),
        }
    }

    /// Charges for what takes the place of nothing; `None` if it costs nothing.
    pub(crate) fn whole(self) -> Option<Charge> {
        self.charge
    }
}

impl HeldBytes {
    pub(crate) fn none(of: &Arc<ByteBudget>) -> Self {
        Self(Charge { of: Arc::clone(of), bytes: 0 })
    }

    /// Charges so many bytes instead; says whether the sandbox has room for them. If not, nothing changes.
    pub fn resize(&mut self, bytes: usize) -> bool {
        let change = self.0.of.change(Some(&self.0), bytes);
        let has_room = change.is_some();
        if let Some(change) = change {
            change.replace(&mut self.0);
        }
        has_room
    }
}

impl Drop for Charge {
    #[inline]
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.of.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_charged_as_long_as_a_part_of_them_is_held() {
        let budget = ByteBudget::new(10);
        let held = budget.take(10).map(|charge| charge.hold(b"0123"));
        let Some(held) = held else { panic!("there is room") };
        assert_eq!((&held[..], budget.taken()), (&b"0123"[..], 10));
        let part = held.slice(1..2);
        drop(held);
        assert!(budget.take(1).is_none() && budget.taken() == 10);
        drop(part);
        assert!(budget.taken() == 0 && budget.take(11).is_none() && budget.take(usize::MAX).is_none());
    }

    #[test]
    fn what_an_embedder_holds_is_charged_as_it_grows_and_shrinks() {
        let budget = ByteBudget::new(10);
        let (mut one, mut other) = (HeldBytes::none(&budget), HeldBytes::none(&budget));
        assert!(one.resize(4) && other.resize(6) && !one.resize(5) && !other.resize(usize::MAX));
        assert!(other.resize(1) && one.resize(9) && budget.taken() == 10);
        drop(one);
        assert_eq!(budget.taken(), 1);
    }

    #[test]
    fn threads_together_never_have_more_than_there_is() {
        let budget = ByteBudget::new(1000);
        let granted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let (budget, granted) = (&budget, &granted);
                scope.spawn(move || {
                    for turn in 0..5000_usize {
                        let bytes = (turn * 13 + thread * 7) % 700;
                        let Some(charge) = budget.take(bytes) else { continue };
                        assert!(granted.fetch_add(bytes, Ordering::SeqCst) + bytes <= 1000);
                        granted.fetch_sub(bytes, Ordering::SeqCst);
                        drop(charge);
                    }
                });
            }
        });
        assert_eq!(budget.taken(), 0);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_the_sum_of_the_charges(steps in proptest::collection::vec((0u8..5, 0usize..60), 0..60)) {
            let budget = ByteBudget::new(100);
            let mut charges: Vec<Charge> = Vec::new();
            for (step, bytes) in steps {
                match step {
                    0 | 1 => charges.extend(budget.take(bytes)),
                    2 => drop(charges.pop()),
                    3 => if let Some(charge) = charges.last_mut() { charge.shrink(bytes) },
                    _ => if let Some(other) = charges.pop() {
                        match charges.first_mut() {
                            Some(first) => first.merge(other),
                            None => charges.push(other),
                        }
                    },
                }
                let sum: usize = charges.iter().map(Charge::bytes).sum();
                prop_assert_eq!(budget.taken(), sum);
                prop_assert!(sum <= 100);
            }
        }
    }
}
