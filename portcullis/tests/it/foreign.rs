//! Envoy's foreign functions, called as a guest calls them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use portcullis::foreign::envoy_functions;
use portcullis_core::abi::{AbiVersion, CallbackId};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Access, Action, Direction, Headers, Plugin, Steering, StreamInfo};
use portcullis_core::rights::{Capabilities, Learned, RuleTexts, Rules};
use portcullis_core::testing::{FakeHost, NullCaller, NullEngine, Script};
use portcullis_core::vm::{Vm, VmConfig};
use prost::Message;

const OK: i32 = 0;

/// Runs this in the callback for request headers of a stream; gives what is known of it then.
fn guest(run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> (StreamInfo, Vec<Action>) {
    let (info, actions, _) = guest_of(Plugin::new("test"), StreamInfo::default(), run);
    (info, actions)
}

/// The same, of a plugin with such rights, and a stream of which this is known; with what the operator was told.
fn guest_of(
    plugin: Plugin,
    info: StreamInfo,
    run: impl FnMut(&mut NullCaller<'_>) + Send + 'static,
) -> (StreamInfo, Vec<Action>, FakeHost) {
    let (run, called) = (Arc::new(Mutex::new(run)), Arc::new(AtomicBool::new(false)));
    let was_called = Arc::clone(&called);
    let engine = NullEngine::new(move || {
        let (run, called) = (Arc::clone(&run), Arc::clone(&called));
        Script::new().on(CallbackId::on_request_headers, move |caller, _| {
            called.store(true, Ordering::Relaxed);
            (run.lock().unwrap())(caller);
            0
        })
    });
    let exports = Some(Capabilities::of_callbacks(&[CallbackId::on_request_headers]));
    let config = VmConfig { foreign: envoy_functions(), exports, ..VmConfig::new(AbiVersion::V0_2_1) };
    let host = FakeHost::new();
    let mut vm = Vm::start(&*engine.module().unwrap(), config, Box::new(host.clone())).unwrap();
    let root = vm.add_plugin(Arc::new(plugin)).unwrap();
    let info = info.into_shared();
    let stream = vm.create_stream(root, info.clone()).unwrap();
    vm.stream(stream).unwrap().lend_headers(Direction::Request, Headers::default(), Access::Write);
    vm.on_headers(stream, Direction::Request, true).unwrap();
    assert!(was_called.load(Ordering::Relaxed));
    let info = info.with(|info| info.clone());
    (info, std::iter::from_fn(|| vm.next_action()).collect(), host)
}

/// Sets an object of filter state; the status.
fn set_state(caller: &mut NullCaller<'_>, key: &str, value: &str) -> i32 {
    let arguments = Strings { first: key.into(), second: value.as_bytes().to_vec(), ..Strings::default() };
    call(caller, "set_envoy_filter_state", &arguments.encode_to_vec()).0
}

/// The status and the result.
fn call(caller: &mut NullCaller<'_>, name: &str, arguments: &[u8]) -> (i32, Vec<u8>) {
    let ((name, name_len), (arguments, len)) = (caller.put(name.as_bytes()), caller.put(arguments));
    let mut status = OK;
    let result = caller.bytes(|caller, ret_ptr, ret_len| {
        status = entry::proxy_call_foreign_function(caller, name, name_len, arguments, len, ret_ptr, ret_len)?;
        Ok(OK)
    });
    (status, result.unwrap())
}

#[derive(Clone, PartialEq, Message)]
struct Strings {
    #[prost(string, tag = "1")]
    first: String,
    #[prost(bytes = "vec", tag = "2")]
    second: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    third: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    fourth: Vec<u8>,
    #[prost(string, tag = "5")]
    fifth: String,
}

#[derive(Clone, PartialEq, Message)]
struct Declaration {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    readonly: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Outcome {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(bytes = "vec", tag = "2")]
    second: Vec<u8>,
    #[prost(string, tag = "3")]
    third: String,
}

#[test]
fn what_was_compressed_comes_back() {
    guest(|caller| {
        let text = b"hello ".repeat(100);
        let (status, compressed) = call(caller, "compress", &text);
        assert_eq!((status, compressed[0]), (OK, 0x78), "zlib's header");
        assert!(compressed.len() < 100);
        assert_eq!(call(caller, "uncompress", &compressed), (OK, text));
        assert_eq!(call(caller, "uncompress", b"not zlib"), (3, Vec::new()));
        assert_eq!(call(caller, "uncompress", &compressed[..20]), (3, Vec::new()));
        let (_, empty) = call(caller, "compress", b"");
        assert_eq!(call(caller, "uncompress", &empty), (OK, Vec::new()));
    });
}

#[test]
fn a_bomb_does_not_go_off() {
    guest(|caller| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &vec![0; (16 << 20) + 1]).unwrap();
        assert_eq!(call(caller, "uncompress", &encoder.finish().unwrap()), (10, Vec::new()));
    });
}

#[test]
fn filter_state_is_set_and_the_route_chosen_anew() {
    let (info, actions) = guest(|caller| {
        assert_eq!(set_state(caller, "envoy.string", "value"), OK);
        assert_eq!(call(caller, "set_envoy_filter_state", b"\xff").0, 2);
        assert_eq!(call(caller, "clear_route_cache", b"").0, OK);
        let (path, len) = caller.put(b"filter_state\0envoy.string");
        let read =
            caller.bytes(|caller, ret_ptr, ret_len| entry::proxy_get_property(caller, path, len, ret_ptr, ret_len));
        assert_eq!(read, Ok(b"value".to_vec()));
    });
    assert_eq!(info.filter_state.get(b"filter_state\0envoy.string"), Some(&b"value"[..]));
    assert!(matches!(actions[..], [Action::ClearRouteCache { .. }]));
}

/// Every key of Envoy 1.40, and some that are none.
const STATES: &[(&str, &str, i32, i32)] = &[
    // Key, value, status on TCP, status on HTTP.
    ("foo", "bar", 1, 1),
    ("", "", 1, 1),
    ("envoy.unknown", "x", 1, 1),
    ("envoy.udp_proxy.cluster", "x", 1, 1),
    ("envoy.tcp_proxy.receive_before_connect", "true", 1, 1),
    ("wasm.envoy.tcp_proxy.cluster", "x", 1, 1),
    ("envoy.string", "x", 0, 0),
    ("envoy.string", "", 0, 0),
    ("envoy.bool", "TRUE", 0, 0),
    ("envoy.bool", "0", 0, 0),
    ("envoy.bool", "on", 2, 2),
    ("envoy.bool", "", 2, 2),
    ("envoy.hashable_string", "x", 0, 0),
    ("envoy.network.ip", "1.2.3.4", 0, 0),
    ("envoy.network.ip", "x", 2, 2),
    ("envoy.tcp_proxy.cluster", "other", 0, 1),
    ("envoy.tcp_proxy.disable_tunneling", "true", 0, 1),
    ("envoy.tcp_proxy.per_connection_idle_timeout_ms", "abc", 2, 2),
    ("envoy.tcp_proxy.per_connection_idle_timeout_ms", "", 2, 2),
    ("envoy.tcp_proxy.per_connection_idle_timeout_ms", "-1", 2, 2),
    ("envoy.tcp_proxy.per_connection_idle_timeout_ms", "99999999999999999999", 2, 2),
    ("envoy.tcp_proxy.per_connection_idle_timeout_ms", " 5000", 0, 1),
    ("envoy.ai.llm_protocol.request", "x", 1, 1),
    ("envoy.ai.model.request", "x", 1, 1),
    ("envoy.filters.listener.original_dst.local_ip", "1.2.3.4:5", 1, 1),
    ("envoy.filters.listener.original_dst.remote_ip", "1.2.3.4:5", 1, 1),
    ("envoy.network.application_protocols", "h2", 1, 1),
    ("envoy.network.network_namespace", "x", 1, 1),
    ("envoy.network.transport_socket.http_11_proxy.info", "1.2.3.4:5", 1, 1),
    ("envoy.network.transport_socket.original_dst_address", "1.2.3.4:5", 1, 1),
    ("envoy.network.upstream_server_name", "a.test", 1, 1),
    ("envoy.network.upstream_subject_alt_names", "a.test", 1, 1),
    ("envoy.ratelimit.hits_addend", "5", 1, 1),
    ("envoy.router.debug_config", "x", 1, 1),
    ("envoy.upstream.dynamic_host", "a.test", 1, 1),
    ("envoy.upstream.dynamic_port", "80", 1, 1),
];

fn steerable() -> StreamInfo {
    StreamInfo { steering: Some(Steering::default()), ..StreamInfo::default() }
}

#[test]
fn each_key_of_filter_state_is_obeyed_or_answered_with_an_error() {
    let set_all = |http: bool| {
        move |caller: &mut NullCaller<'_>| {
            for (key, value, on_tcp, on_http) in STATES {
                assert_eq!(set_state(caller, key, value), if http { *on_http } else { *on_tcp }, "{key}={value:?}");
            }
        }
    };
    let (info, _, host) = guest_of(Plugin::new("test"), steerable(), set_all(false));
    let steering = info.steering.unwrap();
    assert_eq!(steering.cluster.as_deref(), Some("other"));
    assert_eq!(steering.idle_timeout, Some(std::time::Duration::from_secs(5)));
    assert_eq!(info.filter_state.get(b"filter_state\0envoy.tcp_proxy.cluster"), Some(&b"other"[..]));
    let told = host.messages();
    let names = told.iter().filter(|line| line.contains("upstream_server_name")).collect::<Vec<_>>();
    assert_eq!(
        names,
        [
            "set_envoy_filter_state: envoy.network.upstream_server_name is not supported: upstreams are reached without TLS"
        ]
    );
    let (info, ..) = guest_of(Plugin::new("test"), StreamInfo::default(), set_all(true));
    assert_eq!((info.steering, info.filter_state.get(b"filter_state\0envoy.tcp_proxy.cluster")), (None, None));
}

#[test]
fn a_stream_that_has_its_upstream_is_not_sent_elsewhere() {
    let mut settled = Steering::default();
    settled.is_settled = true;
    let info = StreamInfo { steering: Some(settled), ..StreamInfo::default() };
    let (info, ..) = guest_of(Plugin::new("test"), info, |caller| {
        assert_eq!(set_state(caller, "envoy.tcp_proxy.cluster", "other"), 2);
        assert_eq!(set_state(caller, "envoy.tcp_proxy.per_connection_idle_timeout_ms", "7"), 0);
    });
    assert_eq!(info.steering.unwrap().cluster, None);
    assert_eq!(info.filter_state.get(b"filter_state\0envoy.tcp_proxy.cluster"), None);
}

#[test]
fn what_steers_needs_a_right_of_its_own() {
    const DENIED: i32 = 10;
    let limited = |rules: &[(&str, &[&str])]| {
        let keys = rules.iter().map(|(key, values)| {
            ((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
        });
        let texts = RuleTexts::from([("proxy_call_foreign_function".to_owned(), keys.collect())]);
        let texts = if rules.is_empty() { RuleTexts::new() } else { texts };
        let capabilities = ["proxy_call_foreign_function", "proxy_on_request_headers"];
        Plugin::new("test")
            .with_capabilities(Capabilities::from_names(capabilities).unwrap())
            .with_rules(Rules::new(&texts).unwrap())
    };
    const CLUSTER: &str = "envoy.tcp_proxy.cluster";
    const IDLE: &str = "envoy.tcp_proxy.per_connection_idle_timeout_ms";
    /// Rules, and the statuses for two clusters and an idle time.
    type Rights = (&'static [(&'static str, &'static [&'static str])], i32, i32, i32);
    const RIGHTS: &[Rights] = &[
        (&[], DENIED, DENIED, DENIED),
        (&[("names", &["set_envoy_filter_state"])], DENIED, DENIED, DENIED),
        (&[("filter_state", &[CLUSTER])], OK, OK, DENIED),
        (&[("filter_state", &[CLUSTER]), ("upstreams", &["a"])], OK, DENIED, DENIED),
        (&[("filter_state", &["envoy.tcp_proxy.*"]), ("upstreams", &["b"])], DENIED, OK, OK),
        (&[("filter_state", &[])], DENIED, DENIED, DENIED),
    ];
    for (rules, cluster, other_cluster, idle) in RIGHTS.iter().copied() {
        let (info, _, host) = guest_of(limited(rules), steerable(), move |caller| {
            assert_eq!(set_state(caller, CLUSTER, "a"), cluster, "{rules:?}");
            assert_eq!(set_state(caller, CLUSTER, "b"), other_cluster, "{rules:?}");
            assert_eq!(set_state(caller, IDLE, "1"), idle, "{rules:?}");
            assert_eq!(set_state(caller, "envoy.string", "kept"), OK, "{rules:?}");
        });
        let chosen = if other_cluster == OK { Some("b") } else { (cluster == OK).then_some("a") };
        assert_eq!(info.steering.unwrap().cluster.as_deref(), chosen, "{rules:?}");
        let denied = [cluster, other_cluster, idle].iter().filter(|status| **status == DENIED).count();
        assert_eq!(host.denials().len(), denied, "{rules:?}");
    }
}

#[test]
fn what_a_plugin_steers_is_learned() {
    let learned = Arc::<Learned>::default();
    let plugin = Plugin::new("test").with_rules(Rules::learning(Arc::clone(&learned)));
    guest_of(plugin, steerable(), |caller| {
        assert_eq!(set_state(caller, "envoy.tcp_proxy.cluster", "a"), OK);
    });
    let rules = learned.rules();
    let rules = rules.get("proxy_call_foreign_function").unwrap();
    assert_eq!(rules.get("filter_state").unwrap(), &["envoy.tcp_proxy.cluster"]);
    assert_eq!(rules.get("upstreams").unwrap(), &["a"]);
    assert_eq!(rules.get("names").unwrap(), &["set_envoy_filter_state"]);
}

#[test]
fn a_read_only_property_is_set_once() {
    guest(|caller| {
        let declaration = Declaration { name: "mine".into(), readonly: true }.encode_to_vec();
        assert_eq!(call(caller, "declare_property", &declaration).0, OK);
        assert_eq!(call(caller, "declare_property", &declaration).0, 2);
        let ((name, name_len), (value, len)) = (caller.put(b"mine"), caller.put(b"1"));
        assert_eq!(entry::proxy_set_property(caller, name, name_len, value, len).unwrap(), OK);
        assert_eq!(entry::proxy_set_property(caller, name, name_len, value, len).unwrap(), 2);
    });
}

fn outcome(caller: &mut NullCaller<'_>, name: &str, arguments: &impl Message) -> Outcome {
    let (status, result) = call(caller, name, &arguments.encode_to_vec());
    assert_eq!(status, OK);
    Outcome::decode(result.as_slice()).unwrap()
}

/// `SignArguments` with a PEM key.
fn to_sign(hash: &str, pem: &str) -> Strings {
    // Field 4 is the PEM there, and field 2 the DER.
    Strings { first: hash.into(), third: b"text".to_vec(), fourth: pem.into(), ..Strings::default() }
}

fn to_verify(hash: &str, pem: &str, signature: &[u8], text: &[u8]) -> Strings {
    let (third, fourth) = (signature.to_vec(), text.to_vec());
    Strings { first: hash.into(), third, fourth, fifth: pem.into(), ..Strings::default() }
}

#[test]
fn signatures_fit_their_text_and_key() {
    guest(|caller| {
        let rsa = (include_str!("keys/rsa.pem"), include_str!("keys/rsa.pub.pem"));
        let ec = (include_str!("keys/ec.pem"), include_str!("keys/ec.pub.pem"));
        for ((private, public), hash) in [(rsa, "sha256"), (rsa, "sha384"), (rsa, "sha512"), (ec, "sha256")] {
            let signed = outcome(caller, "sign", &to_sign(hash, private));
            assert!(signed.result && !signed.second.is_empty(), "{hash}: {}", signed.third);
            let verify = to_verify(hash, public, &signed.second, b"text");
            assert!(outcome(caller, "verify_signature", &verify).result, "{hash}");
            let other = to_verify(hash, public, &signed.second, b"texts");
            assert!(!outcome(caller, "verify_signature", &other).result, "{hash}");
        }
    });
}

#[test]
fn what_is_wrong_with_a_key_stands_in_the_result() {
    guest(|caller| {
        for (name, arguments, error) in [
            ("sign", to_sign("sha256", "no PEM"), "the private key is no PEM"),
            ("sign", to_sign("md5", include_str!("keys/rsa.pem")), "this hash function is not supported"),
            ("verify_signature", to_verify("sha256", "no PEM", b"", b""), "the public key is no PEM"),
            (
                "verify_signature",
                to_verify("md5", include_str!("keys/ec.pub.pem"), b"", b""),
                "this key and hash function are not supported",
            ),
        ] {
            let outcome = outcome(caller, name, &arguments);
            let found = if name == "sign" { outcome.third } else { String::from_utf8(outcome.second).unwrap() };
            assert_eq!((outcome.result, found.as_str()), (false, error));
        }
        assert_eq!(call(caller, "sign", b"\xff").0, 2);
        assert_eq!(call(caller, "verify_signature", b"\xff").0, 2);
    });
}
