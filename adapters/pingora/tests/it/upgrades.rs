//! Requests that ask for another protocol, and are requests all the same.

use portcullis_core::abi::BufferType;
use portcullis_core::testing::Script;
use portcullis_pingora::{BodyMode, Options};

use crate::http1::{Connection, get, post, post_chunked};
use crate::plugins::{
    ON_REQUEST, ON_REQUEST_BODY, ON_RESPONSE, ON_RESPONSE_BODY, REQUEST, RESPONSE, append, remove, replace, scripted,
    tagger,
};
use crate::proxy::Proxy;

#[test]
fn the_body_of_a_request_that_asks_for_another_protocol_passes_the_plugins() {
    let upgrade = "connection: upgrade\r\nupgrade: h2c\r\n";
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let script = move || {
            let script = Script::new().on(ON_REQUEST, move |caller, _| {
                remove(caller, REQUEST, "content-length");
                i32::from(mode == BodyMode::Buffer)
            });
            script.on(ON_REQUEST_BODY, |caller, args| append(caller, BufferType::HttpRequestBody, args, "+"))
        };
        let options = Options::default().with_request_body(mode);
        let proxy = Proxy::optional(&[scripted("appender", script)], options);
        for request in [post("/echo", upgrade, b"abc"), post_chunked("/echo", upgrade, b"abc")] {
            let answer = proxy.exchange(request);
            assert_eq!((answer.status(), answer.text().as_str()), (200, "abc+"), "{mode:?}");
        }
    }
}

#[test]
fn a_client_cannot_have_a_response_pass_by_before_its_body_has_been_seen() {
    let proxy = Proxy::optional(
        &[scripted("scanner", || {
            let script = Script::new().on(ON_RESPONSE, |_, args| i32::from(args.get(2) != Some(&1)));
            script.on(ON_RESPONSE_BODY, |caller, args| {
                i32::from(args.get(2) != Some(&1) || caller.add_header(RESPONSE, "x-scanned", "1") != 0)
            })
        })],
        Options::default().with_response_body(BodyMode::Buffer),
    );
    for protocol in ["x", "websocket"] {
        let mut client = Connection::open(proxy.address);
        for path in ["/chunked", "/large"] {
            let answer = client.exchange(get(path, &format!("connection: upgrade\r\nupgrade: {protocol}\r\n")));
            assert_eq!((answer.status(), answer.get("x-scanned")), (200, Some("1")), "{protocol} {path}");
        }
    }
}

#[test]
fn a_101_is_a_tunnel_if_the_client_asks_for_it_and_plugins_leave_it_one() {
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let options = || Options::default().with_response_body(mode);
        let proxy = Proxy::optional(&[tagger()], options());
        assert_eq!(proxy.exchange(get("/upgrade", "")).status(), 502, "{mode:?}");
        assert_eq!(proxy.exchange(get("/upgrade", upgrade)).status(), 101, "{mode:?}");

        let other = || {
            Script::new().on(ON_RESPONSE, |caller, _| {
                replace(caller, RESPONSE, ":status", "200");
                0
            })
        };
        let proxy = Proxy::optional(&[scripted("other", other)], options());
        let answer = proxy.exchange(get("/upgrade", upgrade));
        assert_eq!((answer.status(), answer.text().as_str()), (200, ""), "{mode:?}");

        let deny =
            || Script::new().on(ON_RESPONSE, |caller, _| i32::from(caller.local_response(403, "no tunnels") == 0));
        let proxy = Proxy::optional(&[scripted("deny", deny)], options());
        let answer = proxy.exchange(get("/upgrade", upgrade));
        assert_eq!((answer.status(), answer.text().as_str()), (403, "no tunnels"), "{mode:?}");
    }
}
