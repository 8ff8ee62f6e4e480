//! TCP streams that plugins send elsewhere by filter state, between raw sockets.

use std::fmt::Write;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Gate, Setup, logs, run, until, within};

const CLUSTER: &str = "envoy.tcp_proxy.cluster";
const IDLE: &str = "envoy.tcp_proxy.per_connection_idle_timeout_ms";

const NEW: &str = "(func (export \"proxy_on_new_connection\") (param i32) (result i32)";
const DATA: &str = "(func (export \"proxy_on_downstream_data\") (param i32 i32 i32) (result i32)";

/// Sets an object of filter state in a callback, and logs the status: `set 0`.
fn setter(callback: &str, key: &str, value: &str) -> PathBuf {
    let mut arguments = vec![10, u8::try_from(key.len()).unwrap()];
    arguments.extend(key.as_bytes());
    arguments.extend([18, u8::try_from(value.len()).unwrap()]);
    arguments.extend(value.as_bytes());
    let escaped = arguments.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").unwrap();
        text
    });
    plugin_with(
        r#"(import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))"#,
        &format!(
            r#"(data (i32.const 0x8000) "{escaped}") (data (i32.const 0x9000) "set ??")
            {callback} (local $status i32)
                (local.set $status (call $foreign $"set_envoy_filter_state"
                    (i32.const 0x8000) (i32.const {}) (i32.const 0) (i32.const 0)))
                (i32.store8 (i32.const 0x9004) (i32.add (i32.const 48) (i32.div_u (local.get $status) (i32.const 10))))
                (i32.store8 (i32.const 0x9005) (i32.add (i32.const 48) (i32.rem_u (local.get $status) (i32.const 10))))
                (call $say (i32.const 0x9000) (i32.const 6))
                (i32.const 0))"#,
            arguments.len()
        ),
    )
}

/// Two upstreams, each of which answers with its name and what it got, and a gateway that is configured for the first.
struct Fork {
    gate: Gate,
    upstreams: [TcpListener; 2],
}

impl Fork {
    async fn new(name: &str, plugin: &std::path::Path, more: &str) -> Self {
        let upstreams =
            [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let [first, second] = [&upstreams[0], &upstreams[1]].map(|upstream| upstream.local_addr().unwrap());
        let text = Setup::to_address(first)
            .cluster("other", &format!("endpoints: [{second}]"))
            .plugin(name, plugin, more)
            .text();
        let gate = Gate::start(&text.replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend}"));
        Self { gate, upstreams }
    }

    /// Sends something, and says which upstream got it.
    async fn send(&self, data: &[u8]) -> (TcpStream, usize, TcpStream) {
        let mut client = TcpStream::connect(self.gate.running.addresses[0]).await.unwrap();
        client.write_all(data).await.unwrap();
        let accepted = async {
            tokio::select! {
                accepted = self.upstreams[0].accept() => (0, accepted.unwrap().0),
                accepted = self.upstreams[1].accept() => (1, accepted.unwrap().0),
            }
        };
        let (which, mut upstream) = within(accepted).await;
        let mut got = vec![0; data.len()];
        within(upstream.read_exact(&mut got)).await.unwrap();
        assert_eq!(got, data);
        (client, which, upstream)
    }

    /// Whether nobody has connected to an upstream.
    async fn is_untouched(&self, which: usize) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(self.upstreams[which].poll_accept(cx).is_pending())).await
    }
}

#[test]
fn a_plugin_sends_a_stream_to_another_cluster() {
    run(async {
        let fork = Fork::new("fork", &setter(NEW, CLUSTER, "other"), "").await;
        let (_client, which, _upstream) = fork.send(b"hello").await;
        assert_eq!(which, 1);
        assert!(fork.is_untouched(0).await, "the configured cluster has seen nothing");
        logs::wait("fork", "set 00").await;
    });
}

#[test]
fn a_stream_for_a_cluster_that_is_not_there_goes_nowhere() {
    run(async {
        let fork = Fork::new("fork_nowhere", &setter(NEW, CLUSTER, "fork_to_nowhere"), "").await;
        for _ in 0..3 {
            let mut answer = Vec::new();
            // The reset may come before the client knows that it is connected.
            if let Ok(mut client) = TcpStream::connect(fork.gate.running.addresses[0]).await {
                let _ = within(client.read_to_end(&mut answer)).await;
            }
            assert_eq!(answer, b"");
        }
        // Clients decide how often it happens.
        let line = "a plugin sends TCP streams to the cluster \"fork_to_nowhere\", which is not there (there are ";
        until(|| logs::count("", line) == 1).await;
        assert!(fork.is_untouched(0).await && fork.is_untouched(1).await);
        logs::wait("fork_nowhere", "set 00").await;
    });
}

#[test]
fn a_stream_that_has_its_upstream_stays_there_and_the_plugin_is_told() {
    run(async {
        let fork = Fork::new("fork_late", &setter(DATA, CLUSTER, "other"), "").await;
        let (_client, which, _upstream) = fork.send(b"hello").await;
        assert_eq!(which, 0);
        logs::wait("fork_late", "set 02").await;
    });
}

#[test]
fn a_right_to_call_the_function_is_none_to_steer() {
    run(async {
        let rights = |rules: &str| {
            format!(
                "capability_restriction_config: {{allowed_capabilities: {{proxy_log: {{}}, proxy_on_new_connection: {{}}, \
                 proxy_call_foreign_function: {rules}}}}}"
            )
        };
        for (name, rules, status, expected) in [
            ("fork_bare", "{}", "set 10", 0),
            ("fork_named", "{names: [set_envoy_filter_state]}", "set 10", 0),
            ("fork_other", "{filter_state: [envoy.tcp_proxy.cluster], upstreams: [backend]}", "set 10", 0),
            ("fork_right", "{filter_state: [envoy.tcp_proxy.cluster], upstreams: [other]}", "set 00", 1),
        ] {
            let fork = Fork::new(name, &setter(NEW, CLUSTER, "other"), &rights(rules)).await;
            let (_client, which, _upstream) = fork.send(b"hello").await;
            assert_eq!(which, expected, "{rules}");
            logs::wait(name, status).await;
        }
    });
}

#[test]
fn a_plugin_limits_how_long_a_stream_is_idle() {
    run(async {
        let fork = Fork::new("fork_idle", &setter(DATA, IDLE, "50"), "").await;
        let (mut client, _, _upstream) = fork.send(b"hello").await;
        let mut answer = Vec::new();
        let _ = within(client.read_to_end(&mut answer)).await;
        logs::wait("fork_idle", "set 00").await;
        assert_eq!(answer, b"");
        // No time at all is over at once, as in Envoy.
        let fork = Fork::new("fork_no_time", &setter(NEW, IDLE, "0"), "").await;
        if let Ok(mut client) = TcpStream::connect(fork.gate.running.addresses[0]).await {
            let _ = within(client.read_to_end(&mut answer)).await;
        }
        assert_eq!(answer, b"");
        logs::wait("fork_no_time", "set 00").await;
    });
}

#[test]
fn a_property_of_that_name_steers_nothing() {
    run(async {
        let plugin = plugin_with(
            r#"(import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))"#,
            &format!(
                r#"{NEW}
                    (drop (call $set $"{CLUSTER}" $"other"))
                    (call $say $"set a property")
                    (i32.const 0))"#
            ),
        );
        let fork = Fork::new("fork_property", &plugin, "").await;
        let (_client, which, _upstream) = fork.send(b"hello").await;
        assert_eq!(which, 0);
        logs::wait("fork_property", "set a property").await;
    });
}

#[test]
fn a_key_that_is_not_supported_is_told_once() {
    run(async {
        let fork = Fork::new("fork_sni", &setter(NEW, "envoy.network.upstream_server_name", "a.test"), "").await;
        for _ in 0..2 {
            let (_client, which, _upstream) = fork.send(b"hello").await;
            assert_eq!(which, 0);
        }
        logs::wait("fork_sni", "set 01").await;
        let told = logs::of("fork_sni").into_iter().filter(|line| line.contains("upstreams are reached without TLS"));
        assert_eq!(told.count(), 1);
    });
}
