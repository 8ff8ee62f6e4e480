#!/usr/bin/env python3
"""Measures resident memory of a gateway with header_tour on wasmtime after many requests; see README.md."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # as in run.sh: no files among the sources

import configs  # noqa: E402
import servers  # noqa: E402

CONNECTIONS = 64
# Protocol and number of requests of each step.
LOADS = [("h1", 10_000), ("h1", 40_000), ("h2", 20_000)]


def main():
    args = arguments()
    if not args.gateway.exists():
        sys.exit(f"{args.gateway} is missing: cargo build --release --workspace --bins")
    servers.OUT.mkdir(exist_ok=True)
    rows, total = [], 0
    print("| requests so far | the last of them over | resident MiB |\n|--:|---|--:|")
    with servers.nginx(cpu=1) as nginx:
        start = servers.portcullis(0, nginx.port, engine="wasmtime", command=[str(args.gateway)], env={})
        with start as gateway:
            for protocol, requests in LOADS:
                requests //= args.divide
                load(gateway.port, protocol, requests)
                total += requests
                rows.append({"requests": total, "protocol": protocol, "resident_mib": gateway.resident_bytes() / 2**20})
                print(f"| {total:,} | {protocol} | {rows[-1]['resident_mib']:.1f} |", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"memory": rows, "connections": CONNECTIONS}))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    binary = configs.REPO / "target/release/portcullis"
    parser.add_argument("--gateway", type=Path, default=binary, help="default: %(default)s")
    parser.add_argument("--divide", type=int, default=1, help="make only a part of the requests; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go, too")
    return parser.parse_args()


def load(port, protocol, requests):
    command = ["taskset", "-c", "1", "h2load", "-c", str(CONNECTIONS), "-n", str(requests)]
    command += ["--h1"] * (protocol == "h1") + [f"http://127.0.0.1:{port}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if f" {requests} succeeded" not in done.stdout:
        sys.exit(f"not all requests succeeded:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
