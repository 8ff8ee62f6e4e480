//! The paths of the admin interface.
//!
//! A path that only shows something is a row `Page::read(PATH, HANDLER)` of [`PAGES`], one that changes something a row
//! `Page::write(PATH, HANDLER)`: POST alone, by those whom `writes` allows.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::{Admin, Shown};
use crate::explain::{Explanation, Question};
use crate::observe::health::Readiness;
use crate::observe::log::{self, Dropped};
use crate::observe::usage;
use crate::serve::control::{By, Control, Outcome};
use crate::serve::generation::Reloaded;

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// An answer that somebody waits for.
pub(super) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A path, and what answers it.
pub(crate) struct Page {
    path: &'static str,
    handler: Handler,
}

/// The handler of a path.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// Shows something, for GET and HEAD.
    Read(fn(&Admin, &Shown) -> Answer),
    /// Answers the question that the query asks, for GET and HEAD.
    Ask(fn(&Shown, &str) -> Answer),
    /// Changes something, for POST.
    Write(fn(Arc<Admin>) -> Answering),
}

/// All paths.
pub(crate) static PAGES: &[Page] = &[
    Page::read("/ready", ready),
    Page::read("/metrics", metrics),
    Page::read("/config", config),
    Page::read("/sandboxes", sandboxes),
    Page::read("/denials", denials),
    Page::ask("/explain", explain),
    Page::write("/reload", reload),
    Page::write("/drain", drain),
    Page::write("/upgrade", upgrade),
];

impl Page {
    pub(super) const fn read(path: &'static str, handler: fn(&Admin, &Shown) -> Answer) -> Self {
        Self { path, handler: Handler::Read(handler) }
    }

    pub(super) const fn ask(path: &'static str, handler: fn(&Shown, &str) -> Answer) -> Self {
        Self { path, handler: Handler::Ask(handler) }
    }

    pub(super) const fn write(path: &'static str, handler: fn(Arc<Admin>) -> Answering) -> Self {
        Self { path, handler: Handler::Write(handler) }
    }
}

/// Finds what answers a request.
///
/// # Errors
/// The answer to a path that is not there, or to a method that it does not have.
pub(super) fn find(pages: &[Page], method: &Method, path: &str) -> Result<Handler, Box<Answer>> {
    let Some(page) = pages.iter().find(|page| page.path == path) else {
        let named: Vec<_> = pages.iter().map(|page| format!("{}{}", page.handler.prefix(), page.path)).collect();
        return Err(Box::new(text(StatusCode::NOT_FOUND, format!("there is {}\n", named.join(", ")))));
    };
    let methods = page.handler.methods();
    if methods.contains(&method.as_str()) {
        return Ok(page.handler);
    }
    let allowed = methods.join(", ");
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("{path} is for {allowed}\n"));
    answer.headers_mut().extend(HeaderValue::try_from(allowed).map(|allowed| (ALLOW, allowed)));
    Err(Box::new(answer))
}

impl Handler {
    fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Read(_) | Self::Ask(_) => &["GET", "HEAD"],
            Self::Write(_) => &["POST"],
        }
    }

    /// Returns what stands before the path where paths are listed.
    fn prefix(self) -> &'static str {
        match self {
            Self::Read(_) | Self::Ask(_) => "",
            Self::Write(_) => "POST ",
        }
    }
}

/// Answers with text.
pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    let mut answer = respond(status, "text/plain", body.into());
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// Answers with JSON.
pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    respond(status, "application/json", format!("{body:#}\n"))
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The answer of `/ready` while workers wait for the reader of the log.
const NO_READER: &str = "not ready\nlog: workers wait for its reader, which reads nothing (--log-when-full wait); let it read, or start \
                         the gateway with --log-when-full drop\n";

/// The answer of `/ready` from when the process drains.
const DRAINING: &str = "draining\n";

fn ready(admin: &Admin, _: &Shown) -> Answer {
    // Names of a plugin's functions may be in it.
    let not_ready = |text: &str| Readiness { is_ready: false, text: text.to_owned() };
    let Readiness { is_ready, text } = match log::holds_workers_up() {
        _ if admin.drain.has_begun() => not_ready(DRAINING),
        false => admin.host.health.readiness(admin.now()),
        true => not_ready(NO_READER),
    };
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let failure = admin.control.as_ref().and_then(Control::failure);
    self::text(status, log::escaped(&(text + failure.as_deref().unwrap_or_default())))
}

fn metrics(admin: &Admin, _: &Shown) -> Answer {
    admin.host.health.set_gauges();
    let Dropped { plugins, gateway } = log::dropped();
    for (of, lines) in [("plugin", plugins), ("gateway", gateway)] {
        metrics::counter!("portcullis_log_lines_dropped_total", "of" => of).absolute(lines);
    }
    let text = admin.metrics.render() + &usage::exposition();
    respond(StatusCode::OK, "text/plain; version=0.0.4", text)
}

fn config(admin: &Admin, shown: &Shown) -> Answer {
    let mut config = shown.config.clone();
    if let (Some(control), serde_json::Value::Object(members)) = (&admin.control, &mut config) {
        members.extend(control.members());
    }
    json(StatusCode::OK, &config)
}

fn sandboxes(_: &Admin, shown: &Shown) -> Answer {
    json(StatusCode::OK, &shown.sandboxes)
}

fn denials(admin: &Admin, _: &Shown) -> Answer {
    json(StatusCode::OK, &admin.host.denials.to_json())
}

fn explain(shown: &Shown, query: &str) -> Answer {
    let Some(outline) = &shown.outline else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "nothing is served yet\n");
    };
    let explained = Question::from_query(query).and_then(|question| Ok(Explanation::of(outline, &question)?.to_json()));
    match explained {
        Ok(explanation) => json(StatusCode::OK, &explanation),
        Err(unclear) => text(StatusCode::BAD_REQUEST, format!("{unclear}\n")),
    }
}

/// The answer of a gateway that has no file to read again.
const NO_FILE: &str = "this gateway has no file to read again, since its configuration came from standard input; start it with a \
                       file\n";

/// Answers when the reload is done.
fn reload(admin: Arc<Admin>) -> Answering {
    Box::pin(async move {
        let Some(control) = &admin.control else { return text(StatusCode::UNPROCESSABLE_ENTITY, NO_FILE) };
        match control.reload(By::Admin).await {
            Outcome::Done(Reloaded { generation, started, stayed, ended, .. }) => json(
                StatusCode::OK,
                &json!({ "generation": generation, "started": started, "stayed": stayed, "ended": ended }),
            ),
            // Names of a plugin's functions may be in it.
            Outcome::Refused(error) => text(StatusCode::UNPROCESSABLE_ENTITY, log::escaped(&format!("{error}\n"))),
            Outcome::Cancelled => text(StatusCode::CONFLICT, "a newer reload took the place of this one\n"),
            Outcome::Stopping => text(StatusCode::SERVICE_UNAVAILABLE, "the gateway stops\n"),
        }
    })
}

/// Has another process take over, and answers when it does or fails.
fn upgrade(admin: Arc<Admin>) -> Answering {
    Box::pin(async move {
        match admin.upgrades.ask().await {
            Some(Ok(pid)) => json(StatusCode::OK, &json!({ "pid": pid })),
            Some(Err(reason)) => text(StatusCode::UNPROCESSABLE_ENTITY, log::escaped(&format!("{reason}\n"))),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the gateway stops, or does not serve yet\n"),
        }
    })
}

/// Begins to drain, and answers at once.
fn drain(admin: Arc<Admin>) -> Answering {
    Box::pin(async move {
        if admin.drain.begin("POST /drain") {
            let drain = admin.drain.clone();
            tokio::spawn(async move { drain.delay().await });
        }
        text(StatusCode::ACCEPTED, DRAINING)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    static SOME: &[Page] = &[
        Page::read("/config", config),
        Page::write("/change", |_| Box::pin(async { text(StatusCode::OK, "changed\n") })),
    ];

    fn status(method: &Method, path: &str) -> (u16, String) {
        match find(SOME, method, path) {
            Ok(Handler::Read(_) | Handler::Ask(_)) => (200, "read".to_owned()),
            Ok(Handler::Write(_)) => (200, "write".to_owned()),
            Err(answer) => {
                let allow = answer.headers().get(ALLOW).and_then(|allow| allow.to_str().ok());
                (answer.status().as_u16(), allow.unwrap_or_default().to_owned())
            }
        }
    }

    #[test]
    fn a_path_that_changes_something_takes_post_alone() {
        for (method, path, found) in [
            (Method::GET, "/config", (200, "read")),
            (Method::HEAD, "/config", (200, "read")),
            (Method::POST, "/config", (405, "GET, HEAD")),
            (Method::OPTIONS, "/config", (405, "GET, HEAD")),
            (Method::POST, "/change", (200, "write")),
            (Method::GET, "/change", (405, "POST")),
            (Method::HEAD, "/change", (405, "POST")),
            (Method::PUT, "/change", (405, "POST")),
            (Method::POST, "/change/", (404, "")),
            (Method::GET, "/", (404, "")),
        ] {
            assert_eq!(status(&method, path), (found.0, found.1.to_owned()), "{method} {path}");
        }
    }
}
