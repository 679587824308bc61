//! `meshctl new`, run as a person runs it: what it writes and what it refuses. That the projects build, pass their tests
//! and run is a scenario of its own.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

fn run(folder: &TempDir, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    command.args(arguments.split(' ')).current_dir(folder.path()).output().unwrap()
}

fn json(folder: &TempDir, arguments: &str) -> Value {
    let output = run(folder, &format!("{arguments} -o json"));
    assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn each_template_that_is_listed_becomes_a_project_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let all = json(&folder, "new --list");
    assert_eq!(all.as_array().unwrap().len(), 6, "{all}");
    for (number, template) in all.as_array().unwrap().iter().enumerate() {
        let (kind, name) = (template["kind"].as_str().unwrap(), template["name"].as_str().unwrap());
        let made = json(&folder, &format!("new {kind} p{number} --template {name}"));
        assert_eq!((&made["template"], made["dir"].as_str().unwrap()), (&template["name"], &*format!("p{number}")));
        let files: Vec<&str> = made["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
        for file in ["Cargo.toml", "Cargo.lock", "Makefile", "README.md", "mesh.yaml", "test.sh", ".gitignore"] {
            assert!(files.contains(&file), "{kind} {name}: {files:?}");
        }
        for file in files {
            let text = fs::read_to_string(folder.path().join(format!("p{number}/{file}"))).unwrap();
            assert!(!text.is_empty() && !text.contains("my-"), "{kind} {name} {file}: {text}");
        }
        let readme = fs::read_to_string(folder.path().join(format!("p{number}/README.md"))).unwrap();
        assert!(readme.contains(&format!("# p{number}\n")) && readme.lines().count() < 20, "{readme}");
    }
    for (kind, first) in [("actor", "http"), ("provider", "keyvalue"), ("app", "custom")] {
        assert_eq!(json(&folder, &format!("new {kind} plain-{kind}"))["template"], first);
    }
    let elsewhere = json(&folder, "new actor there --dir p0/there");
    assert!(folder.path().join("p0/there/src/lib.rs").is_file(), "{elsewhere}");
}

#[test]
fn what_is_there_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(folder.path().join("file"), "mine").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
    json(&folder, "new actor full");
    fs::write(folder.path().join("full/src/lib.rs"), "mine").unwrap();
    for name in ["empty", "file", "link", "full"] {
        let output = run(&folder, &format!("new actor {name}"));
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{message}");
        assert!(message.contains("is not overwritten") && message.contains("--dir"), "{message}");
    }
    assert_eq!(fs::read_dir(folder.path().join("empty")).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(folder.path().join("full/src/lib.rs")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "mine");
}

#[test]
fn names_that_the_lattice_or_rust_cannot_take_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let long = "a".repeat(49);
    for (arguments, code, words) in [
        ("new actor Hello", 2, "Hello"),
        ("new actor ../hello", 2, "hello"),
        ("new actor 2fast", 2, "begins with a letter"),
        ("new actor fn", 2, "means something else"),
        ("new actor null", 2, "means something else"),
        ("new actor wasi", 2, "means something else"),
        (&format!("new actor {long}"), 2, "more than 48"),
        ("new actor hello --template sql", 2, "http, keyvalue, messaging, custom"),
        ("new provider hello --template http", 2, "keyvalue"),
        ("new actor hello --dir no/such/folder", 2, "no/such/folder"),
        ("new robot hello", 2, "robot"),
        ("new", 2, "--list"),
    ] {
        let output = run(&folder, arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {message}");
        assert!(message.contains(words), "{arguments}: {message}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_workspace_above_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let quiet = text(&run(&folder, "new actor alone").stderr);
    assert!(!quiet.contains("exclude"), "{quiet}");
    fs::write(folder.path().join("Cargo.toml"), "[workspace]\nmembers = [\"*\"]\n").unwrap();
    let told = text(&run(&folder, "new actor inside").stderr);
    assert!(told.contains("Cargo.toml is a Cargo workspace") && told.contains("`exclude`"), "{told}");
    let own = fs::read_to_string(folder.path().join("inside/Cargo.toml")).unwrap();
    assert!(own.starts_with("[workspace]\n"), "{own}");
}
