//! Every answer that the ABI lists for a hostcall, driven by a guest on every engine.
//!
//! A [`Row`] is data: what the guest calls, when, and the answer. [`LISTED`] says which answers there
//! are; the suite fails if one of them has no row, or a row has an answer that is not listed.

mod buffers;
mod callouts;
mod contexts;
mod headers;
mod listed;
mod logs;
mod memory;
mod metrics;
mod properties;
mod row;
mod shared;
mod stage;
mod streams;
mod wasi;
mod wasi_files;

pub use listed::LISTED;
pub use row::{Row, Stage};

use crate::check::{Check, Sees};

/// Returns all rows, as checks.
pub(crate) fn checks() -> impl Iterator<Item = Check> {
    rows().map(|row| Check {
        topic: "answers",
        name: row.name(),
        task: stage::task(row.at, row.script),
        expected: row.answer.to_string(),
        sees: Sees::LastAnswer,
        spec: "host#answers",
    })
}

/// Returns all rows.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let files = [
        logs::ROWS,
        headers::ROWS,
        buffers::ROWS,
        properties::ROWS,
        streams::ROWS,
        callouts::ROWS,
        shared::ROWS,
        metrics::ROWS,
        contexts::ROWS,
        memory::ROWS,
        wasi::ROWS,
        wasi_files::ROWS,
    ];
    files.into_iter().flatten()
}
