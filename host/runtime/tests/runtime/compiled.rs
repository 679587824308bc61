//! Compiled code on disk: used where this host wrote it, never otherwise.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use mesh_claims::{Component, Verified};
use mesh_runtime::{CacheError, Engine, EngineConfig, EngineError};

use crate::{
    guests::{config, guest, text},
    peer::Peer,
};

fn engine(dir: &Path) -> Engine {
    Engine::new(EngineConfig { cache_dir: Some(dir.to_owned()), ..EngineConfig::default() }).unwrap()
}

/// Starts the actor with a new engine, as after a restart; how often that compiled.
async fn start(dir: &Path, component: &Verified<Component>) -> u64 {
    let engine = engine(dir);
    let actor = engine.actor(component, config("hello"), Peer::nobody()).await.unwrap();
    assert_eq!(text(&actor, "/").await, "1");
    engine.compilations()
}

fn code_files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.file_name().unwrap() != "key").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_compiles_nothing_again() {
    let dir = tempfile::tempdir().unwrap();
    let hello = guest("hello");
    assert_eq!(start(dir.path(), &hello).await, 1);
    assert_eq!(start(dir.path(), &hello).await, 0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("key")), 0o600);
    assert!(code_files(dir.path()).iter().all(|file| mode(file) == 0o600));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_somebody_changed_is_compiled_anew() {
    let dir = tempfile::tempdir().unwrap();
    let hello = guest("hello");
    start(dir.path(), &hello).await;
    let [file] = &code_files(dir.path())[..] else { panic!("one file") };
    let whole = fs::read(file).unwrap();
    for at in [0, 40, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(file, &changed).unwrap();
        assert_eq!(start(dir.path(), &hello).await, 1, "byte {at} changed");
        assert_eq!(fs::read(file).unwrap().len(), whole.len(), "written again");
    }
    for length in [0, 10, whole.len() - 1] {
        fs::write(file, &whole[..length]).unwrap();
        assert_eq!(start(dir.path(), &hello).await, 1, "cut to {length}");
    }
    assert_eq!(start(dir.path(), &hello).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_of_another_host_or_of_another_component_is_not_trusted() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (hello, echo) = (guest("hello"), guest("echo"));
    start(dir.path(), &hello).await;
    start(other.path(), &hello).await;
    let [file] = &code_files(dir.path())[..] else { panic!("one file") };
    fs::copy(&code_files(other.path())[0], file).unwrap();
    assert_eq!(start(dir.path(), &hello).await, 1, "another host's");

    engine(dir.path()).actor(&echo, config("echo"), Peer::nobody()).await.unwrap();
    let name = echo.digest().to_string();
    let of_echo = code_files(dir.path()).into_iter().find(|file| file.to_str().unwrap().contains(&name)).unwrap();
    fs::copy(of_echo, file).unwrap();
    assert_eq!(start(dir.path(), &hello).await, 1, "another component's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(engine(dir.path()));
    let key = dir.path().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let config = EngineConfig { cache_dir: Some(dir.path().to_owned()), ..EngineConfig::default() };
    let error = Engine::new(config).err().expect("an engine");
    assert!(matches!(error, EngineError::Cache(CacheError::Exposed { path }) if path == key));
}
