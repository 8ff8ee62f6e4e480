"""Writes the results as Markdown: all cases, the cost of the plugin, and ratios of the two gateways."""

import statistics


def summarize(cases, noise):
    """Adds medians: of the samples that nothing disturbed, or of all if each was disturbed.

    They are put into the cases, where whoever reads the JSON finds them.
    """
    for case in cases:
        samples = case["samples"]
        quiet = [sample for sample in samples if sample["other_cpu_percent"] <= noise]
        used = quiet or samples
        case["quiet"] = len(quiet)
        case["median"] = {
            key: statistics.median(sample[key] for sample in used) for key in samples[0]
        }
        rates = [sample["requests_per_second"] for sample in used]
        case["requests_per_second_range"] = [min(rates), max(rates)]
    return cases


def markdown(about, lines, cases):
    parts = [*head(about, lines), "", *table(cases), *plugin_costs(lines, cases), *ratios(cases)]
    return "\n".join(parts) + "\n"


def head(about, lines):
    versions = about["versions"]
    yield f"{about['cpu']}, {about['cpus']} CPUs, Linux {about['kernel']}; one worker each."
    times = "one run" if about["repeat"] == 1 else f"{about['repeat']} runs"
    yield f"Medians of {times} of {about['seconds']} s; (lowest–highest)."
    fate = "written to /dev/null" if about["plugin_log"] == "info" else "dropped by the server"
    for name, counts in lines.items():
        gateway = "" if name == "envoy" else f"portcullis {versions['portcullis']} on "
        told = " and ".join(
            f"{count} over {'HTTP/1.1' if protocol == 'h1' else 'HTTP/2'}"
            for protocol, count in counts.items()
        )
        yield f"{gateway}{name} {versions[name]}: log lines a request: {told}, {fate}."


def table(cases):
    yield (
        "| load | plugin | server | requests/s | p50 µs | p99 µs | CPU s per 1000 requests"
        " | server CPU | load CPU | resident MiB | errors | quiet runs |"
    )
    yield "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for case in cases:
        median = case["median"]
        lowest, highest = case["requests_per_second_range"]
        proxied = case["server"] != "nginx alone"
        cells = [
            load_of(case),
            "header_tour" if case["plugin"] else "–",
            server_of(case),
            f"{median['requests_per_second']:.0f} ({lowest:.0f}–{highest:.0f})",
            f"{median['p50_us']:.0f}",
            f"{median['p99_us']:.0f}",
            f"{median['cpu_seconds_per_1000']:.4f}" if proxied else "–",
            f"{median['server_cpu_percent']:.0f} %" if proxied else "–",
            f"{median['load_cpu_percent']:.0f} %",
            f"{median['resident_mib']:.1f}" if proxied else "–",
            f"{sum(sample['errors'] for sample in case['samples'])}",
            f"{case['quiet']} of {len(case['samples'])}",
        ]
        yield row(cells)


def plugin_costs(names, cases):
    told = "What the plugin costs: CPU µs per request with it, less CPU µs without it."
    yield from ["", told, ""]
    yield row(["load", *names])
    yield "|---|" + "--:|" * len(names)
    for load, found in by_load(cases):
        yield row([load, *(f"{plugin_cost(found, name):.1f}" for name in names)])


def ratios(cases):
    """Yields ratios of the medians, or nothing if one of the two was not measured."""
    servers = {(case["server"], case["plugin"]) for case in cases}
    if not {("envoy", True), ("wasmtime", True)} <= servers:
        return
    yield from ["", "Portcullis on wasmtime, divided by Envoy:", ""]
    yield "| load | requests/s, no plugin | requests/s, header_tour | the plugin's CPU cost |"
    yield "|---|--:|--:|--:|"
    for load, found in by_load(cases):
        rates = {key: case["median"]["requests_per_second"] for key, case in found.items()}
        bare = rates["portcullis", False] / rates["envoy", False]
        with_plugin = rates["wasmtime", True] / rates["envoy", True]
        costs = plugin_cost(found, "wasmtime"), plugin_cost(found, "envoy")
        # A difference of two measurements can be anything if they are noisy.
        cost = f"{costs[0] / costs[1]:.2f}" if min(costs) > 0 else "–"
        yield row([load, f"{bare:.2f}", f"{with_plugin:.2f}", cost])


def plugin_cost(found, name):
    """Returns µs of CPU. Without a plugin, Portcullis is the same on each engine."""
    bare = found["envoy" if name == "envoy" else "portcullis", False]
    costs = [case["median"]["cpu_seconds_per_1000"] for case in (found[name, True], bare)]
    return 1000 * (costs[0] - costs[1])


def by_load(cases):
    """Returns the cases of each load, by server and whether it has the plugin."""
    loads = {}
    for case in cases:
        loads.setdefault(load_of(case), {})[case["server"], case["plugin"]] = case
    return loads.items()


def load_of(case):
    return f"{case['kind']}, {case['connections']} conn."


def server_of(case):
    of_portcullis = case["plugin"] and case["server"] != "envoy"
    return f"portcullis, {case['server']}" if of_portcullis else case["server"]


def row(cells):
    return "| " + " | ".join(cells) + " |"
