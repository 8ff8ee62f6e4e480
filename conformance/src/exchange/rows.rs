//! The exchanges.

use portcullis_core::abi::CallbackId;

use crate::check::Sees;

/// Name, phase, script, what is looked at, and what must be there.
type Row = (&'static str, CallbackId, &'static str, Sees, &'static str);

pub(super) const ROWS: &[Row] = {
    use CallbackId as Id;
    use Sees::{Callbacks, Everything, Response, ResponseBody, ResponseTrailer, Upstream, UpstreamBody};
    &[
        ("the_upstream_gets_what_came", Id::on_request_headers, "", Upstream("x-id"), "7"),
        ("the_upstream_gets_an_empty_value", Id::on_request_headers, "", Upstream("empty"), ""),
        (
            "a_request_header_is_added",
            Id::on_request_headers,
            "proxy_add_header_map_value 0 'x-new' '1'",
            Upstream("x-new"),
            "1",
        ),
        (
            "a_request_header_is_added_to_one_of_its_name",
            Id::on_request_headers,
            "proxy_add_header_map_value 0 'x-id' '8'",
            Upstream("x-id"),
            "7,8",
        ),
        (
            "a_request_header_is_replaced",
            Id::on_request_headers,
            "proxy_replace_header_map_value 0 'X-ID' '8'",
            Upstream("x-id"),
            "8",
        ),
        (
            "a_request_header_is_removed",
            Id::on_request_headers,
            "proxy_remove_header_map_value 0 'X-Id'",
            Upstream("x-id"),
            "none",
        ),
        (
            "the_path_is_replaced",
            Id::on_request_headers,
            "proxy_replace_header_map_value 0 ':path' '/other'",
            Upstream(":path"),
            "/other",
        ),
        (
            "the_method_is_replaced",
            Id::on_request_headers,
            "proxy_replace_header_map_value 0 ':method' 'PUT'",
            Upstream(":method"),
            "PUT",
        ),
        ("the_upstream_gets_the_body_that_came", Id::on_request_headers, "", UpstreamBody, "hello"),
        (
            "bytes_are_put_before_the_request_body",
            Id::on_request_body,
            "proxy_set_buffer_bytes 0 0 0 'x'",
            UpstreamBody,
            "xhello",
        ),
        (
            "bytes_are_put_behind_the_request_body",
            Id::on_request_body,
            "proxy_set_buffer_bytes 0 5 0 'x'",
            UpstreamBody,
            "hellox",
        ),
        (
            "the_request_body_is_replaced",
            Id::on_request_body,
            "proxy_set_buffer_bytes 0 0 5 'other words'",
            UpstreamBody,
            "other words",
        ),
        ("the_request_body_is_removed", Id::on_request_body, "proxy_set_buffer_bytes 0 0 5 ''", UpstreamBody, ""),
        ("the_upstream_gets_the_trailers_that_came", Id::on_request_headers, "", Upstream("trailer x-trailer"), "sent"),
        (
            "a_request_trailer_is_added",
            Id::on_request_trailers,
            "proxy_add_header_map_value 1 'x-new' '1'",
            Upstream("trailer x-new"),
            "1",
        ),
        (
            "a_request_trailer_is_removed",
            Id::on_request_trailers,
            "proxy_remove_header_map_value 1 'x-trailer'",
            Upstream("trailer x-trailer"),
            "none",
        ),
        ("the_client_gets_the_upstreams_headers", Id::on_response_headers, "", Response("x-upstream"), "here"),
        (
            "a_response_header_is_added",
            Id::on_response_headers,
            "proxy_add_header_map_value 2 'x-new' '1'",
            Response("x-new"),
            "1",
        ),
        (
            "a_response_header_is_replaced",
            Id::on_response_headers,
            "proxy_replace_header_map_value 2 'x-upstream' 'there'",
            Response("x-upstream"),
            "there",
        ),
        (
            "a_response_header_is_removed",
            Id::on_response_headers,
            "proxy_remove_header_map_value 2 'x-upstream'",
            Response("x-upstream"),
            "none",
        ),
        (
            "the_status_is_replaced",
            Id::on_response_headers,
            "proxy_replace_header_map_value 2 ':status' '201'",
            Response(":status"),
            "201",
        ),
        ("the_client_gets_the_upstreams_body", Id::on_response_headers, "", ResponseBody(2), "ok"),
        (
            "bytes_are_put_before_the_response_body",
            Id::on_response_body,
            "proxy_set_buffer_bytes 1 0 0 'x'",
            ResponseBody(3),
            "xok",
        ),
        (
            "the_response_body_is_replaced",
            Id::on_response_body,
            "proxy_set_buffer_bytes 1 0 100000 'other'",
            ResponseBody(99),
            "other",
        ),
        ("the_client_gets_the_upstreams_trailers", Id::on_response_headers, "", ResponseTrailer("x-trailer"), "sent"),
        (
            "a_response_trailer_is_added",
            Id::on_response_trailers,
            "proxy_add_header_map_value 3 'x-new' '1'",
            ResponseTrailer("x-new"),
            "1",
        ),
        (
            "a_response_trailer_is_replaced",
            Id::on_response_trailers,
            "proxy_replace_header_map_value 3 'x-trailer' 'other'",
            ResponseTrailer("x-trailer"),
            "other",
        ),
        (
            "a_local_response_for_the_request_has_its_status",
            Id::on_request_headers,
            "proxy_send_local_response 403 '' 'local' '' -1",
            Response(":status"),
            "403",
        ),
        (
            "a_local_response_for_the_request_has_its_body",
            Id::on_request_headers,
            "proxy_send_local_response 403 '' 'local' '' -1",
            ResponseBody(99),
            "local",
        ),
        (
            "a_local_response_for_the_request_body",
            Id::on_request_body,
            "proxy_send_local_response 403 '' 'local' '' -1",
            ResponseBody(99),
            "local",
        ),
        (
            "a_local_response_has_its_headers",
            Id::on_request_headers,
            "proxy_send_local_response 200 '' '' '\\01\\00\\00\\00\\05\\00\\00\\00\\01\\00\\00\\00x-new~1~' -1",
            Response("x-new"),
            "1",
        ),
        (
            "a_local_response_takes_the_place_of_the_upstreams",
            Id::on_response_headers,
            "proxy_send_local_response 503 '' 'local' '' -1",
            Response(":status"),
            "503",
        ),
        (
            "the_size_of_a_request_is_its_content_length",
            Id::on_request_headers,
            "proxy_add_header_map_value 0 'content-length' '7'; proxy_get_property 'request~size' 64 68; bytes @64 @68; \
             proxy_remove_header_map_value 0 'content-length'",
            Everything,
            "0,0,'\\x07\\x00\\x00\\x00\\x00\\x00\\x00\\x00',0",
        ),
        (
            "a_request_whose_content_length_is_no_number_has_no_size",
            Id::on_request_headers,
            "proxy_add_header_map_value 0 'content-length' 'x'; proxy_get_property 'request~size' 64 68; \
             proxy_remove_header_map_value 0 'content-length'",
            Everything,
            "0,1,0",
        ),
        (
            "a_status_of_grpc_is_read_from_the_head",
            Id::on_response_headers,
            "proxy_add_header_map_value 2 'grpc-status' '5'; proxy_get_property 'response~grpc_status' 64 68; bytes @64 @68",
            Everything,
            "0,0,'\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x00'",
        ),
        (
            "a_number_that_is_no_status_of_grpc_is_minus_one",
            Id::on_response_headers,
            "proxy_add_header_map_value 2 'grpc-status' '17'; proxy_get_property 'response~grpc_status' 64 68; bytes @64 @68",
            Everything,
            "0,0,'\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff'",
        ),
        (
            "a_text_that_is_no_status_of_grpc_is_minus_one",
            Id::on_response_headers,
            "proxy_add_header_map_value 2 'grpc-status' 'x'; proxy_get_property 'response~grpc_status' 64 68; bytes @64 @68",
            Everything,
            "0,0,'\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff'",
        ),
        (
            "an_empty_status_of_grpc_is_none",
            Id::on_response_headers,
            "proxy_add_header_map_value 2 'grpc-status' ''; proxy_get_property 'response~grpc_status' 64 68; bytes @64 @68",
            Everything,
            "0,0,'\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00'",
        ),
        (
            "what_a_plugin_sets_is_filter_state",
            Id::on_response_headers,
            "proxy_set_property 'a' 'b'; proxy_get_property 'filter_state~wasm.a' 64 68; bytes @64 @68",
            Everything,
            "0,0,'b'",
        ),
        (
            "a_local_response_with_a_status_that_is_none_is_500",
            Id::on_request_headers,
            "proxy_send_local_response 600 '' 'local' '' -1",
            Response(":status"),
            "500",
        ),
        (
            "the_callbacks_of_a_stream_come_in_this_order",
            Id::on_delete,
            "",
            Callbacks,
            "context_create request_headers request_body request_trailers response_headers response_body \
             response_trailers log done delete",
        ),
        (
            "the_callbacks_of_a_connection_come_in_this_order",
            Id::on_upstream_connection_close,
            "",
            Callbacks,
            "context_create new_connection downstream_data upstream_data downstream_data upstream_data \
             upstream_connection_close downstream_connection_close done log delete",
        ),
    ]
};
