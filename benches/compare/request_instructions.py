#!/usr/bin/env python3
"""Counts the instructions that a request takes in the gateway outside the kernel, with callgrind; see README.md."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True  # as in run.sh: no files among the sources

import configs  # noqa: E402
import servers  # noqa: E402

# Requests of the run that is subtracted, which has the work of the start and of the first requests, too.
FEW = 400
# The number that the comparison has in most of its cases.
CONNECTIONS = 16


def main():
    args = arguments()
    if not args.gateway.exists():
        sys.exit(f"{args.gateway} is missing: cargo build --release --workspace --bins")
    servers.OUT.mkdir(exist_ok=True)
    counts = {}
    print("| plugin | engine | instructions for a request |\n|---|---|--:|")
    with servers.nginx(cpu=0) as nginx, tempfile.TemporaryDirectory() as folder:
        fill(["--profile", args.profile] if args.profile else [], Path(folder) / "code")
        for engine in [None, *args.engines]:
            count = measure(args, engine, nginx.port, Path(folder))
            plugin, name = ("header_tour", engine) if engine else ("–", "–")
            counts[engine or "no_plugin"] = count
            print(f"| {plugin} | {name} | {count:,.0f} |", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"request_instructions": counts, "requests": args.requests}))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    binary = configs.REPO / "target/release/portcullis"
    parser.add_argument("--gateway", type=Path, default=binary, help="default: %(default)s")
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["wasmtime", "wasmi"])
    parser.add_argument("--profile", default="", help="Cargo's profile of what fills the code cache; default: bench")
    parser.add_argument("--requests", type=int, default=2000, help="that are counted; default: %(default)s")
    parser.add_argument("--listener", default="", help="a further key of the listener, such as `use_remote_address: false`")
    parser.add_argument("--header", action="append", default=[], help="a further field of each request, as `name: value`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go, too")
    return parser.parse_args()


def measure(args, engine, upstream, folder):
    """Counts two whole runs of the gateway, of which one serves more requests; both take the plugin from the code cache."""
    few, more = (count(args, engine, upstream, folder, FEW + more) for more in (0, args.requests))
    if more <= few:
        sys.exit(f"{more} instructions for {args.requests} requests more than {few} took: something else was counted")
    return (more - few) / args.requests


def fill(profile, folder):
    """Compiles under valgrind, where processors lack a few features, so that code from outside is not taken. A gateway cannot do
    it: it compiles in a process of its own, which valgrind does not let it start."""
    host = re.search(r"^host: (.*)$", subprocess.check_output(["rustc", "-vV"], text=True), re.M)[1]
    runner = f"CARGO_TARGET_{host.upper().replace('-', '_')}_RUNNER"
    command = ["cargo", "bench", "--quiet", "--workspace", *profile, "--bench", "cold_start", "--", "--fill", str(folder)]
    subprocess.run(command, cwd=configs.REPO, env={**os.environ, runner: "valgrind --quiet --tool=none"}, check=True)


def count(args, engine, upstream, folder, requests):
    out = folder / "callgrind.out"
    out.unlink(missing_ok=True)
    counted = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", str(args.gateway)]
    keys = {"code_cache": str(folder / "code"), "listener": args.listener}
    with servers.portcullis(0, upstream, engine=engine, command=counted, env={}, **keys) as gateway:
        load(gateway.port, requests, args.header)
    written = out.read_text(errors="replace") if out.exists() else ""
    total = re.search(r"^totals: (\d+)", written, re.M)
    if not total:
        sys.exit("valgrind has written no result: was it stopped before it could?")
    return int(total[1])


def load(port, requests, further):
    headers = [f"{name}: {value}" for name, value in servers.REQUEST_HEADERS.items()] + further
    command = ["h2load", "--h1", "-c", str(CONNECTIONS), "-n", str(requests)]
    command += [word for header in headers for word in ("-H", header)]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True)
    if f"{requests} succeeded" not in done.stdout:
        sys.exit(f"not all requests succeeded:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
