#!/usr/bin/env bash
# Counts the instructions of crossings and streams, and fails where there are more than the bound in
# benches/benches/instructions.rs. It needs valgrind; it installs gungraun's runner, once (.ci/tools.sh).
#
#   benches/instructions.sh --no-run           builds only
#   benches/instructions.sh [ARGUMENT...]      of gungraun
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/tools.sh

command -v valgrind >/dev/null || {
    echo 'benches/instructions.sh needs valgrind: install your system'\''s package of that name' >&2
    exit 1
}
# The runner must be of the library's version. It only starts processes and reads what they print, so it is not optimised.
version=$(grep -A1 '^name = "gungraun"$' Cargo.lock | sed -n 's/^version = "\(.*\)"$/\1/p')
GUNGRAUN_RUNNER=$(cargo_tool gungraun-runner "$version" --debug)
export GUNGRAUN_RUNNER
bench=(cargo bench --profile counting --package portcullis-benches --no-default-features --features wasmi,instructions
    --bench instructions)
[[ ${1-} != --no-run ]] || exec "${bench[@]}" --no-run
exec "${bench[@]}" -- "$@"
