#!/usr/bin/env python3
"""Which crate may depend on which: contracts <- mechanism <- assembly.

A crate's folder says what it is. The rules hold for normal, build and development dependencies alike, but for what a
program *links*, where development dependencies do not count.
"""

import re
from pathlib import Path

import tree

# What the crates of a folder may name among the workspace's own crates: folders, or single crates by name.
MAY_NAME = {
    "interfaces": {"interfaces"},
    "host/runtime": {"interfaces", "host/transcode"},
    "providers": {"interfaces", "mesh-provider", "mesh-nats"},
    "host/scheduler": {"interfaces"},
    "host/transcode": {"interfaces"},
    "host": {"interfaces", "providers", "host/runtime", "host/scheduler"},
    "ctl": {"interfaces"},
    "tests": {"interfaces", "mesh-provider", "host/runtime"},
}

# Who may name a crate that is the business of few.
NAMED_BY = {
    r"mesh-transport": {"mesh-host", "meshctl", "mesh-tests"},
    r"oci-client": {"meshctl"},
    r"redis": {"mesh-keyvalue-redis"},
    r"wasmtime(-.*)?": {"mesh-runtime", "mesh-transcode", "mesh-tests"},
    r"async-nats": {"mesh-transport", "mesh-keyvalue-nats", "mesh-messaging-nats", "mesh-nats", "mesh-tests"},
}

# What must not be linked, however far down the graph.
NOT_LINKED = {
    "ctl": r"wasmtime(-.*)?|mesh-runtime|mesh-host",
    "providers": r"wasmtime(-.*)?|mesh-runtime|mesh-host|mesh-transport",
}


def folder(package, root):
    """The folder of the layout that a workspace's crate lies in; None where the layout has no such folder."""
    path = Path(package["manifest_path"]).parent.relative_to(root).as_posix()
    if path in MAY_NAME:
        return path
    parent = path.partition("/")[0]
    return parent if parent in ("interfaces", "providers") else None


def may_name(place, name, name_place):
    """Whether a crate in `place` may name the workspace's crate `name`, which lies in `name_place`."""
    return name in MAY_NAME[place] or name_place in MAY_NAME[place]


def linked(package, metadata):
    """The names of all that a crate links, itself excepted."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    names = {each["id"]: each["name"] for each in metadata["packages"]}
    seen, waiting = set(), [package["id"]]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            development_only = all(kind["kind"] == "dev" for kind in dependency["dep_kinds"])
            if not development_only and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    return {names[each] for each in seen}


def faults(metadata):
    """What breaks a rule, a sentence each."""
    root = Path(metadata["workspace_root"])
    members = [each for each in metadata["packages"] if each["id"] in metadata["workspace_members"]]
    places = {each["name"]: folder(each, root) for each in members}
    for package in members:
        name, place = package["name"], places[package["name"]]
        if place is None:
            yield f"{name} lies in no folder of the layout"
            continue
        for dependency in sorted({each["name"] for each in package["dependencies"]}):
            if dependency in places and not may_name(place, dependency, places[dependency]):
                yield f"{name} ({place}) must not depend on {dependency} ({places[dependency]})"
            for pattern, allowed in NAMED_BY.items():
                if re.fullmatch(pattern, dependency) and name not in allowed:
                    yield f"{name} must not name {dependency}: it is the business of {', '.join(sorted(allowed))}"
        for forbidden in sorted(linked(package, metadata)):
            if place in NOT_LINKED and re.fullmatch(NOT_LINKED[place], forbidden):
                yield f"{name} links {forbidden}"
    yield from builtins(root, [each for each, place in places.items() if place == "providers"])


def builtins(root, providers):
    """Only `meshd`'s `main` knows which providers are built in."""
    names = [each.replace("-", "_") for each in providers if each != "mesh-provider"]
    for path in sorted((root / "host/src").rglob("*.rs")):
        text = path.read_text(encoding="utf-8")
        for name in names:
            if path.name != "main.rs" and re.search(rf"\b{name}\b", text):
                yield f"{path.relative_to(root)} names {name}: only main.rs knows which providers are built in"


if __name__ == "__main__":
    tree.report("dependencies", list(faults(tree.metadata())), "the direction holds")
