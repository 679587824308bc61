//! Which caller has a link to this provider, and with which settings. Every provider that is called holds one
//! [`Links`] and asks it first: no link means `denied`, whatever the caller's host believed.

use std::{collections::HashMap, sync::Arc};

use mesh_lattice::{CallError, Caller, Code, Interface, LinkName, Name};
use parking_lot::RwLock;

use crate::provider::LinkId;

type Linked<T> = (LinkId, Arc<T>);

/// Links to a provider, each with the settings `T` that its configuration came to.
#[derive(Debug)]
pub struct Links<T> {
    by_caller: RwLock<HashMap<Name, Vec<Linked<T>>>>,
    operators: Option<Arc<T>>,
}

impl<T> Default for Links<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Links<T> {
    /// Without a link; operators are refused.
    #[must_use]
    pub fn new() -> Self {
        Self { by_caller: RwLock::default(), operators: None }
    }

    /// Without a link; operators, who need none, get these settings.
    #[must_use]
    pub fn with_operators(settings: T) -> Self {
        Self { by_caller: RwLock::default(), operators: Some(Arc::new(settings)) }
    }

    /// Adds or changes a link.
    pub fn put(&self, id: LinkId, settings: T) {
        let mut by_caller = self.by_caller.write();
        let links = by_caller.entry(id.peer.clone()).or_default();
        links.retain(|(other, _)| *other != id);
        links.push((id, Arc::new(settings)));
    }

    /// Removes a link and returns its settings.
    pub fn delete(&self, id: &LinkId) -> Option<Arc<T>> {
        let mut by_caller = self.by_caller.write();
        let links = by_caller.get_mut(&id.peer)?;
        let at = links.iter().position(|(other, _)| other == id)?;
        let (_, settings) = links.swap_remove(at);
        if links.is_empty() {
            by_caller.remove(&id.peer);
        }
        Some(settings)
    }

    /// The settings that `caller` has under `link` for `interface`.
    ///
    /// # Errors
    ///
    /// `denied`, where it has no such link.
    pub fn find(&self, caller: &Caller, link: &LinkName, interface: &Interface) -> Result<Arc<T>, CallError> {
        let found = match caller {
            Caller::Operator(_) => self.operators.clone(),
            Caller::Named(name) => self.by_caller.read().get(name).and_then(|links| {
                let granted = |id: &LinkId| id.name == *link && id.interfaces.iter().any(|one| one.names(interface));
                links.iter().find(|(id, _)| granted(id)).map(|(_, settings)| Arc::clone(settings))
            }),
        };
        found.ok_or_else(|| {
            CallError::new(Code::Denied, format!("{caller} has no link {link} to this provider for {interface}"))
        })
    }

    /// The settings of every link.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        self.by_caller.read().values().flatten().map(|(_, settings)| Arc::clone(settings)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{End, ProviderLink};

    fn link(peer: &str, name: &str, interface: &str) -> LinkId {
        ProviderLink {
            end: End::Target,
            peer: peer.parse().unwrap(),
            name: name.parse().unwrap(),
            interfaces: vec![interface.parse().unwrap()],
            config: Default::default(),
            timeout: None,
        }
        .id()
    }

    #[test]
    fn a_call_gets_the_settings_of_its_own_link_alone() {
        let links = Links::new();
        links.put(link("a", "default", "wasi:keyvalue"), 1);
        links.put(link("a", "other", "wasi:keyvalue/store"), 2);
        links.put(link("b", "default", "wasi:keyvalue"), 3);
        let find = |caller: &str, name: &str, interface: &str| {
            let caller = Caller::Named(caller.parse().unwrap());
            links.find(&caller, &name.parse().unwrap(), &interface.parse().unwrap()).map(|settings| *settings)
        };
        assert_eq!(find("a", "default", "wasi:keyvalue/store@0.2.0-draft"), Ok(1));
        assert_eq!(find("a", "other", "wasi:keyvalue/store@0.2.0-draft"), Ok(2));
        assert_eq!(find("b", "default", "wasi:keyvalue/atomics@0.2.0-draft"), Ok(3));
        for (caller, name, interface) in [
            ("a", "other", "wasi:keyvalue/atomics@0.2.0-draft"),
            ("b", "other", "wasi:keyvalue/store@0.2.0-draft"),
            ("c", "default", "wasi:keyvalue/store@0.2.0-draft"),
            ("a", "default", "wasi:blobstore/blobstore@0.2.0-draft"),
        ] {
            assert_eq!(find(caller, name, interface).unwrap_err().code, Code::Denied);
        }
    }

    #[test]
    fn a_link_is_changed_and_removed() {
        let links = Links::new();
        let id = link("a", "default", "wasi:keyvalue");
        links.put(id.clone(), 1);
        links.put(id.clone(), 2);
        assert_eq!(links.all().len(), 1);
        assert_eq!(links.delete(&id).as_deref(), Some(&2));
        assert!(links.delete(&id).is_none() && links.all().is_empty());
    }

    #[test]
    fn an_operator_needs_no_link_where_the_provider_says_so() {
        let operator = Caller::Operator(mesh_lattice::id::key_text(20 << 3, &[7; 32]).parse().unwrap());
        let (name, interface) = (LinkName::default(), "wasi:keyvalue/store".parse().unwrap());
        assert_eq!(Links::with_operators(5).find(&operator, &name, &interface).as_deref(), Ok(&5));
        assert!(Links::<u8>::new().find(&operator, &name, &interface).is_err());
    }
}
