//! The built-in echo service: an upstream that needs no upstream, for trying out plugins and for tests.

use std::borrow::Cow;
use std::error::Error;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, request};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::{Map, Value, json};

/// The largest body that is echoed; a larger one is answered with 413.
pub const MAX_BODY: usize = 1024 * 1024;

/// Answers with what the request looked like, as JSON.
///
/// The members are `method`, `path` (with its query), `scheme` (when the target had one), `version`, `authority` (from
/// the target, else the `host` field), `headers` (a field that came more than once is a list), `body` (text, lossy) and
/// `trailers` (when there were any).
pub async fn echo<B>(request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => {
            let trailers = body.trailers().cloned();
            let text = describe(&head, &body.to_bytes(), trailers.as_ref());
            answer(StatusCode::OK, &text)
        }
        Err(error) if error.is::<LengthLimitError>() => answer(
            StatusCode::PAYLOAD_TOO_LARGE,
            &json!({ "error": format!("the body is larger than {MAX_BODY} bytes") }),
        ),
        Err(error) => {
            answer(StatusCode::BAD_REQUEST, &json!({ "error": format!("the body could not be read: {error}") }))
        }
    }
}

fn describe(head: &request::Parts, body: &[u8], trailers: Option<&HeaderMap>) -> Value {
    let mut members = Map::new();
    members.insert("method".into(), head.method.as_str().into());
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    members.insert("path".into(), path.into());
    if let Some(scheme) = head.uri.scheme_str() {
        members.insert("scheme".into(), scheme.into());
    }
    members.insert("version".into(), format!("{:?}", head.version).into());
    if let Some(authority) = authority(head) {
        members.insert("authority".into(), authority.into());
    }
    members.insert("headers".into(), fields(&head.headers));
    members.insert("body".into(), String::from_utf8_lossy(body).into());
    if let Some(trailers) = trailers {
        members.insert("trailers".into(), fields(trailers));
    }
    Value::Object(members)
}

fn authority(head: &request::Parts) -> Option<Cow<'_, str>> {
    match head.uri.authority() {
        Some(authority) => Some(authority.as_str().into()),
        None => head.headers.get(HOST).map(text),
    }
}

fn fields(headers: &HeaderMap) -> Value {
    let member = |name: &http::HeaderName| {
        let mut values: Vec<Value> = headers.get_all(name).iter().map(|value| text(value).into()).collect();
        let value = match values.len() {
            1 => values.remove(0),
            _ => Value::Array(values),
        };
        (name.as_str().to_owned(), value)
    };
    Value::Object(headers.keys().map(member).collect())
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

fn answer(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(value.to_string().into()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use portcullis_driver::body::{QueueBody, body_queue};

    async fn json_of(response: Response<Full<Bytes>>) -> Value {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn shows_every_part() {
        let (sender, body) = body_queue();
        sender.push("hal".into());
        sender.push("lo".into());
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("5"));
        sender.finish(Some(trailers));
        let request = Request::post("https://one.test:8443/a?b=c")
            .header("x-twice", "1")
            .header("x-twice", "2")
            .header("x-odd", HeaderValue::from_bytes(b"\xff").unwrap())
            .body(body)
            .unwrap();
        let response = echo(request).await;
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(
            json_of(response).await,
            json!({
                "method": "POST", "path": "/a?b=c", "scheme": "https", "version": "HTTP/1.1",
                "authority": "one.test:8443", "headers": { "x-twice": ["1", "2"], "x-odd": "\u{fffd}" },
                "body": "hallo", "trailers": { "x-sum": "5" },
            })
        );
    }

    #[tokio::test]
    async fn the_authority_may_come_from_the_host_field() {
        let request = Request::get("/").header(HOST, "two.test").body(QueueBody::empty()).unwrap();
        let value = json_of(echo(request).await).await;
        assert_eq!(value["authority"], "two.test");
        assert!(value.get("scheme").is_none() && value.get("trailers").is_none());
    }

    #[tokio::test]
    async fn bodies_are_bounded() {
        let exact = Request::new(Full::new(Bytes::from(vec![b'a'; MAX_BODY])));
        assert_eq!(echo(exact).await.status(), StatusCode::OK);
        let above = Request::new(Full::new(Bytes::from(vec![b'a'; MAX_BODY + 1])));
        assert_eq!(echo(above).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_broken_body_is_the_clients_fault() {
        let (sender, body) = body_queue();
        sender.abort("gone");
        assert_eq!(echo(Request::new(body)).await.status(), StatusCode::BAD_REQUEST);
    }
}
