#!/usr/bin/env bash
# Builds every plugin of this workspace into wasm/ and writes manifest.json; see guests.md.
#
#   ./build.sh           build, copy, rewrite the manifest
#   ./build.sh --check   build nothing: do sources and binaries match the manifest?
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

target=wasm32-wasip1

if [[ ${1-} == --check && $# == 1 ]]; then
    exec python3 manifest.py check
elif [[ $# != 0 ]]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi

# The flags go to every rustc call, separated as CARGO_ENCODED_RUSTFLAGS wants it.
flags=()
cargo_args=(build --locked --release --target "$target")

if [[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]]; then
    cargo=cargo
    export RUSTC=rustc
elif [[ -d /usr/lib/rustlib/src/rust/library && -d /usr/lib/wasm32-wasi ]]; then
    # Debian: no standard library is packaged for this target, so it is built along.
    cargo=/usr/bin/cargo
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    cargo_args+=(-Z "build-std=std,panic_abort")
    flags+=(-L native=/usr/lib/wasm32-wasi)
else
    cat >&2 <<EOF
$target is not installed. Either
    rustup target add $target
or, on Debian,
    apt-get install rustc-web cargo-web rust-web-src lld-22 wasi-libc
EOF
    exit 1
fi

# Panic messages name source files. What they name must not depend on the machine.
here=$PWD
cargo_home=${CARGO_HOME:-$HOME/.cargo}
target_dir=${CARGO_TARGET_DIR:-$here/target}
sysroot=$("$RUSTC" --print sysroot)
registry=("$cargo_home"/registry/src/*)
# The last prefix that fits is the one that counts.
flags+=("--remap-path-prefix=$cargo_home=/cargo")
for dir in "${registry[@]}"; do
    flags+=("--remap-path-prefix=$dir=/crates")
done
flags+=(
    "--remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rust"
    "--remap-path-prefix=$here=/guests"
    "--remap-path-prefix=$target_dir=/target"
)
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS

"$cargo" fetch --locked --target "$target"
"$cargo" "${cargo_args[@]}"

mkdir -p wasm
for source in */src/lib.rs; do
    plugin=${source%%/*}
    built=$target_dir/$target/release/$plugin.wasm
    for path in "$cargo_home" "$here" "$target_dir" "$sysroot/lib/rustlib/src"; do
        if grep -qaF "$path" "$built"; then
            echo "$plugin.wasm contains $path" >&2
            exit 1
        fi
    done
    install -m 644 "$built" "wasm/$plugin.wasm"
done

python3 manifest.py write "$target" "$("$RUSTC" --version)"
