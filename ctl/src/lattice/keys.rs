//! The seeds of a development lattice, made on first use: each in a file of its own that only its owner reads.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use mesh_claims::{KeyKind, KeyPair};
use mesh_lattice::{
    HostId,
    id::{AccountId, OperatorId, UserId},
};

use super::record::Folder;
use crate::seed;

/// The keys that speak for the lattice.
#[derive(Debug)]
pub(super) struct Keys {
    /// Signs the first statements.
    pub(super) root: KeyPair,
    pub(super) root_id: OperatorId,
    /// Signs what people change.
    pub(super) admin: UserId,
    /// Signs artifacts.
    pub(super) issuer: AccountId,
}

impl Keys {
    /// Reads them, and makes those that are not there.
    pub(super) fn make(folder: &Folder) -> anyhow::Result<Self> {
        let root = seed(&folder.root_key(), KeyKind::Operator)?;
        let admin = seed(&folder.admin_key(), KeyKind::User)?;
        let issuer = seed(&folder.issuer_key(), KeyKind::Account)?;
        Ok(Self {
            root_id: root.operator_id().context("the root's key is not an operator's")?,
            root,
            admin: admin.user_id().context("the admin's key is not a user's")?,
            issuer: issuer.account_id().context("the issuer's key is not an account's")?,
        })
    }

    /// The id of this host, whose key is made where it is not there.
    pub(super) fn host(folder: &Folder, name: &str) -> anyhow::Result<HostId> {
        seed(&folder.host_key(name), KeyKind::Host)?.host_id().context("the host's key is not a host's")
    }
}

fn seed(path: &Path, kind: KeyKind) -> anyhow::Result<KeyPair> {
    if !path.try_exists().with_context(|| format!("{} cannot be looked at", path.display()))? {
        // Written beside and moved, so that a crash leaves no half a key behind. `up` holds a lock meanwhile.
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        seed::write(&beside, &KeyPair::generate(kind))?;
        fs::rename(&beside, path).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    seed::read(path, &[kind])
}

/// Makes a folder that only its owner enters, also where it was there before.
pub(super) fn private_folder(path: &PathBuf) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = private_folder(&dir.path().join("keys")).map(|()| dir.path().join("keys")).unwrap();
        let path = folder.join("root.nk");
        let made = seed(&path, KeyKind::Operator).unwrap();
        assert_eq!(seed(&path, KeyKind::Operator).unwrap().public(), made.public());
        assert!(seed(&path, KeyKind::User).unwrap_err().to_string().contains("operator"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(&path, "garbage").unwrap();
        assert!(seed(&path, KeyKind::Operator).is_err(), "a broken key is never silently made anew");
    }
}
