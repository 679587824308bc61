//! The custom section that carries the token, found at the top level and taken out again.
//!
//! The hash in the claims is over the artifact without that section, every section length written in its shortest
//! form: that is what the tools compute that sign the artifacts which exist already. Where the lengths are in their
//! shortest form to begin with, as all current tools write them, it is the artifact's bytes with the section cut out.

use wasm_encoder::{ComponentSectionId, Encode as _, RawSection, Section as _};
use wasmparser::{Encoding, Parser, Payload};

/// The section's name.
pub(crate) const SECTION: &str = "wasmcloud_jwt";
/// The section's name in older artifacts.
pub(crate) const OLD_SECTION: &str = "jwt";

/// Modules and components nest at most this deep: each level is copied into the one around it.
const MAX_NESTING: usize = 32;

/// Bytes that are not WebAssembly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a WebAssembly component: {0}")]
pub struct NotWasm(pub String);

/// Where sections that are named like the token's are taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// At the top level. A section of that name further in stays, is covered by the hash, and is never read.
    Top,
    /// Everywhere: before signing.
    Every,
}

/// An artifact taken apart.
#[derive(Debug)]
pub(crate) struct Stripped<'a> {
    /// What the sections of that name at the top level hold.
    pub(crate) tokens: Vec<&'a [u8]>,
    /// The rest.
    pub(crate) rest: Vec<u8>,
}

/// Takes the artifact apart.
pub(crate) fn strip(bytes: &[u8], depth: Depth) -> Result<Stripped<'_>, NotWasm> {
    let mut tokens = Vec::new();
    let mut output = Vec::with_capacity(bytes.len());
    // What is open around the module or component that is being read.
    let mut outer: Vec<(Vec<u8>, Encoding)> = Vec::new();
    let mut encoding = Encoding::Module;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| NotWasm(error.to_string()))?;
        match &payload {
            Payload::Version { encoding: found, .. } => {
                encoding = *found;
                output.extend_from_slice(header(*found));
            }
            Payload::ModuleSection { unchecked_range: range, .. }
            | Payload::ComponentSection { unchecked_range: range, .. } => {
                if range.end > bytes.len() {
                    return Err(NotWasm("a nested module or component is cut off".into()));
                }
                if outer.len() == MAX_NESTING {
                    return Err(NotWasm(format!("modules and components nest deeper than {MAX_NESTING}")));
                }
                outer.push((std::mem::take(&mut output), encoding));
            }
            Payload::End(_) => {
                let Some((mut parent, parent_encoding)) = outer.pop() else { break };
                let id = match encoding {
                    Encoding::Component => ComponentSectionId::Component,
                    Encoding::Module => ComponentSectionId::CoreModule,
                };
                parent.push(id as u8);
                output.encode(&mut parent);
                (output, encoding) = (parent, parent_encoding);
            }
            Payload::CustomSection(section) if is_token(section.name()) && outer.is_empty() => {
                tokens.push(section.data());
            }
            Payload::CustomSection(section) if is_token(section.name()) && depth == Depth::Every => {}
            other => append(bytes, other, &mut output)?,
        }
    }
    Ok(Stripped { tokens, rest: output })
}

fn is_token(name: &str) -> bool {
    name == SECTION || name == OLD_SECTION
}

fn header(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::Component => &wasm_encoder::Component::HEADER,
        Encoding::Module => &wasm_encoder::Module::HEADER,
    }
}

fn append(bytes: &[u8], payload: &Payload<'_>, output: &mut Vec<u8>) -> Result<(), NotWasm> {
    if let Some((id, range)) = payload.as_section() {
        let data = bytes.get(range).ok_or_else(|| NotWasm("a section is cut off".into()))?;
        RawSection { id, data }.append_to(output);
    }
    Ok(())
}

/// Appends the section that carries `token`.
pub(crate) fn embed(artifact: &mut Vec<u8>, token: &str) {
    let section = wasm_encoder::CustomSection { name: SECTION.into(), data: token.as_bytes().into() };
    artifact.push(0);
    section.encode(artifact);
}

/// The hash that claims carry: SHA-256 in upper-case hexadecimal digits.
pub(crate) fn hash(rest: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(mesh_lattice::Digest::of(rest).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component_with(token: &str) -> Vec<u8> {
        let mut module = wasm_encoder::Module::HEADER.to_vec();
        embed(&mut module, "inner");
        let mut bytes = wasm_encoder::Component::HEADER.to_vec();
        bytes.push(1);
        module.encode(&mut bytes);
        embed(&mut bytes, token);
        bytes
    }

    #[test]
    fn the_rest_is_the_artifact_with_the_section_cut_out() {
        let bytes = component_with("outer");
        let section = 1 + 1 + 1 + SECTION.len() + 5;
        let stripped = strip(&bytes, Depth::Top).unwrap();
        assert_eq!(stripped.tokens, [b"outer"]);
        assert_eq!(stripped.rest, bytes[..bytes.len() - section]);
    }

    #[test]
    fn a_section_further_in_is_never_read_and_signing_takes_it_out() {
        let bytes = component_with("outer");
        assert!(strip(&bytes, Depth::Top).unwrap().rest.windows(5).any(|window| window == b"inner"));
        assert!(!strip(&bytes, Depth::Every).unwrap().rest.windows(5).any(|window| window == b"inner"));
        assert_eq!(strip(&bytes, Depth::Every).unwrap().tokens, [b"outer"]);
    }

    #[test]
    fn what_nests_too_deep_is_refused_before_it_is_copied_over_and_over() {
        let around = |inner: &[u8]| {
            let mut bytes = wasm_encoder::Component::HEADER.to_vec();
            bytes.push(ComponentSectionId::Component as u8);
            inner.encode(&mut bytes);
            bytes
        };
        let mut bytes = wasm_encoder::Component::HEADER.to_vec();
        for _ in 0..MAX_NESTING {
            bytes = around(&bytes);
        }
        assert_eq!(strip(&bytes, Depth::Top).unwrap().rest, bytes);
        assert!(strip(&around(&bytes), Depth::Top).is_err());
    }

    #[test]
    fn what_is_cut_off_or_followed_by_anything_is_refused() {
        let bytes = component_with("outer");
        // A cut between two sections leaves a component, without its last sections.
        let whole = [8, bytes.len() - (1 + 1 + 1 + SECTION.len() + 5)];
        for cut in (0..bytes.len()).filter(|cut| !whole.contains(cut)) {
            assert!(strip(&bytes[..cut], Depth::Top).is_err(), "{cut}");
        }
        assert!(strip(&[bytes, vec![0]].concat(), Depth::Top).is_err());
    }
}
