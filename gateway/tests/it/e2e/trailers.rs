//! Trailers pass both ways; plugins see, change and create them.

use http::{Request, Response, header};

use crate::e2e::harness::{Gate, Setup, Upstream, get, guest, plugin, post, run, with_trailers};

/// An upstream that answers with trailers, and with what it was sent as JSON.
fn upstream() -> Upstream {
    Upstream::new(|request| async move {
        use http_body_util::BodyExt;
        let sent = request.into_body().collect().await.unwrap();
        let sum = sent.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
        let mut response = Response::new(with_trailers("answer", &[("x-check", "42")]));
        response.headers_mut().insert(header::TRAILER, "x-check, x-made".parse().unwrap());
        response.headers_mut().insert("x-got-sum", sum.unwrap_or_else(|| "none".parse().unwrap()));
        response
    })
}

fn request() -> Request<crate::e2e::harness::Sent> {
    let request = Request::post("/").header(header::TE, "trailers").header(header::TRAILER, "x-sum");
    request.body(with_trailers("data", &[("x-sum", "7")])).unwrap()
}

async fn check(gate: &Gate) {
    for mut client in [gate.h1().await, gate.h2().await] {
        let answer = client.ask(request()).await;
        assert_eq!((answer.status, answer.text()), (200, "answer"));
        assert_eq!(answer.header("x-got-sum"), "7", "h2 {}", client.is_h2());
        assert_eq!(answer.trailer("x-check"), "42", "h2 {}", client.is_h2());
    }
}

#[test]
fn they_pass_over_every_protocol() {
    run(async {
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = upstream();
            check(&Setup::to(&upstream).backend(protocol).start()).await;
            check(&Setup::to(&upstream).backend(protocol).plugin("trailers", &guest("header_tour"), "").start()).await;
        }
    });
}

#[test]
fn a_held_body_is_rewritten_when_trailers_end_it() {
    run(async {
        let upstream = upstream();
        let gate = Setup::to(&upstream).plugin("held_trailers", &guest("body_rewrite"), "").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let mut request = request();
            request.headers_mut().insert("x-body-rewrite", "append".parse().unwrap());
            request.headers_mut().insert("x-response-rewrite", "append".parse().unwrap());
            let answer = client.ask(request).await;
            assert_eq!((answer.text(), answer.trailer("x-check")), ("answer[rewritten]", "42".to_owned()));
            assert_eq!(answer.header("x-got-sum"), "7");
        }
    });
}

#[test]
fn plugins_see_and_change_them() {
    run(async {
        let wat = plugin(&[
            (
                "request_trailers",
                r#"(drop (call $remove (i32.const 1) $"x-sum")) (call $header (i32.const 1) $"x-sum" $"8") (i32.const 0)"#,
            ),
            ("response_trailers", r#"(call $header (i32.const 3) $"x-check" $"43") (i32.const 0)"#),
        ]);
        let upstream = upstream();
        let gate = Setup::to(&upstream).backend("protocol: http2").plugin("change_trailers", &wat, "").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.ask(request()).await;
            assert_eq!((answer.header("x-got-sum"), answer.trailer("x-check")), ("8".to_owned(), "42,43".to_owned()));
        }
    });
}

/// Each message ends without trailers, and without a frame of none.
#[test]
fn plugins_remove_all_of_them() {
    run(async {
        let remove =
            |map: u8, name: &str| format!(r#"(drop (call $remove (i32.const {map}) $"{name}")) (i32.const 0)"#);
        let wat = plugin(&[("request_trailers", &remove(1, "x-sum")), ("response_trailers", &remove(3, "x-check"))]);
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = Upstream::new(|request| async move {
                use http_body_util::BodyExt;
                let sent = request.into_body().collect().await.unwrap();
                let trailers = sent.trailers().map_or_else(|| "none".to_owned(), |trailers| format!("{trailers:?}"));
                let mut response = Response::new(with_trailers("answer", &[("x-check", "42")]));
                response.headers_mut().insert(header::TRAILER, "x-check".parse().unwrap());
                response.headers_mut().insert("x-got-trailers", trailers.parse().unwrap());
                response.headers_mut().insert("x-got-body", sent.to_bytes().len().to_string().parse().unwrap());
                response
            });
            let gate = Setup::to(&upstream).backend(protocol).plugin("remove_trailers", &wat, "").start();
            for mut client in [gate.h1().await, gate.h2().await] {
                let answer = client.ask(request()).await;
                let what = format!("{protocol}, h2 {}", client.is_h2());
                assert_eq!((answer.status, answer.text()), (200, "answer"), "{what}");
                assert_eq!(
                    (answer.header("x-got-body"), answer.header("x-got-trailers")),
                    ("4".to_owned(), "none".to_owned()),
                    "{what}"
                );
                assert!(answer.trailers.is_none(), "{what}");
            }
        }
    });
}

#[test]
fn plugins_create_them_at_the_end_of_the_stream() {
    run(async {
        let create = |map: u8, name: &str| {
            format!(r#"(if (local.get $end) (then (call $header (i32.const {map}) $"{name}" $"made"))) (i32.const 0)"#)
        };
        let wat = plugin(&[("request_body", &create(1, "x-sum")), ("response_body", &create(3, "x-made"))]);
        let upstream = Upstream::new(|request| async move {
            use http_body_util::BodyExt;
            let sent = request.into_body().collect().await.unwrap();
            let mut response = crate::e2e::harness::reply(200, "plain");
            let sum = sent.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
            response.headers_mut().insert("x-got-sum", sum.unwrap_or_else(|| "none".parse().unwrap()));
            response
        });
        let gate = Setup::to(&upstream).backend("protocol: http2").plugin("make_trailers", &wat, "").start();
        let answer = gate.h2().await.ask(post("/", "data")).await;
        assert_eq!(
            (answer.text(), answer.header("x-got-sum"), answer.trailer("x-made")),
            ("plain", "made".to_owned(), "made".to_owned())
        );
        // HTTP/1.1 cannot send trailers behind a content-length, but the message has to stay whole.
        let answer = gate.h1().await.ask(post("/", "data")).await;
        assert_eq!((answer.text(), answer.header("x-got-sum")), ("plain", "made".to_owned()));
        // A response without a body callback has none.
        assert_eq!(gate.h2().await.ask(get("/")).await.trailer("x-made"), "made");
    });
}
