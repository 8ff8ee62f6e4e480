//! The cases, by topic.

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod allocator;
mod assemblyscript;
mod bodies;
mod budgets;
mod callouts;
mod capabilities;
mod compiled;
mod contexts;
mod dns;
mod foreign;
mod grpc;
mod headers;
mod host;
mod lifecycle;
mod limits;
mod linking;
mod memory;
mod metrics;
mod preopens;
mod properties;
mod shared;
mod start;
mod streams;
mod tcp;
mod traps;
mod verdicts;
mod wasi;
mod wasi_absent;
mod wasi_files;

use crate::engine::case::Topic;
use crate::engine::{attacks, hostile};

/// All cases.
pub const TOPICS: &[Topic] = &[
    Topic { name: "allocator", cases: allocator::CASES },
    Topic { name: "assemblyscript", cases: assemblyscript::CASES },
    attacks::TOPICS[0],
    attacks::TOPICS[1],
    attacks::TOPICS[2],
    attacks::TOPICS[3],
    attacks::TOPICS[4],
    attacks::TOPICS[5],
    attacks::TOPICS[6],
    Topic { name: "bodies", cases: bodies::CASES },
    Topic { name: "budgets", cases: budgets::CASES },
    Topic { name: "callouts", cases: callouts::CASES },
    Topic { name: "capabilities", cases: capabilities::CASES },
    Topic { name: "compiled", cases: compiled::CASES },
    Topic { name: "contexts", cases: contexts::CASES },
    Topic { name: "dns", cases: dns::CASES },
    Topic { name: "foreign", cases: foreign::CASES },
    Topic { name: "grpc", cases: grpc::CASES },
    Topic { name: "headers", cases: headers::CASES },
    Topic { name: "host", cases: host::CASES },
    hostile::TOPICS[0],
    hostile::TOPICS[1],
    hostile::TOPICS[2],
    hostile::TOPICS[3],
    hostile::TOPICS[4],
    hostile::TOPICS[5],
    hostile::TOPICS[6],
    Topic { name: "lifecycle", cases: lifecycle::CASES },
    Topic { name: "limits", cases: limits::CASES },
    Topic { name: "linking", cases: linking::CASES },
    Topic { name: "memory", cases: memory::CASES },
    Topic { name: "metrics", cases: metrics::CASES },
    Topic { name: "preopens", cases: preopens::CASES },
    Topic { name: "properties", cases: properties::CASES },
    Topic { name: "shared", cases: shared::CASES },
    Topic { name: "start", cases: start::CASES },
    Topic { name: "streams", cases: streams::CASES },
    Topic { name: "tcp", cases: tcp::CASES },
    Topic { name: "traps", cases: traps::CASES },
    Topic { name: "verdicts", cases: verdicts::CASES },
    Topic { name: "wasi", cases: wasi::CASES },
    Topic { name: "wasi_absent", cases: wasi_absent::CASES },
    Topic { name: "wasi_files", cases: wasi_files::CASES },
];
