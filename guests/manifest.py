"""Writes and checks manifest.json: which sources each plugin's binary was built from.

    python3 manifest.py write LANGUAGE TARGET TOOLCHAIN
    python3 manifest.py check

LANGUAGE is rust, go, assemblyscript or c; the other languages' plugins stay as they are in the manifest.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
MANIFEST = ROOT / "manifest.json"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rust_sdk(_folder):
    lock = (ROOT / "Cargo.lock").read_text()
    version = re.search(r'name = "proxy-wasm"\nversion = "([^"]+)"', lock)[1]
    return f"proxy-wasm {version}"


def assemblyscript_sdk(folder):
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    return f"@solo-io/proxy-runtime {packages['node_modules/@solo-io/proxy-runtime']['version']}"


def no_sdk(_folder):
    return "none: raw ABI"


# For each language: the file by which its plugins' folders are known, the sources in a folder, the
# sources that they share, and where the SDK's version stands.
LANGUAGES = {
    "rust": ("src/lib.rs", ["Cargo.toml", "src/**/*.rs"], ["Cargo.toml", "Cargo.lock"], rust_sdk),
    "go": ("go.mod", ["go.mod", "*.go"], [], no_sdk),
    "assemblyscript": (
        "package.json",
        ["package.json", "package-lock.json", "assembly/**/*.ts"],
        [],
        assemblyscript_sdk,
    ),
    "c": ("*.c", ["*.c", "*.h"], [], no_sdk),
}


def describe(name, language, target, toolchain):
    """What the manifest says of one plugin."""
    _, patterns, shared, sdk = LANGUAGES[language]
    folder = ROOT / name
    sources = [ROOT / path for path in shared]
    for pattern in patterns:
        sources += sorted(folder.glob(pattern))
    binary = ROOT / "wasm" / f"{name}.wasm"
    return {
        "language": language,
        "sdk": sdk(folder),
        "target": target,
        "toolchain": toolchain,
        "sources": {str(path.relative_to(ROOT)): sha256(path) for path in sources},
        "binary": str(binary.relative_to(ROOT)),
        "sha256": sha256(binary),
        "size": binary.stat().st_size,
    }


def plugins():
    """The language of each plugin that has a folder, by the plugin's name."""
    found = {}
    for language, (mark, _, _, _) in LANGUAGES.items():
        for path in ROOT.glob(f"*/{mark}"):
            found[path.relative_to(ROOT).parts[0]] = language
    return dict(sorted(found.items()))


def write(language, target, toolchain):
    listed = json.loads(MANIFEST.read_text())["plugins"] if MANIFEST.exists() else {}
    built = {
        name: describe(name, language, target, toolchain)
        for name, its_language in plugins().items()
        if its_language == language
    }
    others = {name: plugin for name, plugin in listed.items() if plugin["language"] != language}
    manifest = {"plugins": dict(sorted((others | built).items()))}
    MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n")
    for plugin in built.values():
        print(f"{plugin['sha256']}  {plugin['size']:>7}  {plugin['binary']}")


def check():
    listed = json.loads(MANIFEST.read_text())["plugins"]
    there = plugins()
    problems = []
    for name in sorted(set(listed) | set(there)):
        if name not in listed:
            problems.append(f"{name}: not in the manifest")
            continue
        if name not in there:
            problems.append(f"{name}: in the manifest, but there are no sources")
            continue
        was = listed[name]
        try:
            now = describe(name, there[name], was["target"], was["toolchain"])
        except FileNotFoundError as error:
            problems.append(f"{name}: {error.filename} is missing")
            continue
        if was["language"] != now["language"]:
            problems.append(f"{name}: is {now['language']}, the manifest says {was['language']}")
        if was["sdk"] != now["sdk"]:
            problems.append(f"{name}: built with {was['sdk']}, but the lock file has {now['sdk']}")
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
        case ["write", language, target, toolchain] if language in LANGUAGES:
            write(language, target, toolchain)
        case ["check"]:
            sys.exit(check())
        case _:
            sys.exit(__doc__)
