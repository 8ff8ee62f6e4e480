//! `limits` of VMs and of loading.

use std::time::Duration;

use portcullis::model::Limits;
use portcullis_gateway::config::{CompileLimits, LoadLimits};

use super::*;

/// A file whose plugin has these limits.
fn with(limits: &str) -> String {
    let plugin = format!("      - vm_config: {{code: {{local: {{inline_string: (module)}}}}, limits: {{{limits}}}}}");
    with_plugins(&plugin)
}

fn read(limits: &str) -> Limits {
    parse(&with(limits)).listeners[0].plugins[0].vm.limits.clone()
}

#[test]
fn what_is_not_given_has_its_default() {
    assert_eq!(read(""), Limits::default());
    let all = "memory: 16MiB, table_elements: 10, stack: 1MiB, deadline: 250ms, start_deadline: 2s, callouts: 3, \
               metrics: 4, buffer: 1KiB, open_files: 5, debug_info: 0, compile: {time: 5s, memory: 1GiB}, \
               shared: 6KiB, buffers: 2GiB, cpu: 50%";
    let expected = Limits::default()
        .with_memory(16 << 20)
        .with_table_elements(10)
        .with_stack(1 << 20)
        .with_deadline(Duration::from_millis(250))
        .with_start_deadline(Duration::from_secs(2))
        .with_callouts(3)
        .with_metrics(4)
        .with_buffer(1 << 10)
        .with_open_files(5)
        .with_shared(6 << 10)
        .with_buffers(2 << 30)
        .with_cpu(portcullis::model::Percent::new(50));
    assert_eq!(read(all), expected);
    let load = |limits: &str| parse(&with(limits)).listeners[0].plugins[0].vm.load.clone();
    let compile = CompileLimits { time: Duration::from_secs(5), memory: 1 << 30 };
    assert_eq!(load(all), LoadLimits { debug_info: 0, compile });
    assert_eq!(load(""), LoadLimits::default());
    assert_eq!(load("compile: {time: 5s}").compile.memory, 2 << 30);
}

#[test]
fn mistakes_have_a_remedy() {
    for (limits, expected) in [
        ("compile: {memory: 1MiB}", "choose one from 32MiB to 64GiB"),
        ("compile: 5s", "expected a mapping"),
        ("memory: 5GiB", "choose one from 64KiB to 4GiB"),
        ("stack: 1KiB", "choose one from 64KiB to 16MiB"),
        ("deadline: 0s", "expected a duration longer than 0s"),
        ("deadline: 5", "add the unit: 5s or 5ms"),
        ("cpu: 150%", "write a whole number from 1 to 100, with %"),
        ("table_elements: -1", "a whole number from 0 to 10000000"),
        ("memori: 1MiB", "unknown key \"memori\"; did you mean \"memory\"?"),
    ] {
        let errors = errors(&with(limits));
        assert!(errors.contains("vm_config.limits") && errors.contains(expected), "{limits}: {errors}");
    }
}

#[test]
fn they_are_shown_by_the_admin_interface() {
    let json = parse(&with("stack: 1MiB, deadline: 250ms")).to_json();
    let limits = &json["listeners"][0]["plugins"][0]["vm_config"]["limits"];
    assert_eq!((&limits["stack"], &limits["deadline"]), (&(1 << 20).into(), &"250ms".into()));
}
