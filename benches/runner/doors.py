"""Makes the part of BENCHMARKING.md about the doors, and the README's sentences, of the section "doors"."""

import textwrap

from runner import tables
from runner.reader import NOISE, NotMeasured, Reader

NAME = "doors"
ENVOY = "Envoy"
# Label, door, and the way to run plugins there.
ROWS = [
    ("Envoy, its V8", ENVOY, "V8"),
    ("Envoy, Portcullis", ENVOY, "Portcullis"),
    ("Pingora, Portcullis", "Pingora", "Portcullis"),
    ("axum, Portcullis", "axum", "Portcullis"),
]
BARE, TOUR, ARITHMETIC = "no plugin", "header_tour", "arithmetic"
# The number of hostcalls, by the name of the plugin.
CALLS = {"1 hostcall": 1, "16 hostcalls": 16, "500 hostcalls": 500}
# The columns of the README.
WIDTH = 120
FEW, MANY = "1 hostcall", "500 hostcalls"


def table(results):
    """Returns the CPU of requests, and what V8 takes by what the module takes, each less what a request takes anyway."""
    rows = []
    for label, door, way in ROWS:
        cells = [tables.cell(results, lambda read: found(read, door, way, plugin)["cpu_us"]) for plugin in (BARE, *CALLS)]
        spreads = [spread(results, door, way, plugin) for plugin in (BARE, *CALLS)]
        call = tables.cell(results, lambda read: hostcall_ns(read, door, way))
        further = [(plugin, tables.cell(results, lambda read: found(read, door, way, plugin)["cpu_us"])) for plugin in (ARITHMETIC, TOUR)]
        cells = [cell + own for cell, own in zip(cells, spreads)]
        rows.append([label, *cells, call, *(cell + spread(results, door, way, plugin) for plugin, cell in further)])
    ratios = [tables.cell(results, lambda read: cost_ratio(read, plugin)) for plugin in ("16 hostcalls", MANY)]
    call = tables.cell(results, lambda read: hostcall_ratio(read))
    last = [tables.cell(results, lambda read: cost_ratio(read, plugin)) for plugin in (ARITHMETIC, TOUR)]
    # What one hostcall adds to a request is less than the spread.
    rows.append(["V8 ÷ Portcullis, less what a request takes without a plugin", "–", "–", *ratios, call, *last])
    return tables.table(["CPU µs a request", BARE, *CALLS, "a hostcall, ns", ARITHMETIC, TOUR], rows)


def text(results):
    """Yields sentences about what has no table."""
    record = results["sections"].get(NAME)
    if record is None:
        return
    if of := record.get("of"):
        yield f"Measured on {of['date']} at commit `{of['commit']}`."
    v8, ours = (row("sandboxes", record, way) for way in ("V8", "Portcullis"))
    yield (
        f"Resident MiB of Envoy with {ours['sandboxes']} plugins in VMs of their own: {tables.number(ours['resident_mib'])} with the"
        f" module ({tables.number(ours['mib_each'])} for each further one), {tables.number(v8['resident_mib'])} with V8"
        f" ({tables.number(v8['mib_each'])})."
    )
    v8, ours = (row("loops", record, way) for way in ("V8", "Portcullis"))
    yield f"A plugin that loops, with a deadline of {ours['deadline_s']} s: with the module {stopped(ours)}; with V8 {stopped(v8)}."


def readme(results):
    """Returns the README's sentences, if the doors were measured wholly."""
    read = Reader(results)
    try:
        record = read.section(NAME)
        pure, tour = (1 / cost_ratio(read, plugin) for plugin in (ARITHMETIC, TOUR))
        ours, v8 = (hostcall_ns(read, ENVOY, way) for way in ("Portcullis", "V8"))
        small, large = (read.row(NAME, "sandboxes", way=way)["mib_each"] for way in ("Portcullis", "V8"))
    except (NotMeasured, ZeroDivisionError):
        return None
    if any(each["seconds"] is None for each in record["loops"] if each["way"] == "Portcullis"):
        return None
    number = tables.number
    sentences = (
        f"Inside Envoy, in the place of its V8, the module takes {number(pure)} of V8's CPU at pure computing, and {number(tour)} with"
        f" `header_tour`. Hostcalls that return bytes take {number(ours)} ns instead of {number(v8)}; a sandbox takes {number(small)} MiB"
        f" instead of {number(large)}; a plugin that loops ends after its deadline, where V8 hangs the worker for good; a trap costs one"
        " request, with a VM for each stream; and rights hold for each plugin and each argument ([In Envoy](docs/envoy.md))."
    )
    if record_is_disturbed(results):
        sentences += " The machine had other work meanwhile: believe the ratios to a tenth."
    return textwrap.fill(sentences, WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def record_is_disturbed(results):
    """Returns whether other programs used more of a CPU than a measurement bears."""
    return results["sections"][NAME]["other_cpu_percent"] > NOISE


def found(read, door, way, plugin):
    return read.row(NAME, NAME, door=door, way="" if plugin == BARE else way, plugin=plugin)


def spread(results, door, way, plugin):
    """Returns half of what lies between the lowest and the highest of the runs."""
    try:
        each = found(Reader(results), door, way, plugin)
    except NotMeasured:
        return ""
    return f" ± {tables.number((each['highest'] - each['lowest']) / 2)}"


def hostcall_ns(read, door, way):
    few, many = (found(read, door, way, plugin)["cpu_us"] for plugin in (FEW, MANY))
    return 1000 * (many - few) / (CALLS[MANY] - CALLS[FEW])


def hostcall_ratio(read):
    return hostcall_ns(read, ENVOY, "V8") / hostcall_ns(read, ENVOY, "Portcullis")


def cost_ratio(read, plugin):
    bare = found(read, ENVOY, "", BARE)["cpu_us"]
    v8, ours = (found(read, ENVOY, way, plugin)["cpu_us"] - bare for way in ("V8", "Portcullis"))
    if min(v8, ours) <= 0:
        raise NotMeasured("the plugin costs nothing")
    return v8 / ours


def row(table, record, way):
    return next(each for each in record["result"][table] if each["way"] == way)


def stopped(each):
    """Says what becomes of a request whose plugin loops, and of the worker."""
    if each["seconds"] is None:
        return "neither that request nor any other of the worker is answered"
    return f"it gets {each['status']}, and the worker serves on, after {tables.number(each['seconds'])} s"
