//! The tables say what the ABI says.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::during;
use crate::expected::{CALLBACK_TYPES, ENV, WASI};
use portcullis_core::abi::{AbiVersion, CALLBACKS, CallbackId, HOSTCALLS, HostcallId, ValType};
use portcullis_core::engine::Trap;
use portcullis_core::hostcall::entry;
use portcullis_core::testing::NullCaller;

/// `(i32,i64)->i32`.
fn type_of(params: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    format!("({})->{}", list(params), if results.is_empty() { "()".to_owned() } else { list(results) })
}

/// The answer of a hostcall, as a number if it is one.
trait Answer {
    fn number(self) -> Option<i32>;
}

impl Answer for i32 {
    fn number(self) -> Option<i32> {
        Some(self)
    }
}

impl Answer for () {
    fn number(self) -> Option<i32> {
        None
    }
}

impl Answer for f64 {
    fn number(self) -> Option<i32> {
        None
    }
}

macro_rules! call_each {
    ($( [$($module:literal),*] $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident $columns:tt; )*) => {
        /// Calls every hostcall with zeros.
        fn call_each(caller: &mut NullCaller<'_>, mut see: impl FnMut(HostcallId, Result<Option<i32>, Trap>)) {
            $( see(HostcallId::$name, entry::$name(caller, $(<$ty>::default()),*).map(Answer::number)); )*
        }
    };
}
portcullis_core::for_each_hostcall!(call_each);

#[test]
fn no_row_is_unimplemented() {
    for callback in [CallbackId::on_tick, CallbackId::on_request_headers] {
        during(callback, |caller| {
            let mut answers = 0;
            call_each(caller, |id, answer| {
                if id.decl().modules == ["env"] {
                    assert_ne!(answer.ok(), Some(Some(12)), "{id}");
                    answers += 1;
                }
            });
            assert!(answers > 40, "{answers}");
        });
    }
}

#[test]
fn every_row_has_a_module_and_no_two_rows_the_same_import() {
    let mut seen = BTreeSet::new();
    for decl in HOSTCALLS {
        assert!(!decl.modules.is_empty() && !decl.name.is_empty(), "{:?}", decl.id);
        assert_eq!(decl.id.decl().name, decl.name, "rows are in the order of their ids");
        for module in decl.modules {
            assert!(seen.insert((module, decl.name)), "{module}.{} twice", decl.name);
        }
    }
    for (position, decl) in CALLBACKS.iter().enumerate() {
        assert_eq!(decl.id as usize, position);
    }
}

#[test]
fn the_env_rows_are_those_of_the_abi_with_its_types_and_versions() {
    let expected: BTreeMap<_, _> = ENV.iter().map(|(name, of, abis)| (*name, ((*of).to_owned(), *abis))).collect();
    let has = |decl: &portcullis_core::abi::HostcallDecl| {
        let mark = |abi: &AbiVersion| if decl.id.linked_modules(*abi).is_empty() { '-' } else { '*' };
        AbiVersion::ALL.iter().map(mark).collect::<String>()
    };
    let rows: BTreeMap<_, _> = HOSTCALLS
        .iter()
        .filter(|decl| decl.modules == ["env"])
        .map(|decl| (decl.name, (type_of(decl.params, decl.results), has(decl))))
        .collect();
    let rows: BTreeMap<_, _> = rows.iter().map(|(name, (of, abis))| (*name, (of.clone(), abis.as_str()))).collect();
    assert_same(&rows, &expected);
}

#[test]
fn the_wasi_rows_are_those_of_the_abi_under_both_module_names() {
    let expected: BTreeMap<_, _> = WASI.iter().map(|(name, of)| (*name, (*of).to_owned())).collect();
    let wasi = HOSTCALLS.iter().filter(|decl| decl.modules.iter().any(|module| module.starts_with("wasi")));
    let rows: BTreeMap<_, _> = wasi
        .map(|decl| {
            let modules: BTreeSet<_> = decl.modules.iter().copied().collect();
            assert_eq!(modules, BTreeSet::from(["wasi_snapshot_preview1", "wasi_unstable"]), "{}", decl.name);
            (decl.name, type_of(decl.params, decl.results))
        })
        .collect();
    assert_same(&rows, &expected);
}

/// Compares row by row, so that a failure names the rows that differ.
fn assert_same<T: PartialEq + std::fmt::Debug>(rows: &BTreeMap<&str, T>, expected: &BTreeMap<&str, T>) {
    let names: BTreeSet<_> = rows.keys().chain(expected.keys()).collect();
    let differ: Vec<_> = names
        .into_iter()
        .map(|name| (name, rows.get(name), expected.get(name)))
        .filter(|(_, row, expected)| row != expected)
        .collect();
    assert!(differ.is_empty(), "(name, the table's, that of host-core/tests/it/expected): {differ:#?}");
}

#[test]
fn besides_env_and_wasi_there_is_only_date_now() {
    let others = HOSTCALLS.iter().filter(|decl| decl.modules != ["env"] && !decl.modules[0].starts_with("wasi"));
    let others: Vec<_> = others.map(|d| (d.modules, d.name, type_of(d.params, d.results))).collect();
    assert_eq!(others, [(&["Date"][..], "now", "()->f64".to_owned())]);
}

#[test]
fn the_callbacks_are_those_of_the_abi_with_its_types() {
    let mut expected: Vec<_> = CALLBACK_TYPES.iter().map(|(name, of)| (*name, (*of).to_owned())).collect();
    let mut rows: Vec<_> = CALLBACKS.iter().map(|decl| (decl.export, type_of(decl.params, decl.results))).collect();
    expected.sort();
    rows.sort();
    assert_eq!(rows, expected);
}

#[test]
fn a_header_callback_gained_its_end_of_stream_in_0_2_0() {
    for decl in CALLBACKS.iter().filter(|decl| decl.export.ends_with("_headers")) {
        let old = decl.params.len() == 2;
        assert_eq!(decl.until == AbiVersion::V0_1_0, old, "{:?}", decl.id);
        assert_eq!(decl.since == AbiVersion::V0_2_0, !old, "{:?}", decl.id);
    }
}
