#!/usr/bin/env python3
"""Runs the module in Envoy, and compares what comes back.

    examples/envoy/check.py ENVOY MODULE             the example, faults, refusals, a plugin replaced under load, memory
    examples/envoy/check.py ENVOY MODULE --cycles N  replaces the plugin N times instead of 50; 1000 is the bound that is promised
    examples/envoy/check.py ENVOY MODULE NAME...     these checks alone

ENVOY is an Envoy 1.40, MODULE the built libportcullis_envoy.so. To be started anywhere; it needs curl. The conformance kit
examines the module by conformance/run.sh.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "examples/envoy"
# Where the checks listen that are not the example.
PORT = 19200
ADMIN = 19902
TIMEOUT = 20


class Envoy:
    """An Envoy with the module, which ends with the block."""

    def __init__(self, arguments, config, admin, concurrency=1, may_end=False):
        self.may_end = may_end
        self.folder = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.folder.name)
        self.log_path = path / "log"
        if isinstance(config, dict):
            (path / "envoy.json").write_text(json.dumps(config))
            config = path / "envoy.json"
        modules = path / "modules"
        modules.mkdir()
        (modules / "libportcullis_envoy.so").symlink_to(pathlib.Path(arguments.module).resolve())
        self.admin = admin
        environment = dict(os.environ, ENVOY_DYNAMIC_MODULES_SEARCH_PATH=str(modules))
        command = [arguments.envoy, "-c", str(config), "--concurrency", str(concurrency), "--use-dynamic-base-id"]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def __enter__(self):
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            if self.process.poll() is not None:
                if self.may_end:
                    return self
                raise SystemExit(f"Envoy has ended:\n{self.log()}")
            try:
                if get(self.admin, "/ready")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.05)
        self.__exit__()
        raise SystemExit(f"Envoy is not ready after {TIMEOUT} s:\n{self.log()}")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise SystemExit(f"Envoy does not end:\n{self.log()}") from None
        finally:
            self.text = self.log()
            self.folder.cleanup()
        return False

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else self.text

    def rss(self):
        """The MiB of memory that the process has now."""
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024


def get(port, path, headers=None, body=None, timeout=TIMEOUT):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST" if body else "GET", path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def plugin(code, name="plugin", **more):
    """The configuration of a plugin, as Envoy's PluginConfig has it."""
    vm = {"code": {"local": {"filename": str(code)}}} | more.pop("vm", {})
    return {"name": name, "vm_config": vm} | more


def module_filter(config, **more):
    return {
        "name": "portcullis",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {"name": "portcullis_envoy", "do_not_close": True},
            "filter_name": "portcullis",
            "filter_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": config},
        }
        | more,
    }


ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
}
SERVED = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "served"}}}


def listener(port, filters, routes=None, **more):
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": str(port),
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes or [SERVED]}]},
        "http_filters": [*filters, ROUTER],
    } | more
    return {
        "name": str(port),
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }


def cluster(name, port):
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}}


def bootstrap(listeners, clusters=(), **more):
    return {
        "node": {"id": "check", "cluster": "check"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": ADMIN}}},
        "static_resources": {"listeners": listeners, "clusters": list(clusters)},
    } | more


def expect(seen, expected, what):
    if seen != expected:
        raise SystemExit(f"{what}:\n  expected {expected!r}\n  and got  {seen!r}")


def leb(number):
    out = bytearray()
    while True:
        number, byte = number >> 7, number & 0x7F
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)


def wasm(sets=None, **callbacks):
    """A module whose callbacks take three numbers, return one, and have these bodies. `sets` is a property that SET sets."""

    def section(number, items):
        content = leb(len(items)) + b"".join(items)
        return bytes([number]) + leb(len(content)) + content if items else b""

    def name(text):
        return leb(len(text)) + text.encode()

    # Types: () -> (), (i32) -> i32, (i32, i32, i32) -> i32, (i32, i32, i32, i32) -> i32.
    types = [b"\x60\x00\x00"] + [b"\x60" + leb(count) + b"\x7f" * count + b"\x01\x7f" for count in (1, 3, 4)]
    functions = [("proxy_abi_version_0_2_1", 0, b""), ("proxy_on_memory_allocate", 1, b"\x41\x80\x08")]
    functions += [(f"proxy_on_{callback}", 1 if callback == "new_connection" else 2, code) for callback, code in callbacks.items()]
    imports = [name("env") + name("proxy_set_property") + b"\x00\x03"] if sets else []
    exports = [name("memory") + b"\x02\x00"]
    exports += [name(export) + b"\x00" + leb(index + len(imports)) for index, (export, _, _) in enumerate(functions)]
    bodies = [b"\x00" + code + b"\x0b" for _, _, code in functions]
    return b"\x00asm\x01\x00\x00\x00" + b"".join(
        [
            section(1, types),
            section(2, imports),
            section(3, [leb(of) for _, of, _ in functions]),
            section(5, [b"\x00\x01"]),
            section(7, exports),
            section(10, [leb(len(body)) + body for body in bodies]),
            section(11, [b"\x00\x41\x00\x0b" + name(sets[0] + sets[1])] if sets else []),
        ]
    )


def constant(number):
    out = leb(number)
    # Signed: a number that fills its last byte takes another one.
    return b"\x41" + (out if not out[-1] & 0x40 else out[:-1] + bytes([out[-1] | 0x80, 0]))


def setting(path, value, callback, **more):
    """A module that sets a property in a callback."""
    call = constant(0) + constant(len(path)) + constant(len(path)) + constant(len(value)) + b"\x10\x00"
    return wasm(sets=(path, value), **{callback: call}, **more)


def access_log(path):
    """Writes what the module above has set into a file."""
    return {
        "name": "file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"text_format_source": {"inline_string": "%FILTER_STATE(wasm.mine:PLAIN)%\n"}},
        },
    }


TRAPS = wasm(request_headers=b"\x00\x41\x00")
LOOPS = wasm(request_headers=b"\x03\x40\x0c\x00\x0b\x41\x00")
PASSES = wasm(request_headers=b"\x41\x00")


def example(arguments):
    """The commands of README.md answer what stands there."""
    count = 0
    with Envoy(arguments, HERE / "envoy.yaml", 19901):
        for block in re.findall(r"```console\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL):
            for command, expected in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE):
                done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=TIMEOUT)
                expect(done.stdout.replace("\r", ""), expected, command)
                count += 1
    expect(count > 4, True, "README.md has commands")
    return f"{count} commands"


def symbols(arguments):
    """The module asks Envoy for what it exports, and exports what Envoy wants."""
    table = [line.split() for line in (ROOT / "adapters/envoy/abi/1.40.txt").read_text().splitlines() if line[0] != "#"]

    def exported(path):
        lines = subprocess.run(["readelf", "--dyn-syms", "--wide", path], capture_output=True, text=True, check=True).stdout
        found = re.findall(r"GLOBAL +DEFAULT +(\w+) (envoy_dynamic_module_\w+)", lines)
        return {name for section, name in found if section != "UND"}

    # PyPI's command is a script that runs the executable.
    with Envoy(arguments, bootstrap([]), ADMIN) as envoy:
        hooks, callbacks = exported(arguments.module), exported(f"/proc/{envoy.process.pid}/exe")
    asked = set(re.findall(rb"envoy_dynamic_module_callback_\w+", pathlib.Path(arguments.module).read_bytes()))
    listed = {name.rstrip(":") for kind, name, *_ in table if kind == "callback"}
    expect(sorted(listed - callbacks), [], "callbacks of abi/1.40.txt that this Envoy does not export")
    # Names stand one after the other in the file, without an end that is text.
    used = {name for name in listed if any(found.startswith(name.encode()) for found in asked)}
    expect(len(used) > 50, True, "the module looks callbacks up by their names")
    wanted = {name.rstrip(":") for kind, name, *rest in table if kind == "hook" and rest[-1] in ("must", "route")}
    expect(sorted(wanted - hooks), [], "hooks that Envoy wants and the module does not export")
    expect(sorted(hooks - {name.rstrip(":") for kind, name, *_ in table if kind == "hook"}), [], "hooks that nobody calls")
    return f"{len(listed)} callbacks are exported by this Envoy, {len(hooks)} hooks by the module"


def faults(arguments):
    """A trap and a loop end their own streams, and other listeners answer meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, code in (("traps", TRAPS), ("loops", LOOPS), ("passes", PASSES)):
            files[name] = pathlib.Path(folder) / f"{name}.wasm"
            files[name].write_bytes(code)
        loops = plugin(files["loops"], "loops", vm={"limits": {"deadline": "1s"}})
        alone = plugin(files["traps"], "alone", vm={"isolation": "stream"})
        listeners = [
            listener(PORT, [module_filter(plugin(files["traps"], "traps"))]),
            listener(PORT + 1, [module_filter(loops)]),
            listener(PORT + 2, [module_filter(plugin(files["passes"], "passes"))]),
            listener(PORT + 3, [module_filter(alone)]),
        ]
        # Two workers: a listener of the one that loops is served by the other meanwhile.
        with Envoy(arguments, bootstrap(listeners), ADMIN, concurrency=1) as envoy:
            expect(get(PORT + 2, "/")[:2], (200, b"served"), "before")
            for _ in range(2):
                expect(get(PORT, "/")[0], 503, "a trap")
                expect(get(PORT + 3, "/")[0], 503, "a trap with a VM for each stream")
                expect(get(PORT + 2, "/")[0], 200, "beside a trap")
            began = time.monotonic()
            expect(get(PORT + 1, "/")[0], 503, "a loop")
            took = time.monotonic() - began
            expect(took < 5, True, f"a loop of {took:.1f} s ends by its deadline of 1 s")
            expect(get(PORT + 2, "/")[0], 200, "after a loop, on the same worker")
            expect(envoy.process.poll(), None, "Envoy lives")
    return f"a loop ended after {took:.2f} s"


def visible(arguments):
    """Properties that a plugin sets are in access logs, its metrics are Envoy's, and a route has a plugin of its own."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "sets.wasm").write_bytes(setting("mine", "a value", "request_headers"))
        (folder / "traps.wasm").write_bytes(TRAPS)
        own = module_filter(plugin(folder / "traps.wasm", "of the route"))["typed_config"]
        own["@type"] = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute"
        own["per_route_config_name"] = own.pop("filter_name")
        routes = [SERVED | {"match": {"prefix": "/own"}, "typed_per_filter_config": {"portcullis": own}}, SERVED]
        counter = plugin(ROOT / "guests/wasm/counter.wasm", "counting", configuration="20")
        listeners = [
            listener(PORT, [module_filter(plugin(folder / "sets.wasm"))], routes, access_log=[access_log(folder / "access.log")]),
            listener(PORT + 1, [module_filter(counter)]),
        ]
        with Envoy(arguments, bootstrap(listeners), ADMIN):
            expect(get(PORT, "/x")[0], 200, "a route of the filter's plugin")
            expect(get(PORT, "/own")[0], 503, "a route with a plugin of its own, which traps")
            for _ in range(3):
                expect(get(PORT + 1, "/x")[0], 200, "the counter")
            end = time.monotonic() + TIMEOUT

            def counted():
                stats = get(ADMIN, "/stats?filter=counter_&usedonly")[1].decode()
                return stats if re.search(r"counter_requests: 3", stats) and re.search(r"counter_ticks: \d", stats) else None

            while not (stats := counted()) and time.monotonic() < end:
                time.sleep(0.05)
            expect(bool(stats), True, f"metrics: {get(ADMIN, '/stats?filter=counter_')[1]!r}")
        expect((folder / "access.log").read_text().splitlines()[:1], ["a value"], "the access log")
    return ", ".join(line for line in stats.splitlines() if "request" in line or "tick" in line)


def tcp(arguments):
    """A network filter passes data both ways, also after the client has ended its side, and what it sets is in access logs."""
    with tempfile.TemporaryDirectory() as folder:
        code = pathlib.Path(folder) / "tcp.wasm"
        nothing = constant(0)
        code.write_bytes(setting("mine", "of TCP", "downstream_data", new_connection=nothing, upstream_data=nothing))
        server = socket.create_server(("127.0.0.1", 0))
        module = module_filter(plugin(code))
        module["typed_config"]["@type"] = (
            "type.googleapis.com/envoy.extensions.filters.network.dynamic_modules.v3.DynamicModuleNetworkFilter"
        )
        proxy = {
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "tcp",
                "cluster": "echo",
                "access_log": [access_log(pathlib.Path(folder) / "access.log")],
            },
        }
        served = listener(PORT, [])
        served["filter_chains"] = [{"filters": [module, proxy]}]
        size = 300_000

        def echo():
            peer, _ = server.accept()
            with peer:
                data = b""
                while piece := peer.recv(65536):
                    data += piece
                peer.sendall(data[::-1])

        threading.Thread(target=echo, daemon=True).start()
        with Envoy(arguments, bootstrap([served], [cluster("echo", server.getsockname()[1])]), ADMIN):
            with socket.create_connection(("127.0.0.1", PORT), timeout=TIMEOUT) as client:
                data = bytes(n % 251 for n in range(size))
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                back = b""
                while piece := client.recv(65536):
                    back += piece
        expect(back == data[::-1], True, f"{len(back)} bytes of {size} came back")
        expect((pathlib.Path(folder) / "access.log").read_text().splitlines(), ["of TCP"], "the access log")
    return f"{size} bytes each way"


def refusals(arguments):
    """Envoy refuses a configuration that does not work, and its log has the reason."""
    with tempfile.TemporaryDirectory() as folder:
        code = pathlib.Path(folder) / "bad.wasm"
        code.write_bytes(b"no module")
        for config, reason in [
            (plugin(code), "bad.wasm|not a WebAssembly|magic"),
            (plugin(pathlib.Path(folder) / "absent.wasm"), "absent.wasm"),
            ({"name": "x"}, "vm_config"),
        ]:
            with Envoy(arguments, bootstrap([listener(PORT, [module_filter(config)])]), ADMIN, may_end=True) as envoy:
                envoy.process.wait(TIMEOUT)
            lines = [line for line in envoy.log().splitlines() if "portcullis:" in line]
            expect(bool(lines and re.search(reason, lines[0])), True, f"{config}: the log says why ({lines})")
            expect("Failed to" in envoy.log(), True, "Envoy refuses it")
    return "3 refusals"


def cycles(arguments):
    """A plugin is replaced by xDS under load: no request is lost, and memory does not grow."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        resources = folder / "listener.json"

        def publish(version):
            config = plugin(ROOT / "guests/wasm/header_tour.wasm", "tour", configuration=f"version {version}")
            ecds = {
                "version_info": str(version),
                "resources": [
                    {
                        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                        "name": "plugin",
                        "typed_config": module_filter(config)["typed_config"],
                    }
                ],
            }
            new = folder / "new.json"
            new.write_text(json.dumps(ecds))
            new.rename(resources)

        publish(0)
        discovered = {
            "name": "plugin",
            "config_discovery": {
                "config_source": {"path_config_source": {"path": str(resources)}, "resource_api_version": "V3"},
                "type_urls": ["envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"],
            },
        }
        lost, count, done = [], [0], threading.Event()

        def load():
            while not done.is_set():
                try:
                    status, _, headers = get(PORT, "/x")
                    if status != 200 or headers.get("x-plugin") != "header_tour":
                        lost.append((status, headers))
                except OSError as error:
                    lost.append(error)
                count[0] += 1

        with Envoy(arguments, bootstrap([listener(PORT, [discovered])]), ADMIN, concurrency=2) as envoy:

            def loaded():
                stats = get(ADMIN, "/stats?filter=extension_config_discovery.*config_reload$")[1].decode()
                return int(re.search(r": (\d+)", stats)[1])

            threads = [threading.Thread(target=load) for _ in range(2)]
            for thread in threads:
                thread.start()
            sizes = []
            for version in range(1, arguments.cycles + 1):
                before = loaded()
                publish(version)
                end = time.monotonic() + TIMEOUT
                while loaded() == before and time.monotonic() < end:
                    time.sleep(0.002)
                sizes.append(envoy.rss())
            done.set()
            for thread in threads:
                thread.join()
            reloads = loaded()
        expect(lost[:3], [], "lost requests")
        expect(reloads >= arguments.cycles, True, f"{reloads} of {arguments.cycles} configurations were loaded")
        # The first ones fill what is used again.
        first, last = max(sizes[len(sizes) // 4 : len(sizes) // 2]), max(sizes[-len(sizes) // 4 :])
        expect(last < first + 8, True, f"memory grows from {first:.0f} to {last:.0f} MiB")
    return f"{reloads} plugins, {count[0]} requests, {first:.0f} MiB and {last:.0f} MiB"


def sandboxes(arguments):
    """200 plugins with VMs of their own take less than 110 MiB with Envoy and a module of the profile release, and 135 of dev."""
    count = 200
    config = [plugin(ROOT / "guests/wasm/header_tour.wasm", f"p{n}", vm={"vm_id": f"vm{n}"}) for n in range(count)]
    with Envoy(arguments, bootstrap([listener(PORT + n, [module_filter(own)]) for n, own in enumerate(config)]), ADMIN) as envoy:
        for n in range(count):
            expect(get(PORT + n, "/x")[2].get("x-plugin"), "header_tour", "an answer")
        size = envoy.rss()
    # A module of the profile dev has more code, of which more is touched.
    bound = 110 if "release" in pathlib.Path(arguments.module).resolve().parts else 135
    expect(size < bound, True, f"{size:.1f} MiB of {bound}")
    return f"{count} sandboxes: {size:.1f} MiB"


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("envoy")
    parser.add_argument("module")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--cycles", type=int, default=50)
    arguments = parser.parse_intermixed_args()
    checks = [symbols, example, visible, tcp, faults, refusals, cycles, sandboxes]
    for check in checks:
        if not arguments.names or check.__name__ in arguments.names:
            began = time.monotonic()
            said = check(arguments)
            print(f"{check.__name__}: {said} ({time.monotonic() - began:.1f} s)", flush=True)


main()
