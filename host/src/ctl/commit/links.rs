//! Whether the links of an application may be written: each place is taken once, and a new link can work.
//!
//! Both look at what is new alone. Two commits at once can each declare one place and both be written, because neither
//! writes what the other one read: then the older link holds it and the other is shown as failed, and neither may stand
//! in the way of every later change of its application.

use mesh_lattice::{
    Digest, Interface, Name,
    application::{Application, Link},
    control::ControlError,
};
use mesh_scheduler::Desired;

use super::{super::fit, Judge, conflict, invalid};
use crate::links::overlap;

impl Judge<'_> {
    /// A new link can work, as far as its ends are known, and one whose source is as it was does not lose its target,
    /// here or in another application. What could not work before is only shown as failed, and so is what its source
    /// no longer needs: neither must keep people from changing something else.
    pub(super) fn check_fit(&self, application: &Application) -> Result<(), ControlError> {
        let held = self.application(&application.name);
        let others = self.world.apps.keys().filter(|app| **app != application.name);
        let others = others.filter_map(|app| self.application(app));
        let before = held.into_iter().chain(others.clone());
        let after = std::iter::once(application).chain(others);
        for (owner, link) in after.clone().flat_map(|app| app.links.iter().map(move |link| (&app.name, link))) {
            let is_new = *owner == application.name && !is_there(held, link);
            // What is at both ends as it was is what it was.
            if !is_new && !application.names().any(|name| *name == link.target) {
                continue;
            }
            let Some(reason) = fit::misfit(link, after.clone(), self.kinds, self.read) else { continue };
            if is_new {
                return Err(invalid(reason));
            }
            let same_source = code(before.clone(), &link.source) == code(after.clone(), &link.source);
            if same_source && fit::judged(link, before.clone(), self.kinds, self.read) == Some(Ok(())) {
                let message = format!("{reason}\n  it is a link of application {owner}, and works as things are");
                let hint = "take the link away first, or change both of its ends together".to_owned();
                return Err(ControlError { hint, ..invalid(message) });
            }
        }
        Ok(())
    }

    /// No two links have the same place, here or in another application.
    pub(super) fn check_links(&self, application: &Application) -> Result<(), ControlError> {
        let before = self.application(&application.name);
        for (index, link) in application.links.iter().enumerate() {
            if link.interfaces.is_empty() {
                return Err(invalid(format!("the link from {} to {} names no interface", link.source, link.target)));
            }
            let is_new = |other: &&Link| is_same(link, other) || !is_there(before, link) || !is_there(before, other);
            let mut others = application.links.iter().skip(index + 1).filter(is_new);
            if let Some(other) = others.find(|other| self.clash(application, link, other)) {
                return Err(invalid(format!(
                    "{} has two links named {} on one interface, to {} and to {}",
                    link.source, link.name, link.target, other.target
                )));
            }
        }
        for (app, desired) in &self.world.apps {
            let Desired::Wanted { application: held, .. } = desired else { continue };
            if *app == application.name {
                continue;
            }
            for link in application.links.iter().filter(|link| !is_there(before, link)) {
                if held.links.iter().any(|other| self.clash(application, link, other)) {
                    return Err(conflict(format!(
                        "application {app} already has a link named {} from {} on that interface",
                        link.name, link.source
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether two links stand in one place. A provider as source may have several targets under one name: it says
    /// itself whom it means.
    fn clash(&self, application: &Application, one: &Link, other: &Link) -> bool {
        let same_place = one.source == other.source && one.name == other.name;
        let provider = application.provider(&one.source).is_some() || self.is_provider(&one.source);
        let several = provider && one.target != other.target;
        same_place && !several && overlap(one, other)
    }

    fn is_provider(&self, name: &Name) -> bool {
        self.world.apps.values().any(|desired| match desired {
            Desired::Wanted { application, .. } => application.provider(name).is_some(),
            Desired::Deleted | Desired::Unreadable => false,
        })
    }
}

/// What an actor of this name runs and calls; `None` where there is none.
fn code<'a>(mut all: impl Iterator<Item = &'a Application>, name: &Name) -> Option<(&'a Digest, &'a [Interface])> {
    let actor = all.find_map(|application| application.actor(name))?;
    Some((&actor.artifact.digest, &actor.imports))
}

/// Whether the application has this link already.
fn is_there(held: Option<&Application>, link: &Link) -> bool {
    held.is_some_and(|held| held.links.iter().any(|old| is_same(old, link)))
}

fn is_same(one: &Link, other: &Link) -> bool {
    (&one.source, &one.target, &one.name, &one.interfaces)
        == (&other.source, &other.target, &other.name, &other.interfaces)
}
