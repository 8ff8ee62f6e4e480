#!/usr/bin/env bash
# Counts the instructions of crossings and streams, and fails where there are more than the bound in
# benches/benches/instructions.rs. It needs valgrind; it installs gungraun's runner into the target folder.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || {
    echo 'benches/instructions.sh needs valgrind: install your system'\''s package of that name' >&2
    exit 1
}
target=${CARGO_TARGET_DIR:-$PWD/target}
# The runner must be of the library's version.
version=$(grep -A1 '^name = "gungraun"$' Cargo.lock | sed -n 's/^version = "\(.*\)"$/\1/p')
cargo install gungraun-runner --version "=$version" --locked --quiet --root "$target/tools"
export GUNGRAUN_RUNNER=$target/tools/bin/gungraun-runner
exec cargo bench --package portcullis-benches --no-default-features --features wasmi,instructions \
    --bench instructions -- "$@"
