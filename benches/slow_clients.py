#!/usr/bin/env python3
"""Measures the answers that other clients get while slowhttptest holds 1,200 connections to a gateway of 1,024 descriptors.

    python3 benches/slow_clients.py [path of portcullis]

Needs Debian's package slowhttptest. For each of its modes (-H slow heads, -B slow bodies, -X slow readers) it prints how a
client that makes one request after the other was answered meanwhile, by a route and by the admin interface's /ready, and how many
lines the log got. An answer that takes longer than five seconds counts as none. Exits 1 if one was missing, or the log is long.
"""

import asyncio
import http.client
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROUTE, READY, UPSTREAM = 18480, 18481, 18482
CONNECTIONS, DESCRIPTORS, SECONDS = 1200, 1024, 30
MODES = {
    "-H": ["-H", "-i", "10", "-u", f"http://127.0.0.1:{ROUTE}/"],
    "-B": ["-B", "-i", "10", "-s", "8192", "-x", "10", "-u", f"http://127.0.0.1:{ROUTE}/"],
    "-X": ["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3", "-u", f"http://127.0.0.1:{ROUTE}/large"],
}
CONFIGURATION = f"""
workers: 2
admin: 127.0.0.1:{READY}
listeners: [{{address: 127.0.0.1:{ROUTE}, routes: [{{cluster: b}}]}}]
clusters: [{{name: b, endpoints: [127.0.0.1:{UPSTREAM}]}}]
"""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request after its whole body; those of /large with a megabyte."""
    try:
        while head := (await reader.readuntil(b"\r\n\r\n")).lower():
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            body = b"x" * (1 << 20) if b" /large " in head.split(b"\r\n")[0] else b"ok\n"
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", UPSTREAM, backlog=1024)
    await server.serve_forever()


class Asker(threading.Thread):
    """Makes one request after the other, each on a connection of its own."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.port, self.path, self.going, self.answers, self.worst = port, path, True, {}, 0.0

    def run(self) -> None:
        while self.going:
            begun = time.monotonic()
            result = self.ask()
            self.answers[result] = self.answers.get(result, 0) + 1
            self.worst = max(self.worst, time.monotonic() - begun)
            time.sleep(0.05)

    def ask(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.path)
            response = connection.getresponse()
            response.read()
            return str(response.status)
        except (OSError, http.client.HTTPException):
            return "none"
        finally:
            connection.close()

    def __str__(self) -> str:
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.answers.items()))
        return f"{answers}; at most {self.worst * 1000:.0f} ms"


def run(portcullis: str, mode: str, arguments: list[str], folder: Path) -> bool:
    configuration, log = folder / "slow.yaml", folder / "log"
    configuration.write_text(CONFIGURATION)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

    with log.open("wb") as lines:
        gateway = subprocess.Popen([portcullis, "serve", str(configuration)], stderr=lines, preexec_fn=limited)
    while b" ready" not in log.read_bytes():
        time.sleep(0.05)
    before = log.read_bytes().count(b"\n")
    attack = subprocess.Popen(
        ["slowhttptest", "-c", str(CONNECTIONS), "-r", "200", "-l", str(SECONDS), "-v", "0", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    askers = [Asker(ROUTE, "/"), Asker(READY, "/ready")]
    for asker in askers:
        asker.start()
    attack.wait()
    for asker in askers:
        asker.going = False
        asker.join()
    gateway.terminate()
    gateway.wait()
    more = log.read_bytes().count(b"\n") - before
    print(f"{mode}  route: {askers[0]}\n    /ready: {askers[1]}\n    log: {more} lines", flush=True)
    return not any("none" in asker.answers for asker in askers) and more < 20


def main() -> int:
    portcullis = sys.argv[1] if len(sys.argv) > 1 else "target/debug/portcullis"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        held = [run(portcullis, mode, arguments, Path(folder)) for mode, arguments in MODES.items()]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
