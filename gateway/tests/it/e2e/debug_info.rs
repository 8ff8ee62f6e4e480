//! Debug information of a module: read once, within bounds, and not by the worker that a trap stops.

use crate::e2e::cli::serve;
use crate::e2e::compiling::{config, peak, refusal};
use crate::e2e::harness::wat::{module, plugin_of, write};
use crate::e2e::harness::{Client, get, run};

/// An unsigned number as WebAssembly has it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

fn section(name: &str, data: &[u8]) -> Vec<u8> {
    let content = [&leb(name.len())[..], name.as_bytes(), data].concat();
    [&[0][..], &leb(content.len()), &content].concat()
}

/// One unit whose line table has a row for each of so many bytes; it is about all of the code.
fn lines(bytes: usize) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let header = [&[1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0][..], b"bomb.rs\0\0\0\0\0"].concat();
    // From the first byte of code on, a place and a line further with each.
    let program = [&[0, 5, 2, 1, 0, 0, 0][..], &vec![33; bytes], &[0, 1, 1]].concat();
    let unit = [&[4, 0][..], &word(header.len()), &header, &program].concat();
    let abbreviations = [1, 0x11, 0, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0, 0, 0];
    let entry = [&[1][..], &word(0), &word(1), &word(0x7fff_ffff)].concat();
    let about = [&[4, 0, 0, 0, 0, 0, 4][..], &entry].concat();
    [
        section(".debug_line", &[&word(unit.len())[..], &unit].concat()),
        section(".debug_abbrev", &abbreviations),
        section(".debug_info", &[&word(about.len())[..], &about].concat()),
    ]
    .concat()
}

#[test]
fn a_trap_costs_the_same_whatever_a_module_carries() {
    run(async {
        let code = plugin_of(
            r#"(func $deep (param $left i32)
                 (if (i32.eqz (local.get $left)) (then unreachable))
                 (call $deep (i32.sub (local.get $left) (i32.const 1))))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $deep (i32.const 30)) (i32.const 0))"#,
        );
        let bomb = write(&[std::fs::read(code).unwrap(), lines(30 << 20)].concat());
        let server = serve(&config("bomb.yaml", &bomb, "runtime: wasmtime"), &[]);
        let before = peak(server.child.id());
        assert_eq!(Client::h1(server.address).await.ask(get("/")).await.status, 503);
        let grown = peak(server.child.id()).saturating_sub(before);
        assert!(grown < 16 << 10, "{grown} KiB");
        while !server.said("unreachable in deep (bomb.rs:") {
            assert_eq!(Client::h1(server.address).await.ask(get("/")).await.status, 503);
        }
    });
}

#[test]
fn what_debuggers_need_is_left_out_where_it_is_too_much() {
    let code = module(
        r#"(memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
           (func (export "malloc") (param i32) (result i32) (i32.const 1024))
           (func $boom (export "proxy_on_vm_start") (param i32 i32) (result i32) unreachable)"#,
    );
    let said = refusal("check", &config("names.yaml", &code, "runtime: wasmtime"));
    assert!(said.contains("unreachable in boom") && !said.contains("debuggers"), "{said}");
    let said = refusal("check", &config("no-names.yaml", &code, "runtime: wasmtime, limits: {debug_info: 10B}"));
    let expected = "for debuggers (.debug_* and names), more than 10 (limits.debug_info)";
    assert!(said.contains("no-names.yaml:") && said.contains(expected), "{said}");
    assert!(said.contains("strip the module, or raise the limit") && !said.contains("in boom"), "{said}");
}
