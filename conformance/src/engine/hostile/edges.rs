//! Every hostcall with every address and length at every edge of memory.

use std::time::{Duration, Instant};

use portcullis::abi::{HOSTCALLS, HostcallId, LogLevel};
use portcullis::engine::AnyEngine;
use portcullis::model::{Direction, Limits};
use portcullis::module::Bytecode;
use portcullis::resources::ForeignFunctions;

use super::edge_guest::{self, Call};
use super::parameters;
use crate::answers::LISTED;
use crate::engine::folder::Folder;
use crate::engine::running::{Running, Setup};

/// One hostcall, with all that can be wrong with its arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    hostcall: HostcallId,
    /// Whether the guest has a directory, without which most of WASI looks at nothing.
    with_directory: bool,
}

/// Returns each hostcall that takes an address, a length, an id or another number.
pub(super) fn edges() -> impl Iterator<Item = Edge> {
    let of = |with_directory| move |id| Edge { hostcall: id, with_directory };
    let ids = || HOSTCALLS.iter().map(|decl| decl.id).filter(|id| !parameters::of(*id).is_empty());
    ids().map(of(false)).chain(ids().filter(|id| is_of_files(*id)).map(of(true)))
}

impl Edge {
    /// Returns the name of the edge.
    pub(super) fn name(&self) -> String {
        let directory = if self.with_directory { "_with_a_directory" } else { "" };
        format!("{}{directory}", self.hostcall)
    }

    /// Makes all calls. The first succeeds, if the hostcall ever does. What leads beyond memory is bad memory where the
    /// first succeeds; all else has an answer that is listed. Nothing is written where it should not be.
    ///
    /// # Panics
    /// Something else happens.
    pub(super) fn run(&self, engine: &dyn AnyEngine) {
        let calls = edge_guest::calls(self.hostcall, self.with_directory);
        let start = Instant::now();
        match self.hostcall {
            HostcallId::proc_exit => {
                calls.iter().for_each(|call| self.ends(engine, call, &format!("proc_exit({})", exit_code(call))));
            }
            HostcallId::abort => calls.iter().for_each(|call| self.ends(engine, call, "the plugin aborted: ")),
            _ => self.answers(engine, &calls),
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it held up the host for {:?}", start.elapsed());
    }

    fn answers(&self, engine: &dyn AnyEngine, calls: &[Call]) {
        let (guest, result) = self.call(engine, calls);
        assert!(result, "{}", guest.vm.failure().unwrap_or_default());
        let from_guest = guest.lines().into_iter().filter(|line| !line.from_host && line.level == LogLevel::Trace);
        let mut answers: Vec<i32> = from_guest.filter_map(|line| line.text.parse().ok()).collect();
        assert_eq!(answers.pop(), Some(0), "it wrote where it should not");
        assert_eq!(answers.len(), calls.len());
        let listed = LISTED.iter().find(|(id, _)| *id == self.hostcall).map(|(_, listed)| *listed);
        assert!(listed.is_some(), "its answers are not in LISTED; list them in conformance/src/answers/listed.rs");
        let listed = listed.unwrap_or_default();
        let succeeds = self.with_directory || listed.contains(&0);
        let first = answers[0];
        assert!(
            !succeeds || first == 0,
            "it should succeed, but answers {first}; hostile/arguments.rs has its arguments"
        );
        for (call, answer) in calls.iter().zip(answers) {
            let expected = match call.is_outside && succeeds && !self.looks_at_less(call) {
                true => &[if self.hostcall.is_wasi() { 21 } else { 6 }][..],
                false if self.with_directory => OF_FILES,
                false => listed,
            };
            let is_expected = expected.contains(&answer) || self.hostcall.decl().results.is_empty();
            assert!(is_expected, "{:x?} is answered {answer}, not one of {expected:?}", call.arguments);
        }
    }

    fn ends(&self, engine: &dyn AnyEngine, call: &Call, reason: &str) {
        let (guest, result) = self.call(engine, std::slice::from_ref(call));
        assert!(!result && guest.failure().contains(reason), "{call:x?}: {:?}", guest.vm.failure());
    }

    /// Makes calls; whether the guest has survived them.
    fn call(&self, engine: &dyn AnyEngine, calls: &[Call]) -> (Running, bool) {
        let wasm = wat::parse_str(edge_guest::module(self.hostcall, self.with_directory, calls)).unwrap();
        let bytecode = Bytecode::judge(&wasm).unwrap();
        let folder = Folder::new(&[("some", "hello, world"), ("folder/file", "")]);
        std::fs::remove_file(folder.path("folder/file")).unwrap();
        folder.link("some", "link");
        let foreign = ForeignFunctions::default().with("echo", |call| {
            call.result.extend_from_slice(call.arguments);
            Ok(())
        });
        let limits = Limits::default().with_deadline(Duration::from_secs(20));
        let environment = vec![("KEY".to_owned(), "value".to_owned())];
        let preopens = if self.with_directory { vec![folder.preopen("", true)] } else { Vec::new() };
        let setup = Setup { limits, foreign, environment, preopens, ..Setup::default() };
        let mut guest = Running::start(&*engine.load(&bytecode).unwrap(), bytecode.abi, setup).unwrap();
        let stream = guest.open(&[(":path", "/some")]);
        guest.lend_body(stream, Direction::Request, "hello");
        let result = guest.headers(stream).is_ok();
        (guest, result)
    }

    /// Returns whether the hostcall answers before it looks at the argument that leads outside.
    fn looks_at_less(&self, call: &Call) -> bool {
        match self.hostcall {
            // There are no arguments to be written.
            HostcallId::args_get => true,
            // Too many are refused, and none are written nowhere.
            HostcallId::random_get => !(1..=64 << 10).contains(&(call.arguments[1] & 0xffff_ffff)),
            // Text is read as far as it lies in memory.
            HostcallId::trace => true,
            _ => false,
        }
    }
}

/// Answers of a file or directory to numbers and names that are none.
const OF_FILES: &[i32] = &[0, 8, 20, 21, 25, 28, 37, 44, 52, 54, 55, 58, 61, 69, 70, 76];

fn is_of_files(hostcall: HostcallId) -> bool {
    let name = hostcall.decl().name;
    let has_address = parameters::of(hostcall).iter().any(|(_, role)| {
        matches!(role, parameters::Role::Input { .. } | parameters::Role::Buffer | parameters::Role::Pointer { .. })
    });
    has_address && (name.starts_with("fd_") || name.starts_with("path_"))
}

fn exit_code(call: &Call) -> i32 {
    u32::try_from(call.arguments[0] & 0xffff_ffff).unwrap_or(0).cast_signed()
}
