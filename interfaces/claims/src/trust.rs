//! Whom a lattice trusts: its root, and what the root and the root's admins say.
//!
//! A pure value. Statements come in any order, signed; each is kept under its key, and every question is answered
//! from the statements as they stand *now*:
//!
//! - The root always counts. A user is an admin where the *root* says so. An admin's statements count as long as he
//!   is one: a grant that he signed falls with him. (Whoever removes an admin signs those of his revocations again
//!   that should stay.)
//! - An admin grants and revokes issuers, hosts and users. He makes no admin, touches none, and takes no revocation
//!   back: that is the root's.
//! - A revocation beats every grant of the same key. Nobody can revoke the root.
//! - Of two statements under one key the higher generation stands; a lower one, or another one of the same
//!   generation, is refused, so that an old statement cannot be played back. Only who counts can raise the bar.
//!
//! A statement of somebody who does not count is refused and remembered, within a bound, because a watch may deliver
//! the statement that names its signer later.

use std::collections::{BTreeMap, BTreeSet};

use mesh_lattice::{
    control::TrustView,
    id::{AccountId, HostId, Incarnation, OperatorId, UserId},
    key::{Key, TrustKey},
    name::Labels,
    stored::TrustStatement,
};

use crate::{
    authority,
    envelope::Envelope,
    refusal::{Refusal, RefusalCode},
};

/// Statements that wait for their signer to be named.
const MAX_WAITING: usize = 1024;

/// Whom a lattice trusts.
#[derive(Debug, Clone)]
pub struct Trust {
    root: OperatorId,
    incarnation: Option<Incarnation>,
    local_issuers: BTreeSet<AccountId>,
    stated: BTreeMap<TrustKey, Stated>,
    waiting: BTreeMap<TrustKey, Stated>,
}

#[derive(Debug, Clone)]
struct Stated {
    statement: TrustStatement,
    envelope: Envelope,
}

impl Trust {
    /// Trust in a root that has said nothing yet. It takes statements of any life of the lattice's state.
    #[must_use]
    pub fn new(root: OperatorId) -> Self {
        Self {
            root,
            incarnation: None,
            local_issuers: BTreeSet::new(),
            stated: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Trust that takes statements of this life of the lattice's state only: what hosts use, so that nothing from an
    /// earlier one can be played back.
    #[must_use]
    pub fn of_incarnation(root: OperatorId, incarnation: Incarnation) -> Self {
        Self { incarnation: Some(incarnation), ..Self::new(root) }
    }

    /// Lets this account sign artifacts on this machine, by the word of the machine's own administrator: what a host
    /// that runs alone has instead of a lattice's statements. A revocation beats it as it beats every grant.
    #[must_use]
    pub fn trusting_locally(mut self, issuer: AccountId) -> Self {
        self.local_issuers.insert(issuer);
        self
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &OperatorId {
        &self.root
    }

    /// Takes a statement in. The same one again changes nothing.
    ///
    /// # Errors
    ///
    /// `malformed`, `tampered` (a broken signature, a wrong key, an older generation), `wrong_kind`, `revoked`,
    /// `unknown_issuer`.
    pub fn apply(&mut self, key: &Key, envelope: &Envelope) -> Result<(), Refusal> {
        let Key::Trust(trust_key) = key else {
            return Err(Refusal::malformed(format!("{key} is not the key of a trust statement")));
        };
        if envelope.key != key.to_string() {
            return Err(Refusal::tampered(format!("the value of {key} was signed for {:.120}", envelope.key)));
        }
        if self.incarnation.is_some_and(|ours| ours != envelope.incarnation) {
            return Err(Refusal::tampered(format!(
                "the value of {key} belongs to another life of the lattice's state"
            )));
        }
        envelope.check_signature()?;
        let statement: TrustStatement = envelope.payload()?;
        if !statement.speaks_of(trust_key) {
            return Err(Refusal::malformed(format!("the value of {key} speaks of something else")));
        }
        self.admit(trust_key, Stated { statement, envelope: envelope.clone() })?;
        self.retry_waiting();
        Ok(())
    }

    fn admit(&mut self, key: &TrustKey, stated: Stated) -> Result<(), Refusal> {
        if let Err(refusal) = self.may_state(key, &stated) {
            let room = self.waiting.len() < MAX_WAITING || self.waiting.contains_key(key);
            if refusal.code == RefusalCode::UnknownIssuer && room {
                self.waiting.insert(key.clone(), stated);
            }
            return Err(refusal);
        }
        if let Some(present) = self.counted(key) {
            let (old, new) = (&present.envelope, &stated.envelope);
            if new.generation < old.generation || (new.generation == old.generation && new.payload != old.payload) {
                return Err(Refusal::tampered(format!(
                    "the value of {} is of generation {}, and {} was there already",
                    Key::Trust(key.clone()),
                    new.generation,
                    old.generation
                )));
            }
        }
        self.waiting.remove(key);
        self.stated.insert(key.clone(), stated);
        Ok(())
    }

    /// A statement may make the signer of another one count.
    fn retry_waiting(&mut self) {
        for (key, stated) in std::mem::take(&mut self.waiting) {
            // What still does not count is put back by `admit`; its refusal was reported when it came.
            let _ = self.admit(&key, stated);
        }
    }

    /// Whether the signer may say this, as things stand.
    fn may_state(&self, key: &TrustKey, stated: &Stated) -> Result<(), Refusal> {
        let signer = &stated.envelope.signer;
        authority::may_write(&Key::Trust(key.clone()), signer, self)?;
        if self.is_root(signer) || !self.is_for_the_root(key, &stated.statement) {
            return Ok(());
        }
        let message = format!("only the root may write this into {}", Key::Trust(key.clone()));
        Err(Refusal::new(RefusalCode::UnknownIssuer, message))
    }

    /// What an admin may not say: who is an admin, anything about an admin, and that a revocation is taken back.
    fn is_for_the_root(&self, key: &TrustKey, statement: &TrustStatement) -> bool {
        match (key, statement) {
            (_, TrustStatement::User { admin: true, .. }) | (TrustKey::Revoked(_), TrustStatement::Withdrawn) => true,
            (TrustKey::User(user), _) => self.named_admin(user),
            (TrustKey::Revoked(subject), _) => {
                *subject == self.root.as_str() || subject.parse().is_ok_and(|user| self.named_admin(&user))
            }
            _ => false,
        }
    }

    /// The statement under this key, where its signer counts as things stand.
    fn counted(&self, key: &TrustKey) -> Option<&Stated> {
        self.stated.get(key).filter(|stated| self.counts(key, stated))
    }

    /// Depth one by construction: whether an admin is one depends on the root's statements alone.
    fn counts(&self, key: &TrustKey, stated: &Stated) -> bool {
        let signer = &stated.envelope.signer;
        self.is_root(signer)
            || (signer.parse().is_ok_and(|user| self.is_admin(&user)) && !self.is_for_the_root(key, &stated.statement))
    }

    /// Whether this key is the root's.
    #[must_use]
    pub fn is_root(&self, key: &str) -> bool {
        key == self.root.as_str()
    }

    /// What the root itself says under this key.
    fn root_says(&self, key: &TrustKey) -> Option<&TrustStatement> {
        self.stated.get(key).filter(|stated| self.is_root(&stated.envelope.signer)).map(|stated| &stated.statement)
    }

    fn named_admin(&self, user: &UserId) -> bool {
        matches!(self.root_says(&TrustKey::User(user.clone())), Some(TrustStatement::User { admin: true, .. }))
    }

    /// Whether this user may make trust statements.
    #[must_use]
    pub fn is_admin(&self, user: &UserId) -> bool {
        let revoked = self.root_says(&TrustKey::Revoked(user.as_str().to_owned()));
        self.named_admin(user) && !matches!(revoked, Some(TrustStatement::Revoked { .. }))
    }

    /// Whether nothing with this public key or digest is trusted any more.
    #[must_use]
    pub fn is_revoked(&self, subject: &str) -> bool {
        let Some(key) = TrustKey::revoked(subject) else { return false };
        !self.is_root(subject)
            && self.counted(&key).is_some_and(|stated| matches!(stated.statement, TrustStatement::Revoked { .. }))
    }

    fn granted(&self, key: &TrustKey, id: &str) -> Option<&TrustStatement> {
        let stated = self.counted(key).filter(|stated| !matches!(stated.statement, TrustStatement::Withdrawn))?;
        (!self.is_revoked(id)).then_some(&stated.statement)
    }

    /// Whether this account signs artifacts that may run here.
    #[must_use]
    pub fn is_issuer(&self, account: &AccountId) -> bool {
        self.granted(&TrustKey::Issuer(account.clone()), account.as_str()).is_some()
            || (self.local_issuers.contains(account) && !self.is_revoked(account.as_str()))
    }

    /// Whether this host is enrolled.
    #[must_use]
    pub fn is_host(&self, host: &HostId) -> bool {
        self.granted(&TrustKey::Host(host.clone()), host.as_str()).is_some()
    }

    /// Those of the labels that this host claims which it may claim; none where it is not enrolled.
    #[must_use]
    pub fn host_labels(&self, host: &HostId, claimed: &Labels) -> Labels {
        match self.granted(&TrustKey::Host(host.clone()), host.as_str()) {
            Some(TrustStatement::Host { labels: Some(allowed), .. }) => {
                claimed.iter().filter(|(key, value)| allowed.get(*key) == Some(*value)).map(clone_pair).collect()
            }
            Some(_) => claimed.clone(),
            None => Labels::new(),
        }
    }

    /// Whether this user may change desired state.
    #[must_use]
    pub fn is_user(&self, user: &UserId) -> bool {
        self.granted(&TrustKey::User(user.clone()), user.as_str()).is_some()
    }

    /// Every statement that counts, in the order of its key.
    #[must_use]
    pub fn list(&self) -> Vec<TrustView> {
        self.stated
            .iter()
            .filter(|(key, stated)| self.counts(key, stated))
            .filter_map(|(_, stated)| view(stated))
            .collect()
    }
}

fn clone_pair<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

fn view(stated: &Stated) -> Option<TrustView> {
    let (kind, id, admin) = match &stated.statement {
        TrustStatement::Issuer { id } => ("issuer", id.to_string(), false),
        TrustStatement::Host { id, .. } => ("host", id.to_string(), false),
        TrustStatement::User { id, admin } => ("user", id.to_string(), *admin),
        TrustStatement::Revoked { subject } => ("revoked", subject.clone(), false),
        TrustStatement::Withdrawn => return None,
    };
    Some(TrustView { kind: kind.into(), id, signer: stated.envelope.signer.clone(), admin })
}
