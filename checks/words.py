#!/usr/bin/env python3
"""Finds words that do not belong into a tracked file: paths of somebody's machine, hosts of package registries, and
notes to finish something later."""

import re
from pathlib import Path

import tree

FORBIDDEN = {
    r"(?<![\w.~/-])/(root|work|home/\w+)/": "a path of one machine",
    r"\b(crates\.io|docs\.rs|pypi\.org|pythonhosted\.org|registry\.npmjs\.org|deb\.debian\.org)\b": "a registry's host",
    r"\b(TODO|FIXME|XXX|HACK)\b": "a note to finish something later",
}

# What is generated, quoted whole or about these words.
EXCEPT = re.compile(r"(^|/)Cargo\.lock$|^LICENSE$|^checks/(words|test_checks)\.py$")


def faults(name, text):
    """What is wrong with a file's text, a sentence each."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in FORBIDDEN.items():
            found = re.search(pattern, line)
            if found:
                yield f"{name}:{number}: {what}: {found.group()}"


def faults_of(path, root):
    """What is wrong with a file; nothing where it is no text."""
    name = path.relative_to(root).as_posix()
    if EXCEPT.search(name):
        return []
    try:
        return list(faults(name, Path(path).read_text(encoding="utf-8")))
    except UnicodeDecodeError:
        return []


if __name__ == "__main__":
    FAULTS = [fault for path in tree.tracked() for fault in faults_of(path, tree.ROOT)]
    tree.report("words", FAULTS, "none that does not belong")
