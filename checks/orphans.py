#!/usr/bin/env python3
"""Finds code that nothing reaches: Rust files that no `mod` leads to, and guest programs that no test uses."""

import re
from pathlib import Path

import tree

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
MODULE = re.compile(r'(?:#\[path\s*=\s*"([^"]+)"\]\s*)?(?:pub(?:\([^)]*\))?\s+)?\bmod\s+(?:r#)?(\w+)\s*;')
INCLUDE = re.compile(r'\binclude!\s*\(\s*"([^"]+)"')
PLACES = ("src", "tests", "benches", "examples")


def children(path, is_root):
    """The files that a Rust file names as its modules."""
    text = COMMENT.sub("", path.read_text(encoding="utf-8"))
    owner = path.parent if is_root or path.name == "mod.rs" else path.parent / path.stem
    for explicit, name in MODULE.findall(text):
        if explicit:
            yield path.parent / explicit
        else:
            yield from (each for each in (owner / f"{name}.rs", owner / name / "mod.rs") if each.is_file())
    yield from (path.parent / each for each in INCLUDE.findall(text))


def reached(roots):
    """Every file that is reached from the crate roots."""
    seen, waiting = set(), [(Path(root).resolve(), True) for root in roots]
    while waiting:
        path, is_root = waiting.pop()
        if path not in seen and path.is_file():
            seen.add(path)
            waiting.extend((child.resolve(), False) for child in children(path, is_root))
    return seen


def orphan_files(metadata):
    """The Rust files of a workspace that no crate root leads to."""
    for package in metadata["packages"]:
        if package["id"] not in metadata["workspace_members"]:
            continue
        base = Path(package["manifest_path"]).parent.resolve()
        found = reached(target["src_path"] for target in package["targets"])
        for place in PLACES:
            for path in sorted((base / place).rglob("*.rs")):
                nested = any((each / "Cargo.toml").is_file() for each in path.parents if base in each.parents)
                if not nested and path not in found:
                    yield f"{path}: no module leads here"


def programs(metadata):
    """The names of the guest programs of a workspace."""
    for package in metadata["packages"]:
        if package["id"] in metadata["workspace_members"]:
            yield from (each["name"] for each in package["targets"] if "cdylib" in each["crate_types"])


def orphan_guests(root, names):
    """Of the guest programs called `names`, those whose name stands, quoted, in no test."""
    guests = root / "tests/guests"
    folders = [root / each for each in ("tests", "host", "providers", "ctl", "interfaces")]
    sources = [path for each in folders for path in each.rglob("*.rs") if guests not in path.parents]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    for name in names:
        if not re.search(rf'"{re.escape(name)}(\.wasm)?"', text):
            yield f"guest {name}: no test uses it"


if __name__ == "__main__":
    GRAPHS = [tree.metadata(each) for each in tree.WORKSPACES]
    FILES = [fault for graph in GRAPHS for fault in orphan_files(graph)]
    GUESTS = [name for graph in GRAPHS for name in programs(graph)]
    tree.report("orphans", FILES + list(orphan_guests(tree.ROOT, GUESTS)), f"every file and {len(GUESTS)} guests are reached")
