//! A part of a message for which no plugin of a chain has a callback need not be fed.

use std::collections::BTreeSet;

use crate::common::{Bench, per_stream_of, plugin, recorder};
use portcullis_chain::{Isolation, PluginSpec};
use portcullis_core::abi::CallbackId;
use portcullis_core::model::Direction;
use portcullis_core::rights::Capabilities;
use portcullis_core::testing::Script;
use portcullis_core::vm::Part;
use proptest::prelude::*;

const CALLBACKS: [(CallbackId, Direction, Part, &str); 6] = [
    (CallbackId::on_request_headers, Direction::Request, Part::Headers, "request headers"),
    (CallbackId::on_request_body, Direction::Request, Part::Body, "request body"),
    (CallbackId::on_request_trailers, Direction::Request, Part::Trailers, "request trailers"),
    (CallbackId::on_response_headers, Direction::Response, Part::Headers, "response headers"),
    (CallbackId::on_response_body, Direction::Response, Part::Body, "response body"),
    (CallbackId::on_response_trailers, Direction::Response, Part::Trailers, "response trailers"),
];

/// A plugin that logs each callback and lets all pass.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// The callbacks that it exports, of [`CALLBACKS`], a bit for each.
    exports: u8,
    /// The callbacks that it has the right to, likewise.
    rights: u8,
    per_stream: bool,
}

fn names(bits: u8) -> impl Iterator<Item = (CallbackId, &'static str)> {
    let chosen = CALLBACKS.into_iter().enumerate().filter(move |(index, _)| bits >> index & 1 == 1);
    chosen.map(|(_, (id, .., name))| (id, name))
}

fn script(exports: u8) -> Script {
    names(exports).fold(Script::new(), |script, (id, name)| {
        script.on(id, move |caller, _| {
            caller.log(name);
            0
        })
    })
}

fn spec(index: usize, case: Case) -> PluginSpec {
    let (name, exports) = (index.to_string(), case.exports);
    let script = move || script(exports);
    let mut spec = plugin(&name, script);
    let filters = Capabilities::of_callbacks(&CALLBACKS.map(|(id, ..)| id));
    let rights = Capabilities::of_callbacks(&names(case.rights).map(|(id, _)| id).collect::<Vec<_>>());
    let others = Capabilities::names().filter(|name| !filters.held().any(|filter| filter == *name));
    spec.plugin.capabilities = Capabilities::from_names(others).unwrap().or(rights);
    if !case.per_stream {
        return spec;
    }
    spec.isolation = Isolation::Stream;
    per_stream_of(&spec, script)
}

/// Feeds a whole exchange, of bodies and trailers those that `feeds` says; returns the callbacks that were called.
fn exchange(bench: &mut Bench, feeds: impl Fn(Direction, Part) -> bool) -> Vec<String> {
    bench.journal();
    for direction in [Direction::Request, Direction::Response] {
        bench.headers(direction, &[(":status", "200")], false);
        if feeds(direction, Part::Body) {
            bench.body(direction, "abc", false);
        }
        if feeds(direction, Part::Trailers) {
            bench.trailers(direction);
        }
    }
    bench.journal()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_no_plugin_has_a_callback_for_is_told_to_none(
        cases in proptest::collection::vec((0u8..64, prop_oneof![Just(63u8), 0u8..64], any::<bool>()), 0..4),
    ) {
        let cases = cases.into_iter().map(|(exports, rights, per_stream)| Case { exports, rights, per_stream });
        let specs: Vec<_> = cases.enumerate().map(|(index, case)| spec(index, case)).collect();
        let mut bench = Bench::new(&specs);
        let all = exchange(&mut bench, |_, _| true);
        let called: BTreeSet<_> = all.iter().filter_map(|line| Some(line.split_once(": ")?.1)).collect();
        let mut has = Vec::new();
        for (_, direction, part, name) in CALLBACKS {
            let may = bench.worker.has_callback_for(&bench.chain, direction, part);
            prop_assert_eq!(may, called.contains(name), "{}", name);
            has.extend(may.then_some((direction, part)));
        }
        // Who is told what is the same without it.
        bench.finish();
        bench.open();
        prop_assert_eq!(exchange(&mut bench, |direction, part| has.contains(&(direction, part))), all);
    }
}

#[test]
fn a_module_whose_exports_are_not_known_may_have_any_callback() {
    let bench = Bench::new(&[crate::common::changing("a", Script::new)]);
    assert!(CALLBACKS.iter().all(|(_, direction, part, _)| bench.worker.has_callback_for(
        &bench.chain,
        *direction,
        *part
    )));
    let of_another_worker = Bench::new(&[plugin("a", || recorder(&[]))]).chain;
    let worker = Bench::new(&[]).worker;
    assert!(!worker.has_callback_for(&of_another_worker, Direction::Request, Part::Body));
}
