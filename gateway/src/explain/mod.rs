//! Effects of a configuration, told without traffic: the way of one request, and the difference of two configurations.
//!
//! | module | what it holds |
//! |---|---|
//! | `outline` | a configuration with the sandboxes of its plugins, which both are told from |
//! | `question` | the request that is asked about |
//! | `choice` | which listener and route take it, and why no other |
//! | `answer` | what it meets there, for people and for programs |
//! | `diff` | what a reload from one configuration to another would do |
//! | `changes` | keys of two configurations that differ |

mod answer;
mod changes;
mod choice;
mod diff;
mod outline;
mod question;

pub(crate) use answer::Explanation;
pub(crate) use diff::Diff;
pub(crate) use outline::{Outline, Placed};
pub(crate) use question::Question;
