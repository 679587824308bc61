//! Files that a person names, written whole or not at all: for `claims sign` and `pull`.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path};

use crate::exit::Failure;

/// A file that is written whole or not at all.
pub(crate) struct Replacement<'a> {
    path: &'a Path,
    beside: tempfile::NamedTempFile,
}

impl<'a> Replacement<'a> {
    /// Takes the room for it.
    pub(crate) fn begin(path: &'a Path) -> anyhow::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let beside = tempfile::NamedTempFile::new_in(folder).map_err(|error| unwritten(path, &error))?;
        Ok(Self { path, beside })
    }

    /// Puts these bytes there.
    pub(crate) fn finish(mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let mode = fs::metadata(self.path).map_or(0o644, |metadata| metadata.permissions().mode());
        let written = self
            .beside
            .write_all(bytes)
            .and_then(|()| self.beside.as_file().set_permissions(fs::Permissions::from_mode(mode)))
            .and_then(|()| self.beside.as_file().sync_all());
        written.map_err(|error| unwritten(self.path, &error))?;
        self.beside.persist(self.path).map_err(|error| unwritten(self.path, &error.error))?;
        Ok(())
    }
}

/// Names the file that was meant; the one beside it, which the system's own error names, means nothing to anybody.
fn unwritten(path: &Path, error: &std::io::Error) -> anyhow::Error {
    Failure::invalid(format!("{} cannot be written: {}", path.display(), std::io::Error::from(error.kind()))).into()
}
