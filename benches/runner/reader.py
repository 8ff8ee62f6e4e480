"""Reads the results of a run, and remembers whether other programs disturbed what was read."""

# Percent of a CPU that other programs may use while something is measured.
NOISE = 5
# Sections whose rows know themselves whether they were disturbed, and those that count what does not vary.
BY_ROW = {"compare", "ten_vms"}
STEADY = {"instructions", "request_instructions", "memory"}
MARK = " †"


class NotMeasured(Exception):
    """A section, or a row of it, is not in the results."""


class Reader:
    """`disturbed` tells of everything that was read, `disturbed_row` of rows that stand beside others that were not."""

    def __init__(self, results):
        self.results = results
        self.disturbed = False
        self.disturbed_row = False

    def section(self, name):
        record = self.results["sections"].get(name)
        if record is None:
            raise NotMeasured(name)
        if name not in BY_ROW | STEADY and record["other_cpu_percent"] > NOISE:
            self.disturbed = True
        return record["result"]

    def row(self, section, table, **keys):
        """The one row of a table whose cells are these."""
        for row in self.section(section)[table]:
            if all(row.get(key) == value for key, value in keys.items()):
                if section in BY_ROW and row["quiet"] == 0:
                    self.disturbed = self.disturbed_row = True
                return row
        raise NotMeasured(f"{section}: {table} {keys}")

    def median(self, load, server, column, plugin=True):
        """A number of the comparison with Envoy."""
        protocol, method, connections = load
        keys = {"protocol": protocol, "method": method, "connections": connections}
        return self.row("compare", "cases", server=server, plugin=plugin, **keys)["median"][column]

    def plugin_cost(self, load, server):
        """CPU µs of the plugin for each request: with it, less without it. Without one, Portcullis runs no engine."""
        bare = "envoy" if server == "envoy" else "portcullis"
        cost = self.median(load, server, "cpu_seconds_per_1000") - self.median(load, bare, "cpu_seconds_per_1000", False)
        return 1000 * cost

    def time(self, section, group, engine, name):
        """A median of criterion's, in ns."""
        try:
            return self.section(section)[group][engine][name]
        except KeyError:
            raise NotMeasured(f"{section}: {group}/{engine}/{name}") from None

    def instructions(self, name, times):
        """Instructions of one of `times` operations, on wasmi."""
        counts = self.section("instructions")["instructions"]
        if name not in counts:
            raise NotMeasured(f"instructions: {name}")
        return counts[name] / times
