#!/usr/bin/env python3
"""Checks the rules of prose that a pattern can see. CONTRIBUTING.md, "Prose", has all of them.

    .ci/prose.py            prints each place that breaks one, and fails if there is any
    .ci/prose.py --test     checks the checks on texts that break them and texts that do not
"""

import re
import subprocess
import sys

# A doc comment names its subject. A function's begins with a verb, an item's with a noun.
DOC = re.compile(r"^\s*//[/!] (What|Who|Whose|That|So|It|Those|There)\b(?!`)")
# Lines of that kind that are right as they are: "path: line".
DOC_ALLOWED: set[str] = set()

COLUMNS = 120
# Written by programs.
GENERATED = {"CONFORMANCE.md", "BENCHMARKING.md", "docs/configuration.md"}

# Subjects of commits after this one have an area: "area: imperative summary", "area, area: ...".
AREAS_SINCE = "15be3c8"
SUBJECT = re.compile(r"^(Merge |Revert |([a-z0-9-]+)(, [a-z0-9-]+)*: \S)")
SUBJECT_COLUMNS = 100


def doc_lines(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        if (found := DOC.match(line)) and f"{path}: {line.strip()}" not in DOC_ALLOWED:
            yield f'{path}:{number}: a doc comment begins with "{found[1]}"; begin a function\'s with a verb, an item\'s with a noun'


def long_lines(path, text):
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        # A link cannot be broken, nor a row of a table.
        elif not code and len(line) > COLUMNS and not line.startswith("|") and len(re.sub(r"\]\([^)]*\)|https?://\S+", "", line)) > COLUMNS:
            yield f"{path}:{number}: {len(line)} columns; break the line at {COLUMNS}"


def subjects(log):
    for line in log.splitlines():
        commit, _, subject = line.partition(" ")
        if not SUBJECT.match(subject):
            yield f'{commit}: the subject "{subject}" has no area; write "area: imperative summary"'
        elif len(subject) > SUBJECT_COLUMNS:
            yield f'{commit}: the subject "{subject}" has {len(subject)} columns; shorten it to {SUBJECT_COLUMNS}'


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def is_shallow():
    return git("rev-parse", "--is-shallow-repository").strip() == "true"


def check():
    # The sources of guests are part of what their binaries are checked by.
    for path in git("ls-files", "*.rs", ":!guests/").splitlines():
        yield from doc_lines(path, open(path, encoding="utf-8").read())
    for path in git("ls-files", "*.md").splitlines():
        if path not in GENERATED:
            yield from long_lines(path, open(path, encoding="utf-8").read())
    # A shallow clone has no history to judge; in another the commit is there, or AREAS_SINCE is to be mended.
    if not is_shallow():
        yield from subjects(git("log", "--format=%h %s", f"{AREAS_SINCE}..HEAD"))


def test():
    assert len(list(doc_lines("a.rs", "/// What a plugin may do.\n    //! So it ends.\n"))) == 2
    assert not list(doc_lines("a.rs", "/// Returns what a plugin may do.\n// What this is for.\n/// `It`s.\n"))
    long = "word " * 30
    assert len(list(long_lines("a.md", f"{long}\n"))) == 1
    assert not list(long_lines("a.md", f"| {long} |\n```\n{long}\n```\n[a](https://{'a' * 120})\n{long[:119]}\n"))
    assert len(list(subjects("1 Move files\n2 core: \n3 core:move\n"))) == 3
    assert not list(subjects("1 core: move files\n2 core, chain: move files\n3 filter-chain: move\n"))


if sys.argv[1:] == ["--test"]:
    test()
elif sys.argv[1:]:
    sys.exit(__doc__)
else:
    test()
    found = list(check())
    print("\n".join(found))
    sys.exit(f"{len(found)} places break the rules of CONTRIBUTING.md, \"Prose\"" if found else 0)
