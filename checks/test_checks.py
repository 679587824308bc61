"""Each check is broken on purpose here, on a small fixture, and must see it."""

import tempfile
import unittest
from pathlib import Path

import dependencies
import licences
import orphans
import tree
import words


def graph(root, crates):
    """`cargo metadata` for `crates`: {name: (folder or None, [what it names], [what it names for its tests])}."""
    packages, nodes = [], []
    for name, (place, normal, dev) in crates.items():
        manifest = f"{root}/{place}/Cargo.toml" if place else f"/registry/{name}/Cargo.toml"
        named = [{"name": each} for each in normal + dev]
        packages.append({"name": name, "id": name, "manifest_path": manifest, "dependencies": named})
        kinds = [(each, None) for each in normal] + [(each, "dev") for each in dev]
        nodes.append({"id": name, "deps": [{"pkg": each, "dep_kinds": [{"kind": kind}]} for each, kind in kinds]})
    members = [name for name, (place, _, _) in crates.items() if place]
    return {"workspace_root": str(root), "packages": packages, "workspace_members": members, "resolve": {"nodes": nodes}}


class Folder(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()

    def write(self, name, text=""):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


class Dependencies(Folder):
    def sound(self):
        """A graph of one crate for each folder, in which every rule holds."""
        return {
            "wasmtime": (None, [], []),
            "async-nats": (None, [], []),
            "mesh-lattice": ("interfaces/lattice", [], []),
            "mesh-transport": ("interfaces/transport", ["mesh-lattice", "async-nats"], []),
            "mesh-runtime": ("host/runtime", ["mesh-lattice", "wasmtime"], []),
            "mesh-scheduler": ("host/scheduler", ["mesh-lattice"], []),
            "mesh-provider": ("providers/sdk", ["mesh-lattice"], []),
            "mesh-keyvalue-nats": ("providers/keyvalue-nats", ["mesh-provider", "async-nats"], []),
            "mesh-host": ("host", ["mesh-keyvalue-nats", "mesh-runtime", "mesh-scheduler", "mesh-transport"], []),
            "meshctl": ("ctl", ["mesh-transport", "mesh-lattice"], []),
            "mesh-tests": ("tests", ["mesh-runtime", "mesh-transport", "async-nats", "wasmtime"], []),
        }

    def broken(self, name, normal=(), dev=()):
        """What the check says when `name` depends on more than it may."""
        crates = self.sound()
        place, named, for_tests = crates[name]
        crates[name] = (place, named + list(normal), for_tests + list(dev))
        return list(dependencies.faults(graph(self.root, crates)))

    def test_a_sound_graph_passes(self):
        self.assertEqual(list(dependencies.faults(graph(self.root, self.sound()))), [])

    def test_interfaces_depend_on_nothing_outside(self):
        self.assertIn("mesh-lattice (interfaces) must not depend on mesh-scheduler", self.broken("mesh-lattice", ["mesh-scheduler"])[0])
        self.assertTrue(self.broken("mesh-lattice", dev=["mesh-provider"]))

    def test_providers_know_neither_host_nor_transport_nor_each_other(self):
        self.assertTrue(self.broken("mesh-keyvalue-nats", ["mesh-scheduler"]))
        self.assertTrue(self.broken("mesh-keyvalue-nats", ["mesh-transport"]))
        self.assertTrue(self.broken("mesh-provider", ["mesh-keyvalue-nats"]))

    def test_mechanisms_do_not_know_the_transport(self):
        for name in ("mesh-runtime", "mesh-scheduler"):
            self.assertTrue(self.broken(name, ["mesh-transport"]), name)
            self.assertTrue(self.broken(name, dev=["mesh-transport"]), name)

    def test_meshctl_links_no_engine_however_deep(self):
        crates = self.sound()
        crates["helper"] = (None, ["wasmtime"], [])
        crates["meshctl"] = ("ctl", ["helper"], [])
        self.assertEqual(list(dependencies.faults(graph(self.root, crates))), ["meshctl links wasmtime"])
        crates["helper"] = (None, [], ["wasmtime"])
        self.assertEqual(list(dependencies.faults(graph(self.root, crates))), [])
        for name in ("mesh-runtime", "mesh-host"):
            self.assertIn(f"meshctl links {name}", self.broken("meshctl", [name]))

    def test_few_name_nats_and_the_engine(self):
        self.assertTrue(self.broken("mesh-host", ["async-nats"]))
        self.assertTrue(self.broken("mesh-host", dev=["wasmtime"]))
        self.assertTrue(self.broken("mesh-provider", ["async-nats"]))

    def test_only_the_host_and_there_only_main_names_the_providers(self):
        self.assertTrue(self.broken("mesh-tests", ["mesh-keyvalue-nats"]))
        self.write("host/src/main.rs", "use mesh_keyvalue_nats as kv;")
        self.assertEqual(self.broken("mesh-host"), [])
        self.write("host/src/router.rs", "use mesh_keyvalue_nats as kv;")
        self.assertIn("only main.rs", self.broken("mesh-host")[0])

    def test_a_crate_in_no_folder_of_the_layout_is_seen(self):
        crates = self.sound() | {"stray": ("common", [], [])}
        self.assertEqual(list(dependencies.faults(graph(self.root, crates))), ["stray lies in no folder of the layout"])


class Orphans(Folder):
    def found(self):
        base = self.root / "crate"
        target = {"src_path": str(base / "src/lib.rs")}
        package = {"id": "crate", "manifest_path": str(base / "Cargo.toml"), "targets": [target]}
        faults = orphans.orphan_files({"packages": [package], "workspace_members": ["crate"]})
        return [Path(fault.partition(":")[0]).relative_to(base).as_posix() for fault in faults]

    def test_modules_are_followed(self):
        self.write("crate/src/lib.rs", "pub mod a;\npub(crate) mod b;\n#[path = \"odd.rs\"]\nmod c;\n")
        self.write("crate/src/a.rs", "#[cfg(test)]\nmod tests;\n")
        for name in ("a/tests.rs", "b.rs", "odd.rs"):
            self.write(f"crate/src/{name}")
        self.assertEqual(self.found(), [])

    def test_a_file_without_a_module_is_seen(self):
        self.write("crate/src/lib.rs", "mod a;\n// mod b;\n/* mod c; */\n")
        for name in ("a.rs", "b.rs", "c.rs", "a/d.rs"):
            self.write(f"crate/src/{name}")
        self.assertEqual(self.found(), ["src/a/d.rs", "src/b.rs", "src/c.rs"])

    def test_a_guest_without_a_test_is_seen(self):
        self.write("tests/guests/examples/loops.rs", '"loops"')
        self.write("host/runtime/tests/main.rs", 'guest("traps")')
        targets = [{"name": each, "crate_types": ["cdylib"]} for each in ("traps", "loops")]
        targets.append({"name": "mesh-guests", "crate_types": ["lib"]})
        names = list(orphans.programs({"packages": [{"id": "g", "targets": targets}], "workspace_members": ["g"]}))
        self.assertEqual(list(orphans.orphan_guests(self.root, names)), ["guest loops: no test uses it"])


class Licences(unittest.TestCase):
    def test_expressions(self):
        for good in ("MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR GPL-2.0) AND ISC", "Apache-2.0 WITH LLVM-exception"):
            self.assertTrue(licences.holds(good), good)
        bad = ("GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND AGPL-3.0", "MIT WITH X", "", "MIT )", "(MIT", "MIT OR")
        for each in bad:
            self.assertFalse(licences.holds(each), each)

    def test_a_crate_that_breaks_the_list_is_named(self):
        crates = [
            {"name": "good", "version": "1.0.0", "license": "MIT"},
            {"name": "left", "version": "2.0.0", "license": "GPL-3.0-only"},
            {"name": "none", "version": "3.0.0", "license": None},
        ]
        expected = ["left 2.0.0: GPL-3.0-only is not allowed", "none 3.0.0 names no licence"]
        self.assertEqual(list(licences.faults({"packages": crates})), expected)


class Words(Folder):
    def test_what_does_not_belong_is_seen(self):
        for bad in ("see /root/.cache", 'open("/work/main")', "/home/ada/x", "from crates.io", "// TODO: later"):
            self.assertTrue(list(words.faults("a.rs", bad)), bad)

    def test_what_belongs_passes(self):
        for good in ("target/work/x", "~/.cache/mesh", "the root/work", "/usr/bin/env", "TODOS", "https://example.org/root/"):
            self.assertEqual(list(words.faults("a.rs", good)), [], good)

    def test_a_binary_file_is_left_alone(self):
        path = self.root / "a.wasm"
        path.write_bytes(b"\xff\xfe\0/root/")
        self.assertEqual(words.faults_of(path, self.root), [])


class Tree(unittest.TestCase):
    def test_the_graph_of_the_product_is_read(self):
        names = {each["name"] for each in tree.metadata()["packages"]}
        self.assertLessEqual({"meshctl", "mesh-host", "wasmtime", "async-nats"}, names)


if __name__ == "__main__":
    unittest.main()
