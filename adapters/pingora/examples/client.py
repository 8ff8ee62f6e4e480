#!/usr/bin/env python3
"""Runs the example proxy before an upstream, and asks it a few things: client.py PROXY header_tour.wasm"""

import http.client
import http.server
import json
import socket
import subprocess
import sys
import tempfile
import threading


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("x-seen", self.headers.get("x-plugin", ""))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def exchange(port, method, path, body=None):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request(method, path, body)
    answer = client.getresponse()
    return answer.status, dict((name.lower(), value) for name, value in answer.getheaders()), answer.read()


def main(proxy, plugin):
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    file = tempfile.NamedTemporaryFile("w", suffix=".yaml")
    # JSON is YAML.
    json.dump({"plugins": [{"name": "example", "vm_config": {"code": {"local": {"filename": plugin}}}}]}, file)
    file.flush()
    command = [proxy, f"127.0.0.1:{port}", f"127.0.0.1:{upstream.server_port}", file.name]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(running.stderr), daemon=True)
    reader.start()
    try:
        while running.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                continue
        status, fields, body = exchange(port, "GET", "/hello")
        assert (status, body) == (200, b"Hello, World!\n"), (status, body)
        large = b"a" * 300_000
        status, fields, body = exchange(port, "POST", "/echo", large)
        assert (status, fields["x-seen"], fields["x-plugin"]) == (200, "header_tour", "header_tour"), (status, fields)
        assert body == large, len(body)
    finally:
        running.kill()
        running.wait()
    reader.join()
    assert any("completed" in line for line in lines), lines
    print("the example answers, forwards, and its plugin logs")


if __name__ == "__main__":
    main(*sys.argv[1:])
