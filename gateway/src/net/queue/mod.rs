//! A body that one side pushes and hyper pulls, within one thread.

mod body;
mod sender;
mod shared;

pub use self::body::{QueueBody, body_queue};
pub use self::sender::BodySender;
pub use self::shared::{BodyError, Closed, HIGH_WATER};

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
