"""Reads numbers in the results of a run, and remembers whether other programs disturbed them."""

# Percent of a CPU that other programs may use while something is measured.
NOISE = 5
# Sections whose rows tell themselves whether they were disturbed, and sections whose numbers do not vary with other programs.
BY_ROW = {"compare", "ten_vms"}
STEADY = {"instructions", "request_instructions", "memory"}
MARK = " †"


class NotMeasured(Exception):
    """Says that a section, or a row of it, is not in the results."""


class Reader:
    """Has `disturbed` if any number was disturbed, and `disturbed_row` if that was told by its row and not by its section."""

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
        """Returns the row of a table with these cells."""
        for row in self.section(section)[table]:
            if all(row.get(key) == value for key, value in keys.items()):
                if section in BY_ROW and row["quiet"] == 0:
                    self.disturbed = self.disturbed_row = True
                return row
        raise NotMeasured(f"{section}: {table} {keys}")

    def median(self, load, server, column, plugin=True):
        """Returns a number of the comparison with Envoy."""
        protocol, method, connections = load
        keys = {"protocol": protocol, "method": method, "connections": connections}
        return self.row("compare", "cases", server=server, plugin=plugin, **keys)["median"][column]

    def plugin_cost(self, load, server):
        """Returns the CPU µs of the plugin for each request: with it, less without it. Without one, Portcullis runs no engine."""
        bare = "envoy" if server == "envoy" else "portcullis"
        cost = self.median(load, server, "cpu_seconds_per_1000") - self.median(load, bare, "cpu_seconds_per_1000", False)
        return 1000 * cost

    def time(self, section, group, engine, name):
        """Returns a median of criterion, in ns."""
        try:
            return self.section(section)[group][engine][name]
        except KeyError:
            raise NotMeasured(f"{section}: {group}/{engine}/{name}") from None

    def instructions(self, name, times):
        """Returns the instructions of one of `times` operations, on wasmi."""
        counts = self.section("instructions")["instructions"]
        if name not in counts:
            raise NotMeasured(f"instructions: {name}")
        return counts[name] / times
