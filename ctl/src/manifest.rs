//! Where manifests come from: a file, or standard input.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use mesh_manifest::{MAX_BYTES, Source};

use crate::exit::Failure;

/// The manifest of a file; `-` is standard input, and its paths start at the current folder.
pub(crate) fn source(path: &Path) -> Result<Arc<Source>, Failure> {
    let unreadable = |error: io::Error| Failure::invalid(format!("{} cannot be read: {error}", path.display()));
    if path.as_os_str() == "-" {
        return Ok(Source::new("-", "", read(io::stdin().lock()).map_err(unreadable)?));
    }
    let bytes = File::open(path).and_then(read).map_err(unreadable)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    Ok(Source::new(path.display().to_string(), folder, bytes))
}

/// One byte more than a manifest may have says as much as all of them.
fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
