#!/usr/bin/env bash
# Compares the public API of each crate that users depend on with its committed text, CRATE/public-api.txt.
#
#   .ci/public-api.sh           shows what differs, and fails if anything does
#   .ci/public-api.sh --renew   writes the texts
#
# A change of the API renews the text and adds a line to CHANGELOG.md, in the same commit.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/tools.sh

# The folder of each crate, and its library.
crates=(
    host-core:portcullis_core filter-chain:portcullis_chain driver:portcullis_driver portcullis:portcullis
    config:portcullis_config adapters/tower:portcullis_tower adapters/pingora:portcullis_pingora
    engine-wasmtime:portcullis_wasmtime engine-wasmer:portcullis_wasmer engine-wasmi:portcullis_wasmi
)

# rustdoc's JSON is unstable; this lets stable rustdoc write it, and changes nothing for the compiler or for build scripts.
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
printf '#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc "$@"\n' >"$scratch/rustdoc"
chmod +x "$scratch/rustdoc"
export RUSTDOC=$scratch/rustdoc RUSTDOCFLAGS='-Z unstable-options --output-format json'
# Of the workspace, so that dependencies have the features that they have in every other step.
cargo doc --quiet --workspace --no-deps --lib
pingora_tools
cargo doc --quiet --manifest-path adapters/pingora/Cargo.toml --locked --target-dir "${CARGO_TARGET_DIR:-target}" --no-deps --lib
unset RUSTDOC RUSTDOCFLAGS

# Another version of the format would look like another API.
format=$(grep -o '"format_version":[0-9]*' "${CARGO_TARGET_DIR:-target}/doc/portcullis_core.json" | tail -1)
if [[ $format != '"format_version":57' ]]; then
    echo "rustdoc writes $format here, and the texts are of 57, which Rust 1.95 writes: run this with Rust 1.95, or take another cargo-public-api" >&2
    exit 1
fi
tool=$(cargo_tool cargo-public-api 0.52.0 --debug)
stale=()
for crate in "${crates[@]}"; do
    text=${crate%%:*}/public-api.txt
    # Without what every type has by itself.
    "$tool" -sss --color never --rustdoc-json "${CARGO_TARGET_DIR:-target}/doc/${crate##*:}.json" >"$scratch/now"
    if [[ ${1-} == --renew ]]; then
        cp "$scratch/now" "$text"
    elif ! diff --unified=0 "$text" "$scratch/now" >&2; then
        stale+=("$text")
    fi
done
if ((${#stale[@]})); then
    echo "the public API differs from ${stale[*]}; run .ci/public-api.sh --renew, and add a line to CHANGELOG.md" >&2
    exit 1
fi
