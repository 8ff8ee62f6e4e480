//! Rules for arguments: what is allowed passes, what is not is denied and told.

use crate::common::{Setup, Started, get, http_call, ok, pairs};
use portcullis_core::testing::NullCaller;
use portcullis_core::{Access, Action, CallOutcome, CallbackId, Direction, Headers, MapType, OnDenial, Shared, entry};

const REQUEST: i32 = MapType::RequestHeaders as i32;

/// Runs a guest with rules in its tick, in which it does this; says what was denied.
fn tick(rules: &[(&str, &str, &[&str])], run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Vec<String> {
    Setup::new().ruled(rules).during(CallbackId::on_tick, run).host.denials()
}

/// The same in its request headers.
fn headers(rules: &[(&str, &str, &[&str])], run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Started {
    Setup::new().ruled(rules).during(CallbackId::on_request_headers, run)
}

fn with(change: &[(&str, &str)]) -> Headers {
    let mut headers = get("/check?secret=1");
    for (name, value) in change {
        headers.replace(name.as_bytes(), value.as_bytes());
    }
    headers
}

#[test]
fn a_callout_goes_where_its_rules_say() {
    let rules: &[(&str, &str, &[&str])] = &[
        ("proxy_http_call", "upstreams", &["u*"]),
        ("proxy_http_call", "methods", &["GET"]),
        ("proxy_http_call", "paths", &["/check"]),
        ("proxy_http_call", "authorities", &["A.test", "b.test:8080"]),
        ("proxy_http_call", "headers", &["!x-original-url"]),
    ];
    let denials = tick(rules, |caller| {
        for (upstream, change, answer) in [
            ("up", &[][..], Ok(4)),
            ("other", &[], Err(10)),
            ("Up", &[], Err(10)),
            ("up.", &[], Err(2)),
            ("up", &[(":method", "POST")], Err(10)),
            ("up", &[("x_http_method_override", "DELETE")], Err(10)),
            ("up", &[("X_Original_URL", "/admin")], Err(10)),
            ("up", &[(":path", "/admin?token=1")], Err(10)),
            ("up", &[(":path", "http://evil.test/check")], Err(10)),
            ("up", &[(":path", "/check/../admin")], Err(10)),
            ("up", &[(":authority", "evil.test")], Err(10)),
            ("up", &[("host", "evil.test")], Err(10)),
            ("up", &[(":authority", "a.TEST."), ("host", "b.test.:8080")], Ok(8)),
            ("up", &[(":method", "get"), (":authority", "a.test:80"), ("x-http-method", "GET")], Ok(12)),
        ] {
            assert_eq!(http_call(caller, upstream, &with(change), b""), answer, "{upstream} {change:?}");
        }
        let mut twice = with(&[]);
        twice.add(b":path", b"/admin");
        assert_eq!(http_call(caller, "up", &twice, b""), Err(10), "each that is named counts");
    });
    assert_eq!(denials.first().unwrap(), "denied proxy_http_call: its rule `upstreams` does not allow \"other\"");
    let path = denials.iter().find(|denial| denial.contains("paths")).unwrap();
    assert!(path.contains("\"/admin\""), "no query: {path}");
    assert_eq!(denials.len(), 11);
}

#[test]
fn a_grpc_callout_has_the_authority_and_metadata_that_its_rules_allow() {
    let call = |caller: &mut NullCaller<'_>, method: &str, name: &str| grpc_call(caller, "up", method, name);
    let metadata: (&str, &str, &[&str]) = ("proxy_grpc_call", "metadata", &["*", "!x-user"]);
    let rules = [metadata, ("proxy_grpc_call", "methods", &["/pkg.Auth/Check"])];
    let denials = tick(&rules, move |caller| {
        assert_eq!(call(caller, "Check", "x-a"), 0);
        assert_eq!(call(caller, "Check", "x_user"), 10);
        assert_eq!(call(caller, "%43heck", "x-a"), 10);
    });
    assert_eq!(denials.len(), 2);
    // Without an authority of its own it is sent with the cluster's name.
    for (authorities, answer) in [(&["up"][..], 0), (&["*", "!up"], 10), (&["a"], 10)] {
        let rules = [metadata, ("proxy_grpc_call", "authorities", authorities)];
        tick(&rules, move |caller| assert_eq!(call(caller, "Check", "x-a"), answer));
    }
}

#[test]
fn a_cluster_whose_name_is_no_host_can_be_listed_as_authority() {
    const NAME: &str = "outbound|8080||auth.test";
    let lists: [(&[&str], i32); 7] = [
        (&[NAME], 0),
        (&["outbound|*"], 0),
        (&["*"], 0),
        (&["!a"], 0),
        (&["*", "!outbound|*"], 10),
        (&["auth.test", "outbound"], 10),
        (&[], 10),
    ];
    for (authorities, answer) in lists {
        let mut setup = Setup::new().ruled(&[("proxy_grpc_call", "authorities", authorities)]);
        setup.host = setup.host.with_upstream(NAME);
        setup.during(CallbackId::on_tick, move |caller| {
            assert_eq!(grpc_call(caller, NAME, "Check", "x-a"), answer, "{authorities:?}");
        });
    }
}

fn grpc_call(caller: &mut NullCaller<'_>, upstream: &str, method: &str, name: &str) -> i32 {
    let (upstream, upstream_len) = caller.put(upstream.as_bytes());
    let (service, service_len) = caller.put(b"pkg.Auth");
    let (method, method_len) = caller.put(method.as_bytes());
    let (metadata, metadata_len) = caller.put(&pairs(&[(name, "1")].into_iter().collect()));
    let answer = entry::proxy_grpc_call(
        caller,
        upstream,
        upstream_len,
        service,
        service_len,
        method,
        method_len,
        metadata,
        metadata_len,
        0,
        0,
        0,
        16,
    );
    answer.unwrap()
}

#[test]
fn callouts_are_so_many_at_once_and_so_many_in_a_time() {
    let mut started = Setup::new()
        .ruled(&[("proxy_http_call", "in_flight", &["1"]), ("proxy_http_call", "rate", &["2/s"])])
        .during(CallbackId::on_tick, |caller| {
            let first = http_call(caller, "up", &get("/"), b"");
            let second = http_call(caller, "up", &get("/"), b"");
            caller.log(&format!("{} {second:?}", first.is_ok()));
        });
    let end = |started: &mut Started| {
        for action in started.actions() {
            let Action::HttpCall { call, .. } = action else { continue };
            started.vm.on_http_call_response(call, CallOutcome::Reset(String::new())).unwrap();
        }
    };
    for _ in 0..2 {
        end(&mut started);
        started.vm.on_tick(started.root).unwrap();
    }
    started.host.set_time(1_000_000_000);
    end(&mut started);
    started.vm.on_tick(started.root).unwrap();
    let seen = started.host.lines().into_iter().filter(|line| !line.from_host).map(|line| line.message);
    assert_eq!(seen.collect::<Vec<_>>(), ["true Err(10)", "true Err(10)", "false Err(10)", "true Err(10)"]);
    let denials = started.host.denials();
    assert!(denials.contains(&"denied proxy_http_call: more than its rule `in_flight` allows".to_owned()));
    assert!(denials.contains(&"denied proxy_http_call: more than its rule `rate` allows".to_owned()));
}

#[test]
fn what_answers_a_callout_frees_its_place_for_all_vms_of_the_plugin() {
    let setup = || Setup::new().ruled(&[("proxy_http_call", "in_flight", &["1"])]);
    let rules = setup().plugin.rules;
    let start = || {
        let mut setup = setup();
        setup.plugin.rules = rules.clone();
        setup.during(CallbackId::on_tick, |caller| {
            let answer = http_call(caller, "up", &get("/"), b"");
            caller.log(&format!("{}", answer.is_ok()));
        })
    };
    let (first, second) = (start(), start());
    assert_eq!(second.host.messages().last().unwrap(), "false");
    drop(first);
    assert_eq!(start().host.messages().last().unwrap(), "true", "a VM that is gone holds none");
}

#[test]
fn a_hidden_header_is_in_no_value_pair_size_or_count() {
    let rules: &[(&str, &str, &[&str])] = &[("proxy_get_header_map_value", "request_headers", &["!x-ID", "!:path"])];
    let started = headers(rules, |caller| {
        assert_eq!(caller.header(MapType::RequestHeaders, "X-Id"), Err(1), "as if absent");
        assert_eq!(caller.header(MapType::RequestHeaders, ":method"), Ok("GET".to_owned()));
        let mut visible = get("/p?q");
        visible.remove(b"x-id");
        visible.remove(b":path");
        let expected = pairs(&visible);
        let all = caller.bytes(|caller, p, l| entry::proxy_get_header_map_pairs(caller, REQUEST, p, l));
        assert_eq!(all.unwrap(), expected);
        assert_eq!(entry::proxy_get_header_map_size(caller, REQUEST, 16).unwrap(), 0);
        assert_eq!(caller.word(16) as usize, expected.len());
    });
    let calls = started.calls();
    let (_, arguments) = calls.iter().find(|(id, _)| *id == CallbackId::on_request_headers).unwrap();
    assert_eq!(arguments[1], 3, "the count");
    let hidden = "denied proxy_get_header_map_value: its rule `request_headers` does not allow \"X-Id\"";
    assert_eq!(started.host.denials(), [hidden]);
}

/// `host` and `:authority` are two names of one value: what takes one away takes both.
#[test]
fn a_request_host_is_ruled_by_either_name() {
    let request = MapType::RequestHeaders;
    for (list, shown) in [
        (&["!host"][..], false),
        (&["!:Authority"], false),
        (&["x-*"], false),
        (&["*", "!host"], false),
        (&["host"], true),
        (&[":authority"], true),
        (&["h*"], true),
        (&["!x-id"], true),
    ] {
        let rules = [("proxy_get_header_map_value", "request_headers", list)];
        headers(&rules, move |caller| {
            for name in ["host", "Host", ":authority"] {
                assert_eq!(caller.header(request, name).is_ok(), shown, "{list:?} {name}");
            }
            let all = caller.bytes(|caller, p, l| entry::proxy_get_header_map_pairs(caller, REQUEST, p, l)).unwrap();
            assert_eq!(all.windows(10).any(|name| name == b":authority"), shown, "{list:?}");
            for path in ["request\0host", "request\0headers\0host", "request\0headers\0:authority"] {
                let (pointer, len) = caller.put(path.as_bytes());
                let value = caller.bytes(|caller, p, l| entry::proxy_get_property(caller, pointer, len, p, l));
                assert_eq!(value.is_ok(), shown, "{list:?} {path:?}");
            }
        });
        let rules = [("proxy_add_header_map_value", "request_headers", list)];
        headers(&rules, move |caller| {
            let answer = if shown { 0 } else { 10 };
            for name in ["host", ":authority", "HOST"] {
                assert_eq!(caller.add_header(request, name, "evil"), answer, "{list:?} {name}");
                let (key, len) = caller.put(name.as_bytes());
                assert_eq!(entry::proxy_remove_header_map_value(caller, REQUEST, key, len).unwrap(), answer);
                let mut all = get("/p");
                all.add(name.as_bytes(), b"evil");
                let (all, all_len) = caller.put(&pairs(&all));
                if list == ["!host"] {
                    assert_eq!(entry::proxy_set_header_map_pairs(caller, REQUEST, all, all_len).unwrap(), 10);
                }
            }
        });
    }
    for (list, shown) in [(&["*", "!request.headers.host"][..], false), (&["request.headers.:authority"], true)] {
        headers(&[("proxy_get_property", "paths", list)], move |caller| {
            for path in ["request\0headers\0host", "request\0headers\0:authority", "request\0headers\0HOST"] {
                let (pointer, len) = caller.put(path.as_bytes());
                let value = caller.bytes(|caller, p, l| entry::proxy_get_property(caller, pointer, len, p, l));
                assert_eq!(value.is_ok(), shown, "{list:?} {path:?}");
            }
        });
    }
}

#[test]
fn what_is_set_has_no_second_name_past_the_rules() {
    for (list, shown) in [(&["*", "!mine"][..], false), (&["filter_state.*"], false), (&["*"], true)] {
        headers(&[("proxy_get_property", "paths", list)], move |caller| {
            let ((name, name_len), (value, value_len)) = (caller.put(b"mine"), caller.put(b"1"));
            assert_eq!(entry::proxy_set_property(caller, name, name_len, value, value_len).unwrap(), 0);
            for path in [&b"filter_state\0wasm.mine"[..], b"filter_state\0wasm.mine\0"] {
                let (pointer, len) = caller.put(path);
                let value = caller.bytes(|caller, p, l| entry::proxy_get_property(caller, pointer, len, p, l));
                assert_eq!(value, if shown { Ok(b"1".to_vec()) } else { Err(10) }, "{list:?}");
            }
        });
    }
}

#[test]
fn a_hidden_header_is_in_no_property_either() {
    let rules: &[(&str, &str, &[&str])] = &[("proxy_get_header_map_value", "request_headers", &["!x-id", "!:path"])];
    let get = |caller: &mut NullCaller<'_>, path: &str| {
        let (pointer, len) = caller.put(path.replace('.', "\0").as_bytes());
        caller.bytes(|caller, p, l| entry::proxy_get_property(caller, pointer, len, p, l))
    };
    headers(rules, move |caller| {
        for hidden in ["request.path", "request.url_path", "request.query", "request.headers.X-ID"] {
            assert_eq!(get(caller, hidden), Err(1), "{hidden}");
        }
        assert_eq!(get(caller, "request.method"), Ok(b"GET".to_vec()));
        let mut visible = self::get("/p?q");
        visible.remove(b"x-id");
        visible.remove(b":path");
        assert_eq!(get(caller, "request.headers"), Ok(pairs(&visible)));
        let bytes: usize = visible.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert_eq!(get(caller, "request.headers_bytes"), Ok((bytes as u64).to_le_bytes().to_vec()));
        assert_eq!(get(caller, "request.total_size"), Ok((bytes as u64).to_le_bytes().to_vec()));
    });
}

#[test]
fn a_map_that_no_rule_names_is_empty() {
    let mut started = Setup::new()
        .ruled(&[("proxy_get_header_map_pairs", "request_headers", &["*"])])
        .on(CallbackId::on_response_headers, |caller, arguments| {
            assert_eq!(arguments[1], 0);
            assert_eq!(caller.header(MapType::ResponseHeaders, "server"), Err(1));
            let all = caller.bytes(|caller, p, l| entry::proxy_get_header_map_pairs(caller, 2, p, l));
            assert_eq!(all, Ok(Vec::new()));
            0
        })
        .start();
    let stream = started.stream();
    started.vm.stream(stream).unwrap().lend_headers(Direction::Response, ok(), Access::Read);
    let _ = started.vm.on_headers(stream, Direction::Response, true);
    assert_eq!(started.called(CallbackId::on_response_headers), 1);
}

#[test]
fn headers_are_written_by_their_names() {
    let rules: &[(&str, &str, &[&str])] = &[("proxy_add_header_map_value", "request_headers", &["x-*"])];
    let started = headers(rules, |caller| {
        let request = MapType::RequestHeaders;
        assert_eq!((caller.add_header(request, "X-new", "1"), caller.add_header(request, "host", "evil")), (0, 10));
        let (key, len) = caller.put(b":path");
        assert_eq!(entry::proxy_replace_header_map_value(caller, REQUEST, key, len, key, len).unwrap(), 10);
        assert_eq!(entry::proxy_remove_header_map_value(caller, REQUEST, key, len).unwrap(), 10);
        assert_eq!(caller.header(request, ":path"), Ok("/p?q".to_owned()));
    });
    assert_eq!(started.host.denials().len(), 3);
}

#[test]
fn a_map_that_is_set_whole_keeps_what_is_hidden_and_what_may_not_be_written() {
    let rules: &[(&str, &str, &[&str])] = &[
        ("proxy_get_header_map_pairs", "request_headers", &["!x-id"]),
        ("proxy_set_header_map_pairs", "request_headers", &["x-*"]),
    ];
    let set = |caller: &mut NullCaller<'_>, headers: &Headers| {
        let (pointer, len) = caller.put(&pairs(headers));
        entry::proxy_set_header_map_pairs(caller, REQUEST, pointer, len).unwrap()
    };
    let mut started = Setup::new()
        .ruled(rules)
        .on(CallbackId::on_request_headers, move |caller, _| {
            let mut visible = get("/p");
            visible.remove(b"x-id");
            let mut changed = visible.clone();
            changed.replace(b":path", b"/admin");
            assert_eq!(set(caller, &changed), 10, "it may not write it");
            assert_eq!(set(caller, &Headers::new()), 10, "nor remove it");
            let mut added = visible.clone();
            added.add(b"host", b"evil");
            assert_eq!(set(caller, &added), 10);
            visible.add(b"x-new", b"1");
            assert_eq!(set(caller, &visible), 0);
            0
        })
        .start();
    let stream = started.stream();
    started.vm.stream(stream).unwrap().lend_headers(Direction::Request, get("/p"), Access::Write);
    let _ = started.vm.on_headers(stream, Direction::Request, true);
    assert_eq!(started.called(CallbackId::on_request_headers), 1);
    let result = started.vm.stream(stream).unwrap().take_headers(Direction::Request).unwrap();
    let ids: Vec<_> = result.get_all(b"x-id").collect();
    assert_eq!(
        (ids, result.get(b":path"), result.get(b"x-new")),
        (vec![&b"7"[..], b"8"], Some(&b"/p"[..]), Some(&b"1"[..]))
    );
}

#[test]
fn data_and_queues_are_named() {
    let rules: &[(&str, &str, &[&str])] = &[
        ("proxy_get_shared_data", "keys", &["a.*"]),
        ("proxy_set_shared_data", "keys", &["a.*"]),
        ("proxy_set_shared_data", "bytes", &["10"]),
        ("proxy_register_shared_queue", "names", &["q"]),
        ("proxy_resolve_shared_queue", "vm_ids", &[""]),
        ("proxy_enqueue_shared_queue", "names", &["!q"]),
    ];
    let denials = tick(rules, |caller| {
        let set = |caller: &mut NullCaller<'_>, key: &[u8], value: &[u8]| {
            let ((key, key_len), (value, value_len)) = (caller.put(key), caller.put(value));
            entry::proxy_set_shared_data(caller, key, key_len, value, value_len, 0).unwrap()
        };
        assert_eq!((set(caller, b"a.1", b"1234567"), set(caller, b"b", b"")), (0, 10));
        assert_eq!(set(caller, b"a.2", b""), 10, "10 bytes are taken");
        assert_eq!(set(caller, b"a.1", b"1"), 0, "what is replaced makes room");
        assert_eq!(set(caller, b"a.2", b""), 0);
        let (key, len) = caller.put(b"b");
        assert_eq!(entry::proxy_get_shared_data(caller, key, len, 8, 12, 16).unwrap(), 10);
        let ((q, q_len), (r, r_len), (vm, vm_len)) = (caller.put(b"q"), caller.put(b"r"), caller.put(b"vm"));
        assert_eq!(entry::proxy_register_shared_queue(caller, r, r_len, 16).unwrap(), 10);
        assert_eq!(entry::proxy_register_shared_queue(caller, q, q_len, 16).unwrap(), 0);
        let id = caller.word(16).cast_signed();
        assert_eq!(entry::proxy_resolve_shared_queue(caller, vm, vm_len, q, q_len, 20).unwrap(), 10);
        assert_eq!(entry::proxy_resolve_shared_queue(caller, 0, 0, q, q_len, 20).unwrap(), 0, "its own id is empty");
        assert_eq!(entry::proxy_enqueue_shared_queue(caller, id, q, q_len).unwrap(), 10);
        assert_eq!(entry::proxy_dequeue_shared_queue(caller, id, 8, 12).unwrap(), 7, "no rule, no denial");
    });
    assert_eq!(denials.len(), 6, "{denials:?}");
}

#[test]
fn metrics_functions_names_and_statuses_are_named() {
    let rules: &[(&str, &str, &[&str])] = &[
        ("proxy_define_metric", "names", &["mine_*"]),
        ("proxy_define_metric", "count", &["1"]),
        ("proxy_call_foreign_function", "names", &["compress"]),
        ("envoy_resolve_dns", "names", &["*.test"]),
        ("proxy_get_property", "paths", &["plugin_*"]),
        ("proxy_send_local_response", "statuses", &["4xx"]),
    ];
    let denials = tick(rules, |caller| {
        let define = |caller: &mut NullCaller<'_>, name: &[u8]| {
            let (name, len) = caller.put(name);
            entry::proxy_define_metric(caller, 0, name, len, 16).unwrap()
        };
        assert_eq!((define(caller, b"mine_a"), define(caller, b"other")), (0, 10));
        assert_eq!((define(caller, b"mine_b"), define(caller, b"mine_a")), (10, 0), "one, and the same again");
        for (name, status) in [(&b"compress"[..], 1), (b"sign", 10)] {
            let (name, len) = caller.put(name);
            assert_eq!(entry::proxy_call_foreign_function(caller, name, len, 0, 0, 0, 0).unwrap(), status);
        }
        for (name, status) in [(&b"A.test"[..], 0), (b"a.test.", 0), (b"a.example", 10)] {
            let (name, len) = caller.put(name);
            assert_eq!(entry::envoy_resolve_dns(caller, name, len, 16).unwrap(), status);
        }
        for (path, result) in [(&b"plugin_name"[..], Ok(b"plugin".to_vec())), (b"request\0time", Err(10))] {
            let (path, len) = caller.put(path);
            let value = caller.bytes(|caller, p, l| entry::proxy_get_property(caller, path, len, p, l));
            assert_eq!(value, result);
        }
        assert_eq!((caller.local_response(404, ""), caller.local_response(200, "")), (0, 10));
    });
    assert_eq!(denials.len(), 6, "{denials:?}");
}

#[test]
fn a_plugin_that_logs_too_much_is_not_told() {
    let rules: &[(&str, &str, &[&str])] = &[("proxy_log", "rate", &["3/s"]), ("proxy_log", "bytes", &["8/s"])];
    let started = Setup::new().ruled(rules).during(CallbackId::on_tick, |caller| {
        for _ in 0..10 {
            assert_eq!(entry::proxy_log(caller, 2, 0, 4).unwrap(), 0);
        }
    });
    let lines = started.host.lines();
    assert_eq!(lines.iter().filter(|line| !line.from_host).count(), 2, "8 bytes");
    assert_eq!(started.host.denials().len(), 8);
    assert_eq!(lines.iter().filter(|line| line.from_host).count(), 5, "denials fill no log either");
}

#[test]
fn a_denial_may_end_the_vm() {
    let mut setup = Setup::new().ruled(&[("proxy_call_foreign_function", "names", &["a"])]);
    setup.plugin.on_denial = OnDenial::Trap;
    let mut started = setup
        .try_on(CallbackId::on_tick, |caller, _| {
            let (name, len) = caller.put(b"b");
            entry::proxy_call_foreign_function(caller, name, len, 0, 0, 0, 0)?;
            Ok(0)
        })
        .start();
    assert!(started.vm.on_tick(started.root).is_err());
    let reason = "the plugin may not call proxy_call_foreign_function with these names, and on_denial is trap";
    assert_eq!(started.vm.failure(), Some(reason));
}

#[test]
fn a_callback_that_is_exported_and_not_granted_is_a_denial() {
    let mut setup = Setup::new().granting(&["proxy_on_tick"]).returning(0, &[CallbackId::on_tick]);
    setup.config.exports =
        Some(portcullis_core::Capabilities::of_callbacks(&[CallbackId::on_log, CallbackId::on_tick]));
    let mut started = setup.start();
    let stream = started.stream();
    started.vm.on_tick(started.root).unwrap();
    started.vm.on_log(stream).unwrap();
    started.vm.on_done(stream).unwrap();
    assert_eq!(started.host.denials(), ["denied proxy_on_log: the plugin does not have this capability"]);
}

#[test]
fn what_is_learned_is_the_least_that_passes_again() {
    let learned = std::sync::Arc::new(portcullis_core::Learned::default());
    let run = |caller: &mut NullCaller<'_>| {
        caller.log("hello");
        http_call(caller, "up", &get("/check?x"), b"").unwrap();
    };
    let mut setup = Setup::new();
    setup.plugin.rules = portcullis_core::Rules::learning(std::sync::Arc::clone(&learned));
    setup.config.exports = Some(portcullis_core::Capabilities::of_callbacks(&[CallbackId::on_tick]));
    setup.config.shared = Shared::default();
    let started = setup.during(CallbackId::on_tick, run);
    assert_eq!(started.host.denials(), [""; 0]);
    assert_eq!(learned.capabilities(), ["proxy_http_call", "proxy_log", "proxy_on_tick"]);
    let names = learned.capabilities();
    let mut again = Setup::new().granting(&names);
    again.plugin.rules = portcullis_core::Rules::new(&learned.rules()).unwrap();
    assert_eq!(again.during(CallbackId::on_tick, run).host.denials(), [""; 0]);
    for without in ["proxy_http_call", "proxy_log"] {
        let names: Vec<_> = names.iter().copied().filter(|name| *name != without).collect();
        let started = Setup::new().granting(&names).during(CallbackId::on_tick, |caller| {
            caller.log("hello");
            let _ = http_call(caller, "up", &get("/check?x"), b"");
        });
        assert_eq!(started.host.denials().len(), 1, "without {without}");
    }
}

#[test]
fn a_vm_that_failed_holds_no_place() {
    let setup = || Setup::new().ruled(&[("proxy_http_call", "in_flight", &["1"])]);
    let mut failing = setup();
    let rules = failing.plugin.rules.clone();
    failing = failing.try_on(CallbackId::on_tick, |caller, _| {
        http_call(caller, "up", &get("/"), b"").unwrap();
        Err(portcullis_core::Trap::Deadline(portcullis_core::CallStack::default()))
    });
    let mut failing = failing.start();
    assert!(failing.vm.on_tick(failing.root).is_err());
    let mut other = setup();
    other.plugin.rules = rules;
    let other = other.during(CallbackId::on_tick, |caller| {
        assert!(http_call(caller, "up", &get("/"), b"").is_ok());
    });
    assert_eq!(other.host.denials(), [""; 0]);
}

#[test]
fn hosts_are_taken_away_with_any_port_user_or_dots() {
    let denials = tick(&[("proxy_http_call", "authorities", &["!admin.test"])], |caller| {
        for authority in ["admin.test", "ADMIN.test:80", "x@admin.test", "admin.test..", "admin.test.:80"] {
            assert_eq!(http_call(caller, "up", &with(&[(":authority", authority)]), b""), Err(10), "{authority}");
        }
        assert!(http_call(caller, "up", &with(&[(":authority", "a.test:80")]), b"").is_ok());
    });
    assert_eq!(denials.len(), 5);
}

#[test]
fn a_hidden_value_cannot_be_guessed_and_local_responses_obey_header_rules() {
    let rules: &[(&str, &str, &[&str])] = &[
        ("proxy_get_header_map_pairs", "request_headers", &["!x-id"]),
        ("proxy_set_header_map_pairs", "response_headers", &["x-*"]),
    ];
    headers(rules, |caller| {
        let mut guess = get("/p?q");
        let (pointer, len) = caller.put(&pairs(&guess));
        assert_eq!(entry::proxy_set_header_map_pairs(caller, REQUEST, pointer, len).unwrap(), 10, "right, and refused");
        guess.replace(b"x-id", b"wrong");
        let (pointer, len) = caller.put(&pairs(&guess));
        assert_eq!(entry::proxy_set_header_map_pairs(caller, REQUEST, pointer, len).unwrap(), 10);
        for (name, status) in [("set-cookie", 10), ("x-a", 0)] {
            let (pointer, len) = caller.put(&pairs(&[(name, "1")].into_iter().collect()));
            let answer = entry::proxy_send_local_response(caller, 200, 0, 0, 0, 0, pointer, len, -1).unwrap();
            assert_eq!(answer, status, "{name}");
        }
    });
}
