//! Our format, from the text to what is stored.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{collections::BTreeMap, path::PathBuf};

use mesh_lattice::{
    Digest, Name,
    application::{Application, ConfigPart, Replicas, Values},
};
use mesh_manifest::{Component, Draft, Facts, Faults, Reading, Reference, Source, Unread, read, resolve};

const COUNTER: &str = r#"
apiVersion: mesh/v1
kind: Application
metadata: { name: counter }
spec:
  actors:
    - name: counter
      artifact: ./build/counter.wasm
      replicas: 2
      concurrency: 32
      instances: { reuse: 50 }
      limits: { memory: 128MiB, cpu: 250ms, time: 2s }
      placement:
        - { where: { zone: edge }, weight: 30 }
        - { where: { zone: cloud }, weight: 70 }
      update: { maxSurge: 1, maxUnavailable: 0 }
      config: [ "@shared", { greeting: hello, port: 8080, on: yes } ]
      secrets: []
      links:
        - { to: kv, interfaces: [ "wasi:keyvalue" ], name: main, config: { bucket: counters }, timeout: 2s, idempotent: true }
  providers:
    - name: kv
      use: keyvalue-nats
      run: builtin
      config: { bucket: counters }
    - name: web
      use: http-server
      everywhere: true
      links:
        - { to: counter, interfaces: [ "wasi:http/incoming-handler" ], config: { listen: "127.0.0.1:8080", path: "/" } }
"#;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn drafts(text: &str) -> Result<Vec<Draft>, Faults> {
    read(&[Source::new("app.yaml", "/srv/shop", text.into())], &Reading::default()).map(|manifests| manifests.drafts)
}

fn component(imports: &[&str], exports: &[&str]) -> Component {
    let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Component { digest: Digest::of(b"component"), imports: all(imports), exports: all(exports), signatures: None }
}

/// What is known where every artifact is this component.
fn facts(drafts: &[Draft], component: &Component) -> Facts {
    let references = drafts.iter().flat_map(Draft::references);
    let artifacts = references.map(|reference| (reference.value.clone(), Ok(component.clone()))).collect();
    Facts { artifacts, complete: true, ..Facts::default() }
}

fn messages(faults: &Faults) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn an_application_is_stored_as_it_was_written() {
    let drafts = drafts(COUNTER).unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let path = PathBuf::from("/srv/shop/./build/counter.wasm");
    let written = "./build/counter.wasm".to_owned();
    assert_eq!(drafts[0].actors[0].artifact.value, Reference::File { path, written: written.clone() });

    let counter = component(&["wasi:keyvalue/store@0.2.0-draft"], &["wasi:http/incoming-handler@0.2.3"]);
    let resolved =
        resolve(&drafts, &facts(&drafts, &counter)).unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let [application] = resolved.applications.as_slice() else { panic!("one document") };
    let actor = application.actor(&name("counter")).unwrap();
    assert_eq!((actor.artifact.digest, &actor.artifact.reference), (counter.digest, &written));
    assert_eq!((actor.replicas, actor.concurrency, actor.instances.reuse), (Replicas::Count(2), 32, 50));
    assert_eq!((actor.limits.memory_bytes, actor.limits.cpu_ms, actor.limits.time_ms), (128 << 20, 250, 2_000));
    assert_eq!(actor.placement.iter().map(|spread| spread.weight).collect::<Vec<_>>(), [30, 70]);
    let values = [("greeting", "hello"), ("port", "8080"), ("on", "yes")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(actor.config, [ConfigPart::Shared(name("shared")), ConfigPart::Values(Values::from(values))]);
    assert_eq!((&actor.imports, &actor.exports), (&counter.imports, &counter.exports));

    let kv = application.provider(&name("kv")).unwrap();
    assert!(kv.replicas.is_none() && !kv.local_state && kv.interfaces == ["wasi:keyvalue".parse().unwrap()]);
    assert_eq!(application.provider(&name("web")).unwrap().replicas, Some(Replicas::Everywhere));
    let [link, http] = application.links.as_slice() else { panic!("two links") };
    assert_eq!((link.name.as_str(), link.timeout_ms, link.idempotent), ("main", Some(2_000), true));
    assert!(link.source_config.is_empty() && link.target_config.len() == 1, "the target is the provider");
    assert!(http.source_config.len() == 1 && http.target_config.is_empty(), "the source is the provider");
}

#[test]
fn every_fault_is_found_at_once_and_shown_where_it_is() {
    let text = COUNTER
        .replace("replicas: 2", "replicas: 1e3")
        .replace("concurrency: 32", "concurency: 32")
        .replace("name: kv\n", "name: KV\n")
        .replace("run: builtin", "run: child")
        .replace("timeout: 2s", "timeout: 2");
    let faults = drafts(&text).unwrap_err();
    assert_eq!(
        messages(&faults),
        [
            "app.yaml:9:17: `replicas` is a whole number from 0 to 10000, not `1e3`",
            "app.yaml:10:7: an actor has no field `concurency`",
            "app.yaml:20:105: `timeout` is a length of time, not `2`",
            "app.yaml:22:13: `KV` is not a name: lower-case letters, digits, `-` and `_`, at most 63, the first a letter or digit",
            "app.yaml:24:12: this version does not run providers as processes of their own yet",
        ]
    );
}

#[test]
fn what_only_the_lattice_knows_is_a_fault_at_the_line_that_says_it() {
    let text = COUNTER.replace("to: kv", "to: kw").replace("use: http-server", "use: http-sever");
    let drafts = drafts(&text).unwrap();
    let mut facts = facts(&drafts, &component(&[], &[]));
    let unread = Unread { message: "there is no such file".into(), help: Some("build it".into()) };
    facts.artifacts.values_mut().for_each(|artifact| *artifact = Err(unread.clone()));
    facts.shared = Some([name("sharde")].into());
    let taken: Application = Application {
        providers: vec![serde_json::from_value(serde_json::json!({ "name": "kv", "use": "echo" })).unwrap()],
        ..Application::empty(name("other"))
    };
    facts.others = vec![taken];
    let faults = resolve(&drafts, &facts).unwrap_err();
    assert_eq!(
        messages(&faults),
        [
            "app.yaml:8:17: there is no such file",
            "app.yaml:20:17: there is no actor or provider `kw`",
            "app.yaml:22:13: the name `kv` belongs to application `other`",
            "app.yaml:27:12: no host has a provider `http-sever`",
        ]
    );
    let shown = faults.render(false);
    for help in ["build it", "did you mean `http-server`?", "did you mean `kv`?"] {
        assert!(shown.contains(help), "{shown}");
    }
}

#[test]
fn a_link_whose_ends_do_not_fit_is_refused_with_both_sides() {
    let drafts = drafts(COUNTER).unwrap();
    let counter = component(&["wasi:blobstore/blobstore"], &["wasi:http/incoming-handler@0.2.3"]);
    let faults = resolve(&drafts, &facts(&drafts, &counter)).unwrap_err();
    assert_eq!(
        messages(&faults),
        ["app.yaml:20:35: a link on wasi:keyvalue cannot work: provider kv (keyvalue-nats) serves wasi:keyvalue, \
          and actor counter calls wasi:blobstore/blobstore"]
    );
}

#[test]
fn a_place_that_another_application_has_is_taken() {
    let drafts = drafts(COUNTER).unwrap();
    let mut facts = facts(&drafts, &component(&["wasi:keyvalue/store"], &["wasi:http/incoming-handler@0.2.3"]));
    let link = |source: &str, target: &str, interface: &str, name: &str| {
        let link = serde_json::json!({ "source": source, "target": target, "interfaces": [interface], "name": name });
        serde_json::from_value::<mesh_lattice::application::Link>(link).unwrap()
    };
    let mut other = Application::empty(name("other"));
    // Another name, another package, and a provider that may have several targets: none of them is in the way.
    other.links = vec![
        link("counter", "old", "wasi:keyvalue/store", "backup"),
        link("counter", "old", "wasi:blobstore", "main"),
        link("web", "old", "wasi:http/incoming-handler", "default"),
    ];
    facts.others = vec![other];
    assert!(resolve(&drafts, &facts).is_ok());
    facts.others[0].links.push(link("counter", "old", "wasi:keyvalue/store@0.2.0-draft", "main"));
    let faults = resolve(&drafts, &facts).unwrap_err();
    assert_eq!(messages(&faults), ["app.yaml:20:17: `counter` has two links named `main` on one interface"]);
    assert!(faults.render(false).contains("the other one is of application `other`"));
}

#[test]
fn a_quoted_merge_key_is_a_key_like_any_other() {
    let drafts = drafts(&COUNTER.replace("{ bucket: counters }\n", "{ \"<<\": counters }\n")).unwrap();
    assert!(
        matches!(&drafts[0].providers[0].config[0].value, ConfigPart::Values(values) if values["<<"] == "counters")
    );
}

#[test]
fn several_documents_and_files_link_to_each_other() {
    let one = "{ apiVersion: mesh/v1, kind: Application, metadata: { name: one }, spec: { actors: [
        { name: asks, artifact: a.wasm, links: [ { to: answers, interfaces: [ 'acme:shop/cart' ] } ] } ] } }";
    let two = "apiVersion: mesh/v1\nkind: Application\nmetadata: { name: two }\nspec: {}\n---\n# nothing\n---\n\
        apiVersion: mesh/v1\nkind: Application\nmetadata: { name: three }\nspec:\n  actors:\n    \
        - { name: answers, artifact: 'oci://acme.io/answers:1' }\n";
    let sources = [Source::new("one.yaml", "", one.into()), Source::new("two.yaml", "", two.into())];
    let drafts = read(&sources, &Reading::default()).unwrap().drafts;
    let both = component(&["acme:shop/cart"], &["acme:shop/cart"]);
    let resolved = resolve(&drafts, &facts(&drafts, &both)).unwrap();
    let names: Vec<_> = resolved.applications.iter().map(|application| application.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "three"]);

    let mut twice = drafts.clone();
    twice.push(drafts[2].clone());
    let faults = resolve(&twice, &facts(&twice, &both)).unwrap_err();
    assert_eq!(
        messages(&faults),
        [
            "two.yaml:10:19: application `three` is described twice",
            "two.yaml:13:15: the name `answers` stands for two things"
        ]
    );
}

#[test]
fn values_are_filled_in_and_change_no_structure() {
    let text = "apiVersion: mesh/v1\nkind: Application\nmetadata: { name: \"shop-${zone:-here}\" }\nspec:\n  actors:\n    \
        - name: cart\n      artifact: oci://acme.io/cart:${tag}\n      replicas: ${replicas}\n      \
        config: { note: \"${note}\", kept: \"$${zone}\" }\n";
    let source = [Source::new("app.yaml", "", text.into())];
    let set = |pairs: &[(&str, &str)]| {
        let values: BTreeMap<_, _> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        read(&source, &Reading { values: Some(&values), ..Reading::default() })
    };
    let note = "a }, replicas: 9\nconfig: [";
    let drafts = set(&[("tag", "1.2"), ("replicas", "3"), ("note", note)]).unwrap().drafts;
    assert_eq!(drafts[0].name.as_str(), "shop-here");
    let actor = &drafts[0].actors[0];
    assert_eq!(
        (actor.artifact.to_string().as_str(), actor.replicas.value),
        ("oci://acme.io/cart:1.2", Replicas::Count(3))
    );
    let values = [("note", note), ("kept", "${zone}")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(actor.config[0].value, ConfigPart::Values(Values::from(values)));

    let faults = set(&[("tga", "1.2"), ("replicas", "many"), ("note", "")]).unwrap_err();
    assert_eq!(
        messages(&faults),
        [
            "app.yaml:7:17: `${tag}` has no value",
            "app.yaml:8:17: `replicas` is a whole number from 0 to 10000, not `many`",
            "--set tga=... is used by no manifest"
        ]
    );
}
