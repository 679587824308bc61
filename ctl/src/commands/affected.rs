//! What stops to be startable when an issuer is no longer trusted: said when it is decided, not found out at the next
//! restart. What runs goes on, because nothing stops for what is absent; a revocation stops it.

use mesh_lattice::{Name, control::Status};

use crate::output::Output;

/// The actors whose artifact this issuer signed.
fn actors<'a>(status: &'a Status, issuer: &str) -> Vec<&'a Name> {
    let signed = |issuer_of: Option<&mesh_lattice::id::AccountId>| issuer_of.is_some_and(|id| id.as_str() == issuer);
    status.actors.iter().filter(|actor| signed(actor.issuer.as_ref())).map(|actor| &actor.name).collect()
}

/// Says which actors run on without an issuer whom anybody trusts.
pub(super) fn say(status: &Status, issuer: &str, out: &Output) {
    let names: Vec<&str> = actors(status, issuer).into_iter().map(Name::as_str).collect();
    if names.is_empty() {
        return;
    }
    out.say(&format!(
        "warning: this issuer signed {}: what runs goes on, but no host starts it again; sign and start it anew with \
         another issuer, or stop it at once with `meshctl revoke issuer {issuer}`",
        names.join(", ")
    ));
}

#[cfg(test)]
mod tests {
    use mesh_claims::{KeyKind, KeyPair};

    use super::*;

    #[test]
    fn the_actors_of_an_issuer_are_those_that_it_signed() {
        let key = |kind| KeyPair::generate(kind).public();
        let (ours, theirs) = (key(KeyKind::Account), key(KeyKind::Account));
        let actor = |name: &str, issuer: Option<&String>| {
            serde_json::json!({
                "name": name, "app": "adhoc", "artifact": "a.wasm", "digest": mesh_lattice::Digest::of(b""),
                "issuer": issuer, "revision": 1, "replicas": { "desired": 1, "ready": 1 }, "hosts": [],
            })
        };
        let actors = [actor("one", Some(&ours)), actor("two", Some(&theirs)), actor("three", None)];
        let status: Status = serde_json::from_value(serde_json::json!({
            "answered_by": key(KeyKind::Host), "lattice": "default", "incarnation": mesh_lattice::Incarnation::new(),
            "hosts": [], "actors": actors, "providers": [], "links": [], "apps": [], "config": [], "trust": [],
        }))
        .unwrap();
        let names: Vec<&str> = super::actors(&status, &ours).into_iter().map(Name::as_str).collect();
        assert_eq!(names, ["one"]);
    }
}
