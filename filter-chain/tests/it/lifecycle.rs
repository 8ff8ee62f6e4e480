//! From load to shutdown: VMs, roots, logs, ticks, callouts.

use crate::common::{Bench, answering, call_out, plugin, recorder, set_tick, ticking, vm_counts};
use portcullis_chain::{AnyStreamId, Effect, PluginSpec, local_response};
use portcullis_core::abi::{CallbackId, HostcallId, MapType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Compatibility, Direction, LocalResponse, StreamInfo};
use portcullis_core::rights::Capabilities;
use portcullis_core::testing::Script;
use portcullis_core::vm::CallOutcome;

const HEADERS: CallbackId = CallbackId::on_request_headers;
const END: [&str; 6] = ["a: log", "b: log", "a: done", "a: delete", "b: done", "b: delete"];

fn two() -> [PluginSpec; 2] {
    [plugin("a", || recorder(&[])), plugin("b", || recorder(&[]))]
}

#[test]
fn every_stream_is_logged_and_then_deleted() {
    let mut bench = Bench::new(&two());
    assert_eq!(bench.finish(), END, "the client was gone before its headers came");
    bench.open();
    bench.request(true);
    bench.response(true);
    assert_eq!(bench.finish(), END, "complete");
    bench.open();
    bench.request(false);
    assert_eq!(bench.finish(), END, "the client went away");
    bench.open();
    bench.request(false);
    bench.worker.reply(bench.stream, LocalResponse::new(404));
    assert_eq!(bench.effects(), ["request done", "response :status=404 end"]);
    assert_eq!(bench.finish(), END, "the proxy answered");
    assert_eq!(bench.finish(), [""; 0], "once");
}

#[test]
fn the_id_of_a_stream_that_is_over_does_nothing_to_a_later_one() {
    let mut bench = Bench::new(&two());
    let over = bench.stream;
    bench.finish();
    let unused = format!("{:?}", bench.worker);
    bench.open();
    bench.request(false);
    bench.worker.headers(over, Direction::Response, [(":status", "200")].into_iter().collect(), true);
    bench.worker.body(over, Direction::Request, Default::default(), true);
    bench.worker.reply(over, local_response(404, "", ""));
    bench.worker.finish(over);
    assert!(bench.worker.stream_effect(over).is_none() && !bench.worker.wants_body(over, Direction::Request));
    assert_eq!(bench.effects(), [""; 0], "the later one has the same place");
    assert_eq!(bench.response(true), ["response :status=200 end"]);
    assert_eq!(format!("{:?}", bench.worker) == unused, !cfg!(debug_assertions), "it is counted: {unused}");
    assert_eq!(bench.finish(), END);
}

#[test]
fn a_plugin_that_is_made_for_the_specification_ends_before_it_logs() {
    let [mut a, b] = two();
    a.plugin.compatibility = Compatibility::Spec;
    let mut bench = Bench::new(&[a, b]);
    bench.request(true);
    assert_eq!(bench.finish(), ["a: done", "a: log", "b: log", "a: delete", "b: done", "b: delete"]);
}

#[test]
fn a_stream_may_end_while_it_is_paused() {
    let hold: &[(CallbackId, &[i32])] = &[(HEADERS, &[1])];
    let mut bench = Bench::new(&[plugin("a", move || recorder(hold)), plugin("b", || recorder(&[]))]);
    bench.request(false);
    bench.request_body("abc", true);
    assert_eq!(bench.finish(), END);
    assert_eq!(bench.effects(), [""; 0]);
}

#[test]
fn the_log_sees_all_headers_and_changes_none() {
    let script = || {
        let hold: &[(CallbackId, &[i32])] = &[(CallbackId::on_response_headers, &[1])];
        recorder(hold).on(CallbackId::on_log, |caller, _| {
            for (map, name) in [(MapType::RequestHeaders, ":method"), (MapType::ResponseHeaders, ":status")] {
                let value = caller.header(map, name);
                let changed = caller.add_header(map, "x", "y");
                caller.log(&format!("{name} {value:?} {changed}"));
            }
            let missing = caller.header(MapType::RequestTrailers, "t");
            caller.log(&format!("trailers {missing:?}"));
            0
        })
    };
    let seen = [":method Ok(\"POST\") 2", ":status Ok(\"200\") 2", "trailers Err(1)"];
    let mut bench = Bench::new(&[plugin("a", || recorder(&[])), plugin("b", script)]);
    bench.request(true);
    bench.response(true);
    let log: Vec<_> = bench.finish().into_iter().filter(|line| line.starts_with("b: ")).collect();
    assert_eq!(log.get(..3), Some(&seen.map(|line| format!("b: {line}"))[..]), "while the plugin held the response");
    assert!(bench.info.with(|info| info.response_headers.is_some()), "the driver keeps them");
}

#[test]
fn one_sandbox_is_one_vm() {
    let first = plugin("a", || recorder(&[]));
    let mut second = first.clone();
    second.plugin.name = "b".to_owned();
    let mut bench = Bench::new(&[first.clone(), second.clone(), first.clone()]);
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    assert_eq!(bench.worker.pending_roots(), 2, "the same plugin twice has one root");
    bench.request(true);
    let expected = ["a: request headers 1 end", "b: request headers 1 end", "a: request headers 1 end"];
    assert_eq!(bench.journal(), expected);
    assert!(bench.worker.load(&[second, first]).is_ok());
    assert_eq!((vm_counts(&bench.worker), bench.worker.pending_roots()), ((1, 0), 2), "another chain uses them again");
}

#[test]
fn whatever_makes_a_sandbox_another_makes_another_vm() {
    let base = plugin("a", || recorder(&[]));
    let mut specs = vec![base; 6];
    specs[1].plugin.capabilities = Capabilities::ALL.without(HostcallId::proxy_http_call);
    specs[2].plugin.vm_id = "other".to_owned();
    specs[3].vm.configuration = "x".into();
    specs[4].vm.environment = vec![("K".to_owned(), "v".to_owned())];
    specs[5].vm.limits.memory += 1;
    assert_eq!(vm_counts(&Bench::new(&specs).worker), (6, 0));
}

#[test]
fn a_plugin_has_a_root_in_each_of_its_vms() {
    let first = plugin("a", || recorder(&[]));
    let mut again = first.clone();
    again.vm.configuration = "x".into();
    let mut other = again.clone();
    other.plugin.name = "b".to_owned();
    let bench = Bench::new(&[first, other, again]);
    assert_eq!((vm_counts(&bench.worker), bench.worker.pending_roots()), ((2, 0), 3));
}

#[test]
fn a_plugin_that_does_not_start_is_named() {
    for id in [CallbackId::on_vm_start, CallbackId::on_configure] {
        let mut bench = Bench::new(&[]);
        let refusing = plugin("b", move || Script::new().on(id, |_, _| 0));
        let result = bench.worker.load(&[plugin("a", || recorder(&[])), refusing]);
        assert_eq!(result.map_err(|error| error.index), Err(1));
        assert_eq!(vm_counts(&bench.worker), (0, 0), "its own VM is gone, and that of the one before it");
    }
}

#[test]
fn ticks_come_a_period_after_the_last_has_returned() {
    let mut bench = Bench::new(&[]);
    let clock = bench.host.clone();
    let script = move || {
        let clock = clock.clone();
        Script::new().on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000)).on(CallbackId::on_tick, {
            move |caller, _| {
                caller.log("tick");
                clock.set_time(5_000_000_000);
                0
            }
        })
    };
    let seconds = std::time::Duration::from_secs;
    assert!(bench.worker.load(&[plugin("a", script)]).is_ok());
    assert_eq!(bench.worker.next_tick(), Some(seconds(1)));
    bench.worker.tick();
    assert_eq!(bench.journal(), [""; 0], "not yet");
    bench.host.set_time(3_000_000_000);
    bench.worker.tick();
    assert_eq!(bench.journal(), ["a: tick"], "once, though two were missed");
    assert_eq!(bench.worker.next_due(), Some(seconds(6)), "it ran until 5");
}

#[test]
fn a_tick_may_end_all_ticks() {
    let mut bench = Bench::new(&[plugin("a", || ticking(recorder(&[]), |caller| assert_eq!(set_tick(caller, 0), 1)))]);
    assert!(bench.worker.next_tick().is_some());
    bench.tick();
    assert_eq!(bench.worker.next_tick(), None);
}

#[test]
fn callouts_have_ids_of_their_own_and_one_end_each() {
    let script = || answering(recorder(&[]).on(HEADERS, |caller, _| i32::from(call_out(caller) > 0)), |_| {});
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(true);
    bench.open();
    bench.request(true);
    let mut ids = Vec::new();
    while let Some(Effect::Callout { id, request, .. }) = bench.worker.effect() {
        assert_eq!(request.upstream, "auth");
        ids.push(id);
    }
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    for id in [ids[1], ids[1], ids[0], ids[0]] {
        bench.worker.callout_done(id, CallOutcome::Reset("broken".to_owned()));
    }
    assert_eq!(bench.journal(), ["a: answer 8 headers 0", "a: answer 4 headers 0"]);
}

#[test]
fn an_answer_may_come_when_its_stream_is_gone() {
    let script = || {
        answering(recorder(&[]).on(HEADERS, |caller, _| i32::from(call_out(caller) > 0)), |caller| {
            crate::common::continue_both(caller);
            caller.local_response(403, "no");
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(true);
    bench.worker_effects();
    bench.finish();
    let old = bench.stream;
    bench.open();
    assert_ne!(bench.stream, old, "its place is used again, its id is not");
    assert_eq!(bench.answer_callout(), [""; 0]);
    assert_eq!(bench.worker_effects(), [""; 0]);
    assert_eq!(bench.request(true), [""; 0]);
}

#[test]
fn shutdown_waits_for_roots_that_ask_for_time() {
    let quick = plugin("q", || recorder(&[]));
    let slow = plugin("s", || {
        ticking(recorder(&[]), |caller| {
            caller.log("tick");
            assert!(matches!(entry::proxy_done(caller), Ok(0 | 1)));
        })
        .on(CallbackId::on_done, |_, _| 0)
    });
    let mut bench = Bench::new(&[quick, slow]);
    bench.tick();
    assert_eq!(
        (bench.journal(), bench.worker.pending_roots()),
        (vec!["s: tick".to_owned()], 2),
        "too early to be done"
    );
    bench.worker.shut_down();
    assert_eq!(bench.worker.pending_roots(), 1);
    assert_eq!(bench.journal(), ["q: done", "q: delete"]);
    bench.tick();
    assert_eq!(bench.journal(), ["s: tick", "s: delete"]);
    assert_eq!((bench.worker.pending_roots(), bench.worker.next_tick()), (0, None));
    bench.worker.shut_down();
    assert_eq!(bench.journal(), [""; 0], "nothing is left to be asked");
}

#[test]
fn sizes_count_what_came_of_a_request_and_what_left_of_a_response() {
    // The body of the response is held until its end, then replaced.
    let holding = || {
        recorder(&[(CallbackId::on_request_body, &[1])]).on(CallbackId::on_response_body, |caller, args| {
            if args.get(2) != Some(&1) {
                return 1;
            }
            let (data, len) = caller.put(b"hi");
            assert_eq!(entry::proxy_set_buffer_bytes(caller, 1, 0, 100, data, len).unwrap(), 0);
            0
        })
    };
    let mut bench = Bench::new(&[plugin("holding", holding)]);
    let sizes = |bench: &Bench| bench.info.with(|info| (info.request_size, info.response_size));
    bench.request(false);
    bench.body(Direction::Request, "abc", true);
    assert_eq!(sizes(&bench), (3, 0));
    bench.response(false);
    bench.body(Direction::Response, "defg", false);
    assert_eq!(sizes(&bench), (3, 0));
    bench.body(Direction::Response, "h", true);
    assert_eq!(sizes(&bench), (3, 2));
}

#[test]
fn the_size_of_a_response_is_that_of_the_answer_that_takes_its_place() {
    for holds in [false, true] {
        let result: &[i32] = if holds { &[1] } else { &[0] };
        let mut bench = Bench::new(&[plugin("a", move || recorder(&[(CallbackId::on_response_headers, result)]))]);
        bench.request(true);
        if holds {
            bench.response(false);
        }
        bench.worker.reply(bench.stream, local_response(403, "no", "four"));
        assert!(bench.info.with(|info| info.response_size == 4), "{holds}");
    }
}

#[test]
fn a_callout_names_the_stream_that_it_was_made_for() {
    let script = || {
        recorder(&[])
            .on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000))
            .on(CallbackId::on_tick, |caller, _| i32::from(call_out(caller) > 0))
            .on(HEADERS, |caller, _| i32::from(call_out(caller) > 0))
            .on(CallbackId::on_new_connection, |caller, _| i32::from(call_out(caller) > 0))
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    let named = |bench: &mut Bench| match bench.worker.effect() {
        Some(Effect::Callout { stream, .. }) => stream,
        other => panic!("no callout: {other:?}"),
    };
    bench.request(true);
    assert_eq!(named(&mut bench), Some(AnyStreamId::Http(bench.stream)));
    let connection = bench.worker.connect(&bench.chain, StreamInfo::default().into_shared(), 1 << 20);
    assert_eq!(named(&mut bench), Some(AnyStreamId::Tcp(connection)));
    bench.tick();
    assert_eq!(named(&mut bench), None, "a root's own");
}

/// Calls out in each request: with the time limit in milliseconds that is given, 0 for none.
fn calling_for(limit: i32) -> Script {
    calling_in(HEADERS, limit)
}

/// The same in another callback.
fn calling_in(callback: CallbackId, limit: i32) -> Script {
    recorder(&[]).on(callback, move |caller, _| {
        let (upstream, len) = caller.put(b"auth");
        let mut pairs = 3_u32.to_le_bytes().to_vec();
        let fields = [(":method", "GET"), (":path", "/"), (":authority", "a")];
        for (name, value) in fields {
            pairs.extend(
                [name.len(), value.len()].into_iter().flat_map(|len| u32::try_from(len).unwrap().to_le_bytes()),
            );
        }
        fields.iter().for_each(|(name, value)| pairs.extend(format!("{name}\0{value}\0").bytes()));
        let (pairs, pairs_len) = caller.put(&pairs);
        let status = entry::proxy_http_call(caller, upstream, len, pairs, pairs_len, 0, 0, 0, 0, limit, 16).unwrap();
        caller.log(&format!("status {status}"));
        0
    })
}

#[test]
fn a_callout_without_a_time_limit_ends_with_its_stream_and_makes_room() {
    let mut spec = plugin("a", || calling_for(0));
    spec.vm.limits.callouts = 1;
    let mut bench = Bench::new(&[spec]);
    for _ in 0..3 {
        bench.request(true);
        assert!(bench.journal().contains(&"a: status 0".to_owned()), "there is room for one");
        bench.finish();
        assert_eq!(bench.worker_effects(), ["callout to auth", "cancel"]);
        bench.open();
    }
}

/// A plugin sends the lines of an access log so.
#[test]
fn a_callout_that_is_made_while_the_stream_is_logged_is_sent() {
    let mut bench = Bench::new(&[plugin("a", || calling_in(CallbackId::on_log, 0))]);
    bench.request(true);
    bench.finish();
    assert_eq!(bench.worker_effects(), ["callout to auth"]);
}

#[test]
fn a_callout_with_a_time_limit_outlives_its_stream() {
    let script = || {
        calling_for(1000).on(CallbackId::on_http_call_response, |caller, _| {
            caller.log("answer");
            0
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(true);
    bench.finish();
    assert_eq!(bench.worker_effects(), ["callout to auth"]);
    bench.journal();
    bench.answer_callout();
    assert_eq!(bench.journal(), ["a: answer"], "the root is told, as in Envoy");
}
