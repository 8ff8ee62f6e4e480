//! Finds the commit that the command is built from, for `portcullis --version`.
//!
//! | there is | the commit is |
//! |---|---|
//! | the variable PORTCULLIS_COMMIT | its value |
//! | `.cargo_vcs_info.json`, as in packages of a registry | the one that was packaged |
//! | a Git checkout with this file in it, and an optimised build | its HEAD |
//! | none of these | unknown |
//!
//! Builds for development look for no HEAD: with each commit all tests would be linked anew.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PORTCULLIS_COMMIT");
    let commit =
        std::env::var("PORTCULLIS_COMMIT").ok().filter(|commit| !commit.is_empty()).or_else(packaged).or_else(head);
    if let Some(commit) = commit.as_deref().and_then(shortened) {
        println!("cargo:rustc-env=PORTCULLIS_BUILT_FROM={commit}");
    }
}

/// Returns the first digits of a commit; none for what is no commit.
fn shortened(commit: &str) -> Option<&str> {
    let commit = commit.trim();
    let is_commit = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    commit.get(..commit.len().min(12)).filter(|_| is_commit)
}

/// Returns the commit that Cargo has noted in a package.
fn packaged() -> Option<String> {
    let info = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, after) = info.split_once("\"sha1\"")?;
    after.split('"').nth(1).map(str::to_owned)
}

/// Returns the commit of the checkout.
fn head() -> Option<String> {
    if std::env::var("PROFILE").ok()? != "release" {
        return None;
    }
    // The crate may lie in another project's checkout.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    // The log of HEAD changes with each commit, also where the branch is among packed references.
    for of in ["HEAD", "logs/HEAD", &git(&["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_default(), "packed-refs"] {
        let path = git(&["rev-parse", "--git-path", of]).filter(|path| Path::new(path).is_file());
        if let Some(path) = path {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
