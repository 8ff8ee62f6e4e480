//! Requests that ask for another protocol, and are requests all the same.

use portcullis_core::abi::BufferType;
use portcullis_core::testing::Script;
use portcullis_pingora::{BodyMode, Options};

use crate::http1::{post, post_chunked};
use crate::plugins::{ON_REQUEST, ON_REQUEST_BODY, REQUEST, append, remove, scripted};
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
