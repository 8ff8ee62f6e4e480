//! The examples: they run, they are short, and the page shows the first of them.

use std::error::Error;

use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

#[path = "../../examples/axum.rs"]
#[expect(dead_code, reason = "a test calls `serve` in the place of `main`")]
mod with_axum;
#[path = "../../examples/hyper.rs"]
#[expect(dead_code, reason = "a test calls `serve` in the place of `main`")]
mod with_hyper;
#[path = "../../examples/reqwest.rs"]
#[expect(dead_code, reason = "a test calls `serve` in the place of `main`")]
mod with_reqwest;

const PLUGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests/wasm/header_tour.wasm");
const PAGE: &str = include_str!("../../../../docs/tower.md");

/// Starts an example on a port of its own; returns its address.
async fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> String
where
    F: Future<Output = Result<(), Box<dyn Error>>> + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = serve(listener);
    tokio::task::spawn_local(async move { served.await.unwrap() });
    format!("http://{address}")
}

/// Sends a request over HTTP/1.1 or HTTP/2; returns status, the field `x-plugin` and the body.
async fn get(base: &str, path: &str, http2: bool) -> (u16, Option<String>, String) {
    let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http::<Empty<bytes::Bytes>>();
    let request = http::Request::get(format!("{base}{path}")).body(Empty::new()).unwrap();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    let plugin = parts.headers.get("x-plugin").map(|value| value.to_str().unwrap().to_owned());
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), plugin, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn each_example_answers_through_its_plugin() {
    let run = async {
        let axum = start(|listener| with_axum::serve(listener, PLUGIN)).await;
        let hyper = start(|listener| with_hyper::serve(listener, PLUGIN)).await;
        let upstream = axum.clone();
        let reqwest =
            start(move |listener| async move { with_reqwest::serve(listener, PLUGIN, &upstream).await }).await;
        for http2 in [false, true] {
            // Over HTTP/2 the target has a host.
            let at = if http2 { format!("{hyper}/") } else { "/".to_owned() };
            for (base, own) in [
                (&axum, "Hello from axum\n"),
                (&hyper, &format!("Hello from hyper at {at}\n")),
                (&reqwest, "Hello from axum\n"),
            ] {
                let tour = Some("header_tour".to_owned());
                assert_eq!(get(base, "/", http2).await, (200, tour.clone(), own.to_owned()));
                assert_eq!(get(base, "/hello", http2).await, (200, tour, "Hello, World!\n".to_owned()));
            }
        }
    };
    tokio::task::LocalSet::new().run_until(run).await;
}

const EXAMPLES: [(&str, &str); 3] = [
    ("axum", include_str!("../../examples/axum.rs")),
    ("hyper", include_str!("../../examples/hyper.rs")),
    ("reqwest", include_str!("../../examples/reqwest.rs")),
];

/// Returns the lines of an example that are there for plugins.
fn plugin_lines(example: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in example.lines().map(str::trim) {
        match line {
            "// plugins: begin" => inside = true,
            "// plugins: end" => inside = false,
            _ if inside => lines.push(line),
            _ => {}
        }
    }
    assert!(!inside, "a part has no end");
    lines
}

#[test]
fn each_example_has_at_most_15_lines_for_plugins() {
    for (name, example) in EXAMPLES {
        let lines = plugin_lines(example).len();
        assert!((5..=15).contains(&lines), "{name}: {lines} lines");
    }
}

#[test]
fn the_page_shows_the_example() {
    let block = PAGE.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let shown: Vec<_> = block.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(shown, plugin_lines(EXAMPLES[0].1));
}
