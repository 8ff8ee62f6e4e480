"""The aims of Portcullis, each with the number of a run that decides whether it is met."""

from typing import Callable, NamedTuple

from runner import doors, soak
from runner.reader import NotMeasured, Reader

GET, H2 = ("h1", "GET", 16), ("h2", "GET", 16)
CPU, RATE = "cpu_seconds_per_1000", "requests_per_second"


class Aim(NamedTuple):
    text: str
    # "≥" or "≤", the bound, and its unit.
    sense: str
    bound: float
    unit: str
    number: Callable[[Reader], float]


def rates(load):
    return lambda read: read.median(load, "wasmtime", RATE) / read.median(load, "envoy", RATE)


def costs(load):
    def number(read):
        ours, theirs = (read.plugin_cost(load, server) for server in ("wasmtime", "envoy"))
        # The difference of two measurements can be anything if they are noisy.
        if min(ours, theirs) <= 0:
            raise NotMeasured("the plugin costs nothing")
        return ours / theirs

    return number


def hostcall(engine):
    times = [("crossing", "crossing", engine, name) for name in ("increment_metric", "bare_increment")]
    return lambda read: read.time(*times[0]) / read.time(*times[1])


def stream_in_calls(read):
    stream = read.time("stream", "stream", "wasmtime", "header_tour")
    return stream / read.time("crossing", "crossing", "wasmtime", "empty_call")


def sixteen_in_instructions(read):
    return read.instructions("hundred_streams.sixteen_empty_guests", 1) / read.instructions("hundred_streams.one_empty_guest", 1)


def sixteen_in_time(read):
    one, sixteen = (read.row("scale", "chains", engine="wasmtime", plugins=count) for count in (1, 16))
    return sixteen["header_tour_us"] / one["header_tour_us"]


def vm_for_each_stream(read):
    by_stream, shared = (read.time("stream", "stream", "wasmtime", f"header_tour{how}") for how in ("_by_stream", ""))
    return (by_stream - shared) / 1000


def more_beside_many(column):
    def number(read):
        few, many = (read.row("scale", "live_streams", engine="wasmtime", streams=count) for count in (1, 100_000))
        return 100 * (many[column] / few[column] - 1)

    return number


def ten_vms_in_time(read):
    return 100 * (read.row("isolation", "plugins", engine="wasmtime")["ratio"] - 1)


def ten_vms_in_requests(read):
    return -read.row("ten_vms", "ten_vms", engine="wasmtime")["difference_percent"]


AIMS = [
    Aim("requests/s with header_tour, wasmtime ÷ Envoy, 16 connections", "≥", 3, "×", rates(GET)),
    Aim("the same over HTTP/2", "≥", 3, "×", rates(H2)),
    Aim("CPU of the plugin, wasmtime ÷ Envoy, 16 connections", "≤", 0.25, "×", costs(GET)),
    Aim("the same over HTTP/2", "≤", 0.25, "×", costs(H2)),
    Aim("a hostcall of scalars ÷ the same on the bare engine, wasmtime", "≤", 1.3, "×", hostcall("wasmtime")),
    Aim("the same on wasmer", "≤", 1.3, "×", hostcall("wasmer")),
    Aim("the same on wasmi", "≤", 1.3, "×", hostcall("wasmi")),
    Aim("a hostcall that returns bytes, in Envoy: V8 ÷ the module", "≥", 4, "×", doors.hostcall_ratio),
    Aim("resident memory of Envoy with 200 sandboxes of the module", "≤", 110, "MiB",
        lambda read: read.row("doors", "sandboxes", way="Portcullis")["resident_mib"]),
    Aim("a stream through header_tour ÷ a call of an empty guest, wasmtime", "≤", 200, "×", stream_in_calls),
    Aim("a chain of 16 empty guests ÷ a chain of one, instructions on wasmi", "≤", 16, "×", sixteen_in_instructions),
    Aim("a chain of 16 header_tour ÷ a chain of one, time on wasmtime", "≤", 16, "×", sixteen_in_time),
    Aim("`isolation: stream`: what a VM adds to a stream, wasmtime", "≤", 15, "µs", vm_for_each_stream),
    Aim("create and delete a stream beside 100,000 ÷ alone, wasmtime", "≤", 20, "% more", more_beside_many("create_and_delete_ns")),
    Aim("call any of 100,000 streams ÷ the only one, wasmtime", "≤", 20, "% more", more_beside_many("log_any_ns")),
    Aim("ten plugins in ten VMs ÷ in one, time of a stream on wasmtime", "≤", 2, "% more", ten_vms_in_time),
    Aim("the same, requests/s of the gateway", "≤", 2, "% less", ten_vms_in_requests),
    Aim("loading a module from a warm code cache, wasmtime: faster than compiling", "≥", 20, "×",
        lambda read: read.row("cold_start", "cold_start", engine="wasmtime")["ratio"]),
    Aim("first filtered response after the start, warm code cache, wasmtime", "≤", 50, "ms",
        lambda read: read.row("first_response", "first_response", engine="wasmtime")["warm_ms"]),
    Aim("requests lost over 1,377 reloads", "≤", 0, "", soak.lost),
    Aim("p99.9 with reloads, beyond 1.2 times that without", "≤", 20, "ms", soak.beyond("p999_ms")),
    Aim("the longest with reloads, beyond 1.2 times that without", "≤", 20, "ms", soak.beyond("max_ms")),
    Aim("resident memory after all reloads, beyond that after the tenth", "≤", 5, "%", soak.memory),
]


def judged(results):
    """Yields each aim with its number, whether that meets it (both None if not measured), and whether it was disturbed."""
    for aim in AIMS:
        reader = Reader(results)
        try:
            number = aim.number(reader)
        except (NotMeasured, ZeroDivisionError):
            yield aim, None, None, False
            continue
        met = number >= aim.bound if aim.sense == "≥" else number <= aim.bound
        yield aim, number, met, reader.disturbed
