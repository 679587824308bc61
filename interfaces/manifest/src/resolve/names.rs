//! Each name stands for one thing, in these manifests and in the lattice.

use std::collections::BTreeMap;

use mesh_lattice::Name;

use super::Resolver;
use crate::{draft::Draft, source::Spanned};

impl Resolver<'_> {
    pub(super) fn check_names(&mut self) {
        let owners: BTreeMap<&Name, &Name> =
            self.others.iter().flat_map(|other| other.names().map(move |name| (name, &other.name))).collect();
        let mut applications: BTreeMap<&Name, &Draft> = BTreeMap::new();
        let mut taken: BTreeMap<&Name, (&Draft, &Spanned<Name>)> = BTreeMap::new();
        for draft in self.drafts {
            if let Some(first) = applications.insert(&draft.name.value, draft) {
                let message = format!("application `{}` is described twice", draft.name.value);
                self.faults.push(first_at(draft.fault(draft.name.span, message), first, draft, &first.name));
            }
            for name in draft.names() {
                if let Some((first, place)) = taken.insert(&name.value, (draft, name)) {
                    let fault = draft.fault(name.span, format!("the name `{}` stands for two things", name.value));
                    self.faults.push(first_at(fault, first, draft, place));
                }
                if let Some(owner) = owners.get(&name.value) {
                    let message = format!("the name `{}` belongs to application `{owner}`", name.value);
                    let help = format!("choose another name, or take it out of `{owner}` first");
                    self.faults.push(draft.fault(name.span, message).help(help));
                }
            }
        }
    }
}

fn first_at(fault: crate::Fault, first: &Draft, draft: &Draft, place: &Spanned<Name>) -> crate::Fault {
    if std::sync::Arc::ptr_eq(&first.source, &draft.source) {
        return fault.other(place.span, "first here").help("names are unique in the whole lattice: choose another one");
    }
    let (line, column) = first.source.position(place.span.start);
    fault.help(format!(
        "it stands first in {}:{line}:{column}; names are unique in the whole lattice",
        first.source.file()
    ))
}
