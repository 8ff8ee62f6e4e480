use std::sync::Arc;

use super::*;

fn text(text: &str) -> MetadataValue {
    MetadataValue::Text(text.into())
}

fn map<const N: usize>(members: [(&str, MetadataValue); N]) -> MetadataMap {
    MetadataMap::new(members.map(|(name, value)| (name.to_owned(), value)))
}

fn metadata<const N: usize>(namespaces: [(&str, MetadataMap); N]) -> Arc<ResourceMetadata> {
    Arc::new(ResourceMetadata::new(namespaces.map(|(name, members)| (name.to_owned(), members))))
}

fn get(info: &StreamInfo, path: &str) -> Result<String, Status> {
    let mut out = Vec::new();
    read(Some(info), path.replace('.', "\0").as_bytes(), &mut out).unwrap()?;
    Ok(out.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn all_kinds() -> MetadataMap {
    let list = vec![
        text("a"),
        MetadataValue::number(2.0),
        MetadataValue::List(MetadataList::new(vec![text("x")])),
        MetadataValue::Map(map([("q", text("r"))])),
    ];
    map([
        ("s", text("text")),
        ("b", MetadataValue::Bool(true)),
        ("o", MetadataValue::Map(map([("n", MetadataValue::number(3.0)), ("k", text("v"))]))),
        ("l", MetadataValue::List(MetadataList::new(list))),
        ("es", text("")),
        ("el", MetadataValue::List(MetadataList::new(Vec::new()))),
    ])
}

/// The bytes are those of Envoy 1.40.
#[test]
fn values_have_envoys_bytes() {
    let info = StreamInfo { route_metadata: Some(metadata([("ns", all_kinds())])), ..StreamInfo::default() };
    for (path, bytes) in [
        ("filter_metadata.ns.s", "74657874"),
        ("filter_metadata.ns.b", "01"),
        ("filter_metadata.ns.es", ""),
        ("filter_metadata.ns.el", "00000000"),
        ("filter_metadata.ns.l.0", "61"),
        ("filter_metadata.ns.l.1", "0000000000000040"),
        ("filter_metadata.ns.l.3.q", "72"),
        ("filter_metadata.ns.o", "02000000010000000100000001000000080000006b0076006e00000000000000084000"),
        (
            "filter_metadata.ns.l",
            "04000000010000000000000008000000000000000f0000000000000010000000000000006100000000000000000040000001\
             00000001000000000000007800000000010000000100000001000000710072000000",
        ),
        ("typed_filter_metadata", "00000000"),
    ] {
        assert_eq!(get(&info, &format!("xds.route_metadata.{path}")).as_deref(), Ok(bytes), "{path}");
    }
    for path in [
        "filter_metadata.other",
        "filter_metadata.ns.s.k",
        "filter_metadata.ns.l.9",
        "nothing",
        "typed_filter_metadata.x",
    ] {
        assert_eq!(get(&info, &format!("xds.route_metadata.{path}")), Err(Status::NotFound), "{path}");
    }
    for index in ["01", "+1", " 1", "-1", "x", ""] {
        assert_eq!(
            get(&info, &format!("xds.route_metadata.filter_metadata.ns.l.{index}")),
            Err(Status::NotFound),
            "{index:?}"
        );
    }
}

#[test]
fn the_whole_is_envoys_message() {
    let route = metadata([("ns", map([("s", text("direct"))]))]);
    let cluster = metadata([("c", map([("k", text("cm"))]))]);
    let info = StreamInfo { route_metadata: Some(route), cluster_metadata: Some(cluster), ..StreamInfo::default() };
    let whole = |path| get(&info, path).unwrap();
    assert_eq!(whole("xds.route_metadata"), "0a150a026e73120f0a0d0a017312081a06646972656374");
    assert_eq!(
        whole("xds.route_metadata.filter_metadata"),
        "0100000002000000150000006e730001000000010000000600000073006469726563740000"
    );
    assert_eq!(whole("xds.cluster_metadata"), "0a100a0163120b0a090a016b12041a02636d");
    let long = metadata([("n", map([("k", text(&"x".repeat(300)))]))]);
    let info = StreamInfo { route_metadata: Some(long), ..StreamInfo::default() };
    let bytes = get(&info, "xds.route_metadata").unwrap();
    assert!(bytes.starts_with("0abe020a016e12b8020ab5020a016b12af021aac0278"), "{bytes}");
}

#[test]
fn a_null_has_no_value_and_neither_has_what_contains_it() {
    let members = map([("z", MetadataValue::Null), ("s", text("t"))]);
    let info = StreamInfo { route_metadata: Some(metadata([("ns", members)])), ..StreamInfo::default() };
    for path in ["filter_metadata.ns.z", "filter_metadata.ns", "filter_metadata"] {
        assert_eq!(get(&info, &format!("xds.route_metadata.{path}")), Err(Status::SerializationFailure), "{path}");
    }
    assert_eq!(get(&info, "xds.route_metadata.filter_metadata.ns.s").as_deref(), Ok("74"));
    assert_eq!(
        get(&info, "xds.route_metadata").as_deref(),
        Ok("0a190a026e7312130a080a017312031a01740a070a017a12020800")
    );
}

#[test]
fn a_resource_that_is_not_known_has_none_and_one_without_metadata_has_an_empty_message() {
    let mut info = StreamInfo::default();
    for name in ["route", "cluster", "upstream_host"] {
        assert_eq!(get(&info, &format!("xds.{name}_metadata")), Err(Status::NotFound), "{name}");
        assert_eq!(get(&info, &format!("xds.{name}_metadata.filter_metadata.a.b")), Err(Status::NotFound));
    }
    info.route_metadata = Some(Arc::default());
    assert_eq!(get(&info, "xds.route_metadata").as_deref(), Ok(""));
    assert_eq!(get(&info, "xds.route_metadata.filter_metadata").as_deref(), Ok("00000000"));
    info.upstream = "127.0.0.1:80".parse().ok();
    assert_eq!(get(&info, "xds.upstream_host_metadata"), Err(Status::SerializationFailure), "as Envoy's null message");
    assert_eq!(get(&info, "xds.upstream_host_metadata.filter_metadata"), Err(Status::NotFound));
}

#[test]
fn only_what_has_parts_can_hold_something_that_a_rule_takes_away() {
    let info = StreamInfo { route_metadata: Some(metadata([("ns", all_kinds())])), ..StreamInfo::default() };
    let parts = |path: &str| has_parts(&info, path.replace('.', "\0").as_bytes());
    for path in ["", ".filter_metadata", ".filter_metadata.ns", ".filter_metadata.ns.o", ".filter_metadata.ns.l"] {
        assert!(parts(&format!("xds.route_metadata{path}")), "{path}");
    }
    for path in [".filter_metadata.ns.s", ".typed_filter_metadata", ".filter_metadata.none"] {
        assert!(!parts(&format!("xds.route_metadata{path}")), "{path}");
    }
    assert!(!parts("xds.cluster_metadata") && !parts("request.path"));
}
