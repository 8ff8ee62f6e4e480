//! Properties of the connection, and of the place that a request goes to.

use http::Response;
use portcullis_core::abi::{CallbackId, MapType};
use portcullis_core::model::Attributes;
use portcullis_core::testing::{FakeHost, NullCaller, Script};
use portcullis_tower::{ConnectionInfo, UpstreamInfo};

use crate::common::{ask, behind, empty, full, property, request, service};

const PROPERTIES: [&[&str]; 5] = [
    &["source", "address"],
    &["destination", "address"],
    &["connection", "requested_server_name"],
    &["connection", "tls_version"],
    &["request", "protocol"],
];

/// Logs what it sees of the connection.
fn curious() -> Script {
    Script::new().on(CallbackId::on_request_headers, |caller, _| {
        let mut seen = vec![caller.header(MapType::RequestHeaders, ":scheme").unwrap()];
        for path in PROPERTIES.iter().copied().chain([&["connection", "color"][..]]) {
            seen.push(String::from_utf8(property(caller, path)).unwrap());
        }
        caller.log(&seen.join(" "));
        0
    })
}

#[derive(Debug)]
struct Color;

impl Attributes for Color {
    fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(b"red");
        path == b"connection\0color"
    }
}

#[tokio::test]
async fn plugins_read_what_the_server_tells_of_the_connection() {
    let inner = service(|_| async { Ok(Response::new(full("hi"))) });
    let host = FakeHost::new();
    let service = behind(&host, curious, inner);
    ask(service.clone(), request("GET", "/", empty())).await;
    let info = ConnectionInfo::new(([192, 0, 2, 1], 5000).into());
    let mut plain = request("GET", "/", empty());
    plain.extensions_mut().insert(info.clone());
    ask(service.clone(), plain).await;
    let mut secure = request("GET", "https://a.example/", empty());
    *secure.version_mut() = http::Version::HTTP_2;
    secure.extensions_mut().insert(
        info.with_destination(([192, 0, 2, 2], 443).into())
            .with_tls("TLSv1.3", Some("a.example"))
            .with_attributes(std::sync::Arc::new(Color)),
    );
    ask(service, secure).await;
    let expected = [
        "http     HTTP/1.1 ",
        "http 192.0.2.1:5000    HTTP/1.1 ",
        "https 192.0.2.1:5000 192.0.2.2:443 a.example TLSv1.3 HTTP/2 red",
    ];
    assert_eq!(host.messages(), expected);
}

/// Logs what it sees of the upstream, before and after the request goes there.
fn curious_of_upstreams() -> Script {
    fn see(caller: &mut NullCaller<'_>) {
        let path: [&[&str]; 3] = [&["xds", "route_name"], &["xds", "cluster_name"], &["upstream", "address"]];
        let seen = path.map(|path| String::from_utf8(property(caller, path)).unwrap());
        let endpoints = property(caller, &["upstream", "num_endpoints"]);
        let ready = property(caller, &["upstream", "cx_pool_ready_duration"]);
        caller.log(&format!("{} {} {}", seen.join(" "), endpoints.len(), ready.len()));
    }
    let look = |caller: &mut NullCaller<'_>, _: &[i32]| {
        see(caller);
        0
    };
    Script::new().on(CallbackId::on_request_headers, look).on(CallbackId::on_response_headers, look)
}

#[tokio::test]
async fn plugins_read_what_services_tell_of_the_upstream() {
    let inner = service(|_| async {
        let mut response = Response::new(full("hi"));
        let told = UpstreamInfo::default()
            .with_addresses(([192, 0, 2, 9], 80).into(), ([192, 0, 2, 1], 5000).into())
            .with_ready_after(std::time::Duration::from_millis(1));
        response.extensions_mut().insert(told);
        Ok(response)
    });
    let host = FakeHost::new();
    let mut asked = request("GET", "/", empty());
    asked.extensions_mut().insert(UpstreamInfo::default().with_route("all").with_cluster("backend").with_endpoints(2));
    ask(behind(&host, curious_of_upstreams, inner), asked).await;
    assert_eq!(host.messages(), ["all backend  8 0", "all backend 192.0.2.9:80 8 8"]);
}
