"""Makes the tables of BENCHMARKING.md, each of the results of one section or two."""

from runner.reader import MARK, NotMeasured, Reader

ENGINES = ["wasmtime", "wasmer", "wasmi"]
LOADS = {
    "GET, 1 conn.": ("h1", "GET", 1),
    "GET, 16 conn.": ("h1", "GET", 16),
    "GET, 256 conn.": ("h1", "GET", 256),
    "POST 16 KiB, 16 conn.": ("h1", "POST", 16),
    "GET over h2, 16 conn.": ("h2", "GET", 16),
}
# Name in the table, server of the comparison, whether it has the plugin.
SERVERS = [
    ("nginx alone", "nginx alone", False),
    ("Envoy", "envoy", False),
    ("Portcullis", "portcullis", False),
    ("Envoy, header_tour", "envoy", True),
    *((f"Portcullis on {engine}, header_tour", engine, True) for engine in ENGINES),
]
RATE, CPU = "requests_per_second", "cpu_seconds_per_1000"
# Label, criterion's name, and the name and number of operations of what callgrind counts.
CALLS = [
    ("callback of an empty guest", "empty_call", "callback.empty_call", 1),
    ("the same on the bare engine", "bare_empty_call", None, 0),
    ("a turn of the guest's loop, in all of the following", "nothing", "thousand_hostcalls.nothing", 1000),
    ("`proxy_increment_metric`", "increment_metric", "thousand_hostcalls.increment_metric", 1000),
    ("the same on the bare engine", "bare_increment", None, 0),
    ("`proxy_set_effective_context`", "set_effective_context", "thousand_hostcalls.set_effective_context", 1000),
    ("`proxy_log`, 20 bytes", "log_20_bytes", "thousand_hostcalls.log_20_bytes", 1000),
    ("`proxy_replace_header_map_value`", "replaced_header", "thousand_hostcalls.replaced_header", 1000),
    ("`proxy_get_buffer_bytes`, 100 bytes", "body", "thousand_hostcalls.body", 1000),
    ("`proxy_get_header_map_pairs`, 3 headers", "header_pairs", "thousand_hostcalls.header_pairs", 1000),
    ("`proxy_get_header_map_value`", "header_value_through_the_allocator", "thousand_hostcalls.header_value", 1000),
    ("`proxy_get_property`", "property", "thousand_hostcalls.property", 1000),
]
STREAMS = ["no_plugin", "empty_guest", "empty_guest_by_stream", "header_tour", "header_tour_by_stream"]
COUNTED_STREAMS = {"no_plugin": "no_plugin", "empty_guest": "one_empty_guest", "header_tour": "header_tour"}
BODIES = ["read/1MiB", "rewrite/1MiB"]


def aims(judged):
    rows = []
    for aim, found, met, disturbed in judged:
        verdict = {True: "met", False: "**missed**", None: "not measured"}[met]
        measured = "–" if found is None else f"{number(found)}{MARK if disturbed else ''}"
        rows.append([aim.text, verdict, f"{aim.sense} {aim.bound:g} {aim.unit}", measured])
    return table(["aim", "", "bound", "measured"], rows, left=2)


def requests(results):
    rows = []
    for label, server, plugin in SERVERS:
        cells = [cell(results, lambda read: read.median(load, server, RATE, plugin)) for load in LOADS.values()]
        rows.append([label, *cells])
    for label, names, plugin in (("Portcullis ÷ Envoy", ["portcullis", "envoy"], False),
                                 ("the same on wasmtime, header_tour", ["wasmtime", "envoy"], True)):
        cells = [cell(results, lambda read: quotient(*(read.median(load, name, RATE, plugin) for name in names)))
                 for load in LOADS.values()]
        rows.append([label, *cells])
    return table(["requests/s", *LOADS], rows)


def sixteen_connections(results):
    rows = []
    h1, h2 = LOADS["GET, 16 conn."], LOADS["GET over h2, 16 conn."]
    for label, server, plugin in SERVERS[1:]:
        def median(load, column, times=1):
            return cell(results, lambda read: times * read.median(load, server, column, plugin))

        costs = [cell(results, lambda read: read.plugin_cost(load, server)) if plugin else "–" for load in (h1, h2)]
        rows.append([label, median(h1, "p50_us"), median(h1, "p99_us"), median(h1, CPU, 1000), median(h2, CPU, 1000), *costs,
                     median(h1, "resident_mib")])
    names = ["16 connections", "p50 µs", "p99 µs", "CPU µs a request", "over h2", "of it the plugin's", "over h2", "resident MiB"]
    return table(names, rows)


def calls(results):
    rows = []
    for label, name, counted, times in CALLS:
        measured = [cell(results, lambda read: read.time("crossing", "crossing", engine, name)) for engine in ENGINES]
        count = cell(results, lambda read: read.instructions(counted, times)) if counted else "–"
        rows.append([label, *measured, count])
    return table(["ns", *ENGINES, "instructions on wasmi"], rows)


def streams(results):
    rows = []
    for engine in ENGINES:
        cells = [cell(results, lambda read: read.time("stream", "stream", engine, name) / 1000) for name in STREAMS]
        start = cell(results, lambda read: read.time("stream", "vm", engine, "start_and_drop/header_tour") / 1000)
        bodies = [cell(results, lambda read: read.time("stream", "bodies", engine, name) / 1000) for name in BODIES]
        rows.append([engine, *cells, *bodies, start])
    counted = [f"hundred_streams.{COUNTED_STREAMS[name]}" if name in COUNTED_STREAMS else None for name in STREAMS]
    counts = [cell(results, lambda read: read.instructions(name, 100)) if name else "–" for name in counted]
    rows.append(["instructions on wasmi", *counts, *["–"] * 3])
    names = ["no plugin", "empty guest", "a VM for each stream", "header_tour", "a VM for each stream", "read 1 MiB", "replace 1 MiB",
             "start of a VM"]
    return table(["µs", *names], rows)


def scale(results):
    rows = []
    for engine in ENGINES:
        def of(name, column, **keys):
            return cell(results, lambda read: read.row("scale", name, engine=engine, **keys)[column])

        chains = [of("chains", column, plugins=count) for column in ("empty_guest_us", "header_tour_us") for count in (1, 16)]
        columns = ("create_and_delete_ns", "log_newest_ns", "log_any_ns")
        live = [" / ".join(of("live_streams", column, streams=count) for count in (1, 100_000)) for column in columns]
        threads = [(1, 1), (2, 1), (2, 2)]
        shared = [" / ".join(of("shared_data", column, threads=count, keys=keys) for count, keys in threads)
                  for column in ("get_ns", "set_ns")]
        rows.append([engine, *chains, *live, *shared])
    names = ["one empty guest, µs", "16", "one header_tour, µs", "16", "create and delete, ns, of 1 / 100,000 streams",
             "call the newest", "call any", "get shared data, ns, 1 thread / 2 / 2 with a key each", "set"]
    return table(["", *names], rows)


def isolation(results):
    rows = []
    for engine in ENGINES:
        def of(name, column, **keys):
            return cell(results, lambda read: read.row("isolation", name, engine=engine, **keys)[column])

        sandbox = [of("sandboxes", column, sandboxes=1000) for column in ("us_each", "kib_resident_each")]
        rates = [cell(results, lambda read: read.row("ten_vms", "ten_vms", engine=engine)[side]["median"]) for side in ("one", "ten")]
        rights = [" / ".join(of("checks", f"{column}_ns", hostcall=name) for column in ("all_rights", "named_rights", "with_rules"))
                  for name in ("header_value", "log")]
        rows.append([engine, *sandbox, of("plugins", "one_vm_us"), of("plugins", "ten_vms_us"), *rates, *rights])
    names = ["a further sandbox, µs", "KiB", "a stream through ten plugins in one VM, µs", "in ten", "requests/s, one VM", "ten",
             "get a header, ns, every right / named rights / rules", "log"]
    return table(["", *names], rows)


def cold_start(results):
    rows = []
    for engine in ENGINES:
        loads = [cell(results, lambda read: read.row("cold_start", "cold_start", engine=engine)[column])
                 for column in ("compile_ms", "warm_cache_ms", "ratio")]
        starts = [cell(results, lambda read: read.row("first_response", "first_response", engine=engine)[column])
                  for column in ("warm_ms", "cold_ms", "fast_start_ms")]
        rows.append([engine, *loads, *starts])
    names = ["compile", "load from a warm cache", "ratio", "first response, warm cache", "cold cache", "cold, `tier: fast-start`"]
    return table(["ms", *names], rows)


def cell(results, number_of):
    """Returns a number as text, marked if its row was disturbed (a text marks whole sections); a dash if there is none."""
    reader = Reader(results)
    try:
        found = number_of(reader)
    except (NotMeasured, ZeroDivisionError):
        return "–"
    return "–" if found is None else number(found) + (MARK if reader.disturbed_row else "")


def quotient(over, under):
    return over / under


def number(value):
    """Formats with three significant digits, or all before the point."""
    places = 0 if value == 0 or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{places}f}".replace("-", "−")


def table(names, rows, left=1):
    """Returns a Markdown table whose first columns are text, and all others numbers."""
    align = ["---"] * left + ["--:"] * (len(names) - left)
    return ["| " + " | ".join(row) + " |" for row in (names, align, *rows)]
