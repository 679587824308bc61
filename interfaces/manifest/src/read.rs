//! From texts to drafts: every document of every text, in their order.

use std::sync::Arc;

use mesh_lattice::{application::Values, name::Labels};

use crate::{
    draft::Draft,
    fault::{Fault, Faults},
    fields::{either, shown, suggest},
    format::{self, shape},
    oam,
    profile::Profile,
    source::Source,
    yaml::{self, Node},
};

/// What documents are read with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading<'a> {
    /// What `${key}` stands for.
    pub values: Option<&'a Values>,
    /// The labels of the hosts that may run something, where that is known: OAM says instances, and on how many hosts
    /// they are is for the lattice to know.
    pub hosts: Option<&'a [Labels]>,
}

/// What was read.
#[derive(Debug)]
pub struct Manifests {
    /// The applications, in the order of the documents.
    pub drafts: Vec<Draft>,
    /// What is not wrong and should be known.
    pub warnings: Faults,
}

/// Reads every document of these texts.
///
/// # Errors
///
/// All that is wrong with any of them.
pub fn read(sources: &[Arc<Source>], reading: &Reading<'_>) -> Result<Manifests, Faults> {
    let none = Values::new();
    let mut profile = Profile::new(reading.values.unwrap_or(&none));
    let mut faults = Faults::default();
    let mut manifests = Manifests { drafts: Vec::new(), warnings: Faults::default() };
    for source in sources {
        let mut wrong = Faults::default();
        let documents = yaml::parse(source, &mut wrong);
        if documents.is_empty() && wrong.is_empty() {
            wrong.push(Fault::new(format!("{}: there is no manifest in it", source.file())));
        }
        for mut document in documents {
            let mut one = One { source, profile: &mut profile, wrong: &mut wrong, warnings: &mut manifests.warnings };
            match one.read(&mut document, reading) {
                Ok(draft) => manifests.drafts.push(draft),
                Err(found) => wrong.extend(found),
            }
        }
        faults.extend(wrong);
    }
    faults.extend(profile.unused());
    manifests.warnings = manifests.warnings.sorted();
    faults.or(manifests)
}

/// One document, and where what is found on the way goes.
struct One<'a, 'p> {
    source: &'a Arc<Source>,
    profile: &'a mut Profile<'p>,
    wrong: &'a mut Faults,
    warnings: &'a mut Faults,
}

impl One<'_, '_> {
    fn read(&mut self, document: &mut Arc<Node>, reading: &Reading<'_>) -> Result<Draft, Faults> {
        let version = document.get("apiVersion").and_then(|node| Some((node.text()?.to_owned(), node.span)));
        match version {
            Some((version, _)) if version == oam::shape::VERSION => {
                oam::read(self.source, document, reading.hosts, self.warnings)
            }
            Some((version, span)) if version != shape::VERSION => {
                let known = [shape::VERSION, oam::shape::VERSION];
                let fault = Fault::at(self.source, span, format!("there is no format `{}`", shown(&version)));
                Err(match suggest(&version, known.into_iter()) {
                    Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                    None => fault.help(format!("write {}", either(known.into_iter()))),
                }
                .into())
            }
            _ => {
                self.profile.fill(self.source, document, self.wrong);
                format::read(self.source, document)
            }
        }
    }
}
