//! The callback table.

/// Calls `$emit!` with every function that a guest may export for the host to call.
///
/// A row reads: method · export, which is also the capability's name · typed signature · ABI
/// versions. Where one export has two shapes it has two rows; the export's own type decides.
#[macro_export]
macro_rules! for_each_callback {
    ($emit:ident) => { $emit! {
        // Start functions; they need no capability.
        initialize = "_initialize"() -> (), V0_1_0 ..= V0_2_1;
        start = "_start"() -> (), V0_1_0 ..= V0_2_1;
        main = "main"(argc: i32, argv: i32) -> i32, V0_1_0 ..= V0_2_1;
        main_void = "__main_void"() -> i32, V0_1_0 ..= V0_2_1;
        // Roots
        on_context_create = "proxy_on_context_create"(context: i32, parent: i32) -> (), V0_1_0 ..= V0_2_1;
        on_vm_start = "proxy_on_vm_start"(root: i32, configuration_len: i32) -> i32, V0_1_0 ..= V0_2_1;
        validate_configuration = "proxy_validate_configuration"(root: i32, configuration_len: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_configure = "proxy_on_configure"(root: i32, configuration_len: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_tick = "proxy_on_tick"(root: i32) -> (), V0_1_0 ..= V0_2_1;
        on_queue_ready = "proxy_on_queue_ready"(root: i32, queue: i32) -> (), V0_1_0 ..= V0_2_1;
        on_http_call_response = "proxy_on_http_call_response"(root: i32, call: i32, headers: i32, body_len: i32, trailers: i32) -> (), V0_1_0 ..= V0_2_1;
        on_grpc_receive_initial_metadata = "proxy_on_grpc_receive_initial_metadata"(root: i32, id: i32, headers: i32) -> (), V0_1_0 ..= V0_2_1;
        on_grpc_receive = "proxy_on_grpc_receive"(root: i32, id: i32, len: i32) -> (), V0_1_0 ..= V0_2_1;
        on_grpc_receive_trailing_metadata = "proxy_on_grpc_receive_trailing_metadata"(root: i32, id: i32, trailers: i32) -> (), V0_1_0 ..= V0_2_1;
        on_grpc_close = "proxy_on_grpc_close"(root: i32, id: i32, status: i32) -> (), V0_1_0 ..= V0_2_1;
        on_foreign_function = "proxy_on_foreign_function"(context: i32, function: i32, arguments_len: i32) -> (), V0_2_0 ..= V0_2_1;
        envoy_on_resolve_dns = "envoy_on_resolve_dns"(root: i32, token: i32, len: i32) -> (), V0_1_0 ..= V0_2_1;
        envoy_on_stats_update = "envoy_on_stats_update"(root: i32, len: i32) -> (), V0_1_0 ..= V0_2_1;
        // TCP streams
        on_new_connection = "proxy_on_new_connection"(context: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_downstream_data = "proxy_on_downstream_data"(context: i32, len: i32, end_of_stream: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_upstream_data = "proxy_on_upstream_data"(context: i32, len: i32, end_of_stream: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_downstream_connection_close = "proxy_on_downstream_connection_close"(context: i32, peer: i32) -> (), V0_1_0 ..= V0_2_1;
        on_upstream_connection_close = "proxy_on_upstream_connection_close"(context: i32, peer: i32) -> (), V0_1_0 ..= V0_2_1;
        // HTTP streams
        on_request_headers = "proxy_on_request_headers"(context: i32, headers: i32, end_of_stream: i32) -> i32, V0_2_0 ..= V0_2_1;
        on_request_headers_0_1_0 = "proxy_on_request_headers"(context: i32, headers: i32) -> i32, V0_1_0 ..= V0_1_0;
        on_request_body = "proxy_on_request_body"(context: i32, len: i32, end_of_stream: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_request_trailers = "proxy_on_request_trailers"(context: i32, trailers: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_request_metadata = "proxy_on_request_metadata"(context: i32, entries: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_response_headers = "proxy_on_response_headers"(context: i32, headers: i32, end_of_stream: i32) -> i32, V0_2_0 ..= V0_2_1;
        on_response_headers_0_1_0 = "proxy_on_response_headers"(context: i32, headers: i32) -> i32, V0_1_0 ..= V0_1_0;
        on_response_body = "proxy_on_response_body"(context: i32, len: i32, end_of_stream: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_response_trailers = "proxy_on_response_trailers"(context: i32, trailers: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_response_metadata = "proxy_on_response_metadata"(context: i32, entries: i32) -> i32, V0_1_0 ..= V0_2_1;
        // The end of a context
        on_done = "proxy_on_done"(context: i32) -> i32, V0_1_0 ..= V0_2_1;
        on_log = "proxy_on_log"(context: i32) -> (), V0_1_0 ..= V0_2_1;
        on_delete = "proxy_on_delete"(context: i32) -> (), V0_1_0 ..= V0_2_1;
    } };
}
