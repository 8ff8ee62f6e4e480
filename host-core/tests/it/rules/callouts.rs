//! Rules for callouts.

use super::*;

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
fn a_vm_that_failed_holds_no_place() {
    let setup = || Setup::new().ruled(&[("proxy_http_call", "in_flight", &["1"])]);
    let mut failing = setup();
    let rules = failing.plugin.rules.clone();
    failing = failing.try_on(CallbackId::on_tick, |caller, _| {
        http_call(caller, "up", &get("/"), b"").unwrap();
        Err(portcullis_core::engine::Trap::Deadline(portcullis_core::engine::CallStack::default()))
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
