//! The forms of a request's head: as it comes, as plugins see it, and as services of a server expect it.

use std::net::SocketAddr;

use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::{Authority, Parts as UriParts, Scheme, Uri};
use http::{Method, Request, StatusCode, Version, request};
use http_body::Body;
use portcullis_chain::convert::{Refusal, canonical, canonical_connect};
use portcullis_driver::body::{QueueBody, settle};

/// The form in which a request's target came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A path, beside the field `host`.
    Origin,
    /// All of it, with the scheme that the client says.
    Absolute(Option<Scheme>),
    /// A host alone, of CONNECT.
    Authority,
}

/// Makes a head canonical, and says in which form its target came.
///
/// # Errors
/// The request is malformed, or of a kind that no plugin would understand.
pub(crate) fn admit(parts: &mut request::Parts, local: Option<SocketAddr>) -> Result<Form, Refusal> {
    let scheme = parts.uri.scheme().cloned();
    let bad = |why| Refusal::Answer(StatusCode::BAD_REQUEST, why);
    if parts.method == Method::CONNECT {
        canonical_connect(parts)?;
        return Ok(if parts.uri.path_and_query().is_some() { Form::Absolute(scheme) } else { Form::Authority });
    }
    let is_named = parts.uri.authority().is_some() || parts.headers.get(HOST).is_some_and(|host| !host.is_empty());
    let Some(local) = local.or_else(|| is_named.then(|| ([0, 0, 0, 0], 0).into())) else {
        return Err(bad("the request has no host: send one Host field"));
    };
    canonical(parts, local)?;
    Ok(if parts.uri.authority().is_some() { Form::Absolute(scheme) } else { Form::Origin })
}

/// Brings the head that plugins have left into the form that the server's services expect: the target in the form in which it
/// came, and the field `host` over HTTP/1 in every case, over HTTP/2 where the target has none. `secure` is what plugins were told; the
/// scheme is the client's unless they have changed it.
pub(crate) fn restore(parts: &mut request::Parts, form: Form, version: Version, secure: bool) {
    parts.version = version;
    let Some(authority) = parts.uri.authority().cloned() else { return };
    let needs_host = version != Version::HTTP_2 || form == Form::Origin;
    if needs_host && !parts.headers.contains_key(HOST) {
        insert_host(parts, &authority);
    }
    let target = match form {
        Form::Absolute(scheme) => {
            let is_unchanged = parts.uri.scheme_str() == Some(if secure { "https" } else { "http" });
            let mut target = parts.uri.clone().into_parts();
            target.scheme = scheme.filter(|_| is_unchanged).or(target.scheme);
            Uri::from_parts(target).ok()
        }
        Form::Origin => parts.uri.path_and_query().cloned().map(Uri::from),
        Form::Authority => {
            let mut target = UriParts::default();
            target.authority = Some(authority);
            Uri::from_parts(target).ok()
        }
    };
    if let Some(target) = target {
        parts.uri = target;
    }
}

fn insert_host(parts: &mut request::Parts, authority: &Authority) {
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        parts.headers.insert(HOST, host);
    }
}

/// Makes the framing fields agree with the body.
///
/// A `content-length` that a plugin's change has made false would shift the idea that the next server has of where the next request
/// starts. It is corrected if the body is complete, and removed if the body cannot be that long; one that is still to come is held
/// to it.
pub(crate) fn frame(request: &mut Request<QueueBody>) {
    if let Some(length) = settle(request.headers_mut()) {
        match request.body().complete() {
            Some((actual, false)) if actual == length => {}
            Some((actual, false)) => drop(request.headers_mut().insert(CONTENT_LENGTH, actual.into())),
            // A client's library ends a request of no bytes with its head, whatever may follow.
            None if length != 0 && request.body().hold_to(length) => {}
            // Over HTTP/1.1 only a chunked body has trailers.
            Some((_, true)) | None => drop(request.headers_mut().remove(CONTENT_LENGTH)),
        }
    }
    let may_be_taken_for_empty = matches!(*request.method(), Method::GET | Method::HEAD)
        && request.version() != Version::HTTP_2
        && request.body().size_hint().exact().is_none()
        && !request.headers().contains_key(CONTENT_LENGTH);
    if may_be_taken_for_empty {
        // hyper's client takes a GET without framing fields for one without a body, and would drop the data.
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use portcullis_chain::convert;
    use portcullis_driver::body::body_queue;

    use super::*;

    #[test]
    fn a_head_comes_back_in_the_form_in_which_it_came() {
        for (method, target, version, host, expected, kept) in [
            ("GET", "/a?b", Version::HTTP_11, Some("a"), Some("/a?b"), Some("a")),
            ("GET", "http://b/a", Version::HTTP_11, Some("a"), Some("http://b/a"), Some("b")),
            ("GET", "http://b/a", Version::HTTP_2, None, Some("http://b/a"), None),
            ("GET", "/a", Version::HTTP_2, Some("a"), Some("/a"), Some("a")),
            ("OPTIONS", "*", Version::HTTP_11, Some("a"), Some("*"), Some("a")),
            ("CONNECT", "a:443", Version::HTTP_11, Some("b"), Some("a:443"), Some("a:443")),
            ("CONNECT", "https://a/chat", Version::HTTP_2, None, Some("https://a/chat"), None),
            ("GET", "/", Version::HTTP_11, None, None, None),
            ("GET", "/", Version::HTTP_10, None, None, None),
            ("TRACE", "/", Version::HTTP_11, Some("a"), None, None),
            ("CONNECT", "/", Version::HTTP_11, Some("a"), None, None),
            ("CONNECT", "ftp://a/chat", Version::HTTP_2, None, None, None),
            ("CONNECT", "https://a?chat", Version::HTTP_2, None, None, None),
        ] {
            let mut request = Request::builder().method(method).uri(target).version(version);
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let form = admit(&mut parts, None);
            assert_eq!(form.is_ok(), expected.is_some(), "{method} {target}: {form:?}");
            let Ok(form) = form else { continue };
            let mut parts = convert::to_request(&convert::request_headers(&parts, false)).unwrap();
            restore(&mut parts, form, version, false);
            assert_eq!(Some(parts.uri.to_string().as_str()), expected, "{method} {target}");
            assert_eq!(parts.headers.get(HOST).map(|host| host.to_str().unwrap()), kept, "{method} {target}");
        }
    }

    #[test]
    fn a_request_of_http1_0_without_a_host_gets_the_address_if_it_is_known() {
        let request = || Request::get("/").version(Version::HTTP_10).body(()).unwrap().into_parts().0;
        let mut parts = request();
        assert!(admit(&mut parts, Some(([192, 0, 2, 1], 80).into())).is_ok());
        assert_eq!(parts.headers[HOST], "192.0.2.1:80");
        assert!(admit(&mut request(), None).is_err());
    }

    #[test]
    fn a_length_that_cannot_be_kept_is_removed_or_corrected() {
        for (length, queued, is_whole, expected, coding) in [
            ("4", "body", true, Some("4"), None),
            ("4", "longer", true, Some("6"), None),
            ("4", "", false, Some("4"), None),
            ("4", "longer", false, None, Some("chunked")),
            ("x", "", false, None, Some("chunked")),
        ] {
            let (sender, body) = body_queue();
            sender.push(queued.into());
            if is_whole {
                sender.finish(None);
            }
            let mut request = Request::get("/").header(CONTENT_LENGTH, length).body(body).unwrap();
            frame(&mut request);
            let field = |name| request.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!((field(CONTENT_LENGTH), field(TRANSFER_ENCODING)), (expected, coding), "{length} {queued}");
        }
    }
}
