"""Names the machine, the versions and the settings of a comparison."""

import hashlib
import os
import platform
import re
import subprocess
from pathlib import Path

import configs
import servers
from configs import REPO


def environment(args):
    cpu = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    versions = {}
    if "envoy" in args.servers:
        versions["envoy"] = output([servers.envoy_binary(), "--version"]).split("/")[-4]
    if args.servers != ["envoy"]:
        versions["portcullis"] = output([str(args.gateway.resolve()), "--version"]).split()[-1]
        built_in = engines(args.gateway.resolve())
        versions |= {name: built_in[name] for name in args.servers if name in built_in}
    return {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "plugin_sha256": hashlib.sha256(configs.PLUGIN.read_bytes()).hexdigest(),
        "wrk": output(["wrk", "-v"]).partition(" [")[0],
        "h2load": output(["h2load", "--version"]),
        "nginx": output(["nginx", "-v"]),
        "commit": output(["git", "describe", "--always", "--dirty"]),
        "versions": versions,
        "seconds": args.seconds,
        "repeat": args.repeat,
        "noise_percent": args.noise,
        "plugin_log": args.plugin_log,
    }


def engines(binary):
    """Returns the engines of a gateway with their versions, out of the table of `portcullis engines`."""
    lines = output([str(binary), "engines"]).splitlines()
    names, versions = (re.split(r"\s{2,}", line.strip()) for line in lines[:2])
    return dict(zip((name.split()[0] for name in names), versions[1:]))


def output(command):
    try:
        result = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    except OSError:
        return ""
    # `nginx -v` writes to stderr.
    return (result.stdout or result.stderr).strip()
