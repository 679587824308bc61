//! Manifests as people write them: broken ones with what they are told, and those of wasmCloud's users with what they come
//! to. Beside each `.yaml` stands what is expected of it as `.txt`; `MESH_UPDATE=1` writes it anew, to be read and kept.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use mesh_lattice::{Digest, application::Application};
use mesh_manifest::{
    Component, Draft, Facts, Faults, Manifests, Reading, Reference, Source, Unread, convert, read, resolve,
};

/// Every manifest of a folder, by name.
fn manifests(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let files: BTreeSet<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

fn source(path: &Path) -> std::sync::Arc<Source> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    Source::new(name, "/app", fs::read(path).unwrap())
}

/// The lattice that the corpus is applied to: each file is a component that calls key-value and a till and is asked by
/// HTTP and messages; another application has the name `taken`.
fn facts(drafts: &[Draft]) -> Facts {
    let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let component = Component {
        digest: Digest::of(b"component"),
        imports: all(&[
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:keyvalue/atomics@0.2.0-draft",
            "wasi:http/outgoing-handler@0.2.0",
            "wasmcloud:messaging/consumer@0.2.0",
            "acme:shop/till",
        ]),
        exports: all(&["wasi:http/incoming-handler@0.2.0", "wasmcloud:messaging/handler@0.2.0", "acme:shop/till"]),
        signatures: None,
    };
    let known = |reference: &Reference| match reference {
        Reference::File { path, .. } if path.ends_with("missing.wasm") => {
            Err(Unread { message: "there is no such file".into(), help: Some("build it first".into()) })
        }
        _ => Ok(component.clone()),
    };
    let references = drafts.iter().flat_map(Draft::references);
    let artifacts = references.map(|reference| (reference.value.clone(), known(&reference.value))).collect();
    let mut other = Application::empty("other".parse().unwrap());
    let echo = |name: &str| serde_json::from_value(serde_json::json!({ "name": name, "use": "echo" })).unwrap();
    other.providers = vec![echo("taken")];
    let mut shared = Application::empty("shared-http".parse().unwrap());
    let web = serde_json::json!({ "name": "shared-web", "use": "http-server" });
    shared.providers = vec![serde_json::from_value(web).unwrap()];
    Facts { artifacts, others: vec![other, shared], complete: true, ..Facts::default() }
}

/// What comes of a manifest, as far as it gets.
fn outcome(path: &Path) -> Result<(Manifests, Faults), Faults> {
    let manifests = read(&[source(path)], &Reading::default())?;
    let resolved = resolve(&manifests.drafts, &facts(&manifests.drafts))?;
    Ok((manifests, resolved.warnings))
}

/// Compares with what is expected, or writes it.
fn expect(path: &Path, found: &str, wrong: &mut Vec<String>) {
    let expected = path.with_extension("txt");
    if std::env::var_os("MESH_UPDATE").is_some() {
        fs::write(&expected, found).unwrap();
    } else if fs::read_to_string(&expected).unwrap_or_default() != found {
        wrong.push(format!("{} is not what is expected:\n{found}", path.display()));
    }
}

#[test]
fn broken_manifests_say_what_is_wrong_and_where() {
    let (mut wrong, paths) = (Vec::new(), manifests("broken"));
    for path in &paths {
        match outcome(path) {
            Ok(_) => wrong.push(format!("{} is taken", path.display())),
            Err(faults) => expect(path, &faults.render(false), &mut wrong),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(paths.len() >= 60, "{} broken manifests", paths.len());
}

#[test]
fn oam_manifests_are_applied_or_refused_with_a_sentence() {
    let (mut wrong, mut applied, paths) = (Vec::new(), 0, manifests("oam"));
    for path in &paths {
        let found = match outcome(path) {
            Ok((manifests, warnings)) => {
                applied += 1;
                let mut text = convert(&manifests.drafts).unwrap();
                for warning in manifests.warnings.iter().chain(warnings.iter()) {
                    writeln!(text, "# {warning}").unwrap();
                }
                let again = read(&[Source::new("again.yaml", "/app", text.clone().into())], &Reading::default());
                let again =
                    again.unwrap_or_else(|faults| panic!("{}:\n{}\n{text}", path.display(), faults.render(false)));
                assert_eq!(again.drafts, manifests.drafts, "{}:\n{text}", path.display());
                text
            }
            Err(faults) => faults.render(false),
        };
        expect(path, &found, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(paths.len() >= 15 && applied >= 10, "{applied} of {} apply", paths.len());
}
