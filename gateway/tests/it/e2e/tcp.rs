//! TCP streams, between real sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Gate, Setup, logs, run, until, within};
use crate::e2e::timeouts::closed_port;

/// A gateway for TCP in front of something.
fn gate(setup: Setup) -> Gate {
    Gate::start(&setup.text().replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend}"))
}

fn with(setup: Setup, name: &str, functions: &str) -> Gate {
    gate(setup.plugin(name, &plugin_with("", functions), ""))
}

async fn connect(gate: &Gate) -> TcpStream {
    TcpStream::connect(gate.running.addresses[0]).await.unwrap()
}

/// Sends data, then the end; what comes back up to the end.
async fn exchange(gate: &Gate, data: &[u8]) -> Vec<u8> {
    let mut client = connect(gate).await;
    client.write_all(data).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    within(client.read_to_end(&mut answer)).await.unwrap();
    answer
}

/// Reads the end that a client sees: nothing, or an error.
async fn rest(client: &mut TcpStream) -> Result<Vec<u8>, std::io::ErrorKind> {
    let mut answer = Vec::new();
    within(client.read_to_end(&mut answer)).await.map(|_| answer).map_err(|error| error.kind())
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Waits until the gateway has both sides.
async fn meet(client: &mut TcpStream, upstream: &mut TcpStream) {
    upstream.write_all(b"!").await.unwrap();
    assert_eq!(within(client.read_u8()).await.unwrap(), b'!');
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

const EDIT: &str = r#"
  (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
    (if (local.get 1) (then (drop (call $buffer (i32.const 2) (i32.const 0) (i32.const 0) $"<"))))
    (i32.const 0))
  (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
    (if (local.get 1) (then (drop (call $buffer (i32.const 3) (i32.const -1) (i32.const 0) $">"))))
    (i32.const 0))
"#;

#[test]
fn bytes_pass_both_ways_without_plugins() {
    run(async {
        let gate = gate(Setup::echo());
        assert_eq!(exchange(&gate, b"hello").await, b"hello");
        assert_eq!(exchange(&gate, b"").await, b"");
        let metrics = gate.admin("/metrics").await;
        assert!(metrics.text().contains("portcullis_tcp_connections_total{listener="), "{}", metrics.text());
    });
}

#[test]
fn plugins_edit_both_ways() {
    run(async {
        assert_eq!(exchange(&with(Setup::echo(), "tcp_edit", EDIT), b"hello").await, b"<hello>");
    });
}

#[test]
fn a_client_may_end_first_and_still_be_answered() {
    run(async {
        let (listener, address) = listen().await;
        let upstream = tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut all = Vec::new();
            tcp.read_to_end(&mut all).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            tcp.write_all(format!("{} bytes", all.len()).as_bytes()).await.unwrap();
        });
        let gate = with(Setup::to_address(address), "tcp_half", EDIT);
        assert_eq!(exchange(&gate, b"hello").await, b"6 bytes>");
        upstream.await.unwrap();
    });
}

#[test]
fn an_upstream_may_end_first_and_still_be_told() {
    run(async {
        let (listener, address) = listen().await;
        let gate = gate(Setup::to_address(address));
        let mut client = connect(&gate).await;
        let (mut upstream, _) = within(listener.accept()).await.unwrap();
        upstream.write_all(b"bye").await.unwrap();
        upstream.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, Ok(b"bye".to_vec()));
        client.write_all(b"and you").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut upstream).await, Ok(b"and you".to_vec()));
    });
}

#[test]
fn much_more_than_is_held_passes() {
    run(async {
        const MANY: usize = 8 << 20;
        let gate = with(Setup::echo(), "tcp_large", "");
        let (mut read, mut write) = connect(&gate).await.into_split();
        let data: Vec<u8> = (0..MANY).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let sent = data.clone();
        let writing = tokio::spawn(async move {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        });
        // Nobody reads for a while.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut answer = Vec::with_capacity(MANY);
        within(read.read_to_end(&mut answer)).await.unwrap();
        assert!(answer == data);
        writing.await.unwrap();
    });
}

#[test]
fn a_reset_on_either_side_is_one_on_the_other() {
    run(async {
        let (listener, address) = listen().await;
        let closes = r#"
          (func (export "proxy_on_downstream_connection_close") (param i32 i32)
            (if (i32.eq (local.get 1) (i32.const 2)) (then (call $say $"client gone"))))
          (func (export "proxy_on_upstream_connection_close") (param i32 i32)
            (if (i32.eq (local.get 1) (i32.const 2)) (then (call $say $"upstream gone"))))
        "#;
        let gate = with(Setup::to_address(address), "tcp_reset", closes);
        let mut client = connect(&gate).await;
        let (mut upstream, _) = within(listener.accept()).await.unwrap();
        meet(&mut client, &mut upstream).await;
        reset(client);
        assert_eq!(rest(&mut upstream).await, Err(std::io::ErrorKind::ConnectionReset));
        logs::wait("tcp_reset", "client gone").await;

        let mut client = connect(&gate).await;
        let (mut upstream, _) = within(listener.accept()).await.unwrap();
        meet(&mut client, &mut upstream).await;
        reset(upstream);
        assert_eq!(rest(&mut client).await, Err(std::io::ErrorKind::ConnectionReset));
        logs::wait("tcp_reset", "upstream gone").await;
    });
}

#[test]
fn an_upstream_that_cannot_be_reached_ends_the_connection() {
    run(async {
        let gate = gate(Setup::to_address(closed_port()));
        // The reset may come before the client knows that it is connected.
        let seen = match TcpStream::connect(gate.running.addresses[0]).await {
            Ok(mut client) => rest(&mut client).await,
            Err(error) => Err(error.kind()),
        };
        assert_eq!(seen, Err(std::io::ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_plugin_closes_either_side() {
    run(async {
        let (listener, address) = listen().await;
        // One byte closes the client's side, two close the upstream's.
        let closing = r#"
          (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
            (if (i32.eq (local.get 1) (i32.const 1)) (then (drop (call $close (i32.const 2)))))
            (if (i32.eq (local.get 1) (i32.const 2)) (then (drop (call $close (i32.const 3)))))
            (i32.const 0))
        "#;
        let gate = with(Setup::to_address(address), "tcp_close", closing);
        for data in [&b"1"[..], b"22"] {
            let mut client = connect(&gate).await;
            let (mut upstream, _) = within(listener.accept()).await.unwrap();
            client.write_all(data).await.unwrap();
            assert_eq!(rest(&mut client).await, Ok(Vec::new()));
            assert!(rest(&mut upstream).await.unwrap_or_default().len() <= data.len());
        }
    });
}

#[test]
fn a_plugin_holds_data_until_its_tick() {
    run(async {
        let holding = r#"
          (func (export "proxy_on_context_create") (param $id i32) (param $root i32)
            (if (local.get $root) (then (global.set $stream (local.get $id)))))
          (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
            (drop (call $tick (i32.const 30)))
            (i32.const 1))
          (func (export "proxy_on_tick") (param i32)
            (drop (call $effective (global.get $stream)))
            (drop (call $resume (i32.const 2))))
        "#;
        let gate = with(Setup::echo(), "tcp_hold", holding);
        assert_eq!(exchange(&gate, b"late").await, b"late");
    });
}

/// A plugin that pauses the connection and has no callback for data.
const PAUSING: &str = r#"
  (func (export "proxy_on_new_connection") (param i32) (result i32)
    (call $say $"paused")
    (i32.const 1))
"#;

#[test]
fn what_a_client_sends_does_not_undo_the_pause_of_its_connection() {
    run(async {
        let (listener, address) = listen().await;
        let text = Setup::to_address(address).plugin("tcp_pause", &plugin_with("", PAUSING), "").text();
        let proxy = "tcp_proxy: {cluster: backend, idle_timeout: 300ms}";
        let gate = Gate::start(&text.replace("routes:\n      - {cluster: backend}", proxy));
        let mut client = connect(&gate).await;
        logs::wait("tcp_pause", "paused").await;
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, Ok(Vec::new()), "until the connection was idle for too long");
        let metrics = gate.admin("/metrics").await;
        assert!(metrics.text().contains("portcullis_tcp_connections_total{listener="), "{}", metrics.text());
        let nobody = std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx).is_pending())).await;
        assert!(nobody, "the upstream has been dialled");
    });
}

#[test]
fn a_paused_connection_is_dialled_when_its_plugin_continues() {
    run(async {
        let (listener, address) = listen().await;
        // The first byte of another client continues the connection before.
        let continuing = r#"
          (global $first (mut i32) (i32.const 0))
          (func (export "proxy_on_new_connection") (param $id i32) (result i32)
            (call $say $"paused")
            (if (i32.eqz (global.get $first))
              (then (global.set $first (local.get $id)))
              (else (drop (call $tick (i32.const 1)))))
            (i32.const 1))
          (func (export "proxy_on_tick") (param i32)
            (drop (call $effective (global.get $first)))
            (drop (call $resume (i32.const 2))))
          (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
            (if (local.get 1) (then (drop (call $buffer (i32.const 2) (i32.const 0) (i32.const 0) $"<"))))
            (i32.const 0))
        "#;
        let gate = with(Setup::to_address(address), "tcp_continue", continuing);
        let mut client = connect(&gate).await;
        client.write_all(b"early").await.unwrap();
        client.shutdown().await.unwrap();
        logs::wait("tcp_continue", "paused").await;
        let other = connect(&gate).await;
        let (mut upstream, _) = within(listener.accept()).await.unwrap();
        assert_eq!(rest(&mut upstream).await, Ok(b"<early".to_vec()), "data and end have been held, and are seen");
        upstream.write_all(b"answer").await.unwrap();
        drop(upstream);
        assert_eq!(rest(&mut client).await, Ok(b"answer".to_vec()));
        let nobody = std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx).is_pending())).await;
        assert!(nobody, "the other connection is still paused");
        drop(other);
    });
}

#[test]
fn a_plugin_that_traps_ends_its_connection_or_is_passed_by() {
    run(async {
        let trapping = r#"
          (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32) unreachable)
        "#;
        let trapping = plugin_with("", trapping);
        let closed = gate(Setup::echo().plugin("tcp_closed", Path::new(&trapping), ""));
        let mut client = connect(&closed).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(rest(&mut client).await, Err(std::io::ErrorKind::ConnectionReset));
        let open = gate(Setup::echo().plugin("tcp_open", Path::new(&trapping), "failure_policy: FAIL_OPEN"));
        assert_eq!(exchange(&open, b"hello").await, b"hello");
        assert_eq!(exchange(&open, b"again").await, b"again");
    });
}

/// A root waits for its streams, so a stream that is cut short has to end for its plugins, too.
#[test]
fn a_connection_that_a_shutdown_cuts_ends_for_its_plugins() {
    run(async {
        let ends = r#"
          (func (export "proxy_on_new_connection") (param i32) (result i32) (call $say $"come") (i32.const 0))
          (func (export "proxy_on_downstream_connection_close") (param i32 i32) (call $say $"closed"))
          (func (export "proxy_on_log") (param i32) (call $say $"logged"))
          (func (export "proxy_on_delete") (param i32) (call $say $"deleted"))
        "#;
        let setup = Setup::echo().plugin("tcp_shutdown", &plugin_with("", ends), "").text();
        let setup = setup.replace("shutdown_timeout: 5s", "shutdown_timeout: 300ms");
        let gate = Gate::start(&setup.replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend}"));
        let mut client = connect(&gate).await;
        logs::wait("tcp_shutdown", "come").await;
        let stopping = gate.stop();
        until(|| stopping.is_finished()).await;
        assert_eq!(logs::of("tcp_shutdown"), ["come", "closed", "logged", "deleted", "deleted"]);
        let _ = rest(&mut client).await;
    });
}

#[test]
fn an_idle_connection_ends() {
    run(async {
        let text = Setup::echo().text();
        let text =
            text.replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend, idle_timeout: 50ms}");
        let gate = Gate::start(&text);
        let mut client = connect(&gate).await;
        client.write_all(b"hello").await.unwrap();
        assert_eq!(rest(&mut client).await, Ok(b"hello".to_vec()));
    });
}

#[test]
fn a_client_that_does_not_read_ends_the_connection() {
    run(async {
        let (listener, address) = listen().await;
        let text = Setup::to_address(address).text();
        let text =
            text.replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend, idle_timeout: 100ms}");
        let gate = Gate::start(&text);
        let _client = connect(&gate).await;
        let (mut upstream, _) = within(listener.accept()).await.unwrap();
        let flood = async { while upstream.write_all(&[b'x'; 16 << 10]).await.is_ok() {} };
        within(flood).await;
    });
}

#[test]
fn a_connection_that_its_plugin_holds_ends() {
    run(async {
        // It holds everything, and asks for what it has at each tick.
        let holds = r#"
          (func (export "proxy_on_new_connection") (param i32) (result i32) (global.set $stream (local.get 0)) (i32.const 1))
          (func (export "proxy_on_configure") (param i32 i32) (result i32) (drop (call $tick (i32.const 10))) (i32.const 1))
          (func (export "proxy_on_tick") (param i32)
            (if (global.get $stream) (then
              (drop (call $effective (global.get $stream)))
              (drop (call $resume (i32.const 3))))))
          (func (export "proxy_on_log") (param i32) (global.set $stream (i32.const 0)) (call $say $"logged"))
        "#;
        let setup = Setup::echo().plugin("tcp_ticks", &plugin_with("", holds), "").text();
        let setup =
            setup.replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend, idle_timeout: 100ms}");
        let gate = Gate::start(&setup);
        let mut client = connect(&gate).await;
        assert_eq!(rest(&mut client).await, Ok(Vec::new()));
        logs::wait("tcp_ticks", "logged").await;
    });
}
