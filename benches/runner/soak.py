"""Makes the part of BENCHMARKING.md about reloads under load, of the section "soak"."""

from runner import tables

NAME = "soak"
ROWS = [("without reloads", "without", "seconds_without"), ("with reloads", "with_reloads", "seconds_with_reloads"),
        ("with what is refused", "with_broken", None)]
TIMES = ("p50_ms", "p99_ms", "p999_ms", "max_ms")


def table(results):
    """Returns what clients saw, by what was done to the gateway meanwhile."""
    rows = []
    for label, name, seconds in ROWS:
        length = tables.cell(results, lambda read: read.section(NAME)[seconds]) if seconds else "–"
        counts = [tables.cell(results, lambda read: read.section(NAME)[name][key]) for key in ("answered", "lost", *TIMES)]
        rows.append([label, length, *counts])
    return tables.table(["", "s", "requests", "lost", "p50 ms", "p99 ms", "p99.9 ms", "longest ms"], rows)


def text(results):
    """Yields sentences about the reloads themselves."""
    record = results["sections"].get(NAME)
    if record is None:
        return
    if of := record.get("of"):
        yield f"Measured on {of['date']} at commit `{of['commit']}`."
    found = record["result"]
    first, last = (tables.number(found[key] / 2**20) for key in ("memory_after_ten", "memory_after_all"))
    median, p99 = (tables.number(found[key]) for key in ("reload_p50_ms", "reload_p99_ms"))
    yield (
        f"{found['reloads']:,} reloads took {median} ms each (p99 {p99}); {found['refused']} configurations and modules were refused."
        f" Resident MiB: {first} after ten reloads, {last} after all."
    )


def lost(read):
    found = read.section(NAME)
    return sum(found[name]["lost"] + found[name]["wrong"] for _, name, _ in ROWS)


def beyond(time):
    def number(read):
        found = read.section(NAME)
        return max(0.0, found["with_reloads"][time] - 1.2 * found["without"][time])

    return number


def memory(read):
    found = read.section(NAME)
    return max(0.0, 100 * (found["memory_after_all"] / found["memory_after_ten"] - 1))
