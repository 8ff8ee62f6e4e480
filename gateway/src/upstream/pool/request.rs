//! Bringing a request into the form that the upstream's protocol wants.

use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme, Uri};
use http::{Method, Request, Version};
use http_body::Body;

use super::config::UpstreamProtocol;
use portcullis_driver::body as length;
use portcullis_driver::body::QueueBody;

/// A mark on requests that HTTP/1.1 cannot carry, as those of gRPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeedsHttp2;

/// Sets version and target for the protocol, and makes the framing fields agree with the body. `secure` is true if the
/// connection has TLS. If the protocol is still to be agreed on, [`reform`] has to follow.
pub(crate) fn prepare(protocol: UpstreamProtocol, secure: bool, request: &mut Request<QueueBody>) {
    target(protocol, secure, request);
    frame(request);
    chunk(protocol, request);
}

/// Sets version and target of a request that is prepared already for another protocol.
pub(super) fn reform(protocol: UpstreamProtocol, secure: bool, request: &mut Request<QueueBody>) {
    target(protocol, secure, request);
    chunk(protocol, request);
}

fn target(protocol: UpstreamProtocol, secure: bool, request: &mut Request<QueueBody>) {
    match protocol {
        UpstreamProtocol::Http1 => prepare_h1(request),
        UpstreamProtocol::Http2 | UpstreamProtocol::Auto => prepare_h2(secure, request),
    }
}

fn chunk(protocol: UpstreamProtocol, request: &mut Request<QueueBody>) {
    if protocol == UpstreamProtocol::Http1 && has_uncertain_body(request) {
        // hyper takes a GET or HEAD without framing fields for one without a body, and would drop the data.
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
}

fn prepare_h1(request: &mut Request<QueueBody>) {
    *request.version_mut() = Version::HTTP_11;
    if request.method() == Method::CONNECT {
        return;
    }
    if let Some(authority) = request.uri().authority()
        && !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    }
}

fn prepare_h2(secure: bool, request: &mut Request<QueueBody>) {
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(TRANSFER_ENCODING);
    // `:authority` says it; a different `host` beside it would let two readers see two requests.
    let host = request.headers_mut().remove(HOST);
    if request.uri().authority().is_some() {
        return;
    }
    let authority = host.and_then(|host| Authority::from_maybe_shared(host).ok());
    let mut parts = request.uri().clone().into_parts();
    parts.scheme.get_or_insert(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = authority;
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Makes the framing fields agree with the body.
///
/// A `content-length` that a plugin's change has made false would shift the upstream's idea of where the next request
/// starts. It is corrected if the body is complete, and removed if the body cannot be that long; one that is still to come is
/// held to it.
fn frame(request: &mut Request<QueueBody>) {
    let Some(length) = length::settle(request.headers_mut()) else { return };
    match request.body().complete() {
        Some((actual, false)) if actual == length => {}
        Some((actual, false)) => drop(request.headers_mut().insert(CONTENT_LENGTH, actual.into())),
        // hyper ends a request of no bytes with its head, whatever may follow.
        None if length != 0 && request.body().hold_to(length) => {}
        // Over HTTP/1.1 only a chunked body has trailers.
        Some((_, true)) | None => drop(request.headers_mut().remove(CONTENT_LENGTH)),
    }
}

fn has_uncertain_body(request: &Request<QueueBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && request.body().size_hint().exact().is_none()
        && !request.headers().contains_key(CONTENT_LENGTH)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use http::header::TE;

    use super::*;
    use portcullis_driver::body::body_queue;

    fn request(target: &str, host: Option<&str>) -> Request<QueueBody> {
        let mut builder = Request::get(target);
        if let Some(host) = host {
            builder = builder.header(HOST, host);
        }
        builder.body(QueueBody::empty()).unwrap()
    }

    #[test]
    fn http1_gets_origin_form_and_keeps_the_host() {
        for (target, host, form, expected) in [
            ("/a?b", Some("one"), "/a?b", Some("one")),
            ("https://two/a?b", None, "/a?b", Some("two")),
            ("http://two", Some("one"), "/", Some("one")),
            ("*", Some("one"), "*", Some("one")),
            ("/a", None, "/a", None),
        ] {
            let mut request = request(target, host);
            prepare(UpstreamProtocol::Http1, false, &mut request);
            assert_eq!(request.uri().to_string(), form);
            let host = request.headers().get(HOST).map(|host| host.to_str().unwrap());
            assert_eq!(host, expected, "{target}");
        }
    }

    #[test]
    fn http2_gets_scheme_and_authority() {
        for (target, host, expected) in [
            ("/a?b", Some("one:80"), "http://one:80/a?b"),
            ("https://two/a", Some("one"), "https://two/a"),
            ("/a", None, "/a"),
        ] {
            let mut request = request(target, host);
            prepare(UpstreamProtocol::Http2, false, &mut request);
            assert_eq!(request.uri().to_string(), expected);
            assert!(!request.headers().contains_key(HOST));
            assert_eq!(request.version(), Version::HTTP_2);
        }
    }

    #[test]
    fn a_false_length_is_corrected() {
        let mut request = request("/", Some("one"));
        request.headers_mut().insert(CONTENT_LENGTH, 5.into());
        prepare(UpstreamProtocol::Http1, false, &mut request);
        assert_eq!(request.headers()[CONTENT_LENGTH], "0");
    }

    #[test]
    fn a_length_that_cannot_be_kept_is_removed() {
        for (length, queued, trailers, expected) in [
            ("4", "", false, Some("4")),
            ("4", "body", false, Some("4")),
            ("4", "longer", false, None),
            ("0", "", false, None),
            ("x", "", false, None),
            ("4", "body", true, None),
        ] {
            let (sender, body) = body_queue();
            sender.push(queued.into());
            if trailers {
                sender.finish(Some([(TE, HeaderValue::from_static("x"))].into_iter().collect()));
            }
            let mut request = request("/", Some("one")).map(|_| body);
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static(length));
            prepare(UpstreamProtocol::Http1, false, &mut request);
            let told = request.headers().get(CONTENT_LENGTH).map(|length| length.to_str().unwrap());
            assert_eq!(told, expected, "{length} {queued} {trailers}");
            let chunked = request.headers().contains_key(TRANSFER_ENCODING);
            assert_eq!(chunked, expected.is_none(), "a GET that has a body says so: {length} {queued} {trailers}");
        }
    }

    #[test]
    fn a_get_with_an_open_body_is_chunked() {
        let (_sender, body) = body_queue();
        let mut request = request("/", Some("one")).map(|_| body);
        prepare(UpstreamProtocol::Http1, false, &mut request);
        assert_eq!(request.headers()[TRANSFER_ENCODING], "chunked");
    }
}
