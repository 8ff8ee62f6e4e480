#!/usr/bin/env python3
"""Measures how long a client waits beside eight plugins that tick every millisecond, each for 40 ms, in one worker.

    python3 benches/ticks.py [path of portcullis] [requests]

Needs nginx, which is the upstream. The client makes one request after the other, first on one connection, then on a connection for
each. Prints percentiles of both, and how often the plugins ticked and were slowed meanwhile. Exits 1 if the 99th percentile is
100 ms or more.
"""

import http.client
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUTE, ADMIN, UPSTREAM = 18490, 18491, 18492
PLUGINS, SPINS = 8, 40_000_000


def leb(number: int) -> bytes:
    """Encodes a signed number as WebAssembly does."""
    out = b""
    while True:
        byte, number = number & 0x7F, number >> 7
        if (number == 0 and not byte & 0x40) or (number == -1 and byte & 0x40):
            return out + bytes([byte])
        out += bytes([byte | 0x80])


def vector(items: list[bytes]) -> bytes:
    return bytes([len(items)]) + b"".join(items)


def section(number: int, content: bytes) -> bytes:
    length, size = b"", len(content)
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number]) + length + bytes([size]) + content


def name(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def code(body: bytes, locals_: bytes = b"\x00") -> bytes:
    return bytes([len(locals_ + body) + 1]) + locals_ + body + b"\x0b"


def plugin() -> bytes:
    """Returns a plugin that ticks every millisecond, and reads the clock until SPINS nanoseconds have passed."""
    i32, i64 = b"\x7f", b"\x7e"
    types = [b"\x60\x01" + i32 + b"\x01" + i32, b"\x60\x02" + i32 + i32 + b"\x01" + i32, b"\x60\x01" + i32 + b"\x00", b"\x60\x00\x00"]
    now = b"\x41\x08\x10\x01\x1a" + b"\x41\x00\x29\x03\x08"
    spin = now + b"\x21\x01" + b"\x03\x40" + now + b"\x20\x01\x7d\x42" + leb(SPINS) + b"\x54\x0d\x00" + b"\x0b"
    imports = ["proxy_set_tick_period_milliseconds", "proxy_get_current_time_nanoseconds"]
    exports = [("proxy_on_configure", 0, 2), ("proxy_on_tick", 0, 3), ("proxy_abi_version_0_2_1", 0, 4), ("malloc", 0, 5), ("memory", 2, 0)]
    return b"".join(
        [
            b"\0asm\x01\0\0\0",
            section(1, vector(types)),
            section(2, vector([name("env") + name(each) + b"\x00\x00" for each in imports])),
            section(3, vector([b"\x01", b"\x02", b"\x03", b"\x00"])),
            section(5, vector([b"\x00\x01"])),
            section(7, vector([name(each) + bytes([kind, index]) for each, kind, index in exports])),
            section(10, vector([code(b"\x41\x01\x10\x00\x1a\x41\x01"), code(spin, b"\x01\x01" + i64), code(b""), code(b"\x41\x80\x08")])),
        ]
    )


def nginx(folder: Path) -> subprocess.Popen[bytes]:
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; pid {folder}/pid; error_log stderr crit; events {{}}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{UPSTREAM}; return 200 ok; }} }}\n"
    )
    return subprocess.Popen(["nginx", "-c", str(conf), "-p", str(folder)])


def configuration(folder: Path) -> str:
    (folder / "spin.wasm").write_bytes(plugin())
    vm = "code: {local: {filename: spin.wasm}}"
    services = ", ".join(f"{{config: {{name: p{n}, vm_config: {{vm_id: v{n}, {vm}}}}}}}" for n in range(PLUGINS))
    return f"""
workers: 1
admin: 127.0.0.1:{ADMIN}
listeners: [{{address: 127.0.0.1:{ROUTE}, routes: [{{cluster: b}}]}}]
services: [{services}]
clusters: [{{name: b, endpoints: [127.0.0.1:{UPSTREAM}]}}]
"""


def ask(count: int, keep: bool) -> list[float]:
    """Makes requests; returns the seconds of each."""
    times, connection = [], http.client.HTTPConnection("127.0.0.1", ROUTE, timeout=30)
    for _ in range(count):
        begin = time.monotonic()
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        times.append(time.monotonic() - begin)
        if not keep:
            connection.close()
        time.sleep(0.003)
    return sorted(times)


def metrics() -> str:
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=30)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def main() -> int:
    binary = sys.argv[1] if len(sys.argv) > 1 else "target/release/portcullis"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "gateway.yaml").write_text(configuration(folder))
        processes = [nginx(folder)]
        processes.append(subprocess.Popen([binary, "serve", str(folder / "gateway.yaml"), "--log", "warn"]))
        try:
            time.sleep(3)
            worst = 0.0
            for keep in (True, False):
                times = ask(count, keep)
                at = lambda part: times[min(int(part * count), count - 1)] * 1000
                worst = max(worst, at(0.99))
                kind = "one connection" if keep else "a connection each"
                print(f"{kind:18} p50 {at(0.5):6.1f} ms, p90 {at(0.9):6.1f} ms, p99 {at(0.99):6.1f} ms")
            throttled = sum(map(int, re.findall(r"portcullis_plugin_throttled_total\S* (\d+)", metrics())))
            print(f"ticks that had to wait: {throttled}")
        finally:
            for process in processes:
                process.terminate()
                process.wait()
    return 1 if worst >= 100 else 0


if __name__ == "__main__":
    sys.exit(main())
