#!/usr/bin/env python3
"""Instructions outside the kernel that a request takes in the gateway, as callgrind counts them; see README.md."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True  # as in run.sh: no files among the sources

import configs  # noqa: E402
import servers  # noqa: E402

WARM_UP = 400


def main():
    args = arguments()
    if not args.gateway.exists():
        sys.exit(f"{args.gateway} is missing: cargo build --release --workspace --bins")
    servers.OUT.mkdir(exist_ok=True)
    print("| plugin | engine | instructions for a request |\n|---|---|--:|")
    with servers.nginx(cpu=0) as nginx, tempfile.TemporaryDirectory() as folder:
        for engine in [None, *args.engines]:
            count = measure(args, engine, nginx.port, Path(folder))
            plugin, name = ("header_tour", engine) if engine else ("–", "–")
            print(f"| {plugin} | {name} | {count:,.0f} |", flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    binary = configs.REPO / "target/release/portcullis"
    parser.add_argument("--gateway", type=Path, default=binary, help="default: %(default)s")
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["wasmtime", "wasmi"])
    parser.add_argument("--requests", type=int, default=2000, help="that are counted; default: %(default)s")
    return parser.parse_args()


def measure(args, engine, upstream, folder):
    out = folder / "callgrind.out"
    out.unlink(missing_ok=True)
    counted = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
    gateway = servers.portcullis(
        0, upstream, engine=engine, command=[*counted, str(args.gateway)], env={}
    )
    with gateway:
        load(gateway.port, WARM_UP)
        control("on", gateway.child.pid)
        load(gateway.port, args.requests)
        control("off", gateway.child.pid)
    written = out.read_text(errors="replace") if out.exists() else ""
    total = re.search(r"^(?:totals|summary): (\d+)", written, re.M)
    if not total:
        sys.exit("valgrind has written no result: was it stopped before it could?")
    return int(total[1]) / args.requests


def load(port, requests):
    """With as many connections as the comparison has in most of its cases."""
    headers = [f"{name}: {value}" for name, value in servers.REQUEST_HEADERS.items()]
    command = ["h2load", "--h1", "-c", "16", "-n", str(requests)]
    command += [word for header in headers for word in ("-H", header)]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True)
    if f"{requests} succeeded" not in done.stdout:
        sys.exit(f"not all requests succeeded:\n{done.stdout}{done.stderr}")


def control(switch, pid):
    subprocess.run(["callgrind_control", "-i", switch, str(pid)], check=True, capture_output=True)


if __name__ == "__main__":
    main()
