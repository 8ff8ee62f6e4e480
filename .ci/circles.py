#!/usr/bin/env python3
"""Measures circles of imports between the files of a crate, and holds them to bounds.

    .ci/circles.py            prints the circles of each crate, and fails if one is larger than its bound
    .ci/circles.py --test     checks the check on sources with circles and sources without

A file imports another one if a path in it (`use`, or `crate::`, `super::`, `self::` and names of modules in code) leads to something
that is defined there; what other files pass on with `use` is followed to where it is defined. Not counted: what only tests and fuzzing
see, modules by themselves, and names that a file passes on and does not use.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field

# The most files that one circle may have, in each crate; 1 is none. A bound goes down with its circle.
BOUNDS = {
    "host-core": 6,
    "filter-chain": 1,
    "portcullis": 3,
    "config": 2,
    "engine-wasmtime": 6,
    "engine-wasmer": 3,
    "engine-wasmi": 5,
    "gateway": 2,
    "adapters/envoy": 1,
    "conformance": 2,
    "adapters/tower": 1,
}

NAME = r"[A-Za-z_]\w*"
# Comments, strings and characters: nothing in them is a path. A lifetime is no character.
NOISE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\(?:x\w\w|u\{[^}]*\}|.)|[^'\\\n])'""", re.DOTALL
)
UNSEEN = re.compile(r"#\[cfg\((?:all\()?(?:any\()?(?:test|fuzzing)\b[^\]]*\)\]")
DEFINED = re.compile(
    rf"\b(?:struct|enum|union|trait|type|static(?:\s+mut)?|const(?:\s+(?:unsafe\s+)?fn)?|fn|macro_rules!)\s+({NAME})"
)
MODULE = re.compile(rf"\bmod\s+({NAME})\s*([;{{])")
USE = re.compile(rf"(\bpub(?:\s*\([^)]*\))?\s+)?\buse\s+([^;]+);")
PATH = re.compile(rf"(?<![\w:$]){NAME}(?:\s*::\s*{NAME})+")


@dataclass
class Module:
    file: str
    parent: "Module | None"
    children: dict = field(default_factory=dict)
    defined: set = field(default_factory=set)
    # Name by which something is known here: the path to it.
    imported: dict = field(default_factory=dict)
    globs: list = field(default_factory=list)
    # Names that are passed on, and not used here.
    passed_on: set = field(default_factory=set)
    paths: set = field(default_factory=set)


def end_of(text, opening):
    """Returns where the block ends that opens at an index."""
    depth = 0
    for index in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return index + 1
    return len(text)


def without_unseen(text):
    """Removes items that only tests and fuzzing see."""
    while found := UNSEEN.search(text):
        semicolon, brace = text.find(";", found.end()), text.find("{", found.end())
        # `use a::{b, c};` ends with its semicolon.
        is_use = re.match(r"\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?use\b", text[found.end() :])
        if brace < 0 or 0 <= semicolon < brace or is_use:
            end = semicolon + 1 if semicolon >= 0 else len(text)
        else:
            end = end_of(text, brace)
        text = text[: found.start()] + text[end:]
    return text


def without_blocks(text):
    """Removes what stands between braces."""
    kept, depth = [], 0
    for character in text:
        depth -= character == "}"
        if depth == 0:
            kept.append(character)
        depth += character == "{"
    return "".join(kept)


def split_tree(text):
    """Splits what stands between braces of a `use` at its commas."""
    depth, start = 0, 0
    for index, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def use_tree(text, prefix=()):
    """Returns the paths of a `use`, each with the name that it gives."""
    text = text.strip()
    if not text:
        return
    if "{" in text:
        head, rest = text.split("{", 1)
        before = tuple(part.strip() for part in head.split("::") if part.strip())
        for part in split_tree(rest[: rest.rindex("}")]):
            yield from use_tree(part, prefix + before)
        return
    path, _, alias = text.partition(" as ")
    parts = prefix + tuple(part.strip() for part in path.split("::") if part.strip())
    if parts[-1] == "self":
        parts = parts[:-1]
    yield parts, alias.strip() or parts[-1]


class Crate:
    def __init__(self, read, root):
        """Reads the files of a crate from its root; `read` returns the text of a file, or none."""
        self.read, self.modules, self.macros = read, [], {}
        self.root = self.load(root, None, os.path.dirname(root))

    def load(self, file, parent, folder):
        module = Module(file, parent)
        self.parse(module, without_unseen(NOISE.sub(" ", self.read(file))), folder)
        return module

    def parse(self, module, text, folder):
        self.modules.append(module)
        while found := MODULE.search(text):
            name, end = found[1], found.end()
            if found[2] == "{":
                end = end_of(text, found.end() - 1)
                inner = Module(module.file, module)
                self.parse(inner, text[found.end() : end - 1], os.path.join(folder, name))
                module.children[name] = inner
            else:
                below = os.path.join(folder, name)
                file = next(f for f in (below + ".rs", os.path.join(below, "mod.rs")) if self.read(f) is not None)
                module.children[name] = self.load(file, module, below)
            text = text[: found.start()] + " " * (found.end() - found.start()) + text[end:]
        for name in re.findall(rf"#\[macro_export\]\s*macro_rules!\s+({NAME})", text):
            self.macros[name] = module
        body = USE.sub(" ", text)
        for public, tree in USE.findall(text):
            for path, name in use_tree(tree):
                if name == "*":
                    module.globs.append(path[:-1])
                    continue
                module.imported[name] = path
                if public and not re.search(rf"\b{name}\b", body):
                    module.passed_on.add(name)
        # No path leads to what is defined in a block.
        module.defined.update(DEFINED.findall(without_blocks(body)))
        module.paths.update(tuple(re.split(r"\s*::\s*", path)) for path in PATH.findall(body.replace("$crate", "crate")))

    def resolve(self, module, path, seen=frozenset()):
        """Returns the module of something, and whether it is that module itself; none of what other crates have."""
        first = path[0]
        if (id(module), path) in seen:
            return None
        seen = seen | {(id(module), path)}
        if first == "crate":
            at, rest = self.root, path[1:]
        elif first == "self":
            at, rest = module, path[1:]
        elif first == "super":
            at, rest = module.parent or module, path[1:]
        elif first in module.children or first in module.imported:
            at, rest = module, path
        else:
            return None
        while rest:
            name, rest = rest[0], rest[1:]
            if name == "super":
                at = at.parent or at
            elif name in at.children:
                at = at.children[name]
            elif name in at.defined:
                return at, False
            elif name in at.imported:
                # In a path of its own, or the name would be found again.
                return self.resolve(at, at.imported[name] + rest, seen)
            elif at is self.root and name in self.macros:
                return self.macros[name], False
            else:
                for glob in at.globs:
                    found = self.resolve(at, glob + (name,) + rest, seen)
                    if found:
                        return found
                return at, False
        return at, True

    def edges(self):
        """Returns for each file those that it imports."""
        edges = {module.file: set() for module in self.modules}
        for module in self.modules:
            used = {path for name, path in module.imported.items() if name not in module.passed_on}
            for path in used | module.paths:
                found = self.resolve(module, path)
                if found and not found[1]:
                    edges[module.file].add(found[0].file)
            for glob in module.globs:
                found = self.resolve(module, glob)
                if found:
                    edges[module.file].add(found[0].file)
        return {file: to - {file} for file, to in edges.items()}


def circles(edges):
    """Returns the sets of files that import each other, directly or through others, the largest first (Tarjan's algorithm)."""
    index, low, stack, found = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in sorted(edges[file]):
            if other not in index:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], index[other])
        if low[file] == index[file]:
            at = stack.index(file)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    sys.setrecursionlimit(10_000)
    for file in sorted(edges):
        if file not in index:
            visit(file)
    return sorted(found, key=len, reverse=True)


def read_file(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def check():
    for crate, bound in BOUNDS.items():
        places = [f"{crate}/src/{root}" for root in ("lib.rs", "main.rs", "bin/*.rs", "bin/*/main.rs")]
        roots = subprocess.run(["git", "ls-files", *places], check=True, capture_output=True, text=True).stdout.split()
        if not roots:
            yield f"{crate}: it has no source here; mend BOUNDS in .ci/circles.py"
        edges = {}
        for root in roots:
            edges.update(Crate(read_file, root).edges())
        found = circles(edges)
        largest = len(found[0]) if found else 1
        print(f"{crate}: {len(edges)} files, {sum(map(len, edges.values()))} imports, {len(found)} circle(s), the largest of {largest}")
        for circle in found:
            if len(circle) > bound:
                lines = [f"    {file} imports {', '.join(sorted(edges[file] & set(circle)))}" for file in circle]
                yield f"{crate}: {len(circle)} files import each other, and {bound} may:\n" + "\n".join(lines)


def test():
    def of(**files):
        files = {name.replace("__", "/") + ".rs": text for name, text in files.items()}
        return circles(Crate(files.get, "lib.rs").edges())

    two = [["a.rs", "b.rs"]]
    assert of(lib="mod a; mod b;", a="use crate::b::B; struct A;", b="use super::a::A; struct B;") == two
    assert of(lib="mod a; mod b;", a="fn a() { crate::b::b(); }", b="fn b() { let _ = super::a::a; }") == two
    assert of(lib="mod a; mod b; mod c;", a="use crate::{b::{B as X}, d}; struct A;", b="use crate::c::*; struct B;",
              c="pub(crate) struct C(crate::a::A);") == [["a.rs", "b.rs", "c.rs"]]  # fmt: skip
    # A name that is passed on is where it is defined, and who passes it on has no part in it.
    assert of(lib="mod a; mod b; pub use a::A;", a="use crate::b::B; pub struct A;", b="pub struct B;") == []
    assert of(lib="mod a; mod b; pub use a::A;", a="use crate::b::B; pub struct A;", b="use crate::A; pub struct B;") == two
    assert of(lib="mod m;", m__mod="mod x; pub use x::X; pub struct M;", m__x="use super::M; pub struct X(M);") == []
    assert of(lib="mod m;", m__mod="mod x; pub use x::X; pub struct M(X);", m__x="use super::M; pub struct X;") == [
        ["m/mod.rs", "m/x.rs"]
    ]
    assert of(lib="mod m; mod a;", m__mod="mod x; mod y; pub use y::Y;", m__x="use super::Y; use crate::a; pub struct X(a::A);",
              m__y="pub struct Y;", a="pub struct A; use crate::m;") == []  # fmt: skip
    # Tests and fuzzing may look at everything; comments and strings are no code.
    assert of(lib="mod a; mod b;", a="use crate::b::B; struct A;",
              b="struct B; #[cfg(test)] mod tests { use crate::a::A; fn f() { if x { } } } #[cfg(fuzzing)] pub use crate::a::{A};") == []  # fmt: skip
    assert of(lib="mod a; mod b;", a="use crate::b::B; struct A;", b="struct B; // crate::a::A\n const S: &str = \"crate::a::A\";") == []
    assert of(lib="mod a; mod b;", a="use crate::b::B; struct A;", b="fn b<'a>(x: &'a str) -> crate::a::A { }") == two
    # A macro is at the root.
    assert of(lib="mod a; mod b;", a="use crate::b::B; #[macro_export] macro_rules! each { () => {} }", b="crate::each!(); struct B; fn f() { crate::each::x; }") == two


if sys.argv[1:] == ["--test"]:
    test()
elif sys.argv[1:]:
    sys.exit(__doc__)
else:
    test()
    found = list(check())
    for problem in found:
        print(problem, file=sys.stderr)
    sys.exit("break a circle by moving what both sides need to a file that imports neither" if found else 0)
