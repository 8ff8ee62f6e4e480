"""Keeps one run as one JSON file: numbers, machine, versions, commit."""

import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import about

REPO = Path(__file__).resolve().parents[2]
COMPARE = REPO / "benches/compare"
LATEST = REPO / "benches/results/latest.json"
# Sections that have a file of their own, of its own commit: they take builds that no other section needs, or minutes.
APART = {name: REPO / f"benches/results/{name}.json" for name in ("doors", "soak")}
# The results of `--quick`, which are worth nothing and not committed.
QUICK = REPO / "benches/results/quick.json"
# Files that a run changes, and documents: a commit of these alone is no other code.
NOT_CODE = [":(exclude)benches/results", ":(exclude)benches/compare/compare.svg", ":(exclude)*.md"]


def load(path):
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        sys.exit(f"{path} is no JSON ({error}); take the committed one back, or remove it and run all sections")


def path_of(section, quick):
    """Returns the file of a section's results."""
    return QUICK if quick else APART.get(section, LATEST)


def joined(results):
    """Returns the results with those of sections that are apart, which say of which commit they are, if none is a quick run."""
    sections = dict(results["sections"])
    for path in () if results["quick"] else APART.values():
        apart = load(path) or {"sections": {}}
        of = {key: apart.get(key) for key in ("commit", "date")}
        sections |= {name: record | {"of": of} for name, record in apart["sections"].items()}
    return results | {"sections": sections}


def save(results, path):
    """Writes the results in one fixed form; a run that is killed meanwhile leaves the file as it was."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(rounded(results), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    partial.replace(path)


def rounded(value):
    """Rounds to four significant digits, which are more than any time here has."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        short = float(f"{value:.4g}")
        return int(short) if short.is_integer() else short
    return value


def new(options):
    """Returns results without a section."""
    return {
        "commit": code_commit(),
        "date": today(),
        "machine": machine(),
        "quick": options.quick,
        "sections": {},
        "versions": versions(options.gateway),
    }


# The keys that are known before anything is built.
KNOWN = ("commit", "machine", "quick")


def mergeable(old, options, keys=(*KNOWN, "versions")):
    """Returns results to which a section may be added: those of the same code on the same machine, or new ones."""
    fresh = new(options)
    if old is None:
        return fresh
    for key in keys:
        if old.get(key) != fresh[key]:
            sys.exit(
                f"the results are of another {key} ({old.get(key)}) than this one ({fresh[key]}), and one file holds one run;"
                " run all sections, or begin a new file with --new"
            )
    return old


def today():
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def code_commit():
    """Returns the last commit that changes more than documents and results, as `git describe --always --dirty` names it."""
    commit = about.output(["git", "log", "-1", "--format=%H", "--", ".", *NOT_CODE])
    name = about.output(["git", "describe", "--always", commit]) if commit else "unknown"
    dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", ".", *NOT_CODE], cwd=REPO).returncode
    return f"{name}-dirty" if dirty else name


def machine():
    model = re.search(r"^model name\s*: (.*)$", read("/proc/cpuinfo"), re.M)
    memory = re.search(r"^MemTotal:\s*(\d+)", read("/proc/meminfo"), re.M)
    return {
        "cpu": model[1].strip() if model else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "memory_gib": round(int(memory[1]) / 2**20) if memory else None,
    }


def versions(gateway):
    found = {"rustc": first_version(["rustc", "--version"])}
    for tool, option in {"h2load": "--version", "nginx": "-v", "valgrind": "--version", "wrk": "-v"}.items():
        if shutil.which(tool):
            found[tool] = first_version([tool, option])
    if gateway.exists():
        found["portcullis"] = first_version([str(gateway), "--version"])
        found |= about.engines(gateway)
    return found


def first_version(command):
    number = re.search(r"\d+(\.\d+)+", about.output(command))
    return number[0] if number else "unknown"


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""
