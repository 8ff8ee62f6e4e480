"""Draws the requests per second of a comparison as a bar chart in SVG."""

from html import escape

from report import server_of

# In the order of the bars in a group. Light is without the plugin; the hues can be told apart with
# every kind of colour vision.
COLOURS = {
    ("envoy", False): "#f2b48c",
    ("portcullis", False): "#9cc4e4",
    ("envoy", True): "#c8500a",
    ("wasmtime", True): "#0b62a4",
    ("wasmer", True): "#12876f",
    ("wasmi", True): "#7a5195",
}
INK, FAINT = "#1b1b1b", "#d9d9d9"
BAR, GAP, BETWEEN = 30, 4, 34  # widths: of a bar, beside it, between groups
LEFT, RIGHT, TOP, HEIGHT, BOTTOM = 86, 20, 124, 330, 60  # around and of the area of the bars
FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


def svg(about, cases):
    bars = [case for case in cases if (case["server"], case["plugin"]) in COLOURS]
    series = [key for key in COLOURS if any(key == key_of(case) for case in bars)]
    groups = {}
    for case in bars:
        groups.setdefault((case["kind"], case["connections"]), {})[key_of(case)] = case
    # A wider gap before the bars with the plugin.
    places = {
        key: index * (BAR + GAP) + (2 * GAP if key[1] else 0) for index, key in enumerate(series)
    }
    group_width = max(places.values()) + BAR + GAP
    width = max(720, LEFT + len(groups) * (group_width + BETWEEN) + RIGHT)
    height = TOP + HEIGHT + BOTTOM
    top = max(case["requests_per_second_range"][1] for case in bars)
    step = tick(top)
    # Room above the highest bar for its number.
    scale = HEIGHT / (1.08 * top)
    floor = TOP + HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img" font-family="{FONT}" fill="{INK}">',
        "<title>Requests per second of Envoy and Portcullis</title>",
        # Else a dark page shines through, and takes the dark text with it.
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *heading(about),
        *legend(bars, series),
        *axis(step, top, scale, width),
    ]
    for index, ((kind, connections), group) in enumerate(groups.items()):
        left = LEFT + BETWEEN / 2 + index * (group_width + BETWEEN)
        for key in series:
            if key in group:
                parts += bar(group[key], left + places[key], scale)
        middle = left + (group_width - GAP) / 2
        under = f"{connections} connection{'' if connections == 1 else 's'}"
        parts.append(text(middle, floor + 20, kind, size=13, weight="600"))
        parts.append(text(middle, floor + 38, under, size=12))
    parts.append(line(LEFT, floor, width - RIGHT, floor, INK))
    return "\n".join([*parts, "</svg>"]) + "\n"


def heading(about):
    yield text(20, 28, "Requests per second, one worker each", "start", 17, "600")
    seconds = f"{about['seconds']} s"
    runs = f"median of {about['repeat']} runs of {seconds}, whiskers: lowest and highest"
    runs = f"one run of {seconds}" if about["repeat"] == 1 else runs
    yield text(20, 48, f"{runs}; {about['cpu']}", "start", 12)


def legend(bars, series):
    """Draws a line for the light colours, and one for the dark ones."""
    names = {key_of(case): server_of(case) for case in bars}
    for plugin, y, title in ((False, 74, "no plugin:"), (True, 96, "header_tour:")):
        left = 20 + 100
        keys = [key for key in series if key[1] == plugin]
        if keys:
            yield text(20, y, title, "start", 12, "600")
        for key in keys:
            yield f'<rect x="{left}" y="{y - 11}" width="12" height="12" fill="{COLOURS[key]}"/>'
            yield text(left + 18, y, names[key], "start", 12)
            # No font is at hand to measure with: columns that hold the longest name.
            left += 160


def axis(step, top, scale, width):
    value = 0
    while value <= 1.08 * top:
        y = TOP + HEIGHT - value * scale
        yield line(LEFT, y, width - RIGHT, y, FAINT)
        yield text(LEFT - 8, y + 4, f"{value:,}", "end", 12)
        value += step
    middle = TOP + HEIGHT / 2
    label = text(18, middle, "requests per second", size=12)
    yield label.replace("<text ", f'<text transform="rotate(-90 18 {middle:.1f})" ')


def bar(case, left, scale):
    """Draws a bar, its whiskers, and its number above both."""
    floor, middle = TOP + HEIGHT, left + BAR / 2
    value = case["median"]["requests_per_second"]
    low, high = (floor - rate * scale for rate in case["requests_per_second_range"])
    size = value * scale
    yield (
        f'<rect x="{left:.1f}" y="{floor - size:.1f}" width="{BAR}" height="{size:.1f}"'
        f' fill="{COLOURS[key_of(case)]}"><title>{server_of(case)}: {value:.0f}</title></rect>'
    )
    if low != high:
        # On a white edge, to be seen on dark bars.
        for colour, stroke in (("#ffffff", 3.6), (INK, 1.2)):
            yield line(middle, low, middle, high, colour, stroke)
            for y in (low, high):
                yield line(middle - 4, y, middle + 4, y, colour, stroke)
    yield text(middle, min(high, floor - size) - 5, short(value), size=11)


def short(value):
    if value < 1000:
        return f"{value:.0f}"
    return f"{value / 1000:.1f}k" if value < 99_950 else f"{value / 1000:.0f}k"


def tick(top):
    """Returns the round step that makes four to nine lines."""
    unit = 1
    while True:
        for step in (unit, 2 * unit, 5 * unit):
            if top / step < 9:
                return step
        unit *= 10


def text(x, y, content, anchor="middle", size=12, weight="400"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
        f' font-weight="{weight}">{escape(content)}</text>'
    )


def line(x1, y1, x2, y2, colour, stroke=1.2):
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"'
        f' stroke-width="{stroke}" stroke-linecap="square"/>'
    )


def key_of(case):
    return case["server"], case["plugin"]
