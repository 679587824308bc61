//! Who this host is: the seed in its key file. `host.rs` reads it once.

use std::{
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use mesh_claims::{KeyKind, KeyPair};
use mesh_lattice::{BootId, HostId};

/// Who this host is, and which of its lives this is.
#[derive(Clone)]
pub struct Identity {
    /// Its key.
    pub key: Arc<KeyPair>,
    /// Its public key.
    pub id: HostId,
    /// This start of the process.
    pub boot: BootId,
}

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be read or made.
    #[error("the key file {} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("the key file {} is readable by others: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// It holds no host's seed.
    #[error("the key file {} holds no host's seed (SN...)", path.display())]
    NotAHost {
        /// The file.
        path: PathBuf,
    },
}

impl Identity {
    /// Reads the key file. Where it is missing, `make_missing` says whether it is made first: one that somebody named has to be
    /// there, or a slip would start a host that nobody knows.
    ///
    /// # Errors
    ///
    /// Where it cannot be used.
    pub fn open(path: &Path, make_missing: bool) -> Result<Self, IdentityError> {
        let io = |source| IdentityError::Io { path: path.to_owned(), source };
        let key = match std::fs::metadata(path) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                return Err(IdentityError::Exposed { path: path.to_owned() });
            }
            Ok(_) => {
                let text = std::fs::read_to_string(path).map_err(io)?;
                KeyPair::from_seed(text.trim()).map_err(|_| IdentityError::NotAHost { path: path.to_owned() })?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && make_missing => make(path).map_err(io)?,
            Err(error) => return Err(io(error)),
        };
        let id = key.host_id().ok_or_else(|| IdentityError::NotAHost { path: path.to_owned() })?;
        Ok(Self { key: Arc::new(key), id, boot: BootId::new() })
    }
}

fn make(path: &Path) -> std::io::Result<KeyPair> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let key = KeyPair::generate(KeyKind::Host);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", key.seed())?;
    file.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/host.nk");
        assert!(matches!(Identity::open(&path, false), Err(IdentityError::Io { .. })) && !path.exists());
        let first = Identity::open(&path, true).unwrap();
        let second = Identity::open(&path, false).unwrap();
        assert_eq!(first.id, second.id);
        assert_ne!(first.boot, second.boot);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Identity::open(&path, true), Err(IdentityError::Exposed { .. })));
    }

    #[test]
    fn only_a_hosts_seed_makes_a_host() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("user.nk");
        std::fs::write(&path, KeyPair::generate(KeyKind::User).seed()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Identity::open(&path, true), Err(IdentityError::NotAHost { .. })));
    }
}
