//! Whatever a driver does with ids of things that have gone changes nothing: a worker that is also driven with these does what another one
//! does that is not. What is random here, guests that trap among it, also looks for branches that the chain asserts to be impossible.

mod driver;
mod guests;

use driver::{Driver, Step};
use guests::Behaviour;
use portcullis_core::model::FailurePolicy;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Case {
    behaviours: Vec<Behaviour>,
    steps: Vec<Step>,
}

fn case() -> impl Strategy<Value = Case> {
    let policy = proptest::sample::select(vec![FailurePolicy::Open, FailurePolicy::Closed, FailurePolicy::Reload]);
    let behaviour = (
        proptest::collection::vec(0i32..4, 1..5),
        1u32..9,
        1u32..20,
        proptest::option::weighted(0.4, 0u32..25),
        policy,
    );
    let behaviour = behaviour.prop_map(|(answers, calls_out, responds, trap_at, policy)| Behaviour {
        answers,
        calls_out,
        responds,
        trap_at,
        policy,
    });
    let steps = proptest::collection::vec(any::<Step>(), 1..80);
    (proptest::collection::vec(behaviour, 3), steps).prop_map(|(behaviours, steps)| Case { behaviours, steps })
}

/// Drives a worker, and takes it down; returns the driver, which has seen all that there was to see.
fn drive(case: &Case, uses_stale: bool) -> Driver {
    let mut driver = Driver::new(&case.behaviours, uses_stale);
    case.steps.iter().for_each(|step| driver.step(*step));
    driver.take_down();
    driver
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ids_of_what_has_gone_do_nothing(case in case()) {
        let (with, without) = (drive(&case, true), drive(&case, false));
        prop_assert_eq!(&with.seen, &without.seen);
        let (stale, counted) = (with.stale, with.counted() - without.counted());
        prop_assert!(!cfg!(debug_assertions) || counted >= stale, "{} of {} are counted", counted, stale);
    }
}
