//! Bodies of messages: one side pushes, the other, mostly an HTTP library, pulls.

mod length;
mod queue;
mod sender;
mod shared;

pub use self::length::{Promise, WrongLength, settle};
pub use self::queue::{QueueBody, body_queue};
pub use self::sender::BodySender;
pub use self::shared::{BodyError, Closed, HIGH_WATER};

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
