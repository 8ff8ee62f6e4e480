//! The memory that threads which give way leave behind: none.

use std::fs;
use std::process::Command;

use portcullis_config::plan::giving_way;

/// Set in the process in which nothing else runs.
const ALONE: &str = "PORTCULLIS_TEST_ALONE";

const CALLS: usize = 4000;

/// Memory of 4,000 calls, in bytes. Each of 7.5 KiB would be 30 MB.
const MOST: u64 = 8 << 20;

#[test]
fn a_thread_that_has_ended_leaves_no_memory() {
    let name = "threads::a_thread_that_has_ended_leaves_no_memory";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    let call = |number| giving_way("test", None, move || number).unwrap();
    (0..100).for_each(|number| assert_eq!(call(number), number));
    let before = resident();
    (0..CALLS).for_each(|number| assert_eq!(call(number), number));
    let grown = resident().saturating_sub(before);
    assert!(grown < MOST, "{CALLS} calls have left {grown} bytes");
}

#[test]
fn a_panic_reaches_who_waits_for_the_thread() {
    let panic = std::panic::catch_unwind(|| giving_way("test", Some(1 << 20), || panic!("of the work")));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"of the work"));
}

#[test]
fn the_thread_has_the_name_and_is_none_of_those_that_serve() {
    let thread = giving_way("named", None, || std::thread::current().name().map(str::to_owned)).unwrap();
    assert_eq!(thread.as_deref(), Some("named"));
    assert_eq!(giving_way("named", None, rayon::current_num_threads).unwrap(), 1);
}

/// Returns the resident memory of this process.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}
