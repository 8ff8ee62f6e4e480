//! Rules for headers.

use super::*;

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
