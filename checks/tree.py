"""What the checks know about the tree: its root, its Cargo workspaces, the files that git tracks."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Each is a Cargo workspace of its own: the product, what is compiled to WebAssembly, and what is fuzzed.
PLACES = (ROOT, ROOT / "examples", ROOT / "fuzz", ROOT / "tests/guests")
WORKSPACES = [path for path in PLACES if (path / "Cargo.toml").is_file()]


def metadata(workspace=ROOT):
    """`cargo metadata` of a workspace: its whole graph, every platform and feature that the lock file holds."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", str(workspace / "Cargo.toml")]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"cargo metadata failed for {workspace}")
    return json.loads(done.stdout)


def tracked(root=ROOT):
    """The files that git tracks or would track."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
    return [root / name for name in names if name and (root / name).is_file()]


def report(check, faults, praise):
    """Prints what a check found and ends the program: 0 where it found nothing, 1 where it did."""
    for fault in faults:
        print(f"{check}: {fault}", file=sys.stderr)
    if not faults:
        print(f"{check}: {praise}")
    sys.exit(1 if faults else 0)
