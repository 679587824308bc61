//! What the router knows: an immutable table of links, of what is ready here, and of who serves elsewhere. Made anew
//! by `converge.rs` whenever one of them changes, and published whole, so that a call sees one state of the world.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use mesh_lattice::{CallError, Caller, Code, HostId, Interface, Invocation, LinkName, Name, Serve, stored::RouteHost};
use parking_lot::RwLock;

use crate::links::{Grant, Links, NoGrant};

use super::target::Here;

/// Paths that are remembered. What callers can make up (link names without a link) is never among them.
const MAX_REMEMBERED: usize = 4096;

/// Something that is ready on this host.
pub struct Local {
    /// It.
    pub serve: Arc<dyn Serve>,
    /// Whether it may be so full that it refuses: asked only where there is another host to turn to.
    pub is_full: Box<dyn Fn() -> bool + Send + Sync>,
    /// Whether it keeps deadlines by itself. The router keeps them for those that do not.
    pub keeps_deadlines: bool,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("keeps_deadlines", &self.keeps_deadlines).finish_non_exhaustive()
    }
}

/// One state of the world.
#[derive(Debug, Default)]
pub struct Table {
    /// Who may call whom.
    pub links: Arc<Links>,
    /// What is ready here.
    pub local: HashMap<Name, Arc<Local>>,
    /// Who serves elsewhere: this host is in none of them.
    pub remote: HashMap<Name, Arc<[RouteHost]>>,
    /// Every actor and provider that somebody wants.
    pub wanted: HashSet<Name>,
    /// This host's site.
    pub site: Arc<str>,
    remembered: RwLock<HashMap<Asked, Arc<Path>>>,
}

/// What a path is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    source: Name,
    interface: Interface,
    link: LinkName,
    target: Option<Name>,
}

/// Where the calls of one link go.
#[derive(Debug)]
pub struct Path {
    /// Who is called.
    pub target: Name,
    /// The link; none for a person with a user key.
    pub grant: Option<Arc<Grant>>,
    /// The target, where it is ready here.
    pub local: Option<Arc<Local>>,
    /// The hosts that serve it elsewhere.
    pub remote: Arc<[RouteHost]>,
}

impl Path {
    /// What serves the target here.
    #[must_use]
    pub fn here(&self) -> Here {
        match &self.local {
            None => Here::Nothing,
            Some(local) if !self.remote.is_empty() && (local.is_full)() => Here::Full,
            Some(_) => Here::Room,
        }
    }
}

impl Table {
    /// A table of these parts.
    #[must_use]
    pub fn new(
        links: Arc<Links>,
        local: HashMap<Name, Arc<Local>>,
        remote: HashMap<Name, Arc<[RouteHost]>>,
        wanted: HashSet<Name>,
        site: impl Into<Arc<str>>,
    ) -> Self {
        Self { links, local, remote, wanted, site: site.into(), remembered: RwLock::default() }
    }

    /// This one, without what serves here under these names.
    #[must_use]
    pub fn without(&self, gone: impl Fn(&Name) -> bool) -> Self {
        let local =
            self.local.iter().filter(|(name, _)| !gone(name)).map(|(name, local)| (name.clone(), local.clone()));
        Self::new(self.links.clone(), local.collect(), self.remote.clone(), self.wanted.clone(), self.site.clone())
    }

    /// Where this call goes.
    ///
    /// # Errors
    ///
    /// `not_linked`, `unknown_target`.
    pub fn resolve(&self, invocation: &Invocation) -> Result<Arc<Path>, CallError> {
        let source = match &invocation.caller {
            Caller::Named(source) => source,
            Caller::Operator(_) => {
                let target = invocation
                    .target
                    .as_ref()
                    .ok_or_else(|| CallError::new(Code::UnknownTarget, "a call of a person says who is called"))?;
                return self.path(target, None).map(Arc::new);
            }
        };
        let asked = Asked {
            source: source.clone(),
            interface: invocation.interface.clone(),
            link: invocation.link.clone(),
            target: invocation.target.clone(),
        };
        if let Some(path) = self.remembered.read().get(&asked) {
            return Ok(path.clone());
        }
        let grant = self
            .links
            .find(source, &asked.interface, &asked.link, asked.target.as_ref())
            .map_err(|reason| not_granted(&asked, reason))?;
        let path = Arc::new(self.path(&grant.target, Some(grant.clone()))?);
        let mut remembered = self.remembered.write();
        if remembered.len() < MAX_REMEMBERED {
            remembered.insert(asked, path.clone());
        }
        Ok(path)
    }

    fn path(&self, target: &Name, grant: Option<Arc<Grant>>) -> Result<Path, CallError> {
        if !self.wanted.contains(target) && !self.local.contains_key(target) {
            return Err(CallError::new(Code::UnknownTarget, format!("nothing in this lattice is called {target}")));
        }
        Ok(Path {
            local: self.local.get(target).cloned(),
            remote: self.remote.get(target).cloned().unwrap_or_else(|| Arc::new([])),
            target: target.clone(),
            grant,
        })
    }
}

fn not_granted(asked: &Asked, reason: NoGrant) -> CallError {
    let Asked { source, interface, link, target } = asked;
    let message = match (reason, target) {
        (NoGrant::Ambiguous, _) => {
            format!("{source} has links named {link} to several targets on {interface} and did not say which it means")
        }
        (NoGrant::NotLinked, Some(target)) => format!("{source} has no link named {link} to {target} on {interface}"),
        (NoGrant::NotLinked, None) => format!("{source} has no link named {link} on {interface}"),
    };
    CallError::new(Code::NotLinked, message)
}

/// Routes as a table holds them: without this host.
#[must_use]
pub fn elsewhere(hosts: &[RouteHost], own: &HostId) -> Arc<[RouteHost]> {
    hosts.iter().filter(|host| host.id != *own).cloned().collect()
}
