//! `recycle` of VMs.

use std::time::Duration;

use portcullis::sandbox::Recycle;

use super::*;

/// A file whose plugin has these keys in its `vm_config`.
fn with(keys: &str) -> String {
    with_plugins(&format!("      - vm_config: {{code: {{local: {{inline_string: (module)}}}}, {keys}}}"))
}

fn read(keys: &str) -> (Recycle, Vec<String>) {
    let config = parse(&with(keys));
    let notices = config.notices.iter().map(ToString::to_string).collect();
    (config.listeners[0].plugins[0].vm.recycle.clone(), notices)
}

#[test]
fn bounds_are_read_and_shown() {
    let all = "recycle: {memory: 128MiB, age: 24h, streams: 1000000, linger: 1m}";
    let day = Duration::from_secs(24 * 3600);
    let expected = Recycle::default().with_memory(128 << 20).with_age(day).with_streams(1_000_000);
    assert_eq!(read(all), (expected.with_linger(Duration::from_secs(60)), vec![]));
    assert_eq!(read("vm_id: a"), (Recycle::default(), vec![]), "no VM is recycled by default");
    let json = parse(&with(all)).to_json();
    let shown = &json["listeners"][0]["plugins"][0]["vm_config"]["recycle"];
    assert_eq!(
        (&shown["memory"], &shown["age"], &shown["linger"]),
        (&(128 << 20).into(), &"86400s".into(), &"60s".into())
    );
}

#[test]
fn what_changes_nothing_is_told() {
    let (recycle, notices) = read("isolation: stream, recycle: {streams: 5}");
    assert_eq!(recycle, Recycle::default());
    assert!(notices[0].contains("vm_config.recycle: recycle changes nothing with isolation: stream"), "{notices:?}");
    let (_, notices) = read("recycle: {linger: 1m}");
    assert!(
        notices[0].contains("recycle has no bound, so no VM is recycled; add memory, age or streams"),
        "{notices:?}"
    );
}

#[test]
fn mistakes_have_a_remedy() {
    for (keys, place, expected) in [
        (
            "recycle: {memory: 1GiB}",
            "recycle.memory",
            "is not below limits.memory (1073741824 bytes): no VM would be recycled for its memory; write a smaller one, or raise limits.memory",
        ),
        (
            "limits: {memory: 1MiB}, recycle: {memory: 2MiB}",
            "recycle.memory",
            "is not below limits.memory (1048576 bytes)",
        ),
        ("recycle: {memory: 1KiB}", "recycle.memory", "choose one from 64KiB to 4095MiB"),
        ("recycle: {streams: 0}", "recycle.streams", "a whole number from 1 to 1000000000000"),
        ("recycle: {age: 10ms}", "recycle.age", "expected a duration from 1s to 8760h"),
        ("recycle: {age: 1s, linger: 25h}", "recycle.linger", "expected a duration from 1s to 24h"),
        ("recycle: {memori: 1MiB}", "recycle", "unknown key \"memori\"; did you mean \"memory\"?"),
    ] {
        let errors = errors(&with(keys));
        assert!(errors.contains(&format!("vm_config.{place}")) && errors.contains(expected), "{keys}: {errors}");
    }
}
