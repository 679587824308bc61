//! What goes into a real registry comes out of it, and is what other tools expect.

use mesh_lattice::Digest;

use crate::fixture::{Folder, Registry, component};

#[test]
fn what_was_pushed_is_pulled_and_a_tag_is_pinned() {
    let (registry, folder) = (Registry::start(), Folder::new());
    let (first, second) = (component("first"), component("second"));
    folder.write("first.wasm", &first);
    folder.write("second.wasm", &second);
    let image = registry.image("team/hello:1");
    let pushed = folder.json(&["push", &image, "first.wasm"]);
    assert_eq!(pushed["digest"], Digest::of(&first).to_string());
    let pinned = pushed["reference"].as_str().unwrap().to_owned();
    assert!(pinned.starts_with(&format!("{image}@sha256:")), "{pinned}");
    assert_eq!(folder.json(&["push", &image, "first.wasm"]), pushed, "the same bytes make the same image");

    // Without a file it goes to one of the image's name, and nothing else is written over.
    assert_eq!(folder.json(&["pull", &image])["reference"], pinned.as_str());
    assert_eq!(folder.read("hello.wasm").unwrap(), first);
    folder.json(&["pull", &image]);
    folder.json(&["push", &image, "second.wasm"]);
    folder.run(&["pull", &image]).failed(4, &["hello.wasm is there already"]);
    assert_eq!(folder.read("hello.wasm").unwrap(), first);
    folder.json(&["pull", &image, "hello.wasm"]);
    assert_eq!(folder.read("hello.wasm").unwrap(), second);

    // The tag has moved; the pin has not.
    let out = folder.run(&["pull", &pinned, "-"]);
    assert_eq!((out.code, out.stdout), (0, first));
    assert!(out.stderr.contains(&pinned), "{}", out.stderr);
    let bare = image.trim_start_matches("oci://");
    assert_eq!(folder.run(&["pull", bare, "-"]).stdout, second);
}

#[test]
fn an_image_is_looked_at_where_it_lies() {
    let (registry, folder) = (Registry::start(), Folder::new());
    folder.write("a.wasm", &component("a"));
    let image = registry.image("a:latest");
    folder.json(&["push", &image, "a.wasm"]);
    for command in [&["inspect"][..], &["claims", "show"]] {
        let local = folder.json(&[command, &["a.wasm"]].concat());
        assert_eq!(folder.json(&[command, &[&image]].concat()), local);
        assert_eq!(local["name"], "hello");
    }
    folder.run(&["inspect", "ghcr.io/a/b:1"]).failed(2, &["cannot be read", "oci://ghcr.io/a/b:1"]);
    folder.run(&["inspect", "ftp://a/b"]).failed(2, &["does not come by ftp"]);
}

#[test]
fn images_are_written_as_other_tools_read_them_and_read_as_they_were_written() {
    let (registry, folder) = (Registry::start(), Folder::new());
    let bytes = component("a");
    folder.write("a.wasm", &bytes);
    folder.json(&["push", &registry.image("a:1"), "a.wasm"]);
    let manifest = registry.manifest("a", "1");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    let config = registry.ask(&format!("GET /v2/a/blobs/{}", manifest["config"]["digest"].as_str().unwrap()), &[], b"");
    let config: serde_json::Value = serde_json::from_slice(&config.body).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(config["layerDigests"][0], manifest["layers"][0]["digest"]);

    let older = "application/vnd.module.wasm.content.layer.v1+wasm";
    let config = "application/vnd.wasmcloud.actor.archive.config";
    for (tag, kinds) in [("old", (config, older)), ("new", ("application/vnd.wasm.config.v0+json", "application/wasm"))]
    {
        registry.put_image("b", tag, kinds, &bytes);
        assert_eq!(folder.run(&["pull", &registry.image(&format!("b:{tag}")), "-"]).stdout, bytes);
    }
}

#[test]
fn what_holds_no_component_is_refused_by_its_form() {
    let (registry, folder) = (Registry::start(), Folder::new());
    let config = "application/vnd.oci.image.config.v1+json";
    for (tag, kind, says) in [
        ("linux", "application/vnd.oci.image.layer.v1.tar+gzip", "no layer that is a component"),
        ("provider", "application/vnd.wasmcloud.provider.archive.layer.v1+par", "archive of a provider"),
    ] {
        registry.put_image("a", tag, (config, kind), b"bytes");
        folder.run(&["pull", &registry.image(&format!("a:{tag}"))]).failed(2, &["holds no component", says]);
    }
    folder.run(&["pull", &registry.image("a:none")]).failed(3, &["has no such image"]);
    folder.run(&["pull", &registry.image("nothing/at/all:1")]).failed(3, &["has no such image"]);
    folder.write("text.wasm", b"no component");
    folder.run(&["push", &registry.image("a:1"), "text.wasm"]).failed(2, &["text.wasm"]);
    folder.run(&["push", &registry.image("a:1"), "none.wasm"]).failed(2, &["none.wasm cannot be read"]);
    folder.write("a.wasm", &component("a"));
    let pinned = registry.image(&format!("a:1@sha256:{}", "ab".repeat(32)));
    folder.run(&["push", &pinned, "a.wasm"]).failed(2, &["name a tag"]);
    folder.run(&["pull", &pinned]).failed(3, &["has no such image"]);
    folder.run(&["pull", "oci://Not/An/Image"]).failed(2, &["names no image"]);
}

#[test]
fn a_registry_that_is_not_there_is_said_to_be_out_of_reach() {
    let (folder, port) = (Folder::new(), {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    });
    let image = format!("127.0.0.1:{port}/a:1");
    folder.run(&["pull", &image]).failed(1, &["cannot be reached", "refused", "is its name right"]);
}
