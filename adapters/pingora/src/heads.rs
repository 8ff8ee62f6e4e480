//! Heads of messages: what plugins have made of them is written into Pingora's, in place, so that the case of names and what plugins do not
//! see stay as they came.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};
use pingora_core::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use portcullis_chain::convert::{self, Unsendable};
use portcullis_core::model::Headers;
use portcullis_driver::body::settle;

/// A head as it came: as plugins saw it, and its fields without those of one connection.
#[derive(Debug)]
pub(crate) struct Original {
    headers: Headers,
    fields: HeaderMap,
}

impl Original {
    pub(crate) fn new(headers: Headers, fields: HeaderMap) -> Self {
        Self { headers, fields }
    }

    fn is_changed(&self, now: &Headers) -> bool {
        !matches!(now.changes(|| self.headers.iter()), portcullis_core::model::Changes::None)
    }

    fn has_same(&self, now: &Headers, name: &[u8]) -> bool {
        self.headers.get(name) == now.get(name)
    }
}

/// Writes what plugins have made of a request's head.
///
/// # Errors
/// HTTP cannot carry it.
pub(crate) fn write_request(
    head: &mut RequestHeader,
    original: &Original,
    now: &Headers,
) -> std::result::Result<(), Unsendable> {
    if !original.is_changed(now) {
        return Ok(());
    }
    let parts = convert::to_request(now)?;
    let target = || Unsendable::Pseudo(":path, :scheme or :authority");
    // Pingora would write the response to this method, and the client read it as one to its own.
    if (head.method == Method::HEAD) != (parts.method == Method::HEAD) {
        return Err(Unsendable::Pseudo(":method (to or from HEAD)"));
    }
    edit(head, &original.fields, &parts.headers, |name| *name == HOST)?;
    head.set_method(parts.method);
    let is_same_place = original.has_same(now, b":path") && original.has_same(now, b":authority");
    if !is_same_place {
        let authority = parts.uri.authority().ok_or_else(target)?.as_str().to_owned();
        if head.uri.authority().is_some() {
            head.set_uri(parts.uri);
        } else {
            let path = parts.uri.path_and_query().ok_or_else(target)?;
            head.set_raw_path(path.as_str().as_bytes()).map_err(|_| target())?;
        }
        if head.version != Version::HTTP_2 || head.headers.contains_key(HOST) {
            head.insert_header(HOST, authority).map_err(|_| target())?;
        }
    }
    Ok(())
}

/// Writes what plugins have made of a response's head.
///
/// # Errors
/// HTTP cannot carry it.
pub(crate) fn write_response(
    head: &mut ResponseHeader,
    original: &Original,
    now: &Headers,
) -> std::result::Result<(), Unsendable> {
    if !original.is_changed(now) {
        return Ok(());
    }
    let status = head.status;
    let (now_status, fields) = convert::to_response(now, Some(status))?;
    edit(head, &original.fields, &fields, |_| false)?;
    if now_status != status {
        head.set_status(now_status).map_err(|_| Unsendable::Pseudo(":status"))?;
    }
    Ok(())
}

/// Makes the head of a response that is the plugins' own.
///
/// # Errors
/// HTTP cannot carry it.
pub(crate) fn own_response(now: &Headers) -> std::result::Result<ResponseHeader, Unsendable> {
    let (status, fields) = convert::to_response(now, None)?;
    let mut head = ResponseHeader::build(status, Some(fields.len() + 1)).map_err(|_| Unsendable::Pseudo(":status"))?;
    edit(&mut head, &HeaderMap::new(), &fields, |_| false)?;
    Ok(head)
}

/// The body that follows the head of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Follows {
    /// A body of this length.
    Known(usize),
    /// A body that is not known yet.
    Unknown,
}

/// The request that a response answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) is_head: bool,
    pub(crate) version: Version,
    /// The head has an `upgrade` field.
    upgrades: bool,
}

impl Asked {
    pub(crate) fn new(method: &Method, version: Version) -> Self {
        Self { is_head: *method == Method::HEAD, version, upgrades: false }
    }

    /// Sets whether it asks for another protocol, as Pingora understands it.
    pub(crate) fn upgrading(self, upgrades: bool) -> Self {
        Self { upgrades, ..self }
    }

    /// Returns whether a head is the last of HTTP on its connection.
    ///
    /// # Errors
    /// A 101 that nobody has asked for: what follows would be read in two ways.
    pub(crate) fn begins_tunnel(self, head: &ResponseHeader) -> Result<bool> {
        match head.status == StatusCode::SWITCHING_PROTOCOLS {
            true if self.upgrades && head.version == Version::HTTP_11 => Ok(true),
            true => Error::e_explain(ErrorType::InvalidHTTPHeader, "a 101 that the request has not asked for")
                .map_err(|error: Box<Error>| error.into_up()),
            false => Ok(false),
        }
    }

    /// Returns whether no body follows a head of this status.
    pub(crate) fn is_bare(self, status: StatusCode) -> bool {
        self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    pub(crate) fn is_http1(self) -> bool {
        self.version != Version::HTTP_2
    }
}

/// Says in a response's head how long the body is, or how its end is told; returns the length that is promised for a body that is not known
/// yet.
///
/// | | `content-length` | end of the body |
/// |---|---|---|
/// | no body may follow (HEAD, 204, 304) | as it was left | the head |
/// | the body is known | its length | its length |
/// | the length is there, once and a number | as it was left, and the body is held to it | its length |
/// | none, HTTP/1.1 and HTTP/2 | none | chunks, or frames |
/// | none, HTTP/1.0 | none | the connection's |
pub(crate) fn frame_response(head: &mut ResponseHeader, asked: Asked, follows: Follows) -> Result<Option<u64>> {
    if asked.is_bare(head.status) {
        return Ok(None);
    }
    let promised = match follows {
        Follows::Known(length) => {
            head.insert_header(CONTENT_LENGTH, length)?;
            head.remove_header(&TRANSFER_ENCODING);
            return Ok(None);
        }
        Follows::Unknown => settle_length(&head.headers),
    };
    match promised {
        Some(length) => {
            head.insert_header(CONTENT_LENGTH, length)?;
            head.remove_header(&TRANSFER_ENCODING);
        }
        None => {
            head.remove_header(&CONTENT_LENGTH);
            if asked.version == Version::HTTP_10 {
                head.remove_header(&TRANSFER_ENCODING);
            } else if !head.headers.contains_key(TRANSFER_ENCODING) {
                head.set_version(Version::HTTP_11);
                head.insert_header(TRANSFER_ENCODING, "chunked")?;
            }
        }
    }
    Ok(promised)
}

/// Says in a request's head how long the body is, if it is known; returns the length that is promised for one that is not. Pingora sends
/// a body without a length in chunks, or frames.
///
/// To be called when Pingora has read from the head how the client's body ends.
pub(crate) fn frame_request(head: &mut RequestHeader, follows: Follows) -> Result<Option<u64>> {
    let promised = match follows {
        Follows::Known(0) if !head.headers.contains_key(CONTENT_LENGTH) && !has_body_by_kind(&head.method) => {
            head.remove_header(&TRANSFER_ENCODING);
            return Ok(None);
        }
        Follows::Known(length) => Some(length as u64),
        Follows::Unknown => settle_length(&head.headers),
    };
    match promised {
        Some(length) => {
            head.insert_header(CONTENT_LENGTH, length)?;
            head.remove_header(&TRANSFER_ENCODING);
        }
        None => {
            head.remove_header(&CONTENT_LENGTH);
        }
    }
    Ok(promised.filter(|_| matches!(follows, Follows::Unknown)))
}

/// Returns whether servers expect a length of a request without a body (RFC 9110, section 8.6).
fn has_body_by_kind(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Reads the length that a head promises; none if two readers could understand it in two ways.
fn settle_length(fields: &HeaderMap) -> Option<u64> {
    let mut lengths = HeaderMap::new();
    for length in fields.get_all(CONTENT_LENGTH) {
        lengths.append(CONTENT_LENGTH, length.clone());
    }
    settle(&mut lengths)
}

/// Takes all that is left of a body.
pub(crate) fn whole(body: &mut portcullis_core::model::Body) -> Bytes {
    std::mem::take(body).to_bytes()
}

/// Removes from Pingora's head the fields of one connection that plugins do not see and Pingora does not act on, those that its `connection`
/// field names, and their names from that field, so that what a plugin adds under such a name is sent. Options of the connection itself are left to Pingora.
///
/// # Errors
/// Pingora refuses its own field.
pub(crate) fn strip_nominated(head: &mut impl Fields, seen: &HeaderMap) -> Result<()> {
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TE].iter().filter(|name| !seen.contains_key(*name)) {
        head.remove(name);
    }
    let (mut names, mut options) = (Vec::new(), Vec::new());
    for token in head.fields().get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
    {
        let token = token.trim_ascii();
        match HeaderName::from_bytes(token) {
            Ok(name) if !CONNECTION_OPTIONS.contains(&name.as_str()) && !seen.contains_key(&name) => names.push(name),
            _ if token.is_empty() => {}
            // Pingora refuses what is no name, and names that it protects.
            _ => options.push(token.to_owned()),
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    for name in names.iter().chain([&CONNECTION]) {
        head.remove(name);
    }
    match HeaderValue::from_bytes(&options.join(&b", "[..])) {
        Ok(options) if !options.is_empty() => head.append(&CONNECTION, &options),
        _ => Ok(()),
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Options of a connection that Pingora acts on.
const CONNECTION_OPTIONS: [&str; 6] = ["close", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// A head of Pingora's.
pub(crate) trait Fields {
    fn fields(&self) -> &HeaderMap;
    fn remove(&mut self, name: &HeaderName);
    fn append(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<()>;
}

impl Fields for RequestHeader {
    fn fields(&self) -> &HeaderMap {
        &self.headers
    }

    fn remove(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }

    fn append(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<()> {
        self.append_header(name, value.clone()).map(drop).or_err(ErrorType::InvalidHTTPHeader, "a plugin's header")
    }
}

impl Fields for ResponseHeader {
    fn fields(&self) -> &HeaderMap {
        &self.headers
    }

    fn remove(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }

    fn append(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<()> {
        self.append_header(name, value.clone()).map(drop).or_err(ErrorType::InvalidHTTPHeader, "a plugin's header")
    }
}

/// Gives each name the values that it has now.
fn edit(
    head: &mut impl Fields,
    before: &HeaderMap,
    now: &HeaderMap,
    is_left: impl Fn(&HeaderName) -> bool,
) -> std::result::Result<(), Unsendable> {
    for name in before.keys().filter(|name| !is_left(name) && !now.contains_key(*name)) {
        head.remove(name);
    }
    for name in now.keys().filter(|name| !is_left(name)) {
        let values = || now.get_all(name).iter();
        if before.get_all(name).iter().eq(values()) {
            continue;
        }
        head.remove(name);
        for value in values() {
            head.append(name, value).map_err(|_| Unsendable::Header(name.as_str().to_owned()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn request(lines: &[(&'static str, &'static str)]) -> (RequestHeader, Original, Headers) {
        let mut head = RequestHeader::build("GET", b"/a?b", None).unwrap();
        for (name, value) in lines {
            head.append_header(*name, *value).unwrap();
        }
        let mut parts = head.as_owned_parts();
        convert::strip_hop_by_hop(&mut parts.headers);
        let headers = convert::request_headers(&parts, false);
        (head, Original::new(headers.clone(), parts.headers), headers)
    }

    fn wire(head: &RequestHeader) -> String {
        let mut text = Vec::new();
        head.header_to_h1_wire(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_request_that_nobody_changed_stays_as_it_came() {
        let (mut head, original, now) = request(&[("HOST", "a"), ("X-One", "1"), ("Connection", "close")]);
        write_request(&mut head, &original, &now).unwrap();
        assert_eq!(wire(&head), "HOST: a\r\nX-One: 1\r\nConnection: close\r\n");
    }

    #[test]
    fn a_request_is_changed_in_place() {
        let lines = [
            ("Host", "a"),
            ("X-One", "1"),
            ("X-Two", "2"),
            ("x-gone", "3"),
            ("Connection", "x-named"),
            ("x-named", "4"),
        ];
        let (mut head, original, mut now) = request(&lines);
        assert_eq!(
            (now.get(b"connection"), now.get(b"x-named")),
            (None, None),
            "fields of one connection are not the plugins'"
        );
        now.add(b"x-two", b"22");
        now.remove(b"x-gone");
        now.replace(b":path", b"/c");
        now.replace(b":authority", b"b");
        now.replace(b":method", b"PUT");
        write_request(&mut head, &original, &now).unwrap();
        assert_eq!((head.method.as_str(), head.raw_path()), ("PUT", &b"/c"[..]));
        assert!(
            wire(&head).contains("X-One: 1\r\n") && wire(&head).contains("Connection: x-named\r\n"),
            "{}",
            wire(&head)
        );
        assert_eq!(head.headers.get_all("x-two").iter().collect::<Vec<_>>(), ["2", "22"]);
        assert_eq!((head.headers.get("x-gone"), &head.headers["host"]), (None, &HeaderValue::from_static("b")));
    }

    #[test]
    fn what_a_connection_field_names_is_removed_and_its_options_are_left() {
        let lines = [
            ("Connection", "close, x-named"),
            ("x-named", "4"),
            ("host", "a"),
            ("connection", "X-Later , host, a b, upgrade"),
            ("upgrade", "x"),
        ];
        let (mut head, original, mut now) = request(&lines);
        strip_nominated(&mut head, &original.fields).unwrap();
        now.add(b"x-later", b"5");
        write_request(&mut head, &original, &now).unwrap();
        assert_eq!(head.headers.get("x-named"), None);
        assert_eq!(
            (&head.headers["connection"], &head.headers["x-later"]),
            (&HeaderValue::from_static("close, host, a b, upgrade"), &HeaderValue::from_static("5"),)
        );
        assert_eq!(
            (&head.headers["host"], &head.headers["upgrade"]),
            (&HeaderValue::from_static("a"), &HeaderValue::from_static("x"),)
        );
    }

    #[test]
    fn what_http_cannot_carry_is_refused() {
        for (name, value) in [(":path", "x"), (":authority", "a/b"), (":method", ""), ("x-bad", "a\r\nb")] {
            let (mut head, original, mut now) = request(&[("host", "a")]);
            now.replace(name.as_bytes(), value.as_bytes());
            assert!(write_request(&mut head, &original, &now).is_err(), "{name}");
        }
    }

    #[test]
    fn a_plugin_cannot_frame_a_message_itself() {
        let (mut head, original, mut now) = request(&[("host", "a"), ("content-length", "3")]);
        now.add(b"transfer-encoding", b"chunked");
        now.add(b"connection", b"x-one");
        write_request(&mut head, &original, &now).unwrap();
        assert_eq!((head.headers.get("transfer-encoding"), head.headers.get("connection")), (None, None));
    }

    fn framed(
        version: Version,
        method: Method,
        status: u16,
        lengths: &[&'static str],
        follows: Follows,
    ) -> (Option<u64>, String) {
        let mut head = ResponseHeader::build(status, None).unwrap();
        for length in lengths {
            head.append_header(CONTENT_LENGTH, *length).unwrap();
        }
        let promised = frame_response(&mut head, Asked::new(&method, version), follows).unwrap();
        let mut text = Vec::new();
        head.header_to_h1_wire(&mut text);
        (promised, String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_response_says_where_it_ends() {
        let (get, chunked) = (Method::GET, "Transfer-Encoding: chunked\r\n".to_owned());
        let length = |length: &str| format!("Content-Length: {length}\r\n");
        assert_eq!(framed(Version::HTTP_11, get.clone(), 200, &["3"], Follows::Known(5)), (None, length("5")));
        assert_eq!(framed(Version::HTTP_11, get.clone(), 200, &["3"], Follows::Unknown), (Some(3), length("3")));
        assert_eq!(framed(Version::HTTP_11, get.clone(), 200, &["3", "3"], Follows::Unknown), (Some(3), length("3")));
        assert_eq!(framed(Version::HTTP_11, get.clone(), 200, &["3", "4"], Follows::Unknown), (None, chunked.clone()));
        assert_eq!(framed(Version::HTTP_11, get.clone(), 200, &["x"], Follows::Unknown), (None, chunked.clone()));
        assert_eq!(framed(Version::HTTP_11, get.clone(), 200, &[], Follows::Unknown), (None, chunked));
        assert_eq!(framed(Version::HTTP_10, get.clone(), 200, &[], Follows::Unknown), (None, String::new()));
        assert_eq!(framed(Version::HTTP_10, get.clone(), 200, &[], Follows::Known(2)), (None, length("2")));
        for (method, status) in [(Method::HEAD, 200), (get.clone(), 204), (get, 304)] {
            assert_eq!(
                framed(Version::HTTP_11, method.clone(), status, &["9"], Follows::Known(0)),
                (None, length("9"))
            );
            assert_eq!(framed(Version::HTTP_11, method, status, &[], Follows::Unknown), (None, String::new()));
        }
    }

    #[test]
    fn a_request_says_where_it_ends() {
        let framed = |method: &str, lines: &[(&'static str, &'static str)], follows| {
            let (mut head, ..) = request(lines);
            head.set_method(method.parse().unwrap());
            let promised = frame_request(&mut head, follows).unwrap();
            (promised, wire(&head))
        };
        let chunked = [("transfer-encoding", "chunked")];
        assert_eq!(framed("POST", &chunked, Follows::Known(4)), (None, "Content-Length: 4\r\n".to_owned()));
        assert_eq!(framed("POST", &chunked, Follows::Known(0)), (None, "Content-Length: 0\r\n".to_owned()));
        assert_eq!(framed("GET", &chunked, Follows::Known(0)), (None, String::new()));
        assert_eq!(framed("POST", &chunked, Follows::Unknown), (None, "transfer-encoding: chunked\r\n".to_owned()));
        let both = [("transfer-encoding", "chunked"), ("content-length", "4")];
        assert_eq!(framed("POST", &both, Follows::Unknown), (Some(4), "Content-Length: 4\r\n".to_owned()));
    }
}
