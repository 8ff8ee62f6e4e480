//! Metrics.

use std::sync::Arc;

use crate::common::{Setup, during};
use portcullis_core::abi::{CallbackId, MetricType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Limits, Plugin};
use portcullis_core::testing::NullCaller;

fn define(caller: &mut NullCaller<'_>, metric_type: i32, name: &[u8]) -> Result<i32, i32> {
    let (name, len) = caller.put(name);
    match entry::proxy_define_metric(caller, metric_type, name, len, 16).unwrap() {
        0 => Ok(caller.word(16).cast_signed()),
        status => Err(status),
    }
}

fn value(caller: &mut NullCaller<'_>, id: i32) -> Result<u64, i32> {
    match entry::proxy_get_metric(caller, id, 16).unwrap() {
        0 => Ok(u64::from(caller.word(16)) | u64::from(caller.word(20)) << 32),
        status => Err(status),
    }
}

fn add(caller: &mut NullCaller<'_>, id: i32, delta: i64) -> i32 {
    entry::proxy_increment_metric(caller, id, delta).unwrap()
}

fn record(caller: &mut NullCaller<'_>, id: i32, value: i64) -> i32 {
    entry::proxy_record_metric(caller, id, value).unwrap()
}

#[test]
fn ids_say_their_type_and_a_name_keeps_its_id() {
    during(CallbackId::on_tick, |caller| {
        for expected in [[4, 5, 6], [8, 9, 10]] {
            let name = [u8::try_from(expected[0]).unwrap()];
            for (of, id) in expected.into_iter().enumerate() {
                let of = i32::try_from(of).unwrap();
                assert_eq!(define(caller, of, &name), Ok(id));
                assert_eq!(define(caller, of, &name), Ok(id));
            }
        }
    });
}

#[test]
fn a_counter_only_grows_and_what_is_recorded_is_added() {
    let started = during(CallbackId::on_tick, |caller| {
        let id = define(caller, MetricType::Counter as i32, b"c").unwrap();
        assert_eq!(value(caller, id), Ok(0));
        assert_eq!((add(caller, id, 2), add(caller, id, 0), add(caller, id, -1)), (0, 2, 2));
        assert_eq!(record(caller, id, 5), 0);
        assert_eq!(value(caller, id), Ok(7));
    });
    assert_eq!(started.host.metric("c"), Some(7));
}

#[test]
fn a_gauge_goes_up_and_down_and_is_set() {
    during(CallbackId::on_tick, |caller| {
        let id = define(caller, MetricType::Gauge as i32, b"g").unwrap();
        assert_eq!(record(caller, id, 1 << 40), 0);
        assert_eq!((add(caller, id, -1), add(caller, id, 0), add(caller, id, 3)), (0, 0, 0));
        assert_eq!(value(caller, id), Ok((1 << 40) + 2));
        assert_eq!(record(caller, id, 9), 0);
        assert_eq!(value(caller, id), Ok(9));
    });
}

#[test]
fn a_histogram_is_only_recorded() {
    let started = during(CallbackId::on_tick, |caller| {
        let id = define(caller, MetricType::Histogram as i32, b"h").unwrap();
        assert_eq!(record(caller, id, 3), 0);
        assert_eq!(add(caller, id, 1), 2);
        assert_eq!(value(caller, id), Err(2));
    });
    assert_eq!(started.host.metric("h"), Some(3));
}

#[test]
fn unknown_ids_are_answered_by_the_type_that_their_bits_say() {
    during(CallbackId::on_tick, |caller| {
        for id in [0, 4, 5, 400, -4] {
            assert_eq!((add(caller, id, 1), record(caller, id, 1), value(caller, id)), (1, 1, Err(1)), "{id}");
        }
        assert_eq!((add(caller, 6, 1), record(caller, 6, 1), value(caller, 6)), (2, 1, Err(2)));
        assert_eq!((add(caller, 7, 1), record(caller, 7, 1), value(caller, 7)), (2, 1, Err(2)));
        assert_eq!((add(caller, -1, 1), record(caller, -1, 1), value(caller, -1)), (2, 1, Err(2)));
    });
}

#[test]
fn the_name_is_looked_at_before_the_type() {
    during(CallbackId::on_tick, |caller| {
        assert_eq!(entry::proxy_define_metric(caller, 3, -1, 1, 16).unwrap(), 6);
        assert_eq!(define(caller, 3, b"m"), Err(2));
        assert_eq!(define(caller, -1, b"m"), Err(2));
        assert_eq!(define(caller, 0, b"\xff"), Err(2), "no text");
        assert_eq!(entry::proxy_define_metric(caller, 0, 0, 1, -1).unwrap(), 6);
        assert_eq!(define(caller, 0, b"m"), Ok(4), "what failed has defined nothing");
    });
}

#[test]
fn metrics_are_bounded_and_known_ones_are_still_found() {
    let mut setup = Setup::new();
    setup.config.vm.limits = Limits::default().with_metrics(2);
    setup.during(CallbackId::on_tick, |caller| {
        assert_eq!(define(caller, 0, b"a"), Ok(4));
        assert_eq!(define(caller, 1, b"a"), Ok(5));
        assert_eq!(define(caller, 0, b"b"), Err(10));
        assert_eq!(define(caller, 0, b"a"), Ok(4));
    });
}

#[test]
fn a_metric_belongs_to_the_plugin_that_defined_it() {
    let mut started = Setup::new()
        .on(CallbackId::on_tick, |caller, args| {
            if args[0] == 1 {
                assert_eq!(define(caller, 0, b"c"), Ok(4));
            } else {
                assert_eq!((add(caller, 4, 1), record(caller, 4, 1), value(caller, 4)), (1, 1, Err(1)));
                assert_eq!(define(caller, 0, b"c"), Ok(8), "the same name is another metric");
            }
            0
        })
        .start();
    let second = started.vm.add_plugin(Arc::new(Plugin::new("second"))).unwrap();
    started.vm.on_tick(started.root).unwrap();
    started.vm.on_tick(second).unwrap();
    assert_eq!(started.called(CallbackId::on_tick), 2);
}
