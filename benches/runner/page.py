"""Makes BENCHMARKING.md, its plot, and the sentences about the doors in the README, from the results of a run."""

import difflib
import re
import sys
from pathlib import Path

import chart
from runner import aims, doors, soak, tables
from runner.reader import BY_ROW, NOISE, STEADY
from runner.results import APART, COMPARE, LATEST, QUICK, REPO, joined

PLOT = COMPARE / "compare.svg"
README = REPO / "README.md"
LINES = 150
BLOCK = re.compile(r"(<!-- doors -->\n).*?(<!-- /doors -->)", re.S)

# Parts of the page: heading, text, and each table with the sections of the run that it is made of.
PARTS = [
    ("Against Envoy",
     "The same plugin and nginx upstream, one worker each, medians of quiet runs: [how it is measured](benches/compare/README.md)."
     " `header_tour` logs every header and adds one each way. p50, p99 and MiB are of HTTP/1.1.",
     [(["compare"], tables.requests), (["compare"], tables.sixteen_connections)]),
    ("Doors",
     "The same plugins in Envoy, in a Pingora proxy and in an axum router, before nginx, one worker each, 16 connections: CPU of the proxy,"
     " ± half of what lies between the runs. A hostcall takes the path of the request's head; *arithmetic* is 300,000 rounds of an"
     " addition and a multiplication. [How it is measured](benches/compare/README.md#doors).",
     [(["doors"], doors.table)]),
    ("One call",
     "A hostcall is made in a loop in the guest, so its time has that of one turn. The bare engine has no host around it:"
     " no rights, no contexts, nothing looked up.",
     [(["crossing", "instructions"], tables.calls)]),
    ("One stream",
     "A request and a response through a chain, without IO: context, headers, body, log, end. *A VM for each stream* is"
     " `isolation: stream`. A plugin reads the body of a response, or reads and replaces it.",
     [(["stream", "instructions"], tables.streams)]),
    ("Scale",
     "Chains of 1 and 16 plugins; one operation in a VM with 1 and with 100,000 live streams; shared data wanted by each of 1 and 2"
     " threads. Each `header_tour` adds headers that all behind it log, so the work of 16 is more than 16 times that of one.",
     [(["scale"], tables.scale)]),
    ("Isolation",
     "A further sandbox of `header_tour` out of 1000, plugin started; ten plugins in one VM against ten VMs, as plugin time and through"
     " the gateway; one hostcall with every right, with named rights, and with rules for its arguments.",
     [(["isolation", "ten_vms"], tables.isolation)]),
    ("Cold start",
     "Making `header_tour` (150 kB) ready, and the time from the start of the gateway to the first filtered response. wasmi keeps no"
     " compiled code.",
     [(["cold_start", "first_response"], tables.cold_start)]),
    ("Reloads",
     "A gateway with 51 plugins under constant load of clients that never send a request twice: turns without reloads, and turns in which"
     " each reload changes the code or the configuration of one plugin; then what must be refused is pushed."
     " [How it is measured](soak/README.md).",
     [(["soak"], soak.table)]),
]
# Sections without a table.
REQUEST, MEMORY = "request_instructions", "memory"

DECISIONS = [
    "- wasmtime's inlining stays off: it saves a sixth of a plugin's instructions, triples the time of compiling, and makes a trap name"
    " the wrong function.",
    "- The allocator does not ask for huge pages: where the system gives them, they double the gateway's resident memory.",
    "- `isolation: stream` on wasmtime wants Linux 6.7 or later, which tells which pages a VM has written; without, a VM costs three"
    " times as much.",
]


def markdown(results, plot, source):
    """Returns the page; `plot` and `source` are the paths of plot and results as the page sees them."""
    lines = ["# Benchmarking", "", *head(results, source), "", "## Aims", "", *tables.aims(aims.judged(results)), ""]
    for heading, text, makers in PARTS:
        further = FURTHER.get(heading, lambda _: [])(results)
        lines += [f"## {heading}", "", *part(results, text, makers, further)]
        if heading == "Against Envoy" and "compare" in results["sections"]:
            lines += ["", f"![Requests per second, Envoy and Portcullis]({plot})"]
        lines.append("")
    lines += ["## Decisions", "", *DECISIONS]
    if len(lines) > LINES and not results["quick"]:
        sys.exit(f"the page has {len(lines)} lines, more than {LINES}: leave out what decides nothing")
    return "\n".join(lines) + "\n"


def head(results, source):
    machine, versions, sections = results["machine"], results["versions"], results["sections"]
    others = [path for name, path in APART.items() if "of" in sections.get(name, {})]
    links = " and ".join(f"[{path.name}]({LATEST.parent.relative_to(REPO)}/{path.name})" for path in others)
    apart = f", {links} of others" if others else ""
    if results["quick"]:
        yield "**Of a quick run, to try the command: these numbers are worth nothing.**"
    yield (
        f"Made by `benches/run` of one run, [{Path(source).name}]({source}){apart}; [aims.py](benches/runner/aims.py) has the aims. Ratios"
        f" of rows in one run are worth something; bare numbers of a virtual machine are not. †: other programs used more than"
        f" {NOISE} % of a CPU meanwhile, whenever this was measured."
    )
    used = [f"{name} {versions[name]}" for name in (*tables.ENGINES, "nginx", "rustc") if name in versions]
    used += [f"Envoy {sections['compare']['result']['envoy']}"] if "compare" in sections else []
    minutes = sum(record["seconds"] for record in sections.values() if "of" not in record) / 60
    about = f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB, Linux {machine['kernel']}"
    yield f"{results['date']}, commit `{results['commit']}`, {minutes:.0f} minutes. {about}. {', '.join(used)}."


def part(results, text, makers, further):
    names = list(dict.fromkeys(name for needs, _ in makers for name in needs))
    there = [name for name in names if name in results["sections"]]
    absent = [name for name in names if name not in results["sections"]]
    sentences = [f"{text} {commands(there)}{disturbance(results, there)}."] if there else []
    if absent:
        sentences.append(f"Not measured in this run: {commands(absent)}.")
    yield " ".join([*sentences, *further])
    for needs, maker in makers:
        if set(needs) & set(there):
            yield from ["", *maker(results)]


def commands(names):
    return ", ".join(f"`benches/run {name}`" for name in names)


def disturbance(results, names):
    """Returns the mark of sections that were disturbed and whose rows do not tell it."""
    used = [results["sections"][name]["other_cpu_percent"] for name in names if name not in BY_ROW | STEADY]
    return f" († {max(used):.0f} %)" if used and max(used) > NOISE else ""


def gateway(results):
    """Yields a sentence for each section without a table."""
    sections = results["sections"]
    if REQUEST in sections:
        counts = sections[REQUEST]["result"][REQUEST]
        yield (
            f"Outside the kernel, the gateway takes {counts['no_plugin']:,.0f} instructions for a request without a plugin, and"
            f" {counts['wasmtime']:,.0f} with `header_tour` on wasmtime: {commands([REQUEST])}."
        )
    if MEMORY in sections:
        steps = ", ".join(f"{row['resident_mib']:.1f} after {row['requests']:,}" for row in sections[MEMORY]["result"][MEMORY])
        yield (
            f"The gateway's resident MiB with `header_tour` on wasmtime, by requests over 64 connections: {steps}: {commands([MEMORY])}."
        )
    absent = [name for name in (REQUEST, MEMORY) if name not in sections]
    if absent:
        yield f"Not measured in this run: {commands(absent)}."


def readme(results, text):
    """Returns the README with the sentences about the doors, if they were measured."""
    sentences = doors.readme(results)
    return text if sentences is None else BLOCK.sub(lambda match: match[1] + sentences + match[2], text)


# What parts say besides their tables.
FURTHER = {"Against Envoy": gateway, "Doors": doors.text, "Reloads": soak.text}


def files(results):
    """Returns the files that the results make, with their text."""
    results, made = joined(results), {}
    if results["quick"]:
        page, plot = QUICK.with_suffix(".md"), QUICK.with_suffix(".svg")
    else:
        page, plot = REPO / "BENCHMARKING.md", PLOT
        made[README] = readme(results, README.read_text())
    source = QUICK.name if results["quick"] else LATEST.relative_to(REPO)
    made[page] = markdown(results, plot.name if results["quick"] else plot.relative_to(REPO), source)
    if compared := results["sections"].get("compare"):
        about = compared["result"]["settings"] | results["machine"]
        made[plot] = chart.svg(about, compared["result"]["cases"])
    return made


def write(results):
    for path, text in files(results).items():
        if path.exists() and path.read_text() == text:
            continue
        path.write_text(text)
        print(f"written: {path.relative_to(REPO)}", file=sys.stderr)


def check(results):
    """Prints the differences of stale files, and returns whether there are any."""
    stale = False
    for path, text in files(results).items():
        now = path.read_text() if path.exists() else ""
        if now != text:
            stale = True
            name = str(path.relative_to(REPO))
            difference = difflib.unified_diff(now.splitlines(), text.splitlines(), name, "made of the results", lineterm="", n=0)
            print("\n".join(list(difference)[:20]), file=sys.stderr)
            print(f"{name} is not what {LATEST.relative_to(REPO)} makes; run `benches/run --page`", file=sys.stderr)
    return stale
