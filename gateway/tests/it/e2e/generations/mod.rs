//! Another configuration while a gateway serves.

mod clusters;
mod ends;
mod limits;
mod listeners;
mod refused;
mod rehearsed;
mod workers;

use std::path::PathBuf;

use crate::e2e::harness::wat::{plugin_of, plugin_with};
use crate::e2e::harness::{Gate, Setup, get, guest, logs, run, within};
use crate::e2e::lifecycle::waiting;

/// Counts its responses in `x-count`, from 1 in each VM, and logs when it is configured.
pub(super) fn counting() -> PathBuf {
    plugin_of(
        r#"(data (i32.const 60) "0")
        (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $say $"configured") (i32.const 1))
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
            (i32.store8 (i32.const 60) (i32.add (i32.load8_u (i32.const 60)) (i32.const 1)))
            (call $header (i32.const 2) $"x-count" (i32.const 60) (i32.const 1))
            (i32.const 0))"#,
    )
}

/// Writes its configuration into `x-says` of each response. `more` are further callbacks. Roots with different configurations share a VM:
/// each has a place for its own, and each stream one for its root.
pub(super) fn saying_and(more: &str) -> PathBuf {
    let functions = r#"
        (func $root (param $id i32) (result i32) (i32.add (i32.const 64) (i32.mul (i32.const 8) (i32.and (local.get $id) (i32.const 31)))))
        (func $of (param $id i32) (result i32) (i32.add (i32.const 512) (i32.mul (i32.const 4) (i32.and (local.get $id) (i32.const 63)))))
        (func (export "proxy_on_context_create") (param $id i32) (param $parent i32)
            (i32.store (call $of (local.get $id)) (local.get $parent)))
        (func (export "proxy_on_configure") (param $id i32) (param $n i32) (result i32)
            (local $at i32)
            (local.set $at (call $root (local.get $id)))
            (drop (call $get (i32.const 7) (i32.const 0) (local.get $n) (local.get $at) (i32.add (local.get $at) (i32.const 4))))
            (i32.const 1))
        (func (export "proxy_on_response_headers") (param $id i32) (param i32 i32) (result i32)
            (local $at i32)
            (local.set $at (call $root (i32.load (call $of (local.get $id)))))
            (call $header (i32.const 2) $"x-says" (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
            (i32.const 0))"#;
    let import = r#"(import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#;
    plugin_with(import, &format!("{functions}{more}"))
}

pub(super) fn saying() -> PathBuf {
    saying_and("")
}

/// A plugin with a configuration.
pub(super) fn says(setup: Setup, name: &str, what: &str) -> Setup {
    setup.plugin(name, &saying(), &format!("configuration: {what}"))
}

/// The headers of the two plugins.
async fn ask(client: &mut crate::e2e::harness::Client) -> (String, String) {
    let answer = client.ask(get("/")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (answer.header("x-count"), answer.header("x-says"))
}

fn of(count: &str, says: &str) -> (String, String) {
    (count.to_owned(), says.to_owned())
}

#[test]
fn an_edit_of_one_plugin_leaves_the_others_as_they_are() {
    run(async {
        let ticking = guest("counter");
        let with = |what| {
            let setup =
                Setup::echo().plugin("edit-count", &counting(), "").plugin("edit-tick", &ticking, "configuration: '5'");
            says(setup, "edit-says", what)
        };
        let gate = with("one").start();
        let (mut h1, mut h2) = (gate.h1().await, gate.h2().await);
        assert_eq!(ask(&mut h1).await, of("1", "one"));
        assert_eq!(ask(&mut h2).await, of("2", "one"));
        let ticks = gate.metric("counter_ticks{plugin=\"edit-tick\"}").await;
        let reloaded = gate.reload(&with("two")).await.unwrap();
        assert_eq!((reloaded.generation, reloaded.started, reloaded.stayed, reloaded.ended), (2, 1, 2, 1));
        assert_eq!(ask(&mut h1).await, of("3", "two"), "the connections are as before, and so is the other VM");
        assert_eq!(ask(&mut h2).await, of("4", "two"));
        assert_eq!(logs::count("edit-count", "configured"), 1, "it has not been started again");
        within(async { while gate.metric("counter_ticks{plugin=\"edit-tick\"}").await < ticks + 3.0 {} }).await;
        for plugin in ["edit-count", "edit-tick", "edit-says"] {
            let line = format!("portcullis_vms{{plugin=\"{plugin}\",state=\"running\"}}");
            assert_eq!(gate.metric(&line).await, 1.0, "{plugin}");
        }
        let reloaded = gate.reload(&with("two")).await.unwrap();
        assert_eq!((reloaded.generation, reloaded.started, reloaded.stayed, reloaded.ended), (3, 0, 3, 0));
        assert_eq!(ask(&mut h1).await, of("5", "two"));
    });
}

#[test]
fn a_request_in_flight_ends_on_its_generation() {
    run(async {
        for h2 in [false, true] {
            let (upstream, go) = waiting("/slow");
            let with = |what| says(Setup::to(&upstream).workers(2), "flight", what);
            let gate = with("one").start();
            let mut client = if h2 { gate.h2().await } else { gate.h1().await };
            let mut other = gate.h1().await;
            let slow = client.ask(get("/slow"));
            let meanwhile = async {
                crate::e2e::harness::until(|| upstream.requests() == 1).await;
                assert_eq!(gate.reload(&with("two")).await.unwrap().generation, 2);
                let held = gate.held();
                assert_eq!(held.iter().map(|held| (held.number, held.requests)).collect::<Vec<_>>(), [(1, 1), (2, 0)]);
                assert_eq!((held[0].plugins, held[1].plugins), (1, 1));
                assert_eq!(ask(&mut other).await.1, "two");
                go.notify_one();
            };
            let (answer, ()) = tokio::join!(slow, meanwhile);
            assert_eq!((answer.status, answer.header("x-says")), (200, "one".to_owned()));
            assert_eq!(ask(&mut client).await.1, "two", "the next one on the same connection");
            crate::e2e::harness::until(|| gate.held().len() == 1).await;
            assert_eq!(gate.held()[0].number, 2);
        }
    });
}

#[test]
fn requests_on_one_http2_connection_belong_to_different_generations() {
    run(async {
        let (upstream, go) = waiting("/slow");
        let with = |what| says(Setup::to(&upstream), "streams", what);
        let gate = with("one").start();
        let crate::e2e::harness::Client::H2(mut sender) = gate.h2().await else { panic!() };
        let mut request = |path: &str| {
            let request = http::Request::get(format!("http://gateway.test{path}"));
            sender.send_request(request.body(crate::e2e::harness::empty()).unwrap())
        };
        let slow = tokio::spawn(request("/slow"));
        crate::e2e::harness::until(|| upstream.requests() == 1).await;
        gate.reload(&with("two")).await.unwrap();
        assert_eq!(within(request("/")).await.unwrap().headers()["x-says"], "two");
        go.notify_one();
        assert_eq!(within(slow).await.unwrap().unwrap().headers()["x-says"], "one");
    });
}

#[test]
fn what_plugins_share_outlives_generations() {
    run(async {
        let code = crate::e2e::harness::wat::module(crate::e2e::shared::COUNTING);
        let with = |routes: &str| Setup::echo().workers(2).plugin("kept", &code, "").route(routes);
        let gate = with("match: {path: /a}, direct_response: {status: 204}").start();
        let count = || gate.metric("shared_count_gauge{plugin=\"kept\"}");
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/")).await.status, 200);
        assert_eq!(client.ask(get("/a")).await.status, 204);
        assert_eq!(count().await, 2.0);
        gate.reload(&with("match: {path: /a}, direct_response: {status: 202}")).await.unwrap();
        assert_eq!(client.ask(get("/a")).await.status, 202);
        assert_eq!(count().await, 3.0, "shared data");
        within(async { while gate.metric("items_taken{plugin=\"kept\"}").await < 3.0 {} }).await;
    });
}

#[test]
fn a_route_is_of_the_generation_of_its_plugins() {
    run(async {
        let with = |what: &str| {
            let own = Setup::plugin_entry("routed", &saying(), &format!("configuration: {what}"));
            Setup::echo().route(&format!("match: {{prefix: /own}}, cluster: backend, plugins: [{own}]"))
        };
        let gate = with("one").start();
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/own")).await.header("x-says"), "one");
        gate.reload(&with("two")).await.unwrap();
        assert_eq!(client.ask(get("/own")).await.header("x-says"), "two");
        assert_eq!(client.ask(get("/")).await.header("x-says"), "");
    });
}

#[test]
fn code_that_has_changed_is_served() {
    run(async {
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("reload-code.wasm");
        let write = |code: PathBuf| std::fs::copy(code, &file).map(drop).unwrap();
        write(counting());
        let setup = Setup::echo().plugin("code", &file, "configuration: new");
        let gate = setup.start();
        let mut client = gate.h1().await;
        assert_eq!(ask(&mut client).await, of("1", ""));
        write(saying());
        assert_eq!(gate.reload(&setup).await.unwrap().started, 1);
        assert_eq!(ask(&mut client).await, of("", "new"));
    });
}

#[test]
fn streams_with_vms_of_their_own_take_the_snapshot_of_their_generation() {
    run(async {
        let with = |what: &str| {
            let code = saying().display().to_string();
            let entry = format!(
                "{{name: by-stream, vm_config: {{isolation: stream, code: {{local: {{filename: {code:?}}}}}}}, configuration: {what}}}"
            );
            Setup::echo()
                .plugin("beside", &counting(), "")
                .text()
                .replace("    plugins:\n", &format!("    plugins:\n      - {entry}\n"))
        };
        let gate = Gate::start(&with("one"));
        let mut client = gate.h1().await;
        assert_eq!(ask(&mut client).await, of("1", "one"));
        gate.reload_text(&with("two")).await.unwrap();
        assert_eq!(ask(&mut client).await, of("2", "two"));
        let reloaded = gate.reload_text(&with("two")).await.unwrap();
        assert_eq!((reloaded.started, reloaded.stayed), (0, 2));
        assert_eq!(ask(&mut client).await, of("3", "two"));
    });
}
