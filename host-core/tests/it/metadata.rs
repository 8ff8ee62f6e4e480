//! Metadata of resources under rules.

use std::sync::Arc;

use crate::common::Setup;
use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::model::{MetadataMap, MetadataValue, ResourceMetadata, StreamInfo};

#[test]
fn what_rules_take_from_metadata_is_in_no_whole_either() {
    let secret = |members: [(&str, &str); 2]| {
        MetadataMap::new(members.map(|(name, text)| (name.to_owned(), MetadataValue::Text(text.into()))))
    };
    let metadata = ResourceMetadata::new([
        ("open".to_owned(), secret([("a", "1"), ("b", "2")])),
        ("shut".to_owned(), secret([("a", "3"), ("b", "4")])),
    ]);
    let info = StreamInfo { route_metadata: Some(Arc::new(metadata)), ..StreamInfo::default() };
    let rules: &[(&str, &str, &[&str])] = &[(
        "proxy_get_property",
        "paths",
        &["xds.route_metadata*", "!*.shut.a", "!xds.route_metadata.filter_metadata.shut.b"],
    )];
    let started = Setup::stream(info).ruled(rules).during(CallbackId::on_request_headers, |caller| {
        for (path, answer) in [
            ("xds.route_metadata.filter_metadata.open.a", 0),
            ("xds.route_metadata.filter_metadata.shut.a", 10),
            ("xds.route_metadata.filter_metadata.SHUT.a", 10),
            ("xds.route_metadata.filter_metadata.shut.b", 10),
            ("xds.route_metadata.filter_metadata.shut", 10),
            ("xds.route_metadata.filter_metadata", 10),
            ("xds.route_metadata", 10),
            ("xds.route_metadata.typed_filter_metadata", 0),
            ("xds.cluster_metadata", 10),
        ] {
            let (pointer, len) = caller.put(path.replace('.', "\0").as_bytes());
            let value = caller.bytes(|caller, p, l| entry::proxy_get_property(caller, pointer, len, p, l));
            assert_eq!(value.err().unwrap_or(0), answer, "{path}");
        }
    });
    assert_eq!(started.host.denials().len(), 7);
}

/// A hidden namespace is hidden with its keys, whatever else allows these.
#[test]
fn what_stands_in_metadata_that_rules_take_away_is_taken_away() {
    let namespace = |text: &str| MetadataMap::new([("a".to_owned(), MetadataValue::Text(text.into()))]);
    let metadata = ResourceMetadata::new([("open".to_owned(), namespace("1")), ("shut".to_owned(), namespace("2"))]);
    let info = StreamInfo { route_metadata: Some(Arc::new(metadata)), ..StreamInfo::default() };
    for (taken, open) in [
        ("!xds.route_metadata.filter_metadata.shut", 0),
        ("!xds.route_metadata.filter_metadata.SHUT", 0),
        ("!*.shut", 0),
        ("!xds.route_metadata", 10),
        ("!xds.route_metadata.filter_metadata", 10),
    ] {
        let rules: &[(&str, &str, &[&str])] = &[("proxy_get_property", "paths", &["*", taken])];
        Setup::stream(info.clone()).ruled(rules).during(CallbackId::on_request_headers, move |caller| {
            for (path, answer) in [
                ("xds.route_metadata.filter_metadata.open.a", open),
                ("xds.route_metadata.filter_metadata.shut.a", 10),
                ("xds.route_metadata.filter_metadata.shut.a.b", 10),
                ("xds.route_metadata.filter_metadata.shut", 10),
                ("request.method", 0),
            ] {
                let (pointer, len) = caller.put(path.replace('.', "\0").as_bytes());
                let value = caller.bytes(|caller, p, l| entry::proxy_get_property(caller, pointer, len, p, l));
                assert_eq!(value.err().unwrap_or(0), answer, "{path} without {taken}");
            }
        });
    }
}
