#!/usr/bin/env bash
# Requests per second through ten plugins of header_tour: all in one VM, and each in its own, in turns.
# Needs wrk, and target/release/portcullis with the engines that are named.
set -euo pipefail
cd "$(dirname "$0")/../.."
portcullis=target/release/portcullis
tries=${TRIES:-5} seconds=${SECONDS_EACH:-2} engines=${ENGINES:-wasmtime wasmer wasmi}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

# Each plugin lacks another right that it does not use, so that none shares with another.
unused=(proxy_grpc_call proxy_grpc_send proxy_grpc_close proxy_grpc_cancel proxy_grpc_stream
    sock_accept sock_recv sock_send sock_shutdown proc_raise)
names=$("$portcullis" abi | awk '/^[a-z]/ && /->/ {print $1}' | grep -vxE '_.*|main' | sort -u)

configuration() {
    local port=$1 isolated=$2 allowed
    printf 'workers: 1\nsharing: isolate\nlisteners:\n  - address: 127.0.0.1:%s\n    plugins:\n' "$port"
    for index in "${!unused[@]}"; do
        printf '      - name: p%s\n        vm_config: { code: { local: { filename: guests/wasm/header_tour.wasm } } }\n' "$index"
        if [[ $isolated == yes ]]; then
            allowed=$(grep -vx "${unused[$index]}" <<<"$names" | sed 's/$/: /' | paste -sd,)
            printf '        capability_restriction_config: { allowed_capabilities: { %s } }\n' "$allowed"
        fi
    done
    printf '    routes:\n      - { match: { prefix: / }, cluster: b }\nclusters:\n  - { name: b, echo: {} }\n'
}

configuration 18081 no >"$work/one.yaml"
configuration 18082 yes >"$work/ten.yaml"
for file in one ten; do printf '%s: %s\n' "$file" "$("$portcullis" --log error sandboxes "$work/$file.yaml" | tail -1)"; done
median() { sort -n | awk '{all[NR] = $1} END {printf "%d (%d-%d)", all[int((NR + 1) / 2)], all[1], all[NR]}'; }
for engine in $engines; do
    for file in one ten; do
        "$portcullis" --log off serve "$work/$file.yaml" --engine "$engine" &
        : >"$work/$file"
    done
    sleep 4
    for ((try = 0; try < tries; try++)); do
        for run in one:18081 ten:18082; do
            wrk -t1 -c16 -d"$seconds" "http://127.0.0.1:${run#*:}/" | awk '/Requests\/sec/ {print $2}' >>"$work/${run%:*}"
        done
    done
    kill $(jobs -p) && wait || true
    printf '%s: one VM %s, ten VMs %s requests/s\n' "$engine" "$(median <"$work/one")" "$(median <"$work/ten")"
done
