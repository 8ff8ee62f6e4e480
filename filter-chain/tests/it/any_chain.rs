//! Whatever plugins answer, and wherever one traps and is passed by: when all that is stopped is
//! resumed, what comes out of a chain is what went in.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{Bench, Driven, Seen, log_filter, plugin, set_tick, trap, with_headers_stop, with_policy};
use portcullis_chain::PluginSpec;
use portcullis_core::abi::{CallbackId, StreamType};
use portcullis_core::model::{Direction, FailurePolicy, StreamInfo};
use portcullis_core::testing::Script;
use proptest::prelude::*;

const DIRECTIONS: [Direction; 2] = [Direction::Request, Direction::Response];
const FILTERS: [CallbackId; 6] = [
    CallbackId::on_request_headers,
    CallbackId::on_request_body,
    CallbackId::on_request_trailers,
    CallbackId::on_response_headers,
    CallbackId::on_response_body,
    CallbackId::on_response_trailers,
];

/// The behaviour of a guest.
#[derive(Clone, Debug)]
struct Behaviour {
    /// The values that its headers, body and trailers callbacks return, again and again.
    results: [Vec<i32>; 3],
    allow_stop: bool,
    /// The callbacks that it has not, of [`FILTERS`], a bit for each.
    lacks: u8,
    /// Which of its callbacks continues the stream too, besides the ticks.
    hasty: u32,
    /// Which of its callbacks traps, if so many come.
    trap_at: Option<u32>,
}

#[derive(Clone, Debug)]
struct Case {
    behaviours: Vec<Behaviour>,
    /// Which plugins the chain has; one may be there twice.
    chain: Vec<usize>,
    /// The parts of the bodies of each stream and direction, and whether trailers follow.
    bodies: Vec<[(Vec<String>, bool); 2]>,
    /// Which stream and direction is fed next, or a tick.
    order: Vec<u8>,
    limit: usize,
}

/// Results that never fail a stream, or only where the limit is not met.
fn behaviour(limited: bool) -> impl Strategy<Value = Behaviour> {
    let (headers, data) =
        if limited { (vec![0, 2, 4, 5], vec![0, 2]) } else { (vec![0, 1, 2, 3, 4, 9], vec![0, 1, 2]) };
    let list = |values| proptest::collection::vec(proptest::sample::select(values), 1..5);
    let results = (list(headers), list(data), list(vec![0, 1]));
    let lacks = prop_oneof![Just(0), any::<u8>()];
    (results, any::<bool>(), lacks, 0u32..12, proptest::option::weighted(0.2, 0u32..30)).prop_map(
        |(results, allow_stop, lacks, hasty, trap_at)| Behaviour {
            results: [results.0, results.1, results.2],
            allow_stop,
            lacks,
            hasty,
            trap_at,
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let chunk = "[a-z]{0,4}";
    let body = (proptest::collection::vec(chunk, 0..6), any::<bool>());
    any::<bool>().prop_flat_map(move |limited| {
        let chain = proptest::collection::vec(0usize..3, 1..5);
        let bodies = proptest::collection::vec([body.clone(), body.clone()], 1..4);
        let behaviours = proptest::collection::vec(behaviour(limited), 3);
        let order = proptest::collection::vec(any::<u8>(), 0..60);
        (behaviours, chain, bodies, order).prop_map(move |(behaviours, chain, bodies, order)| {
            let limit = if limited { 5 } else { 1 << 20 };
            Case { behaviours, chain, bodies, order, limit }
        })
    })
}

/// A guest that behaves so, and that resumes all its streams each second. `live` counts contexts.
fn script(behaviour: Behaviour, live: &Arc<AtomicI64>) -> Script {
    let streams = Arc::new(Mutex::new(Vec::<i32>::new()));
    let calls = Arc::new(AtomicU32::new(0));
    let Behaviour { results, lacks, hasty, trap_at, .. } = behaviour;
    let next = move || {
        let before = calls.fetch_add(1, Ordering::Relaxed);
        if trap_at == Some(before) { Err(trap()) } else { Ok(before + 1) }
    };
    let mut script = Script::new().on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000));
    let has = |index: usize| lacks >> index & 1 == 0;
    let filters = FILTERS.into_iter().zip(results.iter().chain(&results)).enumerate();
    for (id, results) in filters.filter(|(index, _)| has(*index)).map(|(_, filter)| filter) {
        let (next, results) = (next.clone(), results.clone());
        let mut answers = results.into_iter().cycle();
        script = script.try_on(id, move |caller, args| {
            log_filter(caller, id, "", args);
            let number = next()?;
            if number % 12 == hasty {
                caller.continue_stream(if (id as u8) <= CallbackId::on_request_trailers as u8 {
                    StreamType::Request
                } else {
                    StreamType::Response
                });
            }
            Ok(answers.next().unwrap_or(0))
        });
    }
    let (created, deleted) = (Arc::clone(&streams), Arc::clone(&streams));
    let (up, down, next_log) = (Arc::clone(live), Arc::clone(live), next.clone());
    script
        .on(CallbackId::on_context_create, move |_, args| {
            if args[1] != 0 {
                created.lock().unwrap().push(args[0]);
                up.fetch_add(1, Ordering::Relaxed);
            }
            0
        })
        .on(CallbackId::on_delete, move |_, args| {
            deleted.lock().unwrap().retain(|id| *id != args[0]);
            down.fetch_sub(1, Ordering::Relaxed);
            0
        })
        .try_on(CallbackId::on_log, move |_, _| next_log().map(|_| 0))
        .try_on(CallbackId::on_tick, move |caller, _| {
            next()?;
            for id in streams.lock().unwrap().iter() {
                assert_eq!(caller.set_effective(*id), 0);
                caller.continue_stream(StreamType::Request);
                caller.continue_stream(StreamType::Response);
            }
            Ok(0)
        })
}

fn run(case: &Case) {
    let live = Arc::new(AtomicI64::new(0));
    let spec = |index: &usize| -> PluginSpec {
        let (behaviour, live) = (case.behaviours[*index].clone(), Arc::clone(&live));
        let stops = behaviour.allow_stop;
        let spec =
            with_policy(plugin(&index.to_string(), move || script(behaviour.clone(), &live)), FailurePolicy::Open);
        if stops { with_headers_stop(spec) } else { spec }
    };
    let mut bench = Bench::limited(&case.chain.iter().map(spec).collect::<Vec<_>>(), case.limit);
    let chain = bench.chain.clone();
    let mut open = |bodies: &[(Vec<String>, bool); 2]| {
        let id = bench.worker.open(&chain, StreamInfo::default().into_shared(), case.limit);
        Driven::new(id, bodies)
    };
    let mut streams: Vec<_> = case.bodies.iter().map(&mut open).collect();
    // At last everything is fed, and each second moves at least one thing past one plugin.
    let rest = (0..400).map(|step| if step % 20 == 19 { u8::MAX } else { step as u8 % 20 });
    for choice in case.order.iter().copied().chain(rest) {
        let count = streams.len();
        if usize::from(choice) % 7 == 6 || choice == u8::MAX {
            bench.tick();
        } else {
            streams[usize::from(choice / 2) % count].feed(&mut bench, DIRECTIONS[usize::from(choice % 2)]);
        }
        streams.iter_mut().for_each(|stream| stream.look(&mut bench));
    }
    for (stream, bodies) in streams.iter().zip(&case.bodies) {
        for ((seen, (chunks, trailers)), direction) in stream.seen.iter().zip(bodies).zip(DIRECTIONS) {
            let expected = Seen { headers: 1, body: chunks.concat(), trailers: usize::from(*trailers), ends: 1 };
            assert_eq!(*seen, expected, "{direction:?}");
            assert!(bench.worker.wants_body(stream.id, direction));
        }
    }
    let failed = bench.worker.vm_counts().failed;
    streams.iter().for_each(|stream| bench.worker.finish(stream.id));
    bench.worker.finish(bench.stream);
    if failed == 0 && bench.worker.vm_counts().failed == 0 {
        assert_eq!(live.load(Ordering::Relaxed), 0, "contexts are left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(case in case()) {
        run(&case);
    }
}
