"""The configuration files of the servers of the comparison."""

from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PLUGIN = REPO / "guests/wasm/header_tour.wasm"

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
        # For HTTP/2 with prior knowledge, to measure the load side alone.
        listen 127.0.0.1:{h2_port} http2;
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
{code_cache}workers: 1
admin: 127.0.0.1:{admin}
listeners:
  - name: main
    address: 127.0.0.1:{port}
{listener}{plugins}    routes:
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


def portcullis(port, admin, upstream, with_plugin, code_cache="", listener=""):
    """Returns the YAML; `code_cache` is a folder for compiled code, `listener` a further key of the listener."""
    plugins = PORTCULLIS_PLUGINS.format(plugin=PLUGIN) if with_plugin else ""
    code_cache = f"code_cache: {code_cache}\n" if code_cache else ""
    listener = f"    {listener}\n" if listener else ""
    return PORTCULLIS.format(
        port=port, admin=admin, upstream=upstream, plugins=plugins, code_cache=code_cache, listener=listener
    )


def envoy(port, admin, upstream, with_plugin):
    """Returns Envoy's configuration: defaults, but no x-request-id and no x-envoy-* headers, so that the
    plugin has as many headers to log as behind the other gateway."""

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
