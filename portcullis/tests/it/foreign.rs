//! Envoy's foreign functions, called as a guest calls them.

use std::sync::{Arc, Mutex};

use portcullis::envoy_functions;
use portcullis_core::testing::{FakeHost, NullCaller, NullEngine, Script};
use portcullis_core::{
    AbiVersion, Access, Action, CallbackId, Direction, Headers, Plugin, StreamInfo, Vm, VmConfig, entry, lock,
};
use prost::Message;

const OK: i32 = 0;

/// Runs this in the callback for request headers of a stream; gives what is known of it then.
fn guest(run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> (StreamInfo, Vec<Action>) {
    let run = Arc::new(Mutex::new(run));
    let engine = NullEngine::new(move || {
        let run = Arc::clone(&run);
        Script::new().on(CallbackId::on_request_headers, move |caller, _| {
            (run.lock().unwrap())(caller);
            0
        })
    });
    let config = VmConfig { foreign: envoy_functions(), ..VmConfig::new(AbiVersion::V0_2_1) };
    let mut vm = Vm::start(&*engine.module().unwrap(), config, Box::new(FakeHost::new())).unwrap();
    let root = vm.add_plugin(Arc::new(Plugin::new("test"))).unwrap();
    let info = StreamInfo::default().into_shared();
    let stream = vm.create_stream(root, Arc::clone(&info)).unwrap();
    vm.stream(stream).unwrap().lend_headers(Direction::Request, Headers::default(), Access::Write);
    vm.on_headers(stream, Direction::Request, true).unwrap();
    let info = lock(&info).clone();
    (info, std::iter::from_fn(|| vm.next_action()).collect())
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
        let arguments = Strings { first: "key".into(), second: b"value".to_vec(), ..Strings::default() };
        assert_eq!(call(caller, "set_envoy_filter_state", &arguments.encode_to_vec()).0, OK);
        assert_eq!(call(caller, "set_envoy_filter_state", b"\xff").0, 2);
        assert_eq!(call(caller, "clear_route_cache", b"").0, OK);
        let (path, len) = caller.put(b"filter_state\0key");
        let read =
            caller.bytes(|caller, ret_ptr, ret_len| entry::proxy_get_property(caller, path, len, ret_ptr, ret_len));
        assert_eq!(read, Ok(b"value".to_vec()));
    });
    assert_eq!(info.filter_state.get(b"filter_state\0key"), Some(&b"value"[..]));
    assert!(matches!(actions[..], [Action::ClearRouteCache { .. }]));
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
