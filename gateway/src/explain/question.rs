//! The request that is asked about.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, Uri, Version, request};
use thiserror::Error;

/// A request of which nothing is sent.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(super) url: Uri,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    /// The listener, if the URL does not say which.
    pub(super) listener: Option<String>,
}

/// A reason for which a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct Unclear(pub(super) String);

/// The longest question that the admin interface reads, in bytes.
const MOST: usize = 64 << 10;

impl Question {
    /// Asks about a request. `headers` are lines such as `name: value`.
    ///
    /// # Errors
    /// A part cannot be read.
    pub(crate) fn new(
        url: &str,
        method: &str,
        headers: &[impl AsRef<str>],
        listener: Option<&str>,
    ) -> Result<Self, Unclear> {
        let parsed: Result<Uri, _> = url.parse();
        let url = match parsed {
            Ok(url) if url.authority().is_some() && is_http(&url) => url,
            _ => return Err(Unclear(format!("{url:?} is no URL of HTTP; write it as http://example.com:8080/path"))),
        };
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| Unclear(format!("{method:?} is no method; write one such as GET")))?;
        let mut fields = HeaderMap::new();
        for line in headers {
            let (name, value) = field(line.as_ref())?;
            fields.append(name, value);
        }
        Ok(Self { url, method, headers: fields, listener: listener.map(str::to_owned) })
    }

    /// Reads a question from the query of a URL: `url=...&method=GET&header=name:%20value&listener=main`.
    ///
    /// # Errors
    /// A part is missing, is not known, or cannot be read.
    pub(crate) fn from_query(query: &str) -> Result<Self, Unclear> {
        if query.len() > MOST {
            return Err(Unclear(format!("the question has {} bytes, and may have {MOST}", query.len())));
        }
        let (mut url, mut method, mut listener, mut headers) = (None, None, None, Vec::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "url" => url = Some(value),
                "method" => method = Some(value),
                "listener" => listener = Some(value),
                "header" => headers.push(value),
                _ => {
                    let known = "url, method, header and listener";
                    return Err(Unclear(format!("there is no parameter {key:?}; there are {known}")));
                }
            }
        }
        let Some(url) = url else {
            return Err(Unclear("add the URL of a request, as /explain?url=http://example.com/path".to_owned()));
        };
        Self::new(&url, method.as_deref().unwrap_or("GET"), &headers, listener.as_deref())
    }

    /// Returns whether the client speaks TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.url.scheme() == Some(&Scheme::HTTPS)
    }

    /// Returns the port that the client connects to.
    pub(super) fn port(&self) -> u16 {
        self.url.port_u16().unwrap_or_else(|| if self.is_tls() { 443 } else { 80 })
    }

    /// Returns the head as an HTTP/1.1 client sends it.
    pub(super) fn head(&self) -> Result<request::Parts, Unclear> {
        let target = self.url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::builder().method(self.method.clone()).uri(target).version(Version::HTTP_11);
        let (mut parts, ()) = request.body(()).map_err(|error| Unclear(format!("{}: {error}", self.url)))?.into_parts();
        parts.headers = self.headers.clone();
        if let Some(authority) = self.url.authority().filter(|_| !parts.headers.contains_key(HOST))
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            parts.headers.insert(HOST, host);
        }
        Ok(parts)
    }
}

fn is_http(url: &Uri) -> bool {
    url.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)
}

fn field(line: &str) -> Result<(HeaderName, HeaderValue), Unclear> {
    let parts = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    let field = parts.and_then(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    });
    field.ok_or_else(|| Unclear(format!("{line:?} is no header; write it as \"name: value\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(query: &str) -> Result<Question, String> {
        Question::from_query(query).map_err(|unclear| unclear.to_string())
    }

    #[test]
    fn a_query_has_all_parts_of_a_request() {
        let asked = question("url=https://a.example/b%3Fc&method=POST&header=X-A:+1&header=host:b&listener=main");
        let parts = asked.clone().ok().and_then(|question| question.head().ok());
        assert_eq!(parts.as_ref().map(|parts| parts.uri.to_string()).as_deref(), Some("/b?c"));
        let header = |name: &str| parts.as_ref()?.headers.get(name)?.to_str().ok();
        assert_eq!((header("x-a"), header("host")), (Some("1"), Some("b")));
        let asked = asked.map(|asked| (asked.port(), asked.method, asked.listener));
        assert_eq!(asked, Ok((443, Method::POST, Some("main".to_owned()))));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (query, named) in [
            ("", "add the URL"),
            ("url=/path", "\"/path\" is no URL"),
            ("url=ftp://a/", "is no URL"),
            ("url=http://a/&method=G+T", "\"G T\" is no method"),
            ("url=http://a/&header=x", "\"x\" is no header"),
            ("url=http://a/&headers=x:1", "no parameter \"headers\""),
            (&format!("url=http://a/{}", "x".repeat(MOST)), "and may have 65536"),
        ] {
            assert!(question(query).is_err_and(|text| text.contains(named)), "{query}");
        }
    }
}
