//! What people say to providers, judged by the providers' own code before it is stored: a slip of the pen is refused
//! where it is made, not found in a log later.
//!
//! Only what is new is judged. What is stored already, by an earlier version perhaps, is lived with: it must not stand
//! in the way of every other change of its application.

use mesh_lattice::{
    application::{Application, Link, Provider},
    control::ControlError,
};
use mesh_provider::End;
use mesh_scheduler::Desired;

use super::{Judge, invalid};
use crate::{converge::wanted::provider_link, known::resolve};

impl Judge<'_> {
    pub(super) fn check_configuration(&self, application: &Application) -> Result<(), ControlError> {
        let before = self.application(&application.name);
        let is_new = |provider: &&Provider| {
            before
                .and_then(|before| before.provider(&provider.name))
                .is_none_or(|before| (&before.kind, &before.config) != (&provider.kind, &provider.config))
        };
        for provider in application.providers.iter().filter(is_new) {
            // A shared configuration that is not there yet is waited for.
            let Ok(config) = resolve(self.shared, &provider.config) else { continue };
            let Some(kind) = self.kinds.get(&provider.kind) else { continue };
            kind.factory.check(&config).map_err(|error| invalid(format!("provider {}: {error}", provider.name)))?;
        }
        for link in application.links.iter().filter(|link| before.is_none_or(|before| !before.links.contains(link))) {
            self.check_ends(application, link)?;
        }
        Ok(())
    }

    fn check_ends(&self, application: &Application, link: &Link) -> Result<(), ControlError> {
        let wrong = |what: String| invalid(format!("link {} -> {}: {what}", link.source, link.target));
        let ends = [
            (End::Source, &link.source, &link.target, &link.source_config),
            (End::Target, &link.target, &link.source, &link.target_config),
        ];
        for (end, own, peer, parts) in ends {
            if !parts.is_empty() && self.wanted(application).any(|wanted| wanted.actor(own).is_some()) {
                return Err(wrong(format!("{own} is an actor, and a link configures providers alone")));
            }
            let provider = self.wanted(application).find_map(|wanted| wanted.provider(own));
            let Some(provider) = provider else { continue };
            let Some(kind) = self.kinds.get(&provider.kind) else { continue };
            let config = resolve(self.shared, &provider.config).and_then(|own| Ok((own, resolve(self.shared, parts)?)));
            let Ok((config, values)) = config else { continue };
            kind.factory
                .check_link(&config, &provider_link(end, peer, link, values))
                .map_err(|error| wrong(format!("{own}: {}", error.reason())))?;
        }
        Ok(())
    }

    /// The applications as they will be.
    fn wanted<'a>(&'a self, application: &'a Application) -> impl Iterator<Item = &'a Application> {
        let others = self.world.apps.iter().filter_map(|(name, desired)| match desired {
            Desired::Wanted { application: held, .. } if *name != application.name => Some(held.as_ref()),
            _ => None,
        });
        std::iter::once(application).chain(others)
    }
}
