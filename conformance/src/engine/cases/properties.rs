//! Properties.

use std::sync::Arc;

use portcullis::abi::{HostcallId::proxy_get_property, HostcallId::proxy_set_property};
use portcullis::model::{Attributes, MetadataMap, MetadataValue, Plugin, ResourceMetadata, StreamInfo};

use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "the_root_id_is_known_when_the_root_is_created",
        guest: r#"
            (data (i32.const 1024) "plugin_root_id\00")
            (func (export "proxy_on_context_create") (param i32 i32)
                (call $answer (call $proxy_get_property
                    (i32.const 1024) (i32.const 14) (i32.const 0) (i32.const 4)))
                (call $answer (call $proxy_get_property
                    (i32.const 1024) (i32.const 15) (i32.const 0) (i32.const 4))))
        "#,
        hostcalls: &[proxy_get_property],
        spec: "host#plugin_root_id",
        run: |case, engine| {
            let mut plugin = Plugin::new("test");
            plugin.root_id = "my_root".to_owned();
            let guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
            assert_eq!(guest.seen(), ["0", "7", "my_root", "0", "7", "my_root"]);
        },
    },
    Case {
        name: "what_a_stream_sets_it_reads_back",
        guest: r#"
            (data (i32.const 1024) "mine\00yours")
            (func $get (param i32) (call $answer (call $proxy_get_property
                (i32.const 1024) (local.get 0) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_set_property (i32.const 1024) (i32.const 4) (i32.const 1024) (i32.const 4))))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $get (i32.const 0))
                (call $get (i32.const 4))
                (call $report (call $proxy_set_property (i32.const 1024) (i32.const 4) (i32.const 1027) (i32.const 3)))
                (call $get (i32.const 4))
                (call $report (call $proxy_set_property (i32.const 1024) (i32.const 10) (i32.const 0) (i32.const 0)))
                (call $get (i32.const 10))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_property, proxy_set_property],
        spec: "v0.2.1#proxy_set_property",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            let stream = guest.open(&[]);
            assert!(guest.headers(stream).is_ok());
            let expected = ["1", "3", "-1", "1", "-1", "0", "0", "3", r"e\x00y", "0", "0", "0"];
            assert_eq!(guest.seen(), expected);
        },
    },
    Case {
        name: "metadata_of_resources_is_read_whole_and_by_key",
        guest: r#"
            (data (i32.const 1024) "xds\00cluster_metadata\00filter_metadata\00c\00k")
            (data (i32.const 1100) "xds\00route_metadata\00filter_metadata\00c\00k")
            (func $get (param i32 i32) (call $answer (call $proxy_get_property
                (local.get 0) (local.get 1) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_new_connection") (param i32) (result i32)
                (call $get (i32.const 1024) (i32.const 40))
                (call $get (i32.const 1024) (i32.const 20))
                (call $get (i32.const 1100) (i32.const 38))
                (drop (call $proxy_set_property (i32.const 1100) (i32.const 38) (i32.const 1100) (i32.const 3)))
                (call $get (i32.const 1100) (i32.const 38))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_property, proxy_set_property],
        spec: "host#xds.cluster_metadata",
        run: |case, engine| {
            let members = MetadataMap::new([("k".to_owned(), MetadataValue::Text("cm".into()))]);
            let metadata = ResourceMetadata::new([("c".to_owned(), members)]);
            let info = StreamInfo { cluster_metadata: Some(Arc::new(metadata)), ..StreamInfo::default() };
            let mut guest = case.start(engine);
            let stream = guest.connect_with(info);
            guest.vm.on_new_connection(stream).unwrap();
            let message = r"\n\x10\n\x01c\x12\x0b\n\t\n\x01k\x12\x04\x1a\x02cm";
            assert_eq!(guest.seen(), ["0", "2", "cm", "0", "18", message, "1", "-1", "1", "-1"]);
        },
    },
    Case {
        name: "the_driver_is_asked_for_what_the_host_does_not_know",
        guest: r#"
            (data (i32.const 1024) "node\00id")
            (data (i32.const 1100) "connection\00mtls")
            (data (i32.const 1200) "connection\00id")
            (func $get (param i32 i32) (call $answer (call $proxy_get_property
                (local.get 0) (local.get 1) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_new_connection") (param i32) (result i32)
                (call $get (i32.const 1024) (i32.const 7))
                (call $get (i32.const 1100) (i32.const 15))
                (call $get (i32.const 1200) (i32.const 13))
                (call $get (i32.const 1024) (i32.const 4))
                (drop (call $proxy_set_property (i32.const 1024) (i32.const 7) (i32.const 1100) (i32.const 3)))
                (call $get (i32.const 1024) (i32.const 7))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_property, proxy_set_property],
        spec: "v0.2.1#proxy_get_property",
        run: |case, engine| {
            let info = StreamInfo { attributes: Some(Arc::new(Driver)), connection_id: 9, ..StreamInfo::default() };
            let mut guest = case.start(engine);
            let stream = guest.connect_with(info);
            guest.vm.on_new_connection(stream).unwrap();
            let id = r"\t\x00\x00\x00\x00\x00\x00\x00";
            let expected = ["0", "5", "first", "0", "1", r"\x01", "0", "8", id, "1", "-1", "0", "5", "first"];
            assert_eq!(guest.seen(), expected);
        },
    },
];

/// Properties that a driver has.
#[derive(Debug)]
struct Driver;

impl Attributes for Driver {
    fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        match path {
            b"node\0id" => out.extend_from_slice(b"first"),
            b"connection\0mtls" | b"connection\0id" => out.push(1),
            _ => return false,
        }
        true
    }
}
