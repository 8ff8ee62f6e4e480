//! HTTP/1.1 as clients see it.

use http::{Method, Request, header};

use crate::e2e::harness::{Raw, Setup, Upstream, empty, full, get, guest, post, reply, run};

#[test]
fn a_connection_serves_many_requests() {
    run(async {
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream).plugin("h1_many", &guest("header_tour"), "").start();
        let mut client = gate.h1().await;
        for index in 0..100 {
            let answer = client.ask(post("/", format!("body {index}"))).await;
            assert_eq!((answer.status, answer.json()["body"].as_str()), (200, Some(format!("body {index}").as_str())));
        }
        assert_eq!((upstream.accepted(), upstream.requests()), (1, 100), "the upstream's connection is kept too");
    });
}

#[test]
fn head_has_the_length_and_no_body() {
    run(async {
        let upstream = Upstream::new(|request| async move {
            let mut response = reply(200, "twelve bytes");
            assert_eq!(request.method(), Method::HEAD);
            response.headers_mut().insert("x-up", "1".parse().unwrap());
            response
        });
        let gate = Setup::to(&upstream).plugin("h1_head", &guest("header_tour"), "").start();
        let mut client = gate.h1().await;
        for _ in 0..2 {
            let answer = client.ask(Request::head("/").body(empty()).unwrap()).await;
            assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, "12".to_owned(), 0));
            assert_eq!(answer.header("x-plugin"), "header_tour");
        }
        let mut client = gate.h2().await;
        let answer = client.ask(Request::head("/").body(empty()).unwrap()).await;
        assert_eq!((answer.header("content-length"), answer.body.len()), ("12".to_owned(), 0));
    });
}

#[test]
fn responses_without_a_body_have_none() {
    run(async {
        let upstream = Upstream::new(|request| async move {
            let status = request.uri().path().trim_start_matches('/').parse().unwrap();
            let mut response = reply(status, "");
            if status == 304 {
                response.headers_mut().insert(header::ETAG, "\"e\"".parse().unwrap());
            }
            response
        });
        let gate = Setup::to(&upstream).plugin("h1_none", &guest("header_tour"), "").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            for status in [204, 304, 200] {
                let answer = client.ask(get(&format!("/{status}"))).await;
                assert_eq!((answer.status, answer.body.len()), (status, 0));
                assert!(answer.headers.get(header::TRANSFER_ENCODING).is_none(), "{answer:?}");
            }
        }
    });
}

#[test]
fn a_length_stays_a_length_and_chunks_stay_chunks() {
    run(async {
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream).plugin("h1_frames", &guest("header_tour"), "").start();
        let mut client = gate.h1().await;
        let sized = client.ask(post("/", "sized")).await;
        assert_eq!(sized.json()["headers"]["content-length"], "5");
        assert_eq!(sized.header("content-length"), sized.body.len().to_string());

        let mut raw = Raw::connect(gate.address()).await;
        raw.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            .await;
        let answer = raw.read_to("}").await;
        assert!(answer.contains("\"body\":\"abcde\""), "{answer}");
        assert!(!answer.contains("\"content-length\""), "{answer}");
    });
}

#[test]
fn a_response_without_a_length_is_chunked() {
    run(async {
        let upstream = Upstream::new(|_| async {
            let (writer, body) = crate::e2e::harness::channel();
            writer.send("one");
            writer.send("two");
            http::Response::new(body)
        });
        let gate = Setup::to(&upstream).plugin("h1_chunks", &guest("header_tour"), "").start();
        let answer = gate.h1().await.ask(get("/")).await;
        assert_eq!((answer.header("transfer-encoding").as_str(), answer.text()), ("chunked", "onetwo"));
    });
}

#[test]
fn expect_continue_is_answered_before_the_body() {
    run(async {
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream).plugin("h1_expect", &guest("header_tour"), "").start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n").await;
        let interim = raw.read_to("\r\n\r\n").await;
        assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
        raw.write("body").await;
        let head = raw.read_to("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(raw.read_to("}").await.contains("\"body\":\"body\""));
    });
}

#[test]
fn http_1_0_is_served_and_closed() {
    run(async {
        let gate = Setup::echo().plugin("h1_old", &guest("header_tour"), "").start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("GET /old HTTP/1.0\r\n\r\n").await;
        let answer = raw.read_all().await;
        assert!(answer.starts_with("HTTP/1.0 200 ") && answer.contains("\"path\":\"/old\""), "{answer}");
    });
}

#[test]
fn nonsense_is_refused_and_others_are_served() {
    run(async {
        let gate = Setup::echo().plugin("h1_nonsense", &guest("header_tour"), "").start();
        for text in [
            "nonsense\r\n\r\n",
            "GET / HTTP/1.1\r\nbad header\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 2\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            let mut raw = Raw::connect(gate.address()).await;
            raw.write(text).await;
            let answer = raw.read_all().await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{text:?} {answer}");
        }
        let mut client = gate.h1().await;
        let request = Request::put("/").header("x-odd", &b"\xff\xfe"[..]).body(full("ok")).unwrap();
        assert_eq!(client.ask(request).await.json()["body"], "ok");
    });
}
