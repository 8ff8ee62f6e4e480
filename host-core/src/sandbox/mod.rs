//! Sandboxes: which plugins share a VM, and the budgets of the host's memory that they use.

mod budgets;
pub(crate) mod byte_budget;
mod difference;
mod key;
mod placed;
mod recycle;
mod schedule;
mod spec;

pub use byte_budget::HeldBytes;

pub(crate) use budgets::{AllBudgets, Budgets};
pub use difference::Difference;
pub use key::SandboxKey;
pub use placed::{Placed, Sharing};
pub use recycle::Recycle;
pub use schedule::{Conflict, Placement, schedule};
pub use spec::{SandboxSpec, VmSpec};
