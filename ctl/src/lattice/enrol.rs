//! The root's first statements: whom the lattice trusts from the start. What somebody has said about the same key
//! since stands, a withdrawal too.

use anyhow::Context as _;
use mesh_lattice::{
    HostId,
    key::{Key, TrustKey},
    stored::TrustStatement,
};
use mesh_transport::{Connections, Position, State, StateConfig};

use super::keys::Keys;

/// Makes the stored state where there is none, and says in it that the issuer, the admin and these hosts are ours.
pub(super) async fn state(connections: &Connections, keys: &Keys, hosts: &[HostId]) -> anyhow::Result<()> {
    let state = State::create(connections, StateConfig::default(), &keys.root)
        .await
        .context("the lattice's stored state cannot be made")?;
    let mut statements = vec![
        (TrustKey::Issuer(keys.issuer.clone()), TrustStatement::Issuer { id: keys.issuer.clone() }),
        (TrustKey::User(keys.admin.clone()), TrustStatement::User { id: keys.admin.clone(), admin: true }),
    ];
    // The labels of a development host are whatever `up` is told.
    statements.extend(
        hosts.iter().map(|id| (TrustKey::Host(id.clone()), TrustStatement::Host { id: id.clone(), labels: None })),
    );
    for (key, statement) in statements {
        say(&state, keys, Key::Trust(key), &statement).await?;
    }
    Ok(())
}

async fn say(state: &State, keys: &Keys, key: Key, statement: &TrustStatement) -> anyhow::Result<()> {
    let position = match state.entry(&key).await? {
        Some(entry)
            if entry.envelope.incarnation == state.incarnation() && entry.envelope.check_signature().is_ok() =>
        {
            return Ok(());
        }
        Some(entry) => Position::from(&entry),
        None => Position::default(),
    };
    state
        .put_signed(&key, statement, position, &keys.root)
        .await
        .with_context(|| format!("{key} cannot be written"))?;
    Ok(())
}
