//! Hostcalls and callbacks to which a plugin has no right.

use portcullis::abi::LogLevel;
use portcullis::abi::{HostcallId::fd_write, HostcallId::proc_exit, HostcallId::proxy_get_log_level};
use portcullis::model::Plugin;
use portcullis::rights::Capabilities;

use crate::engine::case::Case;
use crate::engine::running::Setup;

fn with(capabilities: Capabilities) -> Setup {
    let mut plugin = Plugin::new("test");
    plugin.capabilities = capabilities;
    Setup { plugin, ..Setup::default() }
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_denied_hostcall_is_answered_and_the_guest_goes_on",
        guest: r#"
            (data (i32.const 1024) "\00\04\00\00\04\00\00\00")
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_get_log_level (i32.const 1040)))
                (call $report (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 1040)))
                (call $proc_exit (i32.const 3))
                (call $report (i32.load (i32.const 1040))))
        "#,
        hostcalls: &[proxy_get_log_level, fd_write, proc_exit],
        spec: "host#capability restriction",
        run: |case, engine| {
            let denied = [proxy_get_log_level, fd_write, proc_exit];
            let mut guest =
                case.start_with(engine, with(denied.into_iter().fold(Capabilities::ALL, Capabilities::without)));
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.vm.state().denials(), 3);
            let (notes, lines): (Vec<_>, Vec<_>) = guest.lines().into_iter().partition(|line| line.from_host);
            assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["10", "76", "0"]);
            let first = "denied proxy_get_log_level: the plugin does not have this capability";
            assert_eq!(notes.first().map(|line| (line.level, line.text.as_str())), Some((LogLevel::Warn, first)));
        },
    },
    Case {
        name: "a_denied_callback_is_as_if_not_exported",
        guest: r#"
            (func (export "_initialize") (call $report (i32.const 1)))
            (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $report (i32.const 2)) (i32.const 1))
            (func (export "proxy_on_configure") (param i32 i32) (result i32) unreachable)
            (func (export "proxy_on_tick") (param i32) unreachable)
        "#,
        hostcalls: &[],
        spec: "host#capability restriction",
        run: |case, engine| {
            let set = Capabilities::from_names(["proxy_log", "proxy_on_vm_start"]).unwrap();
            let mut guest = case.start_with(engine, with(set));
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["1", "2"]);
        },
    },
];
