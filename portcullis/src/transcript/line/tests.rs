#![expect(clippy::unwrap_used, reason = "a test may panic")]

use portcullis_core::abi::{CallbackId, HostcallId};
use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Option<Event>, String> {
    serde_json::from_str::<Line>(text).map_err(|error| error.to_string())?.event()
}

#[test]
fn a_line_reads_like_the_call_that_it_is() {
    let log = Event::Hostcall {
        id: HostcallId::proxy_log,
        arguments: vec![2.into(), 1050.into(), 5.into()],
        reads: vec![Span { address: 1050, bytes: b"hello".to_vec() }],
        writes: Vec::new(),
        then: Then::Answer(Ok(Some(0.into()))),
    };
    let text = serde_json::to_string(&Line::from(log.clone())).unwrap();
    assert_eq!(
        text,
        r#"{"hostcall":{"name":"proxy_log","args":{"level":2,"message":1050,"message_len":5},"reads":[[1050,"hello"]],"result":0}}"#
    );
    assert_eq!(read(&text), Ok(Some(log)));
}

#[test]
fn what_is_wrong_with_a_line_is_said() {
    for (text, why) in [
        (r#"{"hostcall":{"name":"proxy_sing","args":{},"result":0}}"#, "there is no hostcall \"proxy_sing\""),
        (r#"{"hostcall":{"name":"proxy_done","args":{}}}"#, "it has no result"),
        (r#"{"hostcall":{"name":"proxy_done","args":{},"result":"1.0"}}"#, "is no i32"),
        (r#"{"hostcall":{"name":"proxy_log","args":{"level":2},"result":0}}"#, "lacks the argument \"message\""),
        (r#"{"callback":{"name":"proxy_on_tick","args":[]}}"#, "no callback \"proxy_on_tick\" of 0 arguments"),
        (r#"{"allocated":{"result":0}}"#, "an address or traps"),
        (
            r#"{"hostcall":{"name":"proxy_done","args":{},"reads":[[1,{"base64":"%"}]],"result":0}}"#,
            "cannot be decoded",
        ),
        (r#"{"tuesday":{}}"#, "unknown variant"),
    ] {
        assert!(read(text).is_err_and(|error| error.contains(why)), "{text}: {:?}", read(text));
    }
}

fn value(ty: ValType) -> BoxedStrategy<Value> {
    match ty {
        ValType::I32 => any::<i32>().prop_map(Value::I32).boxed(),
        ValType::I64 => any::<i64>().prop_map(Value::I64).boxed(),
        ValType::F64 => any::<f64>().prop_map(Value::F64).boxed(),
    }
}

fn some_spans() -> impl Strategy<Value = Vec<Span>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..12);
    proptest::collection::vec((any::<u32>(), bytes).prop_map(|(address, bytes)| Span { address, bytes }), 0..3)
}

fn event() -> impl Strategy<Value = Event> {
    let hostcall = (0..HOSTCALLS.len(), some_spans(), some_spans(), any::<Option<u32>>()).prop_flat_map(
        |(index, reads, writes, allocate)| {
            let decl = &HOSTCALLS[index];
            let arguments: Vec<_> = decl.params.iter().map(|ty| value(*ty)).collect();
            let result: Vec<_> = decl.results.iter().map(|ty| value(*ty)).collect();
            (arguments, result, proptest::option::of(".{0,5}")).prop_map(move |(arguments, result, trap)| {
                let answer = trap.map_or_else(|| Ok(result.first().copied()), |trap| Err(RecordedTrap::new(trap)));
                let then = allocate.map_or(Then::Answer(answer), Then::Allocate);
                Event::Hostcall { id: decl.id, arguments, reads: reads.clone(), writes: writes.clone(), then }
            })
        },
    );
    prop_oneof![
        hostcall,
        (any::<u32>(), some_spans(), any::<i32>()).prop_map(|(address, writes, result)| Event::Allocated {
            address: Ok(address),
            writes,
            answer: Ok(Some(result.into()))
        }),
        any::<i32>().prop_map(|root| Event::Callback { id: CallbackId::on_tick, arguments: vec![root] }),
        any::<Option<i32>>().prop_map(|result| Event::Returned(Ok(result))),
        ".{0,9}".prop_map(|trap| Event::Returned(Err(RecordedTrap::new(trap)))),
        ".{0,9}".prop_map(|trap| Event::Instantiated(Err(RecordedTrap::new(trap)))),
        Just(Event::Instantiated(Ok(()))),
    ]
}

proptest! {
    #[test]
    fn every_event_is_read_as_it_was_written(event in event()) {
        let text = serde_json::to_string(&Line::from(event.clone())).unwrap();
        prop_assert!(!text.contains('\n'));
        prop_assert_eq!(read(&text), Ok(Some(event)));
    }

    #[test]
    fn any_line_is_read_without_a_panic(text in ".{0,80}") {
        let _ = read(&text);
    }
}
