//! Registries with passwords and with TLS: who is let in, what is told to whom.

use std::{fs, path::Path, process::Command};

use data_encoding::BASE64;

use crate::fixture::{Door, Folder, Registry, component};

/// `ann`, whose password is `correct horse`.
const HTPASSWD: &str = "ann:$2b$04$EIfZkqALbstpoPuYOrki9uk5MAZ7uAH8hBXqlzLA6BfzWoJwVtbne\n";
const PASSWORD: &str = "correct horse";

fn with_password() -> Registry {
    Registry::with(&Door { htpasswd: Some(HTPASSWD), ..Door::default() })
}

fn docker_file(folder: &Folder, text: &str) {
    fs::create_dir_all(folder.path(".docker")).unwrap();
    fs::write(folder.path(".docker/config.json"), text).unwrap();
}

#[test]
fn who_has_the_password_is_let_in_and_nobody_else() {
    let registry = with_password();
    let (host, image) = (registry.address.to_string(), registry.image("a:1"));
    let wasm = component("a");

    let nobody = Folder::new();
    nobody.write("a.wasm", &wasm);
    nobody.run(&["push", &image, "a.wasm"]).failed(4, &["does not let", &format!("docker login {host}")]);
    nobody.run(&["pull", &image]).failed(4, &["does not let", &format!("docker login {host}")]);

    let ann = Folder::new();
    ann.write("a.wasm", &wasm);
    let auth = BASE64.encode(format!("ann:{PASSWORD}").as_bytes());
    docker_file(&ann, &format!(r#"{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}"#));
    ann.json(&["push", &image, "a.wasm"]);
    assert_eq!(ann.run(&["pull", &image, "-"]).stdout, wasm);

    let by_environment = Folder::new().with("MESH_REGISTRY", &host).with("MESH_REGISTRY_USER", "ann");
    let by_environment = by_environment.with("MESH_REGISTRY_PASSWORD", PASSWORD);
    assert_eq!(by_environment.run(&["pull", &image, "-"]).stdout, wasm);

    let as_wash = Folder::new().with("WASH_REG_URL", &host).with("WASH_REG_USER", "ann");
    assert_eq!(as_wash.with("WASH_REG_PASSWORD", PASSWORD).run(&["pull", &image, "-"]).stdout, wasm);

    let elsewhere = Folder::new().with("MESH_REGISTRY", "ghcr.io").with("MESH_REGISTRY_USER", "ann");
    elsewhere.with("MESH_REGISTRY_PASSWORD", PASSWORD).run(&["pull", &image]).failed(4, &["does not let"]);
}

#[test]
fn a_wrong_password_is_said_to_be_wrong_and_not_said() {
    let registry = with_password();
    let (host, image) = (registry.address.to_string(), registry.image("a:1"));
    let wrong = Folder::new().with("MESH_REGISTRY", &host).with("MESH_REGISTRY_USER", "ann");
    let wrong = wrong.with("MESH_REGISTRY_PASSWORD", "sesame");
    let ran = wrong.run(&["pull", &image, "--verbose"]);
    ran.failed(4, &["does not let ann", "is the password right"]);
    assert!(!ran.stderr.contains("sesame"), "{}", ran.stderr);

    let kept_elsewhere = Folder::new();
    docker_file(&kept_elsewhere, &format!(r#"{{"auths": {{"{host}": {{}}}}, "credsStore": "desktop"}}"#));
    let says = ["docker-credential-desktop", "meshctl does not call", "MESH_REGISTRY"];
    kept_elsewhere.run(&["pull", &image]).failed(4, &says);

    let broken = Folder::new();
    docker_file(&broken, "{");
    broken.run(&["pull", &image]).failed(2, &["config.json cannot be understood"]);

    let forgotten = Folder::new().with("MESH_REGISTRY_USER", "ann");
    forgotten.run(&["pull", &image]).failed(2, &["not for which registry", &format!("MESH_REGISTRY={host}")]);
}

/// An authority, and its certificate for `0.0.0.0`, which leads to this machine and is not one of its own names.
fn certificates(folder: &Path) {
    let make = |name: &str, more: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-days", "2", "-subj", &format!("/CN={name}"), "-keyout", &format!("{name}.key")]);
        let output = command.args(["-out", &format!("{name}.pem")]).args(more).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    make("ca", &["-addext", "basicConstraints=critical,CA:TRUE"]);
    let names = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:0.0.0.0"];
    make("server", &[&["-CA", "ca.pem", "-CAkey", "ca.key"], &names[..]].concat());
}

#[test]
fn a_registry_elsewhere_has_a_certificate_that_this_machine_believes() {
    let keys = tempfile::tempdir().unwrap();
    certificates(keys.path());
    let file = |name: &str| keys.path().join(name);
    let tls = Some((file("server.pem"), file("server.key")));
    let registry = Registry::with(&Door { tls, ..Door::default() });
    let (port, wasm) = (registry.address.port(), component("a"));
    let image = format!("oci://0.0.0.0:{port}/a:1");

    let believing = Folder::new().with("SSL_CERT_FILE", file("ca.pem").to_str().unwrap());
    believing.write("a.wasm", &wasm);
    believing.json(&["push", &image, "a.wasm"]);
    assert_eq!(believing.run(&["pull", &image, "-"]).stdout, wasm);
    Folder::new().run(&["pull", &image]).failed(4, &["certificate", "SSL_CERT_FILE"]);
    let plain = Folder::new().run(&["pull", &image, "--plain-http", &format!("0.0.0.0:{port}")]);
    plain.failed(1, &["does not speak TLS as"]);
}

#[test]
fn what_is_not_on_this_machine_is_spoken_to_in_the_clear_only_where_somebody_says_so() {
    let (registry, folder) = (Registry::start(), Folder::new());
    let wasm = component("a");
    folder.write("a.wasm", &wasm);
    let host = format!("0.0.0.0:{}", registry.address.port());
    let image = format!("oci://{host}/a:1");
    folder.run(&["push", &image, "a.wasm"]).failed(1, &["does not speak TLS", &format!("--plain-http {host}")]);
    folder.run(&["push", &image, "a.wasm", "--plain-http", "0.0.0.0:1"]).failed(1, &["does not speak TLS"]);
    folder.json(&["push", &image, "a.wasm", "--plain-http", &host]);
    let by_environment = Folder::new().with("MESH_PLAIN_HTTP", &format!("ghcr.io,{host}"));
    assert_eq!(by_environment.run(&["pull", &image, "-"]).stdout, wasm);
}
