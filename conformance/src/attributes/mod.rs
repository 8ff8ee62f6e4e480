//! Attributes: what `proxy_get_property` returns for each path in each phase of a stream.
//!
//! `grid.txt` is the data: a line for each path, a column for each of [`COLUMNS`]. A cell is a [`Cell`](crate::cell::Cell): the exact bytes, a
//! shape where they depend on time, addresses or chance, or the status that says why there are none.
//!
//! The probe reads all paths of one object in one program, so that a grid of 1,786 cells takes a host some hundred requests.

use portcullis_core::abi::CallbackId;

use crate::check::{Check, Course, Sees, Task, plain};

/// The grid.
pub const GRID: &str = include_str!("grid.txt");

/// A column of the grid: where a plugin is when it reads.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// The callback that reads.
    pub phase: CallbackId,
    /// The way to that callback.
    pub course: Course,
}

/// The columns, in order. `paused_request` is the answer to a callout of a request that waits for it, read with the
/// request as the effective context; those that begin with `tcp` belong to a TCP stream.
pub const COLUMNS: &[Column] = {
    use CallbackId as Id;
    use Course::{Direct, PausedConnection, PausedRequest, Tcp};
    &[
        column("tick", Id::on_tick, Direct),
        column("http_call_response", Id::on_http_call_response, Direct),
        column("context_create", Id::on_context_create, Direct),
        column("request_headers", Id::on_request_headers, Direct),
        column("paused_request", Id::on_http_call_response, PausedRequest),
        column("request_body", Id::on_request_body, Direct),
        column("request_trailers", Id::on_request_trailers, Direct),
        column("response_headers", Id::on_response_headers, Direct),
        column("response_body", Id::on_response_body, Direct),
        column("response_trailers", Id::on_response_trailers, Direct),
        column("log", Id::on_log, Direct),
        column("done", Id::on_done, Direct),
        column("tcp_new_connection", Id::on_new_connection, Direct),
        column("tcp_paused_connection", Id::on_http_call_response, PausedConnection),
        column("tcp_downstream_data", Id::on_downstream_data, Direct),
        column("tcp_upstream_data", Id::on_upstream_data, Direct),
        column("tcp_upstream_connection_close", Id::on_upstream_connection_close, Direct),
        column("tcp_downstream_connection_close", Id::on_downstream_connection_close, Direct),
        column("tcp_log", Id::on_log, Tcp),
    ]
};

/// Makes a paused stream the effective context.
const SUBJECT: &str = "proxy_set_effective_context subject; ";

/// The most paths that one program reads: it has 6 KiB for all.
const PATHS: usize = 40;

/// A line of the grid: a path, and what it leads to in each of [`COLUMNS`].
#[derive(Clone, Debug)]
pub struct Line {
    /// The path, with dots between its segments.
    pub path: &'static str,
    /// The cells.
    pub cells: Vec<&'static str>,
}

/// Returns the lines of the grid.
pub fn lines() -> impl Iterator<Item = Line> {
    GRID.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (path, cells) = line.split_once('|')?;
        let mut last = "";
        let cells = cells.split_whitespace().map(|cell| {
            last = if cell == "=" { last } else { cell };
            last
        });
        Some(Line { path: path.trim(), cells: cells.collect() })
    })
}

/// Returns the name of the check of a cell.
pub fn name(path: &str, column: &Column) -> String {
    format!("{path}_in_{}", column.name)
}

/// Returns all cells as checks, a column after the other.
pub(crate) fn checks() -> impl Iterator<Item = Check> {
    let lines: Vec<_> = lines().collect();
    let of = move |(place, column): (usize, &'static Column)| {
        lines.chunks(PATHS).flat_map(|lines| batch(lines, place, column)).collect::<Vec<_>>()
    };
    COLUMNS.iter().enumerate().flat_map(of)
}

/// Returns the checks of some lines in one column, which are the same task.
fn batch(lines: &[Line], place: usize, column: &'static Column) -> Vec<Check> {
    let task = task(lines.iter().map(|line| line.path), column);
    let check = |(at, line): (usize, &Line)| {
        let cell = line.cells.get(place).copied().unwrap_or_default();
        Check {
            topic: "attributes",
            name: name(line.path, column),
            task: task.clone(),
            expected: cell.to_owned(),
            sees: Sees::Property { at: at + preamble(column), cell },
            spec: "host#attributes",
        }
    };
    lines.iter().enumerate().map(check).collect()
}

/// Returns the task that reads paths where a column says.
fn task(paths: impl Iterator<Item = &'static str>, column: &Column) -> Task {
    // Where no value is returned, the words are those of the value before, or 0; what is noted then counts for nothing.
    let read = |path: &str| format!("proxy_get_property '{}' 64 68; bytes @64 @68; ", path.replace('.', "~"));
    let reads: String = paths.map(read).collect();
    let script = match column.course {
        Course::PausedRequest => format!("{SUBJECT}{reads}proxy_continue_stream 0"),
        // The client sends nothing before, so that its data are none of what is read; and gets nothing.
        Course::PausedConnection => format!("{SUBJECT}{reads}proxy_close_stream 2"),
        Course::Direct | Course::Tcp => reads,
    };
    Task { course: column.course, ..plain(column.phase, &script) }
}

/// Returns how many hostcalls come before those that read.
fn preamble(column: &Column) -> usize {
    match column.course {
        Course::PausedRequest | Course::PausedConnection => 1,
        Course::Direct | Course::Tcp => 0,
    }
}

const fn column(name: &'static str, phase: CallbackId, course: Course) -> Column {
    Column { name, phase, course }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Cell;

    #[test]
    fn every_cell_of_the_grid_is_one() {
        for Line { path, cells } in lines() {
            assert_eq!(cells.len(), COLUMNS.len(), "{path}");
            let wrong = cells.iter().flat_map(|cell| cell.split(';')).find(|cell| Cell::read(cell).is_none());
            assert_eq!(wrong, None, "{path}");
        }
        assert!(lines().count() > 90);
    }
}
