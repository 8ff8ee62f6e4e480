"""The loads: the tool that makes each, and how its output is read."""

import json
import re
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from servers import OUT, REQUEST_HEADERS

HERE = Path(__file__).resolve().parent
H2LOAD_LOG = OUT / "h2load.log"


class Load(NamedTuple):
    protocol: str  # "h1" or "h2"
    method: str
    connections: int

    @property
    def kind(self):
        body = " 16 KiB" if self.method == "POST" else ""
        return f"{self.method}{body}{' over h2' if self.protocol == 'h2' else ''}"

    def __str__(self):
        return f"{self.kind}, {self.connections} conn."

    def command(self, server, seconds):
        command = wrk if self.protocol == "h1" else h2load
        return command(self, server, seconds)

    def result(self, stdout):
        """Returns what the command has measured, with the names of load.lua."""
        if self.protocol == "h2":
            return h2load_result(stdout)
        return json.loads(stdout.splitlines()[-1])


def loads(args):
    """Returns the loads that the options ask for."""
    return [
        Load(protocol, method, connections)
        for protocol, method, numbers in (
            ("h1", "GET", args.connections),
            ("h1", "POST", args.post_connections),
            ("h2", "GET", args.h2_connections),
        )
        for connections in numbers
    ]


def wrk(load, server, seconds):
    path = "/post" if load.method == "POST" else "/"
    command = ["wrk", "--threads", "1", "--connections", str(load.connections)]
    command += ["--duration", f"{seconds}s", "--timeout", "2s", "--script", str(HERE / "load.lua")]
    return [*command, f"http://127.0.0.1:{server.port}{path}", "--", load.method]


def h2load(load, server, seconds):
    """Returns the command; it has one request at a time on each connection, as wrk has."""
    command = h2load_of(server, load.connections)
    # It appends.
    H2LOAD_LOG.unlink(missing_ok=True)
    return [*command, "--duration", str(seconds), "--log-file", str(H2LOAD_LOG)]


def h2load_of(server, connections):
    """Returns a command without its duration. For `http:`, h2load takes HTTP/2 with prior knowledge."""
    headers = [f"--header={name}: {value}" for name, value in REQUEST_HEADERS.items()]
    url = f"http://127.0.0.1:{server.h2_port}/"
    return ["h2load", url, "--threads=1", f"--clients={connections}", *headers]


def h2load_result(stdout):
    """Reads requests and rate in h2load's summary, and the time of each request in its log."""
    rate = re.search(r"^finished in .*?, ([0-9.]+) req/s", stdout, re.MULTILINE)
    counts = re.search(r"(\d+) done, .* (\d+) failed, (\d+) errored, (\d+) timeout", stdout)
    if not rate or not counts:
        sys.exit(f"h2load says nothing of its requests:\n{stdout}")
    done, *errors = (int(count) for count in counts.groups())
    # Microseconds since the epoch, status, microseconds until the end of the response.
    rows = [line.split("\t") for line in H2LOAD_LOG.read_text().splitlines()]
    if len(rows) < done:
        sys.exit(f"{H2LOAD_LOG} has {len(rows)} of {done} requests")
    times = [int(microseconds) for _, _, microseconds in rows]
    if not times or not float(rate[1]):
        sys.exit(f"h2load had no response:\n{stdout}")
    # What failed is in the log, too, if it was sent.
    failed = sum(not status.startswith("2") for _, status, _ in rows)
    cuts = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99
    return {
        "requests": done,
        "seconds": done / float(rate[1]),
        "p50_us": cuts[49],
        "p99_us": cuts[98],
        "max_us": max(times),
        "errors": max(failed, *errors),
    }
