//! The form of local responses on the wire.

use portcullis_core::model::{Body, Headers, LocalResponse};

/// Builds a response with a plain text body, for [`Worker::reply`](crate::Worker::reply).
pub fn local_response(status: u16, details: &str, body: &str) -> LocalResponse {
    LocalResponse::new(status).with_details(details).with_body(bytes::Bytes::copy_from_slice(body.as_bytes()))
}

/// Returns headers and body of a local response, as the client gets them. Some statuses have no body (RFC 9110, sections 15.3.5,
/// 15.3.6 and 15.4.5).
pub(super) fn render(response: LocalResponse, grpc: bool, head: bool) -> (Headers, Body) {
    let mut headers = Headers::with_capacity(response.headers.len() + 3, 128);
    if grpc {
        let status = response.grpc_status.unwrap_or_else(|| grpc_status(response.status));
        headers.add(b":status", b"200");
        headers.add(b"content-type", b"application/grpc");
        headers.add(b"grpc-status", status.to_string().as_bytes());
        if !response.body.is_empty() {
            headers.add(b"grpc-message", percent_encode(&response.body).as_bytes());
        }
        add_fields(&mut headers, &response.headers);
        return (headers, Body::new());
    }
    headers.add(b":status", response.status.to_string().as_bytes());
    add_fields(&mut headers, &response.headers);
    let bare = matches!(response.status, 204 | 205 | 304);
    if !response.body.is_empty() && !bare {
        headers.add(b"content-length", response.body.len().to_string().as_bytes());
        if headers.get(b"content-type").is_none() {
            headers.add(b"content-type", b"text/plain");
        }
    }
    (headers, if head || bare { Body::new() } else { response.body.into() })
}

fn add_fields(headers: &mut Headers, fields: &Headers) {
    // The length is for the host to say: a wrong one leaves the client waiting.
    let sent = |name: &[u8]| !name.starts_with(b":") && name != b"content-length";
    for (name, value) in fields.iter().filter(|(name, _)| sent(name)) {
        headers.add(name, value);
    }
}

/// Says whether a content type is gRPC's: `application/grpc` alone, with `+` and a format, or with
/// parameters. gRPC-Web (`application/grpc-web`) wants plain answers.
pub(super) fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Returns the status of a response.
pub(super) fn status_of(headers: &Headers) -> Option<u16> {
    headers.get_str(":status").and_then(|code| code.parse().ok())
}

/// Returns the gRPC status that stands for an HTTP status (gRPC: "HTTP to gRPC Status Code Mapping").
fn grpc_status(http: u16) -> u8 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// Encodes a `grpc-message`: bytes outside printable ASCII, and `%`, percent-encoded.
fn percent_encode(message: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b' '..=b'~' if *byte != b'%' => char::from(*byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    message.iter().map(encode).collect()
}
