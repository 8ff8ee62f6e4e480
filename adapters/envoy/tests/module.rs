//! The built module has what Envoy looks for in it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;

const LIST: &str = include_str!("../abi/1.40.txt");
const PREFIX: &[u8] = b"envoy_dynamic_module_on_";

#[test]
fn it_exports_every_hook() {
    // Cargo builds it beside the tests that link its library.
    let module = std::env::current_exe().unwrap().with_file_name("libportcullis_envoy.so");
    let module = std::fs::read(&module).unwrap_or_else(|error| panic!("{}: {error}", module.display()));
    let names: HashSet<&[u8]> = module.split(|byte| *byte == 0).filter(|name| name.starts_with(PREFIX)).collect();
    let hooks = LIST.lines().filter_map(|line| line.strip_prefix("hook ")?.split_once(':'));
    let hooks: Vec<_> = hooks.map(|(name, _)| name).collect();
    assert!(hooks.len() > 40, "{hooks:?}");
    let missing: Vec<_> = hooks.iter().filter(|name| !names.contains(name.as_bytes())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
