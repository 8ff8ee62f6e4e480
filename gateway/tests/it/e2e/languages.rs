//! Plugins in Go, AssemblyScript and C: they do the same, each through its own toolchain's idea of the ABI.

use http::Request;

use crate::e2e::harness::{Gate, Sent, Setup, Upstream, get, guest, logs, post, run, until};

/// The differences between the plugins.
struct Language {
    guest: &'static str,
    /// The request header that the plugin sets.
    header: &'static str,
    /// The value that it puts into the response header `x-plugin`.
    mark: &'static str,
    /// Keys that the plugin needs in its configuration.
    keys: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language { guest: "go_headers", header: "x-go-plugin", mark: "go", keys: "" },
    Language { guest: "as_headers", header: "x-as-plugin", mark: "assemblyscript", keys: "root_id: as_headers, " },
    Language { guest: "c_headers", header: "x-c-plugin", mark: "c", keys: "" },
];

impl Language {
    /// Adds the plugin to a chain, with a plugin configuration or none. Logs are found by `name`.
    fn add(&self, setup: Setup, name: &str, configuration: Option<&str>) -> Setup {
        let configuration = configuration.map(|text| format!("configuration: {text:?}")).unwrap_or_default();
        setup.plugin(name, &guest(self.guest), &format!("{}{configuration}", self.keys))
    }

    /// The plugin's name in a test; names are the process's.
    fn name(&self, test: &str) -> String {
        format!("{test}_{}", self.guest)
    }

    fn gate(&self, setup: Setup, test: &str, configuration: Option<&str>) -> Gate {
        self.add(setup, &self.name(test), configuration).start()
    }
}

/// With a header more.
fn with(mut request: Request<Sent>, name: &'static str, value: &'static str) -> Request<Sent> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

#[test]
fn both_directions_are_marked() {
    run(async {
        let upstream = Upstream::echo();
        for language in LANGUAGES {
            let gate = language.gate(Setup::to(&upstream), "marked", None);
            for mut client in [gate.h1().await, gate.h2().await] {
                let answer = client.ask(with(get("/x?y=z"), language.header, "forged")).await;
                assert_eq!((answer.status, answer.header("x-plugin").as_str()), (200, language.mark));
                assert_eq!(answer.json()["headers"][language.header], "seen /x?y=z");
                let answer = client.ask(post("/body", "text")).await;
                assert_eq!((answer.status, answer.header("x-plugin").as_str()), (200, language.mark));
                assert_eq!(answer.json()["headers"][language.header], "seen /body");
                assert_eq!(answer.json()["body"], "text");
            }
            let name = language.name("marked");
            until(|| logs::count(&name, "seen /x?y=z") == 2 && logs::count(&name, "seen /body") == 2).await;
            assert_eq!(logs::of(&name).len(), 4, "one line for each request: {:?}", logs::of(&name));
        }
    });
}

#[test]
fn requests_are_denied() {
    run(async {
        let upstream = Upstream::echo();
        for language in LANGUAGES {
            let gate = language.gate(Setup::to(&upstream), "denied", None);
            let before = upstream.requests();
            for mut client in [gate.h1().await, gate.h2().await] {
                for request in [get("/no"), post("/no", "text")] {
                    let answer = client.ask(with(request, "x-deny", "1")).await;
                    assert_eq!((answer.status, answer.text()), (403, "denied\n"), "{}", language.guest);
                    assert_eq!(answer.header("x-plugin"), language.mark, "its own response runs through it");
                }
            }
            assert_eq!(upstream.requests(), before, "no upstream sees a denied request");
            until(|| logs::count(&language.name("denied"), "denied /no") == 4).await;
            let answer = gate.h1().await.ask(with(get("/"), "x-deny", "0")).await;
            assert_eq!(answer.status, 200, "only 1 denies");
        }
    });
}

#[test]
fn the_configuration_is_read() {
    run(async {
        for language in LANGUAGES {
            for (configuration, value) in [("saw", "saw /"), (" noted, at \n", "noted, at /"), ("", "seen /")] {
                let gate = language.gate(Setup::echo(), "configured", Some(configuration));
                let answer = gate.h1().await.ask(get("/")).await;
                assert_eq!(answer.json()["headers"][language.header], value, "{} {configuration:?}", language.guest);
            }
        }
    });
}

#[test]
fn a_configuration_that_no_header_can_hold_is_refused() {
    run(async {
        for language in LANGUAGES {
            let name = language.name("refused");
            for configuration in ["two\nlines", "é"] {
                let error = language.add(Setup::echo(), &name, Some(configuration)).refusal();
                assert!(error.contains(&format!("plugin {name:?} refused its configuration")), "{error}");
            }
            until(|| logs::count(&name, "not a word that a header can hold") >= 2).await;
        }
    });
}

/// Plugins with the same code share a virtual machine, but not their configurations.
#[test]
fn two_of_one_code_keep_their_configurations() {
    run(async {
        for language in LANGUAGES {
            let (first, second) = (language.name("first"), language.name("second"));
            let setup = language.add(Setup::echo(), &first, Some("one"));
            let gate = language.add(setup, &second, Some("two")).start();
            let answer = gate.h1().await.ask(get("/both")).await;
            assert_eq!(answer.header("x-plugin"), format!("{0},{0}", language.mark));
            assert_eq!(answer.json()["headers"][language.header], "two /both");
            logs::wait(&first, "one /both").await;
            logs::wait(&second, "two /both").await;
        }
    });
}

/// Memory that the host gets from a plugin's allocator stays the plugin's: over many requests, with values long enough
/// to make Go's collector run, none is overwritten.
#[test]
fn many_requests_get_their_own_values() {
    run(async {
        let filler = "f".repeat(4000);
        for language in LANGUAGES {
            let gate = language.gate(Setup::echo().workers(2), "many", None);
            let mut client = gate.h1().await;
            for number in 0..1500 {
                let path = format!("/{number}/{filler}");
                let answer = client.ask(get(&path)).await;
                assert_eq!(answer.json()["headers"][language.header], format!("seen {path}"), "{}", language.guest);
            }
        }
    });
}

/// All in one chain.
#[test]
fn languages_mix() {
    run(async {
        let setup =
            LANGUAGES.iter().fold(Setup::echo().plugin("mixed_rust", &guest("header_tour"), ""), |setup, language| {
                language.add(setup, &language.name("mixed"), Some(language.mark))
            });
        let gate = setup.start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.ask(get("/all")).await;
            assert_eq!(answer.header("x-plugin"), "c,assemblyscript,go,header_tour", "responses run back");
            for language in LANGUAGES {
                assert_eq!(answer.json()["headers"][language.header], format!("{} /all", language.mark));
            }
        }
    });
}

/// `examples/languages.yaml` does what its head says.
#[test]
fn the_example_serves_each_language() {
    run(async {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let text = std::fs::read_to_string(format!("{root}/examples/languages.yaml")).unwrap();
        assert!(text.contains("127.0.0.1:8080") && text.contains("127.0.0.1:9901"), "{text}");
        let text = text.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9901", "127.0.0.1:0");
        let gate = Gate::start(&text.replace("filename: guests", &format!("filename: {root}/guests")));
        let mut client = gate.h1().await;
        for language in LANGUAGES {
            let path = format!("/{}", language.mark);
            let answer = client.ask(get(&path)).await;
            assert_eq!((answer.status, answer.header("x-plugin").as_str()), (200, language.mark));
            assert_eq!(answer.json()["headers"][language.header], format!("seen {path}"));
        }
        assert_eq!(client.ask(get("/rust")).await.header("x-plugin"), "header_tour");
    });
}
