//! Statuses with which a filter answers for a part of a message, by the numbers of the ABI.

/// `envoy_dynamic_module_type_on_http_filter_request_headers_status`, and that of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum HeadersStatus {
    Continue = 0,
    /// Body and trailers still come.
    StopIteration = 1,
    /// Nothing more comes; Envoy buffers, and stops reading when it has enough.
    StopAllIterationAndWatermark = 4,
}

/// `envoy_dynamic_module_type_on_http_filter_request_body_status`, and that of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum BodyStatus {
    Continue = 0,
    /// Envoy keeps the piece, and stops reading when it has enough.
    StopIterationAndWatermark = 2,
    StopIterationNoBuffer = 3,
}

/// `envoy_dynamic_module_type_on_http_filter_request_trailers_status`, and that of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum TrailersStatus {
    Continue = 0,
    StopIteration = 1,
}
