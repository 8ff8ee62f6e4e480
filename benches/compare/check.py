"""Checks that the plugin runs on a server, before anything is measured."""

import subprocess
import sys
import time

import load
import servers

COUNT = 20


def check_plugin(start, cpu, upstream, protocols):
    """Checks the plugin over each protocol; returns the lines that it logs for a request of each."""
    return {protocol: check(start, cpu, upstream, protocol) for protocol in protocols}


def check(start, cpu, upstream, protocol):
    log = servers.OUT / "check.log"
    with start(cpu, upstream, log) as server:
        before = log.read_text(errors="replace")
        if protocol == "h2":
            by_h2load(server)
        else:
            one_by_one(server)
        # Its answer parts the lines of the requests from what comes later.
        if server.get("/hello").getheader("powered-by") != "proxy-wasm":
            sys.exit("the plugin does not answer /hello")
        time.sleep(0.5)
        lines = log.read_text(errors="replace")[len(before) :].splitlines()
    hello = next((i for i, line in enumerate(lines) if ":path: /hello" in line), None)
    if hello is None:
        sys.exit("the plugin's lines are not in the log")
    tour = [line for line in lines[:hello] if " -> " in line or " <- " in line]
    completed = sum(" completed" in line for line in lines)
    # One completed line for each request and for /hello; the readiness probe's may come late.
    if not COUNT + 1 <= completed <= COUNT + 2:
        sys.exit(f"{completed} completed streams in the log after {COUNT + 1} requests")
    return round(len(tour) / COUNT) + 1


def one_by_one(server):
    for _ in range(COUNT):
        response = server.get()
        if response.status != 200 or response.getheader("x-plugin") != "header_tour":
            sys.exit(f"the plugin does not run: {response.status} {response.getheaders()}")


def by_h2load(server):
    """Sends requests over HTTP/2. h2load shows no headers, so only the log shows that the plugin ran."""
    command = [*load.h2load_of(server, 1), "--requests", str(COUNT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if f" {COUNT} succeeded" not in result.stdout or "protocol: h2c" not in result.stdout:
        sys.exit(f"no HTTP/2 through the server:\n{result.stdout}{result.stderr}")
