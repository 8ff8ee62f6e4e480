//! `examples/quickstart.yaml` does what the README says of it.

use crate::e2e::harness::{Gate, get, logs, run};

/// The file itself; only its ports and the plugin's name, by which its log is found, are others.
fn quickstart() -> Gate {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let text = std::fs::read_to_string(format!("{root}/examples/quickstart.yaml")).unwrap();
    assert!(text.contains("127.0.0.1:8080") && text.contains("127.0.0.1:9901"), "{text}");
    let text = text.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9901", "127.0.0.1:0");
    let text = text.replace("name: header_tour", "name: quickstart");
    Gate::start(&text.replace("filename: guests", &format!("filename: {root}/guests")))
}

#[test]
fn the_plugin_marks_both_directions() {
    run(async {
        let gate = quickstart();
        let answer = gate.h1().await.ask(get("/x?y=z")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-plugin"), "header_tour");
        assert_eq!(answer.header("content-type"), "application/json");
        let echoed = answer.json();
        assert_eq!(echoed["headers"]["x-plugin"], "header_tour");
        assert_eq!((&echoed["method"], &echoed["path"]), (&"GET".into(), &"/x?y=z".into()));
        assert_eq!(echoed["authority"], "gateway.test");
        for line in ["-> :path: /x?y=z", "-> :authority: gateway.test", "<- :status: 200", "completed"] {
            logs::wait("quickstart", line).await;
        }
    });
}

#[test]
fn the_plugin_says_hello() {
    run(async {
        let gate = quickstart();
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.ask(get("/hello")).await;
            assert_eq!((answer.status, answer.text()), (200, "Hello, World!\n"));
            assert_eq!(answer.header("powered-by"), "proxy-wasm");
            assert_eq!(answer.header("x-plugin"), "header_tour", "the chain's response side runs");
            assert_eq!(answer.header("content-length"), "14");
        }
        assert_eq!(gate.admin("/ready").await.status, 200);
    });
}
