"""The sections of a run: the tools and builds that each needs, the command that measures it, and its limit of time."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, NamedTuple

import measure as cpu
from runner import collect
from runner.reader import BY_ROW, NOISE, STEADY
from runner.results import COMPARE, REPO


INSTRUCTIONS = REPO / "benches/instructions.sh"
GATEWAY = REPO / "target/release/portcullis"


class Options(NamedTuple):
    gateway: Path = GATEWAY
    quick: bool = False
    profile: str = ""


class Section(NamedTuple):
    name: str
    about: str
    # On two idle cores, without building; the limit is three times that.
    minutes: float
    tools: tuple[str, ...]
    # What must be built before: "gateway", "doors", "counting" (the bench of instructions), and names of benches.
    needs: tuple[str, ...]
    # The command, given the options and a fresh folder for what it leaves, and its further environment.
    command: Callable[[Options, Path], list[str]]
    environment: Callable[[Path], dict[str, str]]
    # The numbers, out of that folder.
    collect: Callable[[Path], dict]


class Failed(Exception):
    """Says why a section has no result, with a remedy."""


def by_bench(name, about, minutes, *arguments, **rest):
    """Returns the section of a bench; `arguments` make criterion take less time than by default."""

    def command(options, _folder):
        quick = ["--quick"] if options.quick else arguments
        return ["cargo", "bench", "--quiet", "--workspace", *profile(options), "--bench", name, "--", *quick]

    return Section(name, about, minutes, (), (name,), command, **rest)


def profile(options):
    return ["--profile", options.profile] if options.profile else []


def script(name, *quick, slow=()):
    """Returns the command of a script of the comparison that takes --gateway and --json."""

    def command(options, folder):
        numbers = ["--gateway", str(options.gateway), "--json", str(folder / "results.json")]
        return [str(COMPARE / name), *numbers, *(quick if options.quick else slow)]

    return command


def compare(options, _folder):
    quick = ["--quick", "--connections", "16", "--post-connections", ""]
    whole = ["--seconds", "3", "--retry-seconds", "120"]
    return [str(COMPARE / "run.sh"), "--gateway", str(options.gateway), *(quick if options.quick else whole)]


def soak(options, folder):
    some = ("--reloads", "40", "--turns", "2", "--configurations", "12", "--modules", "11") if options.quick else ("--strict",)
    return [str(GATEWAY.with_name("soak")), "--gateway", str(options.gateway), "--json", str(folder / "results.json"), *some]


def doors(options, folder):
    return [str(COMPARE / "doors.py"), "--json", str(folder / "results.json"), *(DOORS_QUICK if options.quick else ())]


def request_instructions(options, folder):
    chosen = profile(options)
    return script("request_instructions.py", *TOUR, "200", *chosen, slow=(*TOUR, "5000", *chosen))(options, folder)


def gungraun(_options, _folder):
    return [str(INSTRUCTIONS)]


def table(folder):
    return {"PORTCULLIS_BENCH_JSON": str(folder / "results.json")}


def tables(folder):
    return collect.tables(folder / "results.json")


CRITERION = ("--noplot", "--warm-up-time", "0.5", "--measurement-time", "1.5", "--sample-size", "50")
BY_CRITERION = {
    "environment": lambda folder: {"CRITERION_HOME": str(folder)},
    "collect": collect.criterion,
}
BY_TABLE = {"environment": table, "collect": tables}
BY_SCRIPT = {"needs": ("gateway",), "environment": lambda _: {}, "collect": tables}
# The bench cold_start fills the code cache.
BY_CALLGRIND = BY_SCRIPT | {"needs": ("gateway", "cold_start")}
BY_COMPARE = BY_SCRIPT | {"collect": lambda _: collect.comparison(COMPARE / "out/compare.json")}
BY_GUNGRAUN = {
    "needs": ("counting",),
    "environment": lambda folder: {"GUNGRAUN_HOME": str(folder)},
    "collect": lambda folder: {"instructions": collect.callgrind(folder)},
}
LOAD = ("nginx", "taskset")
RELEASE = ("cargo", "build", "--release", "--locked")
PINGORA = ("--manifest-path", "adapters/pingora/Cargo.toml", "--target-dir", "target", "--example", "pingora_door")
DOORS_QUICK = ("--repeat", "1", "--seconds", "1")
TOUR = ("--engines", "wasmtime", "--requests")

SECTIONS = [
    Section(
        "doors", "plugins in Envoy (V8, our module), Pingora and axum", 7,
        (*LOAD, "wrk"), command=doors, **BY_SCRIPT | {"needs": ("doors",)},
    ),
    Section(
        "compare", "Envoy and Portcullis under the same load", 12,
        (*LOAD, "wrk", "h2load"), command=compare, **BY_COMPARE,
    ),
    Section(
        "ten_vms", "requests/s through ten plugins in one VM, and in ten", 1.5,
        (*LOAD, "wrk"), command=script("isolation.py", "--repeat", "1", "--seconds", "1", slow=("--repeat", "3")), **BY_SCRIPT,
    ),
    Section(
        "memory", "resident memory after many requests", 0.3,
        (*LOAD, "h2load"), command=script("memory.py", "--divide", "20"), **BY_SCRIPT,
    ),
    Section(
        "first_response", "from the start of the gateway to the first response", 0.5,
        (), command=script("first_response.py", "--runs", "2", slow=("--runs", "11")), **BY_SCRIPT,
    ),
    Section(
        "request_instructions", "instructions of a request in the gateway", 2,
        (*LOAD, "h2load", "valgrind"), command=request_instructions, **BY_CALLGRIND,
    ),
    Section(
        "soak", "reloads of a gateway under load", 8,
        (), command=soak, **BY_SCRIPT,
    ),
    by_bench("crossing", "one call between host and guest", 2.5, *CRITERION, **BY_CRITERION),
    by_bench("stream", "one stream, its bodies, one VM", 2, *CRITERION, **BY_CRITERION),
    by_bench("scale", "chains, live streams, shared data", 0.5, **BY_TABLE),
    by_bench("isolation", "sandboxes, ten VMs, rights", 1, **BY_TABLE),
    by_bench("cold_start", "compiling a plugin, loading it from a code cache", 0.2, **BY_TABLE),
    Section(
        "instructions", "instructions of crossings and streams, against their bounds", 1,
        ("valgrind",), command=gungraun, **BY_GUNGRAUN,
    ),
]
NAMES = [section.name for section in SECTIONS]
PACKAGES = {"h2load": "nghttp2-client", "nginx": "nginx-light", "taskset": "util-linux"}


def missing_tools(chosen):
    """Returns Debian's packages of the tools that are missing."""
    tools = {tool for section in chosen for tool in section.tools if not shutil.which(tool)}
    return sorted(PACKAGES.get(tool, tool) for tool in tools)


def build(options, chosen):
    """Builds before anything is measured; the gateway apart from benches, which bring features that its users do not have."""
    needs = {need for section in chosen for need in section.needs}
    if "gateway" in needs and options.gateway == GATEWAY:
        run(["cargo", "build", "--release", "--workspace", "--bins"], {}, 3600)
    if "doors" in needs:
        # With workspace-features, so that all three are built of the same dependencies.
        run([*RELEASE, "--package", "portcullis-envoy", "--package", "workspace-features"], {}, 3600)
        run([*RELEASE, "--package", "portcullis-tower", "--example", "tower_door"], {}, 3600)
        run(["bash", "-c", f"source .ci/tools.sh && pingora_tools && {shlex.join([*RELEASE, *PINGORA])}"], {}, 3600)
    if "counting" in needs:
        run([str(INSTRUCTIONS), "--no-run"], {}, 3600)
    # By name: otherwise Cargo builds the unit tests of every crate, too.
    benches = [word for need in sorted(needs - {"gateway", "doors", "counting"}) for word in ("--bench", need)]
    if benches:
        run(["cargo", "bench", "--workspace", "--no-run", *profile(options), *benches], {}, 3600)


def measure_quietly(section, options, budget):
    """Measures a section, and once more if other programs disturbed it and that fits into the seconds of the budget.

    Returns the quieter record, and what is left of the budget.
    """
    record = measure(section, options)
    knows = section.name in BY_ROW | STEADY
    if knows or record["other_cpu_percent"] <= NOISE or record["seconds"] > budget:
        return record, budget
    again = measure(section, options)
    quieter = min(record, again, key=lambda each: each["other_cpu_percent"])
    return quieter, budget - again["seconds"]


def measure(section, options):
    """Returns a section's numbers, how long they took, and how much CPU all other programs used meanwhile."""
    with tempfile.TemporaryDirectory(prefix=f"benches-{section.name}-") as temporary:
        folder = Path(temporary)
        command = section.command(options, folder)
        begin, busy, own = time.monotonic(), cpu.busy_seconds(), own_seconds()
        run(command, section.environment(folder), 180 * section.minutes + 120)
        elapsed = time.monotonic() - begin
        others = max(0.0, cpu.busy_seconds() - busy - (own_seconds() - own))
        return {
            "other_cpu_percent": round(100 * others / elapsed, 1),
            "result": section.collect(folder),
            "seconds": round(elapsed),
        }


def run(command, environment, seconds):
    """Runs a command with all its output on stderr, and ends all of its processes when the time is over."""
    child = subprocess.Popen(
        command, cwd=REPO, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
    )
    try:
        status = child.wait(seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)} did not end within {seconds:.0f} s; is the machine busy? repeat this section") from None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if status != 0:
        raise Failed(f"{' '.join(command)} exited with {status}; its output is above")


def own_seconds():
    """Returns the CPU seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])
