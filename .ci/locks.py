#!/usr/bin/env python3
"""Checks that a workspace beside the main one has the main one's versions of packages, so that what is built for one is built for both.

    .ci/locks.py LOCK...    prints each package of which LOCK has other versions than Cargo.lock, and fails if there is any

A package may have further versions in LOCK, for what only that workspace needs, if they are no other version of the main one's
major or 0.minor. To mend a lock file: copy Cargo.lock over it, and run `cargo metadata` with its manifest.
"""

import sys
import tomllib
from collections import defaultdict


def compatible(version):
    """Returns what is the same in versions that Cargo takes for one another."""
    parts = version.split(".")
    return parts[0] if parts[0] != "0" else ".".join(parts[:2])


def versions(path):
    packages = defaultdict(dict)
    with open(path, "rb") as file:
        for package in tomllib.load(file)["package"]:
            packages[package["name"]][compatible(package["version"])] = package["version"]
    return packages


def differing(main, other):
    for name, theirs in sorted(other.items()):
        for line, version in sorted(theirs.items()):
            ours = main.get(name, {}).get(line)
            if ours is not None and ours != version:
                yield f"{name}: {version}, and {ours} in Cargo.lock"


if __name__ == "__main__":
    main = versions("Cargo.lock")
    found = [f"{path}: {line}" for path in sys.argv[1:] for line in differing(main, versions(path))]
    sys.exit("\n".join(found) or 0)
