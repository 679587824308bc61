//! `pull`: gets an artifact from a registry, into a file.

use std::path::{Path, PathBuf};

use crate::{
    cli::Global,
    client,
    commands::push::Shown,
    exit::{Exit, Failure},
    output::{Output, Table},
    registry::{Image, Options, Pinned, Registries},
    replacement::Replacement,
};

/// Get an artifact from a registry
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// The image: registry/repository:tag
    reference: String,
    /// Where it goes; - is stdout [default: the last word of the repository, and .wasm]
    file: Option<PathBuf>,
    #[command(flatten)]
    registry: Options,
}

impl Pull {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let image: Image = self.reference.parse()?;
        let registries = Registries::new(&self.registry, global.timeout);
        let (pinned, bytes) = client::block_on(async {
            let pinned = registries.resolve(&image).await?;
            out.detail(&format!("{pinned} has {} bytes", pinned.size));
            let bytes = registries.download(&pinned).await?;
            Ok((pinned, bytes))
        })?;
        match self.file.as_deref() {
            Some(file) if file == Path::new("-") => {
                out.say(&pinned.to_string());
                out.bytes(&bytes)
            }
            Some(file) => kept(&pinned, &bytes, file, out),
            None => {
                let file = PathBuf::from(format!("{}.wasm", image.name()));
                refuse_other(&file, &bytes)?;
                kept(&pinned, &bytes, &file, out)
            }
        }
    }
}

/// A file that nobody named is not written over.
fn refuse_other(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    match std::fs::read(file) {
        Ok(there) if there != bytes => {
            let message = format!("{} is there already and is something else", file.display());
            Err(Failure::new(Exit::Refused, message).hint("name the file that it may go to"))
        }
        _ => Ok(()),
    }
}

fn kept(pinned: &Pinned, bytes: &[u8], file: &Path, out: &Output) -> anyhow::Result<()> {
    Replacement::begin(file)?.finish(bytes)?;
    out.show(&Shown::of(pinned), || Table::of_line(format!("{pinned} is in {}", file.display())))
}
