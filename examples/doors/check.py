#!/usr/bin/env python3
"""Runs the same plugins with the same rights in every door, and compares what comes back.

    examples/doors/check.py gateway=BINARY tower=BINARY pingora=BINARY envoy=ENVOY,MODULE

Each argument is a door and its program: the gateway's `portcullis`, the example `tower_door` of portcullis-tower, `pingora_door`
of portcullis-pingora, and Envoy with the built libportcullis_envoy.so. Doors that are not named are left out. plugins.yaml has the
plugins and their rights, cases.json what a client sends, and what the upstream and the client must see, in all of them.
"""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATIENCE = 60


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers every request, and what it is asked at /auth by the authorization. Remembers all others."""

    protocol_version = "HTTP/1.1"
    seen = []

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))) if "chunked" not in self.headers.get(
            "transfer-encoding", ""
        ) else self.chunks()
        status = 200
        if self.path == "/auth":
            status = 200 if self.headers.get("authorization") == "Bearer good" else 401
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.seen.append({"path": self.path, "headers": headers, "body": body.decode()})
        self.send_response(status)
        self.send_header("x-upstream", "here")
        self.send_header("content-length", "0")
        self.end_headers()

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def blocks():
    """Returns the text of each plugin's block, by name."""
    found, name = {}, None
    for line in (HERE / "plugins.yaml").read_text().splitlines():
        if line.startswith("  - name: "):
            name = line.removeprefix("  - name: ")
            found[name] = [line.replace("  - ", "", 1)]
        elif name and line.startswith("    "):
            found[name].append(line[4:])
    return {name: "\n".join(lines) + "\n" for name, lines in found.items()}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Door:
    """Plugins in a program, each at a port of its own."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.ports = {name: free_port() for name in blocks()}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="doors-"))
        self.log = self.folder / "log"
        self.processes = []

    def start(self, *command, **environment):
        with open(self.log, "ab") as log:
            command = [str(word) for word in command]
            environment = {**os.environ, **environment}
            self.processes.append(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def said(self):
        return self.log.read_text(errors="replace")

    def wait(self):
        """Waits until each port answers."""
        end = time.monotonic() + PATIENCE
        for port in self.ports.values():
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                if time.monotonic() > end or any(process.poll() is not None for process in self.processes):
                    sys.exit(f"it does not listen at {port}; it says:\n{self.said()}")
                time.sleep(0.05)

    def end(self):
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                sys.exit(f"it does not end; it says:\n{self.said()}")


def gateway(door, binary):
    listeners = "".join(
        f"  - {{ address: '127.0.0.1:{port}', plugins: [{name}], routes: [{{ match: {{ prefix: / }}, cluster: auth }}] }}\n"
        for name, port in door.ports.items()
    )
    cluster = f"clusters:\n  - {{ name: auth, endpoints: ['127.0.0.1:{door.upstream}'] }}\n"
    config = door.folder / "gateway.yaml"
    config.write_text(f"{(HERE / 'plugins.yaml').read_text()}listeners:\n{listeners}{cluster}")
    door.start(binary, "serve", config)


def example(door, binary):
    for name, port in door.ports.items():
        door.start(binary, HERE / "plugins.yaml", name, f"127.0.0.1:{port}", f"127.0.0.1:{door.upstream}")


def envoy(door, programs):
    binary, module = programs.split(",")
    modules = door.folder / "modules"
    modules.mkdir()
    (modules / "libportcullis_envoy.so").symlink_to(pathlib.Path(module).resolve())
    texts = blocks()
    listeners = [listener(name, port, texts[name]) for name, port in door.ports.items()]
    config = door.folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": [cluster(door.upstream)]}}))
    door.start(
        binary, "-c", config, "--concurrency", "1", "--use-dynamic-base-id", ENVOY_DYNAMIC_MODULES_SEARCH_PATH=str(modules)
    )


def listener(name, port, text):
    kinds = "type.googleapis.com/envoy.extensions.filters"
    router = {"name": "router", "typed_config": {"@type": f"{kinds}.http.router.v3.Router", "suppress_envoy_headers": True}}
    plugin = {
        "name": name,
        "typed_config": {
            "@type": f"{kinds}.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {"name": "portcullis_envoy", "do_not_close": True},
            "filter_name": "portcullis",
            "filter_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text},
        },
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "auth"}}
    manager = {
        "@type": f"{kinds}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "doors",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [plugin, router],
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def cluster(port):
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"name": "auth", "type": "STATIC", "load_assignment": {"cluster_name": "auth", "endpoints": endpoints}}


DOORS = {"gateway": gateway, "tower": example, "pingora": example, "envoy": envoy}


def differences(door, case):
    """Sends a case's request, and returns where something else came back than must."""
    request, wanted = case["request"], case["response"]
    Upstream.seen.clear()
    before = len(door.said())
    client = http.client.HTTPConnection("127.0.0.1", door.ports[case["plugin"]], timeout=PATIENCE)
    client.request(request.get("method", "GET"), request["path"], request.get("body"), request.get("headers", {}))
    response = client.getresponse()
    body = response.read().decode()
    client.close()
    found = list(compare("the client's response", wanted, {
        "status": response.status,
        "headers": {name.lower(): value for name, value in response.getheaders()},
        "body": body,
    }))
    if "upstream" in case:
        seen = Upstream.seen[0] if len(Upstream.seen) == 1 else {"path": f"{len(Upstream.seen)} requests"}
        found += compare("the upstream's request", case["upstream"], seen)
    elif Upstream.seen:
        found.append(f"the upstream saw {Upstream.seen}")
    log = case.get("log", {})
    end = time.monotonic() + 5
    # Loggers have threads of their own.
    while time.monotonic() < end and not all(text in door.said()[before:] for text in log.get("has", [])):
        time.sleep(0.05)
    said = door.said()[before:]
    found += [f"the log lacks {text!r}:\n{said}" for text in log.get("has", []) if text not in said]
    found += [f"the log has {text!r}:\n{said}" for text in log.get("lacks", []) if text in said]
    return found


def compare(whose, wanted, seen):
    for key, value in wanted.items():
        if key == "headers":
            for name, text in value.items():
                if seen.get("headers", {}).get(name) != text:
                    yield f"{whose}: {name} is {seen.get('headers', {}).get(name)!r}, and must be {text!r}"
        elif seen.get(key) != value:
            yield f"{whose}: {key} is {seen.get(key)!r}, and must be {value!r}"


def main():
    wanted = dict(argument.split("=", 1) for argument in sys.argv[1:])
    if not wanted or set(wanted) - set(DOORS):
        sys.exit(__doc__)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cases, failed = json.loads((HERE / "cases.json").read_text()), 0
    for name, program in wanted.items():
        door = Door(server.server_port)
        DOORS[name](door, program)
        try:
            door.wait()
            for case in cases:
                for difference in differences(door, case):
                    failed += 1
                    print(f"{name}: {case['plugin']} {case['what']}: {difference}")
        finally:
            door.end()
        print(f"{name}: {len(cases)} cases of {len(door.ports)} plugins")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
