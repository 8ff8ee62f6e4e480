use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::abi::{MapType, Status, pairs};
use crate::fuzzing::Input;
use crate::model::headers::Headers;
use crate::model::limits::Limits;
use crate::model::plugin::Plugin;
use crate::model::property::{Scope, Stream, read, write};
use crate::model::resource_metadata::{MetadataList, MetadataMap, MetadataValue, ResourceMetadata};
use crate::model::stream_info::StreamInfo;
use crate::model::visible::Visible;
use crate::rights::{Family, RuleTexts, Rules};
use crate::sandbox::byte_budget::ByteBudget;

/// Reads and writes properties by any path, of any stream, with hidden headers and without: what is hidden never shows, and
/// what was set is read back unless a built-in name shadows it.
pub fn properties(data: &[u8]) {
    let mut input = Input::new(data);
    let hides = input.flag();
    let mut info = stream_info(&mut input);
    let secret = format!("secret-{:016x}", hash(data));
    let mut request: Headers =
        [(":path", "/a?b=c"), (":authority", "h"), ("x-two", "1"), ("X-Two", "2")].into_iter().collect();
    request.add(b"authorization", secret.as_bytes());
    for _ in 0..input.below(4) {
        request.add(input.bytes(), input.bytes());
    }
    let plugin = Plugin { rules: if hides { hiding() } else { Rules::NONE }, ..Plugin::new("p") };
    let rule = plugin.rules.get(Family::ReadHeaders);
    let budget = ByteBudget::new(Limits::default().buffers);
    let mut out = Vec::new();
    while !input.is_empty() {
        let path = path(&mut input);
        if input.flag() {
            let value = input.bytes();
            let written = write(&mut info, &path, value, &budget);
            let stripped = path.strip_suffix(&[0]).unwrap_or(&path);
            if written.is_ok() {
                assert_eq!(info.filter_state.get(stripped), Some(value));
            }
        }
        let map = |map| Visible { headers: &request, map, rule };
        let stream = Stream {
            info: &info,
            attributes: info.attributes.as_deref(),
            request_headers: Some(map(MapType::RequestHeaders)),
            response_headers: Some(map(MapType::ResponseHeaders)),
            response_trailers: Some(map(MapType::ResponseTrailers)),
        };
        let result = read(&Scope { plugin: &plugin, stream: Some(stream) }, &path, &mut out);
        match result {
            Ok(()) => {
                let is_shown = out.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!(hides && is_shown), "a hidden header shows in {:?}", String::from_utf8_lossy(&path));
            }
            Err(status) => assert!(matches!(status, Status::NotFound | Status::SerializationFailure), "{status:?}"),
        }
        if matches!(&*path, b"request\0headers") {
            assert!(result.is_ok() && pairs::decode(&out).is_ok());
        }
        let _ = read(&Scope { plugin: &plugin, stream: None }, &path, &mut out);
    }
}

/// Parts of paths, so that the fuzzer need not find them.
const SEGMENTS: &[&str] = &[
    "request",
    "response",
    "headers",
    "trailers",
    "authorization",
    "Authorization",
    "x-two",
    "path",
    "url_path",
    "query",
    "host",
    "referer",
    "size",
    "total_size",
    "headers_bytes",
    "time",
    "duration",
    "code",
    "code_details",
    "grpc_status",
    "flags",
    "backend_latency",
    "source",
    "destination",
    "connection",
    "upstream",
    "address",
    "port",
    "id",
    "mtls",
    "transport_failure_reason",
    "cx_pool_ready_duration",
    "locality",
    "xds",
    "route_metadata",
    "cluster_metadata",
    "upstream_host_metadata",
    "filter_metadata",
    "typed_filter_metadata",
    "ns",
    "m",
    "n",
    "0",
    "1",
    "filter_state",
    "wasm.k",
    "k",
    "plugin_name",
    "plugin_root_id",
    "connection_id",
    "cluster_name",
    "route_name",
    "filter_chain_name",
    "listener_direction",
    "",
];

/// Up to seven parts, known ones or any bytes, with zero bytes between.
fn path(input: &mut Input<'_>) -> Vec<u8> {
    let parts = (0..input.below(8)).map(|_| {
        let known = usize::from(input.byte());
        SEGMENTS.get(known).map_or_else(|| input.bytes(), |part| part.as_bytes())
    });
    parts.collect::<Vec<_>>().join(&0)
}

fn hiding() -> Rules {
    let values = |name: &str| (name.to_owned(), vec!["*".to_owned(), "!authorization".to_owned()]);
    let maps = ["request_headers", "response_headers", "response_trailers"].map(values);
    let texts = RuleTexts::from([("proxy_get_header_map_value".to_owned(), maps.into())]);
    Rules::new(&texts).expect("the rules can be read")
}

fn stream_info(input: &mut Input<'_>) -> StreamInfo {
    let mut info = StreamInfo::default();
    let flags = input.byte();
    let address = |port: u8| SocketAddr::from((Ipv4Addr::LOCALHOST, port.into()));
    if flags & 1 != 0 {
        info.source = Some(address(input.byte()));
        info.upstream = Some(address(input.byte()));
    }
    if flags & 2 != 0 {
        info.start_time = input.number(8);
        info.duration = Some(input.number(8));
        info.request_size = input.number(8);
        info.response_size = input.number(8);
        info.backend_latency = Some(input.number(8));
        info.response_flags = input.number(8);
    }
    if flags & 4 != 0 {
        info.response_code = Some(input.number(2) as u16);
        info.response_details = Some("via_upstream".to_owned());
        info.upstream_failure = Some("refused".to_owned());
    }
    if flags & 8 != 0 {
        let members = [("m".to_owned(), value(input, 0)), ("n".to_owned(), value(input, 0))];
        let metadata = ResourceMetadata::new([("ns".to_owned(), MetadataMap::new(members))]);
        info.route_metadata = Some(Arc::new(metadata));
    }
    info
}

fn value(input: &mut Input<'_>, depth: usize) -> MetadataValue {
    match input.byte() % if depth < 4 { 6 } else { 4 } {
        0 => MetadataValue::Null,
        1 => MetadataValue::number(f64::from_bits(input.number(8))),
        2 => MetadataValue::Text(String::from_utf8_lossy(input.bytes()).into()),
        3 => MetadataValue::Bool(input.flag()),
        4 => {
            let items = (0..input.below(4)).map(|_| value(input, depth + 1)).collect();
            MetadataValue::List(MetadataList::new(items))
        }
        _ => {
            let members = (0..input.below(4)).map(|at| (at.to_string(), value(input, depth + 1)));
            MetadataValue::Map(MetadataMap::new(members.collect::<Vec<_>>()))
        }
    }
}

/// FNV-1a: a text of it stands in no input.
pub(super) fn hash(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
