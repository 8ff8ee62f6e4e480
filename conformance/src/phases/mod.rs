//! Hostcalls by callbacks: what each answers in each.
//!
//! `grid.txt` is the data: a line for each script, a column for each callback. A cell is all that the probe
//! observes, with commas between; `.` stands for a callback in which the script is not run.

use portcullis_core::abi::CallbackId;

use crate::check::{Check, Sees, plain};
use crate::names::short;

/// The grid.
pub const GRID: &str = include_str!("grid.txt");

/// The callbacks of its columns, in order.
pub const PHASES: &[CallbackId] = {
    use CallbackId as Id;
    &[
        Id::on_vm_start,
        Id::on_configure,
        Id::on_tick,
        Id::on_queue_ready,
        Id::on_http_call_response,
        Id::on_grpc_receive_initial_metadata,
        Id::on_grpc_receive,
        Id::on_grpc_receive_trailing_metadata,
        Id::on_grpc_close,
        Id::on_foreign_function,
        Id::on_context_create,
        Id::on_request_headers,
        Id::on_request_body,
        Id::on_request_trailers,
        Id::on_response_headers,
        Id::on_response_body,
        Id::on_response_trailers,
        Id::on_new_connection,
        Id::on_downstream_data,
        Id::on_upstream_data,
        Id::on_downstream_connection_close,
        Id::on_upstream_connection_close,
        Id::on_done,
        Id::on_log,
        Id::on_delete,
    ]
};

/// A line of the grid: a script, and what is observed in each of [`PHASES`].
#[derive(Clone, Debug)]
pub struct Line {
    /// The script.
    pub script: &'static str,
    /// The observations.
    pub cells: Vec<&'static str>,
}

/// Returns the lines of the grid.
pub fn lines() -> impl Iterator<Item = Line> {
    GRID.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (script, cells) = line.split_once('|')?;
        Some(Line { script: script.trim(), cells: cells.split_whitespace().collect() })
    })
}

impl Line {
    /// Returns the check of each phase; none where the script is not run.
    pub fn checks(&self) -> impl Iterator<Item = Option<Check>> + use<> {
        let Self { script, cells } = self.clone();
        PHASES.iter().zip(cells).map(move |(phase, cell)| {
            (cell != ".").then(|| Check {
                topic: "phases",
                name: format!("{}_in_{}", name(script), short(*phase)),
                task: plain(*phase, script),
                expected: cell.to_owned(),
                sees: Sees::Everything,
                spec: "v0.2.1#Callbacks",
            })
        })
    }
}

/// Returns all cells, as checks.
pub(crate) fn checks() -> impl Iterator<Item = Check> {
    lines().flat_map(|line| line.checks().flatten())
}

/// Returns a script as a name.
fn name(script: &str) -> String {
    let words = script.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}
