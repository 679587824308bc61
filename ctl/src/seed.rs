//! Files that hold a seed: read strictly, written once, for their owner alone.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::Context as _;
use mesh_claims::{KeyKind, KeyPair};

use crate::exit::{Exit, Failure};

/// No file that holds a seed is larger.
const MAX_FILE: u64 = 4096;

/// Reads a key of one of these kinds.
pub(crate) fn read(path: &Path, kinds: &[KeyKind]) -> anyhow::Result<KeyPair> {
    if path.to_str().is_some_and(|text| KeyPair::from_seed(text.trim()).is_ok()) {
        let failure = Failure::invalid("a seed was given where the name of its file belongs");
        return Err(failure.hint("others on this machine may have seen it on the command line: make a new key").into());
    }
    let shown = path.display();
    let size = fs::metadata(path).map(|metadata| metadata.len());
    if size.as_ref().is_ok_and(|size| *size > MAX_FILE) {
        return Err(Failure::invalid(format!("{shown} is too large to be a seed")).into());
    }
    let text =
        fs::read_to_string(path).map_err(|error| Failure::invalid(format!("{shown} cannot be read: {error}")))?;
    let pair = KeyPair::from_seed(text.trim()).map_err(|error| Failure::invalid(format!("{shown}: {error}")))?;
    if !kinds.contains(&pair.kind()) {
        let wanted: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let message = format!("{shown} is a key of the kind {}, not {}", pair.kind(), wanted.join(" or "));
        return Err(Failure::invalid(message).into());
    }
    Ok(pair)
}

/// Writes a seed into a new file, mode 0600.
pub(crate) fn write(path: &Path, pair: &KeyPair) -> anyhow::Result<()> {
    let shown = path.display();
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let failure = Failure::new(Exit::Refused, format!("{shown} is there already and is not overwritten"));
            return Err(failure.hint("a seed that is lost cannot be made again: name another file").into());
        }
        file => file.with_context(|| format!("{shown} cannot be made"))?,
    };
    writeln!(file, "{}", pair.seed())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("{shown} cannot be written"))
}
