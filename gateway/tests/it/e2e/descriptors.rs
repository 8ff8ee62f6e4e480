//! What becomes of clients when file descriptors run short.

use std::path::Path;
use std::process::Command;

use crate::e2e::cli::{file, serve_with};
use crate::e2e::harness::{Setup, run};

/// The command, with limits of descriptors in a shell's words (`-Sn 256 -Hn 512`).
pub(crate) fn limited(limits: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let set: String = limits.iter().map(|limit| format!("ulimit {limit} && ")).collect();
    command.arg("-c").arg(format!("{set}exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_portcullis"));
    command
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    run(async {
        let config = file("raised.yaml", &Setup::echo().text());
        let server = serve_with(limited(&["-Sn 256", "-Hn 512"]), &config, &["--log-json"]);
        if Path::new("/proc/self/limits").exists() {
            let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
            let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
            assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["512", "512"]);
        }
        drop(server.child);
        let log = server.log.join().unwrap();
        let line = log.lines().find(|line| line.contains("raised the soft limit")).expect("a line");
        assert!(line.contains(r#""from":256,"to":512"#), "{line}");
    });
}
