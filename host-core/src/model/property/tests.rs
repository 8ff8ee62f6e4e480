use super::*;
use crate::abi::MapType;
use crate::model::headers::Headers;

fn get(info: &StreamInfo, path: &str) -> Result<Vec<u8>, Status> {
    let plugin = Plugin { root_id: "r".into(), ..Plugin::new("p") };
    let headers: Headers = [(":path", "/a?b=c"), ("x-id", "7"), ("x-two", "1"), ("x-two", "2")].into_iter().collect();
    let headers = Visible { headers: &headers, map: MapType::RequestHeaders, rule: None };
    let stream = Stream {
        info,
        attributes: info.attributes.as_deref(),
        request_headers: Some(headers),
        response_headers: None,
        response_trailers: None,
    };
    let mut out = Vec::new();
    read(&Scope { plugin: &plugin, stream: Some(stream) }, path.replace('.', "\0").as_bytes(), &mut out).map(|()| out)
}

#[test]
fn attributes_have_envoys_encodings() {
    let info = StreamInfo { source: "127.0.0.1:80".parse().ok(), connection_id: 9, ..StreamInfo::default() };
    assert_eq!(get(&info, "plugin_root_id"), Ok(b"r".to_vec()));
    assert_eq!(get(&info, "plugin_root_id."), Ok(b"r".to_vec()), "a trailing NUL is accepted");
    assert_eq!(get(&info, "request.url_path"), Ok(b"/a".to_vec()));
    assert_eq!(get(&info, "request.query"), Ok(b"b=c".to_vec()));
    assert_eq!(get(&info, "request.headers.X-Id"), Ok(b"7".to_vec()));
    assert_eq!(get(&info, "request.headers.X-Two"), Ok(b"1,2".to_vec()), "joined, as in Envoy's map");
    assert_eq!(get(&info, "source.address"), Ok(b"127.0.0.1:80".to_vec()));
    assert_eq!(get(&info, "source.port"), Ok(80i64.to_le_bytes().to_vec()));
    assert_eq!(get(&info, "connection.id"), Ok(9u64.to_le_bytes().to_vec()));
    assert_eq!(get(&info, "connection.mtls"), Ok(vec![0]));
    assert_eq!(get(&info, "response.code"), Err(Status::NotFound), "not to be had yet");
    assert_eq!(get(&info, "request.headers_bytes"), Ok(28i64.to_le_bytes().to_vec()));
    assert_eq!(get(&info, "upstream.request_attempt_count"), Ok(0u64.to_le_bytes().to_vec()), "not sent yet");
    assert_eq!(get(&info, "upstream.transport_failure_reason"), Err(Status::NotFound), "not sent yet");
    assert_eq!(get(&info, "request.nothing"), Err(Status::NotFound));
    assert_eq!(get(&info, "request"), Err(Status::SerializationFailure));
    assert_eq!(get(&info, ""), Err(Status::SerializationFailure));
}

#[test]
fn what_a_stream_has_not_is_empty_or_zero_as_in_envoy() {
    let info = StreamInfo { response_size: 7, ..StreamInfo::default() };
    for empty in ["connection.requested_server_name", "xds.filter_chain_name"] {
        assert_eq!(get(&info, empty), Ok(Vec::new()), "{empty}");
    }
    for no_pairs in ["response.headers", "response.trailers"] {
        assert_eq!(get(&info, no_pairs), Ok(vec![0; 4]), "{no_pairs}");
    }
    for zero in ["response.flags", "response.headers_bytes", "xds.listener_direction"] {
        assert_eq!(get(&info, zero), Ok(vec![0; 8]), "{zero}");
    }
    for seven in ["response.size", "response.total_size"] {
        assert_eq!(get(&info, seven), Ok(7i64.to_le_bytes().to_vec()), "{seven}");
    }
    let nothing = ["request.protocol", "response.headers.x", "response.grpc_status", "upstream.locality"];
    for absent in nothing {
        assert_eq!(get(&info, absent), Err(Status::NotFound), "{absent}");
    }
    for object in ["filter_state", "xds"] {
        assert_eq!(get(&info, object), Err(Status::SerializationFailure), "{object}");
    }
}

#[test]
fn the_total_size_of_a_response_has_its_head_and_trailers() {
    let info = StreamInfo { response_size: 7, ..StreamInfo::default() };
    let plugin = Plugin::new("p");
    let map = |pairs: &[(&str, &str)]| -> Headers { pairs.iter().copied().collect() };
    let (head, trailers) = (map(&[(":status", "200")]), map(&[("t", "1"), ("grpc-status", "5")]));
    let (head, trailers) = (
        Visible { headers: &head, map: MapType::ResponseHeaders, rule: None },
        Visible { headers: &trailers, map: MapType::ResponseTrailers, rule: None },
    );
    let get = |path: &[u8]| {
        let (response_headers, response_trailers) = (Some(head), Some(trailers));
        let stream =
            Stream { info: &info, attributes: None, request_headers: None, response_headers, response_trailers };
        let mut out = Vec::new();
        read(&Scope { plugin: &plugin, stream: Some(stream) }, path, &mut out).map(|()| out)
    };
    assert_eq!(get(b"response\0total_size"), Ok(31i64.to_le_bytes().to_vec()));
    assert_eq!(get(b"response\0headers_bytes"), Ok(10i64.to_le_bytes().to_vec()));
    assert_eq!(get(b"response\0grpc_status"), Ok(5i64.to_le_bytes().to_vec()));
}

#[test]
fn a_status_of_http_stands_for_one_of_grpc() {
    for (code, status) in
        [(200, 2), (400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (500, 2), (502, 14), (503, 14), (504, 14)]
    {
        let info = StreamInfo { response_code: Some(code), ..StreamInfo::default() };
        assert_eq!(get(&info, "response.grpc_status"), Ok(i64::to_le_bytes(status).to_vec()), "{code}");
    }
}

#[test]
fn what_is_known_of_the_upstream_is_there_when_it_is_known() {
    let info = StreamInfo {
        upstream_local: "127.0.0.1:9".parse().ok(),
        upstream_endpoints: Some(2),
        upstream_attempts: 1,
        upstream_failure: Some("connection refused".to_owned()),
        upstream_ready: Some(6),
        backend_latency: Some(5),
        response_flags: crate::model::response_flag::UPSTREAM_CONNECTION_FAILURE,
        response_code: Some(503),
        ..StreamInfo::default()
    };
    assert_eq!(get(&info, "upstream.local_address"), Ok(b"127.0.0.1:9".to_vec()));
    assert_eq!(get(&info, "upstream.num_endpoints"), Ok(2u64.to_le_bytes().to_vec()));
    assert_eq!(get(&info, "upstream.request_attempt_count"), Ok(1u64.to_le_bytes().to_vec()));
    assert_eq!(get(&info, "upstream.transport_failure_reason"), Ok(b"connection refused".to_vec()));
    assert_eq!(get(&info, "upstream.cx_pool_ready_duration"), Ok(6i64.to_le_bytes().to_vec()));
    assert_eq!(get(&info, "upstream.address"), Err(Status::NotFound));
    assert_eq!(get(&info, "upstream_filter_state"), Err(Status::NotFound));
    let info = StreamInfo { upstream: info.upstream_local, upstream_failure: None, ..info };
    assert_eq!(get(&info, "upstream.locality"), Ok(Vec::new()));
    assert_eq!(get(&info, "upstream.transport_failure_reason"), Ok(Vec::new()));
    assert_eq!(get(&info, "upstream_filter_state"), Err(Status::SerializationFailure));
    assert_eq!(get(&info, "response.backend_latency"), Ok(5i64.to_le_bytes().to_vec()));
    assert_eq!(get(&info, "response.flags"), Ok(32i64.to_le_bytes().to_vec()));
}

#[test]
fn what_is_set_is_read_back_by_any_path_and_bounded() {
    let (mut info, payer) = (StreamInfo::default(), ByteBudget::new(1 << 20));
    let write = |info: &mut StreamInfo, path: &[u8], value: &[u8]| write(info, path, value, &payer);
    assert_eq!(write(&mut info, b"a\0b", b"1"), Ok(()));
    assert_eq!(get(&info, "a.b"), Ok(b"1".to_vec()));
    assert_eq!(write(&mut info, b"c", b"2"), Ok(()));
    let get_raw = |path: &[u8]| {
        let (request_headers, response_headers, response_trailers) = (None, None, None);
        let stream = Stream { info: &info, attributes: None, request_headers, response_headers, response_trailers };
        let mut out = Vec::new();
        read(&Scope { plugin: &Plugin::new("p"), stream: Some(stream) }, path, &mut out).map(|()| out)
    };
    assert_eq!(get_raw(b"filter_state\0wasm.c"), Ok(b"2".to_vec()), "as Envoy has it");
    for other in [&b"filter_state\0c"[..], b"filter_state\0wasm.a\0b", b"filter_state\0wasm.d", b"wasm.c"] {
        assert_eq!(get_raw(other), Err(Status::NotFound), "{}", other.escape_ascii());
    }
    assert_eq!(write(&mut info, b"plugin_name", b"mine"), Ok(()));
    assert_eq!(get(&info, "plugin_name"), Ok(b"p".to_vec()), "built-in names shadow it");
    assert_eq!(write(&mut info, b"big", &vec![0; 256 << 10]), Err(NoRoom::InStream));
}

/// The driver's properties, and what it was asked for.
#[derive(Debug, Default)]
struct Driver(std::sync::Mutex<Vec<String>>);

impl Attributes for Driver {
    fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        assert!(out.is_empty());
        let path = String::from_utf8_lossy(path).replace('\0', ".");
        out.extend_from_slice(format!("driver's {path}").as_bytes());
        let is_known = !path.ends_with("unknown");
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(path);
        is_known
    }
}

/// Returns what a property is with a driver that knows all, and how often that was asked.
fn asked(info: &StreamInfo, path: &str) -> (Result<Vec<u8>, Status>, usize) {
    let driver = Arc::new(Driver::default());
    let info = StreamInfo { attributes: Some(Arc::clone(&driver) as Arc<dyn Attributes>), ..info.clone() };
    let value = get(&info, path);
    let asked = driver.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    assert!(asked.iter().all(|asked| asked == path), "{asked:?}");
    (value, asked.len())
}

#[test]
fn a_driver_is_asked_for_what_the_core_does_not_know() {
    let asked_for = [
        "source.address",
        "source.anything.below",
        "destination.port",
        "connection.id",
        "connection_id",
        "connection.mtls",
        "connection.requested_server_name",
        "connection.tls_version",
        "connection.subject_peer_certificate",
        "upstream.address",
        "upstream.local_address",
        "upstream.request_attempt_count",
        "upstream.transport_failure_reason",
        "upstream.tls_version",
        "xds.cluster_name",
        "xds.listener_direction",
        "xds.filter_chain_name",
        "xds.route_metadata",
        "xds.cluster_metadata.filter_metadata.ns.key",
        "xds.upstream_host_metadata.filter_metadata",
        "request.protocol",
        "request.time",
        "request.duration",
        "response.code",
        "response.code_details",
        "response.flags",
        "response.backend_latency",
        "filter_state.envoy.key",
        "upstream_filter_state.key",
        "node",
        "node.id",
    ];
    for path in asked_for {
        assert_eq!(asked(&StreamInfo::default(), path), (Ok(format!("driver's {path}").into_bytes()), 1), "{path}");
    }
    for path in ["connection.unknown", "node.unknown", "xds.route_metadata.unknown"] {
        assert_eq!(asked(&StreamInfo::default(), path), (Err(Status::NotFound), 1), "{path}");
    }
}

/// Rules hide headers, and what the driver has would show them by another name.
#[test]
fn a_driver_is_not_asked_for_what_is_read_from_headers_or_known() {
    let own = [
        "request.headers",
        "request.headers.authorization",
        "request.path",
        "request.url_path",
        "request.query",
        "request.host",
        "request.scheme",
        "request.method",
        "request.referer",
        "request.useragent",
        "request.id",
        "request.size",
        "request.total_size",
        "request.headers_bytes",
        "request.anything",
        "request.protocol.below",
        "response.headers.x",
        "response.trailers",
        "response.trailers.x",
        "response.size",
        "response.total_size",
        "response.grpc_status",
        "response.anything",
        "plugin_name",
        "request",
        "source",
        "xds",
        "",
    ];
    for path in own {
        assert_eq!(asked(&StreamInfo::default(), path).1, 0, "{path}");
    }
    let info = StreamInfo {
        source: "127.0.0.1:80".parse().ok(),
        connection_id: 9,
        protocol: "HTTP/1.1",
        server_name: Some("a.example".to_owned()),
        response_flags: 4,
        upstream_attempts: 1,
        upstream_failure: Some("refused".to_owned()),
        start_time: 1,
        ..StreamInfo::default()
    };
    for path in [
        "source.address",
        "connection.id",
        "connection_id",
        "request.protocol",
        "request.time",
        "connection.requested_server_name",
        "response.flags",
        "upstream.request_attempt_count",
        "upstream.transport_failure_reason",
    ] {
        let without = get(&info, path);
        assert!(without.is_ok());
        assert_eq!(asked(&info, path), (without, 0), "{path}");
    }
}

#[test]
fn what_plugins_set_comes_after_what_the_driver_has() {
    let mut info = StreamInfo::default();
    assert!(info.filter_state.set(b"mine", b"plugin's") && info.filter_state.set(b"unknown", b"plugin's"));
    assert_eq!(asked(&info, "mine"), (Ok(b"driver's mine".to_vec()), 1));
    assert_eq!(asked(&info, "unknown"), (Ok(b"plugin's".to_vec()), 1), "and nothing of what the driver wrote");
}
