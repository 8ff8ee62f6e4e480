#!/usr/bin/env python3
"""Measures the time from the start of the gateway to the first filtered response; see README.md."""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # as in run.sh: no files among the sources

import about  # noqa: E402
import configs  # noqa: E402
import servers  # noqa: E402

# As examples/quickstart.yaml, with a code cache.
CONFIG = """\
code_cache: {cache}
workers: {workers}
listeners:
  - address: 127.0.0.1:{port}
    plugins:
      - name: header_tour
        vm_config:
          code: {{ local: {{ filename: {plugin} }} }}
          tier: {tier}
    routes:
      - match: {{ prefix: / }}
        cluster: echo
clusters:
  - name: echo
    echo: {{}}
"""
PAUSE = 0.0002  # between two tries to connect, in seconds
PATIENCE = 30
FROM_CACHE = "taken from the code cache"


def main():
    args = arguments()
    binary = args.gateway.resolve()
    if not binary.exists():
        sys.exit(f"{binary} is missing: cargo build --release --workspace --bins")
    built_in = about.engines(binary)
    missing = ",".join(set(args.engines) - set(built_in))
    if missing:
        sys.exit(f"not in {binary}: {missing}; cargo build --release --workspace --bins")
    print(
        f"Milliseconds from the start of the process to the first filtered response: median of"
        f" {args.runs} runs (lowest–highest). {args.workers} workers, {os.cpu_count()} CPUs.\n"
    )
    print("| engine | warm code cache | cold code cache | cold, tier: fast-start |")
    print("|---|--:|--:|--:|")
    rows = []
    with tempfile.TemporaryDirectory(prefix="first-response-") as folder:
        for engine in args.engines:
            warm, cold, fast, is_cached = measure(args, binary, engine, Path(folder))
            rows.append({"engine": engine, "keeps_code": is_cached, "warm_ms": median(warm), "cold_ms": median(cold)})
            rows[-1] |= {"fast_start_ms": median(fast), "warm_highest_ms": max(warm)}
            note = "" if is_cached else " (keeps nothing)"
            print(
                f"| {engine} {built_in[engine]}{note} | {spread(warm)} | {spread(cold)} | {spread(fast)} |",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps({"first_response": rows, "runs": args.runs, "workers": args.workers}))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", type=Path, default=configs.REPO / "target/release/portcullis")
    parser.add_argument("--engines", default="wasmtime,wasmer,wasmi")
    parser.add_argument("--runs", type=int, default=21, help="of each; default: %(default)s")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="default: one for each CPU"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go, too")
    args = parser.parse_args()
    args.engines = [name for name in args.engines.split(",") if name]
    return args


def measure(args, binary, engine, folder):
    """Measures with a warm cache, a cold one, and a cold one with `tier: fast-start`, in turns. Returns the times, and whether
    the engine keeps code."""
    kept = folder / engine
    log = folder / "log.txt"
    # Fills the cache, and brings binary and plugin into the memory of the operating system.
    first_response(args, binary, engine, kept)
    first_response(args, binary, engine, kept, log)
    is_cached = FROM_CACHE in log.read_text(errors="replace")
    before = contents(kept)
    warm, cold, fast = [], [], []

    def fresh(times, tier):
        with tempfile.TemporaryDirectory(dir=folder) as empty:
            times.append(first_response(args, binary, engine, Path(empty) / "cache", tier=tier))

    for _ in range(args.runs):
        warm.append(first_response(args, binary, engine, kept))
        fresh(cold, "compiled")
        if is_cached:
            fresh(fast, "fast-start")
    if contents(kept) != before:
        sys.exit(f"{engine}: the warm cache was written to, so it was not warm")
    return warm, cold, fast, is_cached


def contents(folder):
    # Reading a file sets its time; what is written is another file in its place.
    return {path.name: (path.stat().st_ino, path.stat().st_size) for path in folder.iterdir()}


def first_response(args, binary, engine, cache, log=None, tier="compiled"):
    """Starts a gateway and requests until it answers; returns how long that took, in ms."""
    port = servers.free_port()
    config = cache.parent / "gateway.yaml"
    config.write_text(
        CONFIG.format(
            cache=cache, workers=args.workers, port=port, plugin=configs.PLUGIN, tier=tier
        )
    )
    command = [str(binary), "serve", str(config), "--engine", engine]
    env = {**os.environ, "RUST_LOG": "info,portcullis_gateway=debug,portcullis_config=debug" if log else "info"}
    sink = open(log, "wb") if log else subprocess.DEVNULL
    start = time.monotonic()
    gateway = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
    try:
        response = ask(gateway, port, start)
        elapsed = time.monotonic() - start
    finally:
        stop(gateway)
        if log:
            sink.close()
    if response.status != 200 or response.getheader("x-plugin") != "header_tour":
        sys.exit(f"{engine}: not filtered: {response.status} {response.getheaders()}")
    return 1000 * elapsed


def ask(gateway, port, start):
    while True:
        try:
            return get(port)
        # Refused, or reset: by a gateway that only tries whether it can have the port.
        except ConnectionError:
            if gateway.poll() is not None:
                sys.exit(f"exited with {gateway.returncode}: {' '.join(gateway.args)}")
            if time.monotonic() - start > PATIENCE:
                sys.exit(f"not ready in time: {' '.join(gateway.args)}")
            time.sleep(PAUSE)


def get(port):
    # From another address, so that no connection to a port where nobody listens yet meets itself.
    connection = http.client.HTTPConnection("127.0.0.1", port, PATIENCE, ("127.0.0.2", 0))
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def stop(gateway):
    gateway.terminate()
    try:
        gateway.wait(5)
    except subprocess.TimeoutExpired:
        gateway.kill()
        gateway.wait()


def median(times):
    return statistics.median(times) if times else None


def spread(times):
    """Formats median, lowest and highest. There are no times of `fast-start` on an engine that keeps no code."""
    if not times:
        return "–"
    return f"{statistics.median(times):.1f} ({min(times):.1f}–{max(times):.1f})"


if __name__ == "__main__":
    main()
