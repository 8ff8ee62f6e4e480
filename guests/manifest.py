"""Writes and checks manifest.json: which sources each plugin's binary was built from.

    python3 manifest.py write TARGET TOOLCHAIN
    python3 manifest.py check
"""

import hashlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
MANIFEST = ROOT / "manifest.json"
SHARED = ("Cargo.toml", "Cargo.lock")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sdk_version():
    lock = (ROOT / "Cargo.lock").read_text()
    return re.search(r'name = "proxy-wasm"\nversion = "([^"]+)"', lock)[1]


def describe(name, target, toolchain):
    """What the manifest says of one plugin."""
    folder = ROOT / name
    sources = [ROOT / path for path in SHARED]
    sources += [folder / "Cargo.toml", *sorted(folder.glob("src/**/*.rs"))]
    binary = ROOT / "wasm" / f"{name}.wasm"
    return {
        "sdk": f"proxy-wasm {sdk_version()}",
        "target": target,
        "toolchain": toolchain,
        "sources": {str(path.relative_to(ROOT)): sha256(path) for path in sources},
        "binary": str(binary.relative_to(ROOT)),
        "sha256": sha256(binary),
        "size": binary.stat().st_size,
    }


def plugins():
    return sorted(path.parent.parent.name for path in ROOT.glob("*/src/lib.rs"))


def write(target, toolchain):
    manifest = {"plugins": {name: describe(name, target, toolchain) for name in plugins()}}
    MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n")
    for name, plugin in manifest["plugins"].items():
        print(f"{plugin['sha256']}  {plugin['size']:>7}  {plugin['binary']}")


def check():
    listed = json.loads(MANIFEST.read_text())["plugins"]
    problems = []
    for name in sorted(set(listed) | set(plugins())):
        if name not in listed:
            problems.append(f"{name}: not in the manifest")
            continue
        was = listed[name]
        try:
            now = describe(name, was["target"], was["toolchain"])
        except FileNotFoundError as error:
            problems.append(f"{name}: {error.filename} is missing")
            continue
        if was["sdk"] != now["sdk"]:
            problems.append(f"{name}: built with {was['sdk']}, but Cargo.lock has {now['sdk']}")
        for path in sorted(set(was["sources"]) | set(now["sources"])):
            if was["sources"].get(path) != now["sources"].get(path):
                problems.append(f"{name}: {path} is not what the binary was built from")
        if (was["sha256"], was["size"]) != (now["sha256"], now["size"]):
            problems.append(f"{name}: {now['binary']} is not the binary of the manifest")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", target, toolchain]:
            write(target, toolchain)
        case ["check"]:
            sys.exit(check())
        case _:
            sys.exit(__doc__)
