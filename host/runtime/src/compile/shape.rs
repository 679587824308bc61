//! How many instances a component is made of, counted before it is compiled. Components within components can be
//! instantiated twice each, level by level: some kilobytes then stand for billions of instances, all of which the
//! compiler would lay out.

use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Instance, Parser, Payload,
};

/// One component, or one core module, on the way through the bytes.
#[derive(Default)]
struct Scope {
    is_component: bool,
    /// The instances that one instance of each known component is made of.
    components: Vec<u64>,
    instances: u64,
}

/// The instances that one instance of this component is made of, core modules' included. What a component is given
/// as a parameter could be anything, so that counts as more than anybody may have. Bytes that are no component are for
/// the compiler to judge.
pub(super) fn instances(bytes: &[u8]) -> u64 {
    count(bytes).unwrap_or(0)
}

fn count(bytes: &[u8]) -> Result<u64, BinaryReaderError> {
    let mut outer: Vec<Scope> = Vec::new();
    let mut scope = Scope { is_component: true, ..Scope::default() };
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ComponentSection { .. } => {
                outer.push(std::mem::replace(&mut scope, Scope { is_component: true, ..Scope::default() }));
            }
            Payload::ModuleSection { .. } => outer.push(std::mem::take(&mut scope)),
            Payload::End(_) => {
                let Some(parent) = outer.pop() else { return Ok(scope.instances) };
                let ended = std::mem::replace(&mut scope, parent);
                if ended.is_component {
                    scope.components.push(ended.instances);
                }
            }
            payload => scope.read(payload, &outer)?,
        }
    }
    Ok(scope.instances)
}

impl Scope {
    fn read(&mut self, payload: Payload<'_>, outer: &[Self]) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section {
                    self.add(u64::from(matches!(instance?, Instance::Instantiate { .. })));
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                        self.add(self.made_of(component_index).saturating_add(1));
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    self.components.extend(aliased(&alias?, self, outer));
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    if matches!(import?.ty, ComponentTypeRef::Component(_)) {
                        self.components.push(u64::MAX);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Component {
                        self.components.push(self.made_of(export.index));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, instances: u64) {
        self.instances = self.instances.saturating_add(instances);
    }

    fn made_of(&self, component: u32) -> u64 {
        let known = usize::try_from(component).ok().and_then(|index| self.components.get(index));
        known.copied().unwrap_or(u64::MAX)
    }
}

/// What an alias of a component is made of; nothing where it is of something else.
fn aliased(alias: &ComponentAlias<'_>, own: &Scope, outer: &[Scope]) -> Option<u64> {
    match *alias {
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => Some(u64::MAX),
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count: 0, index } => Some(own.made_of(index)),
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
            let levels = usize::try_from(count).ok()?;
            let scope = outer.len().checked_sub(levels).and_then(|level| outer.get(level));
            Some(scope.map_or(u64::MAX, |scope| scope.made_of(index)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_text(text: &str) -> u64 {
        instances(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn every_instance_counts_as_often_as_it_is_made() {
        assert_eq!(count_text("(component)"), 0);
        assert_eq!(count_text("(component (core module $m) (core instance (instantiate $m)))"), 1);
        let pair =
            "(component $pair (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))";
        assert_eq!(count_text(&format!("(component {pair})")), 0, "what is not made does not count");
        let twice = "(instance (instantiate $pair)) (instance (instantiate $pair))";
        assert_eq!(count_text(&format!("(component {pair} {twice})")), 6);
        let within = format!("(component $four (alias outer $root $pair (component $pair)) {twice})");
        let text =
            format!("(component $root {pair} {within} (instance (instantiate $four)) (instance (instantiate $pair)))");
        assert_eq!(count_text(&text), (2 * 3 + 1) + 3);
        let exported =
            format!("(component {pair} (export $again \"pair\" (component $pair)) (instance (instantiate $again)))");
        assert_eq!(count_text(&exported), 3);
    }

    #[test]
    fn a_component_that_somebody_else_chooses_could_be_anything() {
        let text = "(component (import \"c\" (component $c)) (instance (instantiate $c)))";
        assert_eq!(count_text(text), u64::MAX);
    }
}
