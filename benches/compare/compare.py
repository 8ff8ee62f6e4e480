"""Measures Envoy and Portcullis side by side; see README.md. Started by run.sh."""

import argparse
import functools
import json
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import about
import chart
import report
import servers
from check import check_plugin
from load import loads
from measure import measure_quietly
from servers import OUT, REPO

ENGINES = ["wasmtime", "wasmer", "wasmi"]


def main():
    args = arguments()
    OUT.mkdir(exist_ok=True)
    if args.source:
        result = read(args.source)
    else:
        if len(os.sched_getaffinity(0)) < 2:
            sys.exit("two CPUs are needed: one for the server, one for the load")
        # Ends through the context managers, which stop every server.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        result = measured(args)
    # Of old results, the medians too: which runs are quiet enough may be judged anew.
    rows = report.summarize(result["cases"], result["environment"]["noise_percent"])
    if not args.source:
        (OUT / "compare.json").write_text(json.dumps(result, indent=2) + "\n")
    text = report.markdown(result["environment"], result["log_lines_per_request"], rows)
    args.markdown.write_text(text)
    args.plot.write_text(chart.svg(result["environment"], rows))
    print(text, end="")
    print(f"written: {args.markdown}, {args.plot}", file=sys.stderr)


def arguments():
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)

    def option(name, default, text, **more):
        parser.add_argument(name, default=default, help=f"{text}; default: %(default)s", **more)

    def numbers(text):
        return [int(number) for number in text.split(",") if number]

    option("--servers", ",".join(["envoy", *ENGINES]), "Envoy, and engines of Portcullis")
    option("--seconds", 5, "length of a measurement", type=int)
    option("--warm-up", 1, "seconds of load before each", type=int)
    option("--repeat", 3, "measurements of each case", type=int)
    option("--connections", "1,16,256", "for GET", type=numbers)
    option("--post-connections", "16", "for POST; empty for none", type=numbers)
    option("--h2-connections", "16", "for GET over HTTP/2; empty for none", type=numbers)
    option("--plot", OUT / "compare.svg", "where the plot goes", type=Path, metavar="FILE")
    option("--markdown", OUT / "compare.md", "where the table goes", type=Path, metavar="FILE")
    parser.add_argument(
        "--quick", action="store_true", help="1 s for each case, once: only to see that it works"
    )
    parser.add_argument(
        "--from",
        dest="source",
        nargs="?",
        const=OUT / "compare.json",
        type=Path,
        metavar="FILE",
        help="measure nothing, make table and plot of these results; default: of the last run",
    )
    option("--gateway", REPO / "target/release/portcullis", "the binary", type=Path)
    parser.add_argument(
        "--gateway-env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="environment of the gateway; without, RUST_LOG is the log level",
    )
    option(
        "--plugin-log",
        "info",
        "log level of the servers; with error, they drop the plugin's lines",
        choices=["info", "error"],
    )
    option("--server-cpu", 0, "the CPU of the server", type=int)
    option("--load-cpu", 1, "the one of wrk, h2load and nginx", type=int)
    option(
        "--noise",
        5,
        "percent of a CPU that other processes may use; above, a measurement is repeated",
        type=float,
    )
    option("--tries", 3, "measure a disturbed one at most N times", type=int)
    option(
        "--retry-seconds",
        600,
        "what all repeats of disturbed measurements may take together",
        type=float,
    )
    args = parser.parse_args()
    args.servers = [name for name in args.servers.split(",") if name]
    unknown = set(args.servers) - {"envoy", *ENGINES}
    if unknown or not args.servers:
        parser.error(f"--servers takes some of envoy,{','.join(ENGINES)}")
    if not loads(args):
        parser.error("no connections, so there is no load")
    if args.quick:
        args.seconds = args.repeat = args.tries = 1
    return args


def read(source):
    try:
        return json.loads(source.read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"{source}: {error}; `run.sh` without --from measures and writes such a file")


def measured(args):
    sides = started_by(args)
    lines, cases = run(args, sides)
    return {
        "environment": about.environment(args),
        "log_lines_per_request": lines,
        "cases": [as_json(*case, samples) for case, samples in cases],
    }


def as_json(load, name, plugin, samples):
    what = {**load._asdict(), "kind": load.kind}
    return {**what, "server": name, "plugin": plugin, "samples": samples}


def started_by(args):
    """Returns a function for each server to measure that starts it, by name and whether it has the plugin.

    Without a plugin, Portcullis is the same on each engine.
    """
    without, with_plugin = {}, {}
    if "envoy" in args.servers:
        without["envoy", False] = functools.partial(servers.envoy, with_plugin=False)
        with_plugin["envoy", True] = functools.partial(servers.envoy, with_plugin=True)
    engines = [name for name in args.servers if name != "envoy"]
    if engines:
        binary = args.gateway.resolve()
        if not binary.exists():
            sys.exit(f"{binary} is missing: cargo build --release --workspace --bins")
        missing = ",".join(set(engines) - set(about.engines(binary)))
        if missing:
            sys.exit(f"not in {binary}: {missing}; cargo build --release --workspace --bins")
        env = dict(pair.split("=", 1) for pair in args.gateway_env)
        start = functools.partial(servers.portcullis, command=[str(binary)], env=env)
        without["portcullis", False] = functools.partial(start, engine=None)
        for engine in engines:
            with_plugin[engine, True] = functools.partial(start, engine=engine)
    return {**without, **with_plugin}


def run(args, sides):
    """Measures in rounds, each case with a fresh server; the order is reversed every other round."""
    cases, chosen = {}, loads(args)
    with servers.nginx(args.load_cpu) as upstream:
        lines = {}
        protocols = list(dict.fromkeys(load.protocol for load in chosen))
        for (name, plugin), start in sides.items():
            if plugin:
                lines[name] = check_plugin(start, args.server_cpu, upstream.port, protocols)
                print(f"{name}: the plugin runs; it logs {lines[name]}", file=sys.stderr)
        plan = [
            (load, name, plugin)
            for load in chosen
            for name, plugin in [("nginx alone", False), *sides]
        ]
        for turn in range(args.repeat):
            for case in plan if turn % 2 == 0 else reversed(plan):
                load, name, plugin = case
                server = nullcontext()
                if (name, plugin) in sides:
                    start = sides[name, plugin]
                    server = start(args.server_cpu, upstream.port, log_level=args.plugin_log)
                with server as running:
                    sample = measure_quietly(args, upstream, running, load)
                    if running and running.child.poll() is not None:
                        sys.exit(f"{name} died under load with {running.child.returncode}")
                cases.setdefault(case, []).append(sample)
                print(
                    f"round {turn + 1}: {load} {name}{' + plugin' if plugin else ''}:"
                    f" {sample['requests_per_second']:.0f}/s,"
                    f" others used {sample['other_cpu_percent']:.0f} % CPU",
                    file=sys.stderr,
                )
    return lines, [(case, cases[case]) for case in plan]


if __name__ == "__main__":
    main()
