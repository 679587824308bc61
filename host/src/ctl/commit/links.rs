//! Whether the links of an application may be written: each place is taken once, and a new link can work.
//!
//! Both look at what is new alone. Two commits at once can each declare one place and both be written, because neither
//! writes what the other one read: then the older link holds it and the other is shown as failed, and neither may stand
//! in the way of every later change of its application.

use mesh_lattice::{
    Name,
    application::{Application, Link},
    control::ControlError,
};
use mesh_scheduler::Desired;

use super::{super::fit, Judge, conflict, invalid};
use crate::links::overlap;

impl Judge<'_> {
    /// A new link can work, as far as its ends are known. What is there already is only shown as failed: an actor that
    /// no longer needs a link must not keep people from changing something else.
    pub(super) fn check_fit(&self, application: &Application) -> Result<(), ControlError> {
        let held = self.application(&application.name);
        let others = self.world.apps.keys().filter(|app| **app != application.name);
        let all = std::iter::once(application).chain(others.filter_map(|app| self.application(app)));
        for link in &application.links {
            if !is_there(held, link)
                && let Some(reason) = fit::misfit(link, all.clone(), self.kinds, self.read)
            {
                return Err(invalid(reason));
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

/// Whether the application has this link already.
fn is_there(held: Option<&Application>, link: &Link) -> bool {
    held.is_some_and(|held| held.links.iter().any(|old| is_same(old, link)))
}

fn is_same(one: &Link, other: &Link) -> bool {
    (&one.source, &one.target, &one.name, &one.interfaces)
        == (&other.source, &other.target, &other.name, &other.interfaces)
}
