"""`tools.sh` on machines that lack one thing or another: a folder of stand-ins is all that its PATH holds beside the
system's own programs."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Machine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()
        (self.root / "checks").mkdir()
        for name in ("tools.sh", "nats-server.txt"):
            shutil.copy(HERE / name, self.root / "checks")
        (self.root / "targets").mkdir()
        self.has("cargo", "true")
        self.has("rustc", f'[ "$1" = --version ] && echo "rustc 1.95.0 (x)" || echo "{self.root}/targets"')
        self.has("rustup", f'echo "rustup $*" >>{self.root}/asked')
        # A pip that notes what it is asked for and installs a nats-server of the floor.
        server = f"{self.root}/.tools/bin/nats-server"
        self.has(
            "python3",
            f'[ "$3" = --version ] && exit; echo "pip $*" >>{self.root}/asked; mkdir -p "$(dirname {server})";'
            f" printf '#!/bin/sh\\necho nats-server: v2.15.1\\n' >{server}; chmod +x {server}",
        )

    def has(self, name, body):
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)

    def run_tools(self):
        """The exit code, what it said, and what it asked of pip and rustup this time."""
        asked = self.root / "asked"
        asked.unlink(missing_ok=True)
        environment = {"HOME": str(self.root), "PATH": f"{self.root}/bin:/usr/bin:/bin"}
        done = subprocess.run(["checks/tools.sh"], cwd=self.root, env=environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr, asked.read_text(encoding="utf-8") if asked.exists() else ""

    def test_a_new_enough_nats_server_on_the_path_is_taken(self):
        for version in ("2.12.12", "2.13.0", "2.14.3", "2.15.1", "2.15.1-dev", "3.0.0"):
            self.has("nats-server", f"echo nats-server: v{version}")
            self.assertEqual(self.run_tools(), (0, "", ""), version)

    @unittest.skipIf(os.path.exists("/usr/bin/nats-server"), "the distribution's own nats-server is on every PATH")
    def test_where_there_is_none_the_pinned_one_is_installed_once(self):
        code, said, asked = self.run_tools()
        self.assertEqual(code, 0, said)
        self.assertEqual(said, "tools: installing nats-server 2.15.1 into .tools/bin\n")
        self.assertIn("--require-hashes", asked)
        self.assertEqual(self.run_tools(), (0, "", ""))

    def test_an_old_one_is_not_taken(self):
        for version in ("2.9.25", "2.12.11", "2.14.2"):
            shutil.rmtree(self.root / ".tools", ignore_errors=True)
            self.has("nats-server", f"echo nats-server: v{version}")
            self.assertIn("--require-hashes", self.run_tools()[2], version)

    def test_a_missing_target_is_added_by_rustup(self):
        self.has("nats-server", "echo nats-server: v2.15.1")
        (self.root / "targets").rmdir()
        code, said, asked = self.run_tools()
        self.assertEqual((code, asked), (0, "rustup --quiet target add wasm32-wasip2\n"), said)

    def test_an_old_rust_is_refused(self):
        self.has("rustc", 'echo "rustc 1.94.1 (x)"')
        code, said, _ = self.run_tools()
        self.assertEqual(code, 2)
        self.assertIn("1.95 is needed", said)


if __name__ == "__main__":
    unittest.main()
