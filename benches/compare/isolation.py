#!/usr/bin/env python3
"""Measures requests/s through ten plugins of header_tour, all in one VM and each in its own, in turns; see README.md."""

import argparse
import json
import re
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True  # as in run.sh: no files among the sources

import configs  # noqa: E402
import servers  # noqa: E402
from load import Load  # noqa: E402
from measure import measure_quietly  # noqa: E402

# Each plugin lacks another right that it does not use, so that none shares a VM with another.
UNUSED = [
    *("proxy_grpc_call", "proxy_grpc_send", "proxy_grpc_close", "proxy_grpc_cancel", "proxy_grpc_stream"),
    *("sock_accept", "sock_recv", "sock_send", "sock_shutdown", "proc_raise"),
]
LOAD = Load("h1", "GET", 16)


def main():
    args = arguments()
    if not args.gateway.exists():
        sys.exit(f"{args.gateway} is missing: cargo build --release --workspace --bins")
    servers.OUT.mkdir(exist_ok=True)
    rows = []
    print("| engine | one VM, requests/s | ten VMs, requests/s | difference | quiet runs |\n|---|--:|--:|--:|--:|")
    with servers.nginx(args.load_cpu) as nginx:
        for engine in args.engines:
            row = measure(args, engine, nginx)
            rows.append(row)
            one, ten = (f"{row[side]['median']:.0f} ({row[side]['lowest']:.0f}–{row[side]['highest']:.0f})" for side in ("one", "ten"))
            difference = f"{row['difference_percent']:+.1f} %"
            print(f"| {engine} | {one} | {ten} | {difference} | {row['quiet']} of {row['runs']} |", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"ten_vms": rows}))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    binary = configs.REPO / "target/release/portcullis"
    parser.add_argument("--gateway", type=Path, default=binary, help="default: %(default)s")
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["wasmtime", "wasmer", "wasmi"])
    parser.add_argument("--repeat", type=int, default=5, help="measurements of each side; default: %(default)s")
    parser.add_argument("--seconds", type=int, default=2, help="length of one; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go, too")
    # What measure_quietly wants to know.
    parser.set_defaults(warm_up=1, server_cpu=0, load_cpu=1, noise=5, tries=3, retry_seconds=60)
    return parser.parse_args()


def measure(args, engine, nginx):
    samples = {"one": [], "ten": []}
    with ExitStack() as running:
        gateways = {side: running.enter_context(gateway(args, engine, nginx.port, side)) for side in samples}
        for turn in range(args.repeat):
            for side in sorted(samples, reverse=turn % 2 == 1):
                samples[side].append(measure_quietly(args, nginx, gateways[side], LOAD))
    pairs = list(zip(*samples.values()))
    quiet = [pair for pair in pairs if all(sample["other_cpu_percent"] <= args.noise for sample in pair)]
    rates = [[sample["requests_per_second"] for sample in side] for side in zip(*(quiet or pairs))]
    one, ten = ({"median": statistics.median(side), "lowest": min(side), "highest": max(side)} for side in rates)
    difference = 100 * (ten["median"] / one["median"] - 1)
    return {"engine": engine, "one": one, "ten": ten, "difference_percent": difference, "quiet": len(quiet), "runs": len(pairs)}


def gateway(args, engine, upstream, side):
    """Returns a gateway whose ten plugins share one VM, or have ten."""
    port = servers.free_port()
    config = servers.OUT / f"isolation-{side}.yaml"
    config.write_text(configuration(args.gateway, port, upstream, side == "ten"))
    vms = output([args.gateway, "--log", "error", "sandboxes", config]).splitlines()[-1]
    if not vms.startswith("10 " if side == "ten" else "1 "):
        sys.exit(f"{config} is not for {side}: {vms}")
    command = [str(args.gateway), "--log", "off", "serve", str(config), "--engine", engine]
    return servers.Process(command, args.server_cpu, port)


def configuration(binary, port, upstream, isolated):
    """Returns the configuration as JSON, which is YAML."""
    code = {"local": {"filename": str(configs.PLUGIN)}}
    plugins = [{"name": f"p{index}", "vm_config": {"code": code}} for index in range(len(UNUSED))]
    if isolated:
        names = {name for name in re.findall(r"^([a-z]\w*).*->", output([binary, "abi"]), re.M) if name != "main"}
        for plugin, unused in zip(plugins, UNUSED):
            rights = {name: {} for name in sorted(names - {unused})}
            plugin["capability_restriction_config"] = {"allowed_capabilities": rights}
    routes = [{"match": {"prefix": "/"}, "cluster": "upstream"}]
    listener = {"address": f"127.0.0.1:{port}", "plugins": plugins, "routes": routes}
    clusters = [{"name": "upstream", "endpoints": [f"127.0.0.1:{upstream}"]}]
    return json.dumps({"workers": 1, "sharing": "isolate", "listeners": [listener], "clusters": clusters}, indent=1)


def output(command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
