//! Compiled code on disk. It is native code that this process will run, so a file counts only where its HMAC was made
//! with the key of this host, over the digest of the component, the engine's compatibility and the code itself.
//! Anything else in the directory is ignored and compiled anew; it never leaves this host.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use mesh_lattice::Digest;
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use wasmtime::component::Component;

const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
/// The oldest files beyond this many are deleted.
const MAX_FILES: usize = 128;

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory or its key cannot be made, read or written.
    #[error("{path}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could have read the key.
    #[error("{path} is not readable by its owner alone: delete it, and a new one is made")]
    Exposed {
        /// The key's file.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("no random bytes for a key")]
    Random,
}

/// A directory of compiled code that this host has authenticated.
pub(crate) struct Cache {
    dir: PathBuf,
    key: hmac::Key,
    /// Code of another wasmtime, or of other settings, is code for another engine.
    compatibility: u64,
}

impl Cache {
    pub(crate) fn open(dir: &Path, engine: &wasmtime::Engine) -> Result<Self, CacheError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io(dir))?;
        let key_file = dir.join(KEY_FILE);
        let key = match read_key(&key_file)? {
            Some(key) => key,
            None => {
                make_key(&key_file)?;
                read_key(&key_file)?.ok_or_else(|| io(&key_file)(io::ErrorKind::NotFound.into()))?
            }
        };
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir: dir.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, &key), compatibility: hasher.finish() })
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.dir.join(self.label(digest))
    }

    /// What a file says in front of its code, so that one file cannot stand in for another.
    fn label(&self, digest: Digest) -> String {
        format!("{digest}-{:016x}", self.compatibility)
    }

    /// The code of this component, where there is an authentic copy.
    pub(crate) fn load(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Component> {
        let file = self.file(digest);
        let content = match fs::read(&file) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("compiled code cannot be read from {}: {error}", file.display());
                return None;
            }
        };
        let Some(code) = self.authentic(digest, &content) else {
            tracing::warn!("{} was not written by this host and is compiled anew", file.display());
            return None;
        };
        #[expect(unsafe_code, reason = "the HMAC above shows that this host serialized exactly these bytes")]
        let component = unsafe { Component::deserialize(engine, code) };
        match component {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!("compiled code in {} does not load: {error:#}", file.display());
                None
            }
        }
    }

    /// The code in a file's content, where this host wrote it for this component.
    fn authentic<'a>(&self, digest: Digest, content: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, labelled) = content.split_at_checked(MAC_BYTES)?;
        hmac::verify(&self.key, labelled, mac).ok()?;
        labelled.strip_prefix(self.label(digest).as_bytes())
    }

    /// Keeps the code of this component. A cache that cannot be written costs time at the next start, nothing else.
    pub(crate) fn store(&self, digest: Digest, component: &Component) {
        let result = component.serialize().map_err(io::Error::other).and_then(|code| {
            let label = self.label(digest);
            let mut mac = hmac::Context::with_key(&self.key);
            mac.update(label.as_bytes());
            mac.update(&code);
            self.write(&self.file(digest), &[mac.sign().as_ref(), label.as_bytes(), &code])
        });
        if let Err(error) = result.and_then(|()| self.prune()) {
            tracing::warn!("compiled code is not kept in {}: {error}", self.dir.display());
        }
    }

    /// A reader sees the whole file or none.
    fn write(&self, file: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let unfinished = file.with_extension(format!("{}.part", std::process::id()));
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        let written = parts.iter().try_for_each(|part| out.write_all(part));
        written.and_then(|()| fs::rename(&unfinished, file)).inspect_err(|_| {
            // What is left of it is in nobody's way: its name is never read.
            drop(fs::remove_file(&unfinished));
        })
    }

    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name() != KEY_FILE {
                files.push((entry.metadata()?.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
            }
        }
        files.sort_by(|one, other| other.cmp(one));
        files.iter().skip(MAX_FILES).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

fn read_key(file: &Path) -> Result<Option<[u8; KEY_BYTES]>, CacheError> {
    let io = |source| CacheError::Io { path: file.to_owned(), source };
    let mut opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if opened.metadata().map_err(io)?.mode() & 0o077 != 0 {
        return Err(CacheError::Exposed { path: file.to_owned() });
    }
    let mut key = [0; KEY_BYTES];
    opened.read_exact(&mut key).map_err(io)?;
    Ok(Some(key))
}

/// Two hosts that start at once with one directory agree on the key of the first: the file appears whole, by a link
/// that fails where the name is taken.
fn make_key(file: &Path) -> Result<(), CacheError> {
    let io = |source| CacheError::Io { path: file.to_owned(), source };
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| CacheError::Random)?;
    let unfinished = file.with_extension(format!("{}.part", std::process::id()));
    let mut out =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished).map_err(io)?;
    out.write_all(&key).and_then(|()| out.sync_all()).map_err(io)?;
    let linked = fs::hard_link(&unfinished, file);
    fs::remove_file(&unfinished).map_err(io)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io(error)),
        _ => Ok(()),
    }
}
