"""Reads the results of the tools: criterion, callgrind, and the scripts of the comparison."""

import json
import re


def tables(path):
    """Returns the JSON of a bench with tables of its own, or of a script."""
    return json.loads(path.read_text())


def criterion(folder):
    """Returns medians in ns by group, engine and function; the group `stream/wasmi` belongs to the engine wasmi."""
    found = {}
    for path in sorted(folder.glob("**/new/benchmark.json")):
        names = json.loads(path.read_text())
        group, _, engine = names["group_id"].rpartition("/")
        median = json.loads(path.with_name("estimates.json").read_text())["median"]["point_estimate"]
        found.setdefault(group, {}).setdefault(engine, {})[names["function_id"]] = median
    if not found:
        raise ValueError(f"criterion has left no results in {folder}")
    return found


def callgrind(folder):
    """Returns instructions by name of the benchmark, such as `callback.empty_call`."""
    found = {}
    for path in sorted(folder.glob("**/callgrind.*.out")):
        total = re.search(r"^(?:summary|totals): (\d+)", path.read_text(errors="replace"), re.M)
        if total:
            found[path.name.removeprefix("callgrind.").removesuffix(".out")] = int(total[1])
    if not found:
        raise ValueError(f"callgrind has left no results in {folder}")
    return found


def comparison(path):
    """Returns the results of compare.py with their medians, without the samples."""
    whole = json.loads(path.read_text())
    about, cases = whole["environment"], []
    for case in whole["cases"]:
        samples = case.pop("samples")
        errors = sum(sample["errors"] for sample in samples)
        cases.append(case | {"runs": len(samples), "errors": errors})
    settings = {key: about[key] for key in ("seconds", "repeat", "noise_percent", "plugin_log", "plugin_sha256")}
    return {
        "cases": cases,
        "envoy": about["versions"].get("envoy"),
        "log_lines_per_request": whole["log_lines_per_request"],
        "settings": settings,
    }
