//! The commands that need no lattice, run as a person runs them: exit codes, stdout, stderr, files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use wasm_encoder::{
    Component, ComponentExternName, ComponentImportSection, ComponentTypeRef, ComponentTypeSection, InstanceType,
    ModuleSection,
};

/// A component that imports these interfaces, each with one function, and defines a module.
fn component(imports: &[&str]) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    let mut instance = InstanceType::new();
    instance.ty().function().params::<[_; 0], wasm_encoder::ComponentValType>([]).result(None);
    instance.export("poke", ComponentTypeRef::Func(0));
    types.instance(&instance);
    let mut section = ComponentImportSection::new();
    for import in imports {
        section.import(ComponentExternName::from(*import), ComponentTypeRef::Instance(0));
    }
    let mut component = Component::new();
    component.section(&types).section(&section).section(&ModuleSection(&wasm_encoder::Module::new()));
    component.finish()
}

/// A component that imports an interface without functions.
fn component_of_types_alone(import: &str) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    let mut imports = ComponentImportSection::new();
    imports.import(ComponentExternName::from(import), ComponentTypeRef::Instance(0));
    let mut component = Component::new();
    component.section(&types).section(&imports);
    component.finish()
}

/// A component that wants a core module from its host.
fn component_with_a_core_import() -> Vec<u8> {
    let mut types = wasm_encoder::CoreTypeSection::new();
    types.ty().module(&wasm_encoder::ModuleType::new());
    let mut imports = ComponentImportSection::new();
    imports.import(ComponentExternName::from("libc"), ComponentTypeRef::Module(0));
    let mut component = Component::new();
    component.section(&types).section(&imports);
    component.finish()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
        for name in ["MESH_SERVER", "MESH_CREDS", "MESH_KEY", "MESH_LATTICE", "MESH_CONTEXT", "MESH_ROOT"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.0.path()).current_dir(self.0.path()).args(arguments).output().unwrap()
    }

    /// The data of a command that succeeds.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a command that fails says, and how it ends.
    fn failure(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
        (output.status.code().unwrap(), text(&output.stderr))
    }

    fn public(&self, kind: &str, file: &str) -> String {
        self.json(&["keys", "gen", kind, file])["public"].as_str().unwrap().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_seed_is_written_for_its_owner_alone_and_never_overwritten() {
    let folder = Folder::new();
    for (kind, letter) in [
        ("account", 'A'),
        ("host", 'N'),
        ("actor", 'M'),
        ("provider", 'V'),
        ("user", 'U'),
        ("operator", 'O'),
        ("curve", 'X'),
    ] {
        let public = folder.public(kind, kind);
        assert!(public.starts_with(letter) && public.len() == 56, "{kind} {public}");
        assert_eq!(mode(&folder.path(kind)), 0o600);
        let seed = fs::read_to_string(folder.path(kind)).unwrap();
        assert!(seed.starts_with(&format!("S{letter}")), "{kind}");
        let (code, message) = folder.failure(&["keys", "gen", kind, kind]);
        assert_eq!(code, 4);
        assert!(message.contains("not overwritten"), "{message}");
        assert_eq!(fs::read_to_string(folder.path(kind)).unwrap(), seed);
    }
}

#[test]
fn a_seed_without_a_file_is_all_that_stdout_gets() {
    let folder = Folder::new();
    let output = folder.run(&["keys", "gen", "user"]);
    let seed = text(&output.stdout);
    assert!(seed.starts_with("SU") && seed.trim_end().len() == 58 && seed.lines().count() == 1, "{seed}");
    assert!(text(&output.stderr).contains(" U"));
}

#[test]
fn a_signed_component_shows_who_signed_it() {
    let folder = Folder::new();
    let plain = component(&["wasi:keyvalue/store@0.2.0-draft"]);
    folder.write("counter.wasm", &plain);
    let issuer = folder.public("account", "issuer.nk");
    let signed = folder.json(&[
        "claims",
        "sign",
        "counter.wasm",
        "--issuer",
        "issuer.nk",
        "--rev",
        "3",
        "--ver",
        "1.0",
        "--expires",
        "1d",
    ]);
    let shown = folder.json(&["claims", "show", "counter.wasm"]);
    assert_eq!(signed, shown);
    let fields: Vec<&String> = shown.as_object().unwrap().keys().collect();
    for field in ["issuer", "subject", "name", "digest", "hash", "revision", "expires", "not_before"] {
        assert!(fields.contains(&&field.to_owned()), "{field} {fields:?}");
    }
    assert_eq!((shown["issuer"].as_str(), shown["name"].as_str()), (Some(issuer.as_str()), Some("counter")));
    assert_eq!((shown["revision"].as_i64(), shown["version"].as_str()), (Some(3), Some("1.0")));
    let sum = Command::new("sha256sum").arg(folder.path("counter.wasm")).output().unwrap();
    let sum = text(&sum.stdout);
    assert_eq!(shown["digest"].as_str().unwrap(), sum.split(' ').next().unwrap());
    assert_eq!(shown["hash"].as_str().unwrap(), mesh_lattice::Digest::of(&plain).to_string().to_uppercase());
    assert_eq!(shown["expires"].as_u64().unwrap() - shown["not_before"].as_u64().unwrap(), 86_400);
}

#[test]
fn a_new_build_is_a_new_revision_of_the_same_actor() {
    let folder = Folder::new();
    folder.public("account", "issuer.nk");
    folder.write("counter.wasm", &component(&[]));
    let first = folder.json(&["claims", "sign", "counter.wasm", "--issuer", "issuer.nk", "--to", "signed.wasm"]);
    assert_eq!(fs::read(folder.path("counter.wasm")).unwrap(), component(&[]), "--to leaves the file as it is");
    assert_eq!(mode(&folder.path("counter.actor.nk")), 0o600);
    folder.write("counter.wasm", &component(&["a:b/c"]));
    let second = folder.json(&["claims", "sign", "counter.wasm", "--issuer", "issuer.nk", "--rev", "2"]);
    assert_eq!(first["subject"], second["subject"]);
    assert_ne!(first["digest"], second["digest"]);
    let subject = folder.public("actor", "other.nk");
    let third = folder.json(&["claims", "sign", "counter.wasm", "--issuer", "issuer.nk", "--subject", "other.nk"]);
    assert_eq!(third["subject"].as_str(), Some(subject.as_str()));
}

#[test]
fn signing_the_same_again_leaves_what_stands_there_unless_its_time_runs_out() {
    let folder = Folder::new();
    folder.public("account", "issuer.nk");
    folder.public("account", "other.nk");
    folder.write("counter.wasm", &component(&[]));
    let sign = |more: &[&'static str]| {
        let issuer = if more.contains(&"--issuer") { &[][..] } else { &["--issuer", "issuer.nk"] };
        let to = ["claims", "sign", "counter.wasm", "--subject", "counter.actor.nk", "--to", "signed.wasm"];
        folder.json(&[&to, issuer, more].concat())["digest"].clone()
    };
    folder.public("actor", "counter.actor.nk");
    let first = sign(&["--expires", "10d"]);
    assert_eq!(sign(&["--expires", "10d"]), first);
    assert_eq!(sign(&["--expires", "19d"]), first, "more than half of that is left");
    let mut last = first;
    for more in
        [&["--expires", "30d"][..], &["--rev", "2"], &["--name", "other"], &["--tag", "x"], &["--issuer", "other.nk"]]
    {
        let next = sign(more);
        assert_ne!(next, last, "{more:?} says something else");
        assert_eq!(folder.json(&["claims", "show", "signed.wasm"])["digest"], next);
        last = next;
    }
    folder.write("counter.wasm", &component(&["a:b/c"]));
    assert_ne!(sign(&["--issuer", "other.nk"]), last, "another build");
}

#[test]
fn what_cannot_be_signed_or_shown_is_refused_with_its_code() {
    let folder = Folder::new();
    folder.write("plain.wasm", &component(&[]));
    folder.write("text.wasm", b"hello");
    folder.write("module.wasm", &wasm_encoder::Module::new().finish());
    folder.public("account", "issuer.nk");
    folder.public("user", "user.nk");
    folder.json(&["claims", "sign", "plain.wasm", "--issuer", "issuer.nk", "--to", "signed.wasm"]);
    let mut tampered = fs::read(folder.path("signed.wasm")).unwrap();
    let last = tampered.len() - 5;
    tampered[last] = if tampered[last] == b'A' { b'B' } else { b'A' };
    folder.write("tampered.wasm", &tampered);
    let sign = |file: &'static str, issuer: &'static str| vec!["claims", "sign", file, "--issuer", issuer];
    let table: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["claims", "show", "plain.wasm"], 4, "unsigned"),
        (vec!["claims", "show", "tampered.wasm"], 4, "tampered"),
        (vec!["claims", "show", "text.wasm"], 2, "not a WebAssembly component"),
        (vec!["claims", "show", "absent.wasm"], 2, "absent.wasm"),
        (vec!["inspect", "module.wasm"], 2, "core module"),
        (vec!["inspect", "tampered.wasm"], 4, "tampered"),
        (sign("text.wasm", "issuer.nk"), 2, "not a WebAssembly component"),
        (sign("module.wasm", "issuer.nk"), 2, "core module"),
        (sign("plain.wasm", "user.nk"), 2, "of the kind user, not account"),
        (sign("plain.wasm", "absent.nk"), 2, "absent.nk"),
        (sign("plain.wasm", "text.wasm"), 2, "not a seed"),
        (vec!["claims", "sign", "plain.wasm", "--issuer", "issuer.nk", "--expires", "soon"], 2, "length of time"),
        (vec!["claims", "sign", "plain.wasm", "--issuer", "issuer.nk", "--expires", "0s"], 2, "at least"),
        (vec!["claims", "sign", "plain.wasm", "--issuer", "issuer.nk", "--expires", "9999999999d"], 2, "at most"),
        (vec!["claims", "sign", "plain.wasm", "--issuer", "issuer.nk", "--name", "A B"], 2, "A B"),
        (vec!["claims", "sign", "plain.wasm", "--issuer", "issuer.nk", "--name", ""], 2, "--name"),
        (vec!["claims", "sign", "plain.wasm", "--issuer", "issuer.nk", "--to", "no/folder.wasm"], 2, "no/folder.wasm"),
        (vec!["keys", "gen", "cluster"], 2, "kind of key"),
        (vec!["nonsense"], 2, "nonsense"),
        (vec!["-l", "Not_A.Name", "version"], 2, "lattice name"),
        (vec!["-o", "xml", "version"], 2, "xml"),
    ];
    for (arguments, code, words) in table {
        let (found, message) = folder.failure(&arguments);
        assert_eq!(found, code, "{arguments:?}: {message}");
        assert!(message.contains(words), "{arguments:?}: {message}");
    }
    assert_eq!(fs::read(folder.path("plain.wasm")).unwrap(), component(&[]), "a refused file is left as it is");
    for key in ["a b.actor.nk", "A_B.actor.nk", ".actor.nk", "folder.actor.nk"] {
        assert!(!folder.path(key).exists(), "{key} was made for nothing");
    }
    let (_, message) =
        folder.failure(&["claims", "sign", "plain.wasm", "--issuer", "issuer.nk", "--to", "no/such.wasm"]);
    assert!(!message.contains(".tmp"), "{message}");
}

#[test]
fn a_seed_that_stands_where_a_file_belongs_is_never_printed() {
    let folder = Folder::new();
    folder.write("plain.wasm", &component(&[]));
    folder.public("account", "issuer.nk");
    let seed = fs::read_to_string(folder.path("issuer.nk")).unwrap();
    let seed = seed.trim();
    for arguments in [
        vec!["claims", "sign", "plain.wasm", "--issuer", seed],
        vec!["claims", "sign", seed, "--issuer", "issuer.nk"],
        vec!["start", "actor", seed],
        vec!["--root", seed, "get", "hosts"],
        vec!["keys", "gen", seed],
        vec![seed],
    ] {
        let (code, message) = folder.failure(&arguments);
        assert_eq!(code, 2, "{message}");
        assert!(!message.contains(seed), "{message}");
    }
    let (_, message) = folder.failure(&["claims", "sign", "plain.wasm", "--issuer", seed]);
    assert!(message.contains("a seed was given") && message.contains("hint"), "{message}");
}

#[test]
fn a_lattice_is_stopped_from_below_its_folder() {
    let folder = Folder::new();
    let (code, message) = folder.failure(&["down"]);
    assert_eq!(code, 3, "{message}");
    for inner in [".mesh/keys", "a/b"] {
        fs::create_dir_all(folder.path(inner)).unwrap();
    }
    folder.public("operator", ".mesh/keys/root.nk");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    let output = command.arg("down").current_dir(folder.path("a/b")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("nothing ran"));
}

#[test]
fn inspecting_tells_who_can_serve_each_import() {
    let folder = Folder::new();
    let imports = ["wasi:cli/environment@0.2.3", "wasi:keyvalue/store@0.2.0-draft", "wasi:http/client@0.4.0"];
    folder.write("plain.wasm", &component(&imports));
    let plain = folder.json(&["inspect", "plain.wasm"]);
    assert_eq!(plain["issuer"], Value::Null);
    assert_eq!(plain["imports"], serde_json::json!(imports));
    assert_eq!(plain["linked"], serde_json::json!([imports[1]]));
    assert_eq!(plain["unservable"], serde_json::json!([imports[2]]));
    let poke = &plain["functions"][1];
    assert_eq!((&poke["interface"], &poke["signature"]), (&imports[2].into(), &"poke: func()".into()), "{plain}");
    folder.write("types.wasm", &component_of_types_alone("acme:jobs/types@1.0.0"));
    let table = text(&folder.run(&["inspect", "types.wasm"]).stdout);
    assert!(table.contains("acme:jobs/types@1.0.0   types alone") && !table.contains("needs a link"), "{table}");
    folder.write("core.wasm", &component_with_a_core_import());
    assert_eq!(folder.json(&["inspect", "core.wasm"])["unservable"], serde_json::json!(["libc"]));
    let issuer = folder.public("account", "issuer.nk");
    folder.json(&["claims", "sign", "plain.wasm", "--issuer", "issuer.nk"]);
    let signed = folder.json(&["inspect", "plain.wasm"]);
    assert_eq!((signed["issuer"].as_str(), &signed["imports"]), (Some(issuer.as_str()), &plain["imports"]));
    let table = text(&folder.run(&["inspect", "plain.wasm"]).stdout);
    assert!(table.contains("needs a link") && table.contains("served by every host"), "{table}");
    assert_eq!(table.matches("poke: func()").count(), 2, "what every host serves is not listed: {table}");
}

#[test]
fn the_version_and_a_completion_script_are_data() {
    let folder = Folder::new();
    assert_eq!(folder.json(&["version"])["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    assert!(text(&folder.run(&["version", "-o", "yaml"]).stdout).starts_with("version: "));
    for shell in ["bash", "zsh", "fish"] {
        let output = folder.run(&["completion", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("meshctl"));
    }
    assert_eq!(folder.run(&["--help"]).status.code(), Some(0));
    assert_eq!(folder.run(&["--version"]).status.code(), Some(0));
}

const OAM: &str = "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: { name: Hello }\nspec:\n  components:\n    - name: web\n      \
    type: capability\n      properties: { image: 'ghcr.io/wasmcloud/http-server:0.24.0' }\n    - name: hello\n      type: component\n      \
    properties: { image: file://hello.wasm }\n      traits: [ { type: spreadscaler, properties: { instances: 10 } } ]\n";

#[test]
fn an_oam_manifest_is_converted_and_what_is_converted_converts_to_itself() {
    let folder = Folder::new();
    folder.write("wadm.yaml", OAM.as_bytes());
    let converted = folder.run(&["convert", "wadm.yaml", "--hosts", "4"]);
    assert_eq!(converted.status.code(), Some(0), "{}", text(&converted.stderr));
    assert!(text(&converted.stderr).contains("warning: wadm.yaml:3:19: `Hello` is called `hello` here"));
    let ours = text(&converted.stdout);
    for part in ["apiVersion: mesh/v1", "name: hello", "replicas: 4", "concurrency: 3", "use: http-server"] {
        assert!(ours.contains(part), "{ours}");
    }
    folder.write("mesh.yaml", ours.as_bytes());
    assert_eq!(text(&folder.run(&["convert", "mesh.yaml"]).stdout), ours);
}

#[test]
fn a_broken_manifest_is_shown_with_its_lines_and_ends_with_2() {
    let folder = Folder::new();
    folder.write(
        "wadm.yaml",
        OAM.replace("file://hello.wasm", "''").replace("instances: 10", "instances: 1e1").as_bytes(),
    );
    let (code, said) = folder.failure(&["convert", "wadm.yaml"]);
    assert_eq!(code, 2);
    for part in ["wadm.yaml:11:28", "wadm.yaml:12:64", "not `1e1`", "help:"] {
        assert!(said.contains(part), "{said}");
    }
    let (code, said) = folder.failure(&["convert", "nothing.yaml"]);
    assert!(code == 2 && said.contains("nothing.yaml cannot be read"), "{said}");
    folder.write("large.yaml", &vec![b'#'; 2 << 20]);
    let (code, said) = folder.failure(&["convert", "large.yaml"]);
    assert!(code == 2 && said.contains("split it into several files"), "{said}");
}

#[test]
fn the_schema_is_json_that_names_the_fields() {
    let schema = Folder::new().run(&["schema"]);
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["properties"]["apiVersion"]["anyOf"][0]["enum"][0], "mesh/v1");
}
