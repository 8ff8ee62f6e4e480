"""Measures a load on a server, and the CPU that each side and all other programs use meanwhile."""

import functools
import os
import subprocess
import sys
import time
from pathlib import Path

import servers
from servers import TICKS_PER_SECOND


def measure_quietly(args, *rest):
    """Repeats a measurement that other processes disturbed, while there is time for repeats; the quietest counts."""
    best = None
    for turn in range(max(1, args.tries)):
        if turn > 0 and args.retry_seconds <= 0:
            break
        begin = time.monotonic()
        sample = measure(args, *rest)
        if turn > 0:
            args.retry_seconds -= time.monotonic() - begin
        if best is None or sample["other_cpu_percent"] < best["other_cpu_percent"]:
            best = sample
        if best["other_cpu_percent"] <= args.noise:
            break
    return best


def measure(args, upstream, server, load):
    """Measures once; without a server, nginx alone."""
    put = functools.partial(run, load, server or upstream, cpu=args.load_cpu)
    put(args.warm_up)
    start, own = time.monotonic(), os.times()
    busy, by_load, by_nginx = busy_seconds(), children_seconds(), upstream.cpu_seconds()
    by_server = server.cpu_seconds() if server else 0
    output = put(args.seconds)
    by_server = server.cpu_seconds() - by_server if server else 0
    busy, by_nginx = busy_seconds() - busy, upstream.cpu_seconds() - by_nginx
    by_load, elapsed = children_seconds() - by_load, time.monotonic() - start
    own = sum(os.times()[:2]) - sum(own[:2])
    others = max(0, busy - by_server - by_load - by_nginx - own)
    # Reading the output takes time of its own: only now.
    sample = load.result(output)
    return {
        "requests_per_second": sample["requests"] / sample["seconds"],
        "p50_us": sample["p50_us"],
        "p99_us": sample["p99_us"],
        "max_us": sample["max_us"],
        "errors": sample["errors"],
        "requests": sample["requests"],
        "cpu_seconds_per_1000": 1000 * by_server / max(1, sample["requests"]),
        "server_cpu_percent": 100 * by_server / sample["seconds"],
        "load_cpu_percent": 100 * (by_load + by_nginx) / elapsed,
        "other_cpu_percent": 100 * others / elapsed,
        "resident_mib": server.resident_bytes() / 2**20 if server else 0,
    }


def run(load, server, seconds, cpu):
    """Puts a load on a server; returns the output of the tool that made it."""
    command = ["taskset", "-c", str(cpu), *load.command(server, seconds)]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        preexec_fn=servers.die_with_parent,
    )
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)} exited with {result.returncode}:\n{result.stderr}")
    return result.stdout


def busy_seconds():
    """Returns the CPU seconds of all processes so far, time stolen by the hypervisor included.

    Interrupts are in it, as they are in the time of the process that they interrupted.
    """
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(fields[i]) for i in (0, 1, 2, 5, 6, 7)) / TICKS_PER_SECOND


def children_seconds():
    times = os.times()
    return times.children_user + times.children_system
