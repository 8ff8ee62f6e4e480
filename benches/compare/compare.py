"""Measures Envoy and Portcullis side by side; see README.md. Started by run.sh."""

import argparse
import functools
import hashlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import servers
from servers import OUT, REPO, TICKS_PER_SECOND

HERE = Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    parser.add_argument("--only", choices=["envoy", "portcullis"], help="measure one side")
    parser.add_argument("--seconds", type=int, default=5, help="length of a measurement")
    parser.add_argument("--warm-up", type=int, default=1, help="seconds of load before each")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of each case")
    parser.add_argument("--connections", default="1,16,64", help="for GET")
    parser.add_argument("--post-connections", default="16", help="for POST; empty for none")
    parser.add_argument("--gateway", default="target/release/portcullis")
    parser.add_argument(
        "--gateway-env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="environment of the gateway; without, RUST_LOG is the log level",
    )
    parser.add_argument(
        "--plugin-log",
        choices=["info", "error"],
        default="info",
        help="log level of the servers; with error, they drop the plugin's lines",
    )
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1, help="for wrk and nginx")
    parser.add_argument(
        "--noise",
        type=float,
        default=5,
        help="percent of a CPU that other processes may use; above, a measurement is repeated",
    )
    parser.add_argument("--tries", type=int, default=3, help="repeat a noisy one at most so often")
    return parser.parse_args()


def sides(args):
    """The servers to measure, by name: functions that start one."""
    chosen = {}
    if args.only != "portcullis":
        chosen["envoy"] = servers.envoy
    if args.only != "envoy":
        binary = REPO / args.gateway
        if not binary.exists():
            sys.exit(f"{binary} is missing: cargo build --release, or --only envoy")
        env = dict(pair.split("=", 1) for pair in args.gateway_env)
        chosen["portcullis"] = functools.partial(servers.portcullis, binary=str(binary), env=env)
    return chosen


def workloads(args):
    def numbers(text):
        return [int(number) for number in text.split(",") if number]

    gets = [("GET", connections) for connections in numbers(args.connections)]
    return gets + [("POST", connections) for connections in numbers(args.post_connections)]


def check_plugin(start, cpu, upstream):
    """Does the plugin do on this server what it should? Returns the lines it logs per request."""
    count = 20
    log = OUT / "check.log"
    with start(cpu, upstream, True, log) as server:
        before = log.read_text(errors="replace")
        for _ in range(count):
            response = server.get()
            if response.status != 200 or response.getheader("x-plugin") != "header_tour":
                sys.exit(f"the plugin does not run: {response.status} {response.getheaders()}")
        if server.get("/hello").getheader("powered-by") != "proxy-wasm":
            sys.exit("the plugin does not answer /hello")
        time.sleep(0.5)
        lines = log.read_text(errors="replace")[len(before) :].splitlines()
    hello = next(i for i, line in enumerate(lines) if ":path: /hello" in line)
    tour = [line for line in lines[:hello] if " -> " in line or " <- " in line]
    completed = sum(" completed" in line for line in lines)
    # One completed line for each request and for /hello; the readiness probe's may come late.
    if not count + 1 <= completed <= count + 2:
        sys.exit(f"{completed} completed streams in the log after {count + 1} requests")
    return round(len(tour) / count) + 1


def busy_seconds():
    """What anyone's processes used so far on all CPUs, time stolen by the hypervisor included.

    Interrupts are in it, as they are in the time of the process that they interrupted.
    """
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(fields[i]) for i in (0, 1, 2, 5, 6, 7)) / TICKS_PER_SECOND


def children_seconds():
    times = os.times()
    return times.children_user + times.children_system


def wrk(port, method, connections, seconds, cpu):
    path = "/post" if method == "POST" else "/"
    command = ["taskset", "-c", str(cpu), "wrk", "--threads", "1"]
    command += ["--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "2s"]
    command += ["--script", str(HERE / "load.lua"), f"http://127.0.0.1:{port}{path}", "--", method]
    result = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=seconds + 30,
        preexec_fn=servers.die_with_parent,
    )
    return json.loads(result.stdout.splitlines()[-1])


def measure(args, upstream, server, method, connections):
    """One measurement. Without a server, of nginx alone."""
    load = functools.partial(wrk, (server or upstream).port, method, connections, cpu=args.load_cpu)
    load(args.warm_up)
    start, own = time.monotonic(), os.times()
    busy, by_wrk, by_nginx = busy_seconds(), children_seconds(), upstream.cpu_seconds()
    by_server = server.cpu_seconds() if server else 0
    sample = load(args.seconds)
    by_server = server.cpu_seconds() - by_server if server else 0
    busy, by_nginx = busy_seconds() - busy, upstream.cpu_seconds() - by_nginx
    by_wrk, elapsed = children_seconds() - by_wrk, time.monotonic() - start
    own = sum(os.times()[:2]) - sum(own[:2])
    others = max(0, busy - by_server - by_wrk - by_nginx - own)
    return {
        "requests_per_second": sample["requests"] / sample["seconds"],
        "p50_us": sample["p50_us"],
        "p99_us": sample["p99_us"],
        "max_us": sample["max_us"],
        "errors": sample["errors"],
        "requests": sample["requests"],
        "cpu_seconds_per_1000": 1000 * by_server / max(1, sample["requests"]),
        "server_cpu_percent": 100 * by_server / sample["seconds"],
        "load_cpu_percent": 100 * (by_wrk + by_nginx) / elapsed,
        "other_cpu_percent": 100 * others / elapsed,
        "resident_mib": server.resident_bytes() / 2**20 if server else 0,
    }


def measure_quietly(args, *rest):
    """Repeats a measurement that other processes disturbed; the quietest counts."""
    best = None
    for _ in range(max(1, args.tries)):
        sample = measure(args, *rest)
        if best is None or sample["other_cpu_percent"] < best["other_cpu_percent"]:
            best = sample
        if best["other_cpu_percent"] <= args.noise:
            break
    return best


def run(args, started):
    """All measurements, in rounds, each with a fresh server; order reversed every other round."""
    cases = {}
    with servers.nginx(args.load_cpu) as upstream:
        lines = {}
        for name, start in started.items():
            lines[name] = check_plugin(start, args.server_cpu, upstream.port)
            print(f"{name}: the plugin runs, {lines[name]} log lines a request", file=sys.stderr)
        plan = []
        for method, connections in workloads(args):
            plan.append((method, connections, "nginx alone", False))
            for plugin in (False, True):
                plan += [(method, connections, name, plugin) for name in started]
        for turn in range(args.repeat):
            for case in plan if turn % 2 == 0 else reversed(plan):
                method, connections, name, plugin = case
                server = nullcontext()
                if name in started:
                    server = started[name](
                        args.server_cpu, upstream.port, plugin, log_level=args.plugin_log
                    )
                with server as running:
                    sample = measure_quietly(args, upstream, running, method, connections)
                    if running and running.child.poll() is not None:
                        sys.exit(f"{name} died under load with {running.child.returncode}")
                cases.setdefault(case, []).append(sample)
                print(
                    f"round {turn + 1}: {method} c={connections} {name}"
                    f"{' + plugin' if plugin else ''}: {sample['requests_per_second']:.0f}/s,"
                    f" others used {sample['other_cpu_percent']:.0f} % CPU",
                    file=sys.stderr,
                )
    ordered = [(case, cases[case]) for case in plan]
    return lines, ordered


def summarize(cases, noise):
    """Medians of the samples that nothing disturbed, or of all if each was disturbed."""
    rows = []
    for (method, connections, server, plugin), samples in cases:
        row = {"method": method, "connections": connections, "server": server, "plugin": plugin}
        quiet = [sample for sample in samples if sample["other_cpu_percent"] <= noise]
        row["quiet"] = len(quiet)
        row["used"] = quiet or samples
        row["median"] = {
            key: statistics.median(sample[key] for sample in row["used"]) for key in samples[0]
        }
        row["samples"] = samples
        rows.append(row)
    return rows


def output(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=REPO).stdout.strip()
    except OSError:
        return ""


def environment(args, started):
    cpu = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    plugin = hashlib.sha256(servers.PLUGIN.read_bytes()).hexdigest()
    about = {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "plugin_sha256": plugin,
        "wrk": output(["wrk", "-v"]).partition(" [")[0],
        "nginx": subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip(),
        "commit": output(["git", "describe", "--always", "--dirty"]),
        "seconds": args.seconds,
        "repeat": args.repeat,
        "plugin_log": args.plugin_log,
    }
    if "envoy" in started:
        about["envoy"] = output([servers.envoy_binary(), "--version"]).split("/")[-4]
    if "portcullis" in started:
        about["portcullis"] = output([str(REPO / args.gateway), "--version"])
    return about


def markdown(about, lines, rows):
    yield f"{about['cpu']}, {about['cpus']} CPUs, Linux {about['kernel']}; one worker each."
    yield f"Medians of {about['repeat']} runs of {about['seconds']} s; (lowest–highest)."
    fate = "written to /dev/null" if about["plugin_log"] == "info" else "dropped by the server"
    for name, count in lines.items():
        version = about.get(name) or "unknown version"
        yield f"{name} ({version}): the plugin logs {count} lines a request, {fate}."
    yield ""
    yield (
        "| load | plugin | server | requests/s | p50 µs | p99 µs | CPU s per 1000 requests"
        " | server CPU | load CPU | resident MiB | errors | quiet runs |"
    )
    yield "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for row in rows:
        median, samples = row["median"], row["samples"]
        rates = [sample["requests_per_second"] for sample in row["used"]]
        proxied = row["server"] != "nginx alone"
        body = ", 16 KiB body" if row["method"] == "POST" else ""
        cells = [
            f"{row['method']}{body}, {row['connections']} conn.",
            "header_tour" if row["plugin"] else "–",
            row["server"],
            f"{median['requests_per_second']:.0f} ({min(rates):.0f}–{max(rates):.0f})",
            f"{median['p50_us']:.0f}",
            f"{median['p99_us']:.0f}",
            f"{median['cpu_seconds_per_1000']:.4f}" if proxied else "–",
            f"{median['server_cpu_percent']:.0f} %" if proxied else "–",
            f"{median['load_cpu_percent']:.0f} %",
            f"{median['resident_mib']:.1f}" if proxied else "–",
            f"{sum(sample['errors'] for sample in samples)}",
            f"{row['quiet']} of {len(samples)}",
        ]
        yield "| " + " | ".join(cells) + " |"

    yield ""
    yield "What the plugin costs: CPU µs per request with it, less CPU µs without it."
    yield ""
    names = list(lines)
    yield "| load | " + " | ".join(names) + " |"
    yield "|---|" + "--:|" * len(names)
    cpu = {
        (row["method"], row["connections"], row["server"], row["plugin"]): 1000
        * row["median"]["cpu_seconds_per_1000"]
        for row in rows
    }
    for method, connections in dict.fromkeys((row["method"], row["connections"]) for row in rows):
        costs = [
            cpu[method, connections, name, True] - cpu[method, connections, name, False]
            for name in names
        ]
        cells = " | ".join(f"{cost:.1f}" for cost in costs)
        yield f"| {method}, {connections} conn. | {cells} |"


def main():
    args = arguments()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two CPUs are needed: one for the server, one for the load")
    # Ends through the context managers, which stop every server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = sides(args)
    lines, cases = run(args, started)
    rows = summarize(cases, args.noise)
    about = environment(args, started)
    result = {"environment": about, "log_lines_per_request": lines, "cases": rows}
    text = "\n".join(markdown(about, lines, rows)) + "\n"
    for row in rows:
        del row["used"]
    (OUT / "compare.json").write_text(json.dumps(result, indent=2) + "\n")
    (OUT / "compare.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
