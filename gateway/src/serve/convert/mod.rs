//! Checks of the conversions that the filter chain has, against what an upstream gets of them.

#[cfg(fuzzing)]
pub(crate) mod fuzzing;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
