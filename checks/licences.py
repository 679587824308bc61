#!/usr/bin/env python3
"""Checks that every crate in the graph may be used: its licence expression is true for the licences allowed here.

The graph is the lock file's: every platform, every feature, what is linked and what only builds. No network is used
beyond what `cargo` needs to have the crates at all.
"""

import re

import tree

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}

TOKEN = re.compile(r"\(|\)|[^\s()]+")


def holds(expression):
    """Whether an SPDX expression can be met with the allowed licences. `/` is the old spelling of OR."""
    tokens = TOKEN.findall(expression.replace("/", " OR "))
    value, rest = either(tokens)
    return value and not rest


def either(tokens):
    """`a OR b OR ...`: its value and the tokens behind it."""
    value, rest = both(tokens)
    while rest and rest[0] == "OR":
        other, rest = both(rest[1:])
        value = value or other
    return value, rest


def both(tokens):
    """`a AND b AND ...`: its value and the tokens behind it."""
    value, rest = single(tokens)
    while rest and rest[0] == "AND":
        other, rest = single(rest[1:])
        value = value and other
    return value, rest


def single(tokens):
    """A licence, one with an exception, or an expression in parentheses. What cannot be read is not allowed."""
    if not tokens:
        return False, ["nothing"]
    if tokens[0] == "(":
        value, rest = either(tokens[1:])
        return (value, rest[1:]) if rest[:1] == [")"] else (False, rest)
    if tokens[1:2] == ["WITH"]:
        return " ".join(tokens[:3]) in ALLOWED, tokens[3:]
    return tokens[0] in ALLOWED, tokens[1:]


def faults(metadata):
    """The crates whose licence is not allowed, a sentence each."""
    for package in metadata["packages"]:
        licence = package.get("license")
        if not licence:
            yield f"{package['name']} {package['version']} names no licence"
        elif not holds(licence):
            yield f"{package['name']} {package['version']}: {licence} is not allowed"


if __name__ == "__main__":
    GRAPHS = [tree.metadata(each) for each in tree.WORKSPACES]
    CRATES = {(each["name"], each["version"]) for graph in GRAPHS for each in graph["packages"]}
    FAULTS = sorted({fault for graph in GRAPHS for fault in faults(graph)})
    tree.report("licences", FAULTS, f"{len(CRATES)} crates, all allowed")
