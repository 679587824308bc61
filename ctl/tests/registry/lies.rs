//! Registries that lie, break off, fall silent or ask for what they should not get.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use mesh_lattice::Digest;
use serde_json::json;

use crate::{
    fixture::{Folder, component},
    hostile::{Asked, Hostile, Said, manifest, missing, whole},
};

const TAG: &str = "GET /v2/a/manifests/1";
const BY_DIGEST: &str = "GET /v2/a/manifests/sha256:";
const BLOB: &str = "GET /v2/a/blobs/";

/// What stands where the artifact should.
type Blob = Box<dyn Fn() -> Said + Send + Sync>;

/// An honest one but for what `blob` answers.
fn with_blob(layer: &[u8], size: usize, blob: impl Fn() -> Said + Send + Sync + 'static) -> Hostile {
    let manifest = manifest(layer, size);
    Hostile::start(move |asked| match asked.what.as_str() {
        "GET /v2/" => whole(b"{}"),
        what if what == TAG || what.starts_with(BY_DIGEST) => whole(&manifest),
        what if what.starts_with(BLOB) => blob(),
        _ => missing(),
    })
}

#[test]
fn an_artifact_of_other_bytes_than_were_named_is_refused_and_not_written() {
    let wasm = component("a");
    let size = wasm.len();
    let honest = {
        let wasm = wasm.clone();
        with_blob(&wasm.clone(), size, move || whole(&wasm))
    };
    let folder = Folder::new();
    assert_eq!(folder.run(&["pull", &honest.image(), "-"]).stdout, wasm, "the server itself is not what is refused");

    let mut flipped = wasm.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let cases: [(&str, Blob, i32); 4] = [
        ("another byte", Box::new(move || whole(&flipped)), 4),
        ("more", Box::new(|| Said::Endless), 4),
        ("less", Box::new(|| whole(b"short")), 4),
        ("a part", Box::new(move || Said::Cut(size, vec![0; 10])), 1),
    ];
    for (what, blob, code) in cases {
        let server = with_blob(&wasm, size, blob);
        let ran = folder.run(&["pull", &server.image()]);
        assert_eq!(ran.code, code, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains(if code == 4 { "sends something else" } else { "broke off" }), "{}", ran.stderr);
        assert_eq!(server.asked(BLOB).len(), 1);
        assert!(folder.read("a.wasm").is_none(), "{what}");
    }
}

#[test]
fn a_manifest_of_another_digest_than_was_asked_for_is_refused() {
    let wasm = component("a");
    let server = {
        let wasm = wasm.clone();
        with_blob(&wasm.clone(), wasm.len(), move || whole(&wasm))
    };
    let folder = Folder::new();
    let right = format!("{}@sha256:{}", server.image(), Digest::of(&manifest(&wasm, wasm.len())));
    assert_eq!(folder.run(&["pull", &right, "-"]).stdout, wasm);
    let wrong = format!("{}@sha256:{}", server.image(), "ab".repeat(32));
    let before = server.asked(BLOB).len();
    folder.run(&["pull", &wrong, "-"]).failed(4, &["sends something else"]);
    assert_eq!(server.asked(BLOB).len(), before);
}

#[test]
fn a_tag_that_moves_after_it_was_resolved_changes_nothing() {
    let (first, second) = (component("first"), component("second"));
    let manifests = [manifest(&first, first.len()), manifest(&second, second.len())];
    let (blobs, times) = ([first.clone(), second], AtomicUsize::new(0));
    let server = Hostile::start(move |asked| match asked.what.as_str() {
        "GET /v2/" => whole(b"{}"),
        TAG => whole(&manifests[times.fetch_add(1, Ordering::SeqCst).min(1)]),
        what => {
            let blob = blobs.iter().find(|blob| what.ends_with(&Digest::of(blob).to_string()));
            blob.map_or_else(missing, |blob| whole(blob))
        }
    });
    let ran = Folder::new().run(&["pull", &server.image(), "-"]);
    assert_eq!(ran.stdout, first, "{}", ran.stderr);
    assert_eq!(server.asked(TAG).len(), 1);
    let pin = Digest::of(&manifest(&first, first.len())).to_string();
    assert!(ran.stderr.contains(&pin), "{}", ran.stderr);
}

#[test]
fn what_no_host_runs_is_refused_before_a_byte_of_it_is_read() {
    let wasm = component("a");
    for size in [(64 << 20) + 1, usize::MAX >> 1] {
        let server = with_blob(&wasm, size, || Said::Endless);
        Folder::new().run(&["pull", &server.image()]).failed(2, &["too large", "64 MiB"]);
        assert_eq!((server.asked(TAG).len(), server.asked(BLOB).len()), (1, 0));
    }
    let negative = String::from_utf8(manifest(&wasm, 77_777)).unwrap().replace("77777", "-1");
    let server = Hostile::start(move |asked| if asked.what == TAG { whole(negative.as_bytes()) } else { whole(b"{}") });
    Folder::new().run(&["pull", &server.image()]).failed(2, &["no size of a layer"]);
}

#[test]
fn a_silent_registry_is_waited_for_as_long_as_was_said() {
    let wasm = component("a");
    let silent = Hostile::start(|_| Said::Nothing);
    let stalls = with_blob(&wasm, wasm.len(), || Said::Nothing);
    for (server, says) in [(&silent, "did not say what the image is"), (&stalls, "the download does not go on")] {
        let ran = Folder::new().run(&["pull", &server.image(), "--timeout", "300ms"]);
        ran.failed(6, &["too slow", says, "--timeout"]);
        println!("given up after {:?}; three steps of 300 ms are promised", ran.took);
        assert!(ran.took < 3 * Duration::from_millis(3 * 300), "{:?}", ran.took);
    }
}

#[test]
fn what_a_registry_says_is_repeated_on_one_line_and_not_for_ever() {
    for body in [b"<html>\x1b[2J\r\nerror: all is well</html>".to_vec(), vec![b'x'; 100_000]] {
        let server = Hostile::start(move |_| Said::Whole(500, Vec::new(), body.clone()));
        let ran = Folder::new().run(&["pull", &server.image()]);
        ran.failed(1, &["answers 500"]);
        assert!(ran.stderr.lines().count() == 1 && ran.stderr.len() < 1_000, "{}", ran.stderr);
        assert!(!ran.stderr.contains('\x1b'));
    }
    let deep = b"[".repeat(100_000);
    for junk in [&b"{"[..], b"[]", b"\xff\xfe", &deep, br#"{"schemaVersion": 2, "layers": []}"#] {
        let junk = junk.to_vec();
        let server = Hostile::start(move |asked| if asked.what == TAG { whole(&junk) } else { whole(b"{}") });
        Folder::new().run(&["pull", &server.image()]).failed(2, &["holds no component"]);
    }
}

/// A registry that wants a token, which it gives to ann alone; its blobs lie on another server.
struct Tokens {
    registry: Hostile,
    storage: Hostile,
}

fn with_tokens(wasm: &[u8], token: &'static str) -> Tokens {
    let (blob, manifest) = (wasm.to_vec(), manifest(wasm, wasm.len()));
    let storage = Hostile::start(move |_| whole(&blob));
    let elsewhere = format!("http://{}/blob", storage.address);
    // Its answers name its own address.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let realm = listener.local_addr().unwrap();
    drop(listener);
    let registry = Hostile::at(realm, move |asked: &Asked| {
        let bearer = asked.authorization.as_deref() == Some(&format!("Bearer {token}"));
        match asked.what.as_str() {
            what if what.starts_with("GET /token") => match asked.authorization.as_deref() {
                Some("Basic YW5uOmNvcnJlY3QgaG9yc2U=") => whole(json!({ "token": token }).to_string().as_bytes()),
                _ => Said::Whole(401, Vec::new(), b"who are you?".to_vec()),
            },
            _ if !bearer => {
                let challenge = format!("Bearer realm=\"http://{realm}/token\",service=\"test\"");
                Said::Whole(401, vec![("www-authenticate", challenge)], Vec::new())
            }
            TAG => whole(&manifest),
            what if what.starts_with(BLOB) => Said::Whole(307, vec![("location", elsewhere.clone())], Vec::new()),
            _ => missing(),
        }
    });
    Tokens { registry, storage }
}

#[test]
fn a_token_is_fetched_with_the_password_and_told_to_nobody_else() {
    let wasm = component("a");
    let Tokens { registry, storage } = with_tokens(&wasm, "t0ken");
    let host = registry.address.to_string();
    let ann = Folder::new().with("MESH_REGISTRY", &host).with("MESH_REGISTRY_USER", "ann");
    let ann = ann.with("MESH_REGISTRY_PASSWORD", "correct horse");
    assert_eq!(ann.run(&["pull", &registry.image(), "-"]).stdout, wasm);
    let by_token = Folder::new().with("MESH_REGISTRY", &host).with("MESH_REGISTRY_TOKEN", "t0ken");
    assert_eq!(by_token.run(&["pull", &registry.image(), "-"]).stdout, wasm);

    let token = Some("Bearer t0ken".to_owned());
    assert!(registry.asked(BLOB).iter().all(|asked| asked.authorization == token), "the registry itself gets it");
    let elsewhere = storage.asked("GET /blob");
    assert!(elsewhere.len() == 2 && elsewhere.iter().all(|asked| asked.authorization.is_none()), "{elsewhere:?}");
    let scoped = registry.asked("GET /token");
    assert!(scoped.iter().all(|asked| asked.what.contains("repository%3Aa%3Apull")), "{scoped:?}");

    let nobody = Folder::new();
    nobody.run(&["pull", &registry.image()]).failed(4, &["does not let", "no token", "who are you?", "docker login"]);
}
