//! A component with its claims embedded: what `meshctl claims sign` writes.

use uuid::Uuid;

use crate::{
    keys::{KeyKind, KeyPair},
    section::{self, Depth, NotWasm},
    token::{self, Claims, Subject},
};

/// What the claims say beside issuer, subject and hash.
#[derive(Debug, Clone)]
pub struct SignOptions {
    /// The artifact's own key: an actor's or a provider's. It stays the same from revision to revision.
    pub subject: KeyPair,
    /// A name for people.
    pub name: Option<String>,
    /// The artifact's revision.
    pub revision: i32,
    /// The artifact's version, for people.
    pub version: Option<String>,
    /// Words put on it.
    pub tags: Vec<String>,
    /// From when the claims hold, in seconds since 1970.
    pub not_before: Option<u64>,
    /// Until when the claims hold.
    pub expires: Option<u64>,
    /// Now.
    pub issued_at: u64,
}

impl SignOptions {
    /// Claims about this subject that say nothing more.
    #[must_use]
    pub fn new(subject: KeyPair) -> Self {
        Self {
            subject,
            name: None,
            revision: 0,
            version: None,
            tags: Vec::new(),
            not_before: None,
            expires: None,
            issued_at: 0,
        }
    }
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The bytes are not WebAssembly.
    #[error(transparent)]
    NotWasm(#[from] NotWasm),
    /// Only accounts sign artifacts.
    #[error("an artifact is signed by an account's key (SA...), not by a key of the kind {0}")]
    Issuer(KeyKind),
    /// Only actors and providers are subjects.
    #[error("the subject of an artifact is an actor's key (SM...), not a key of the kind {0}")]
    Subject(KeyKind),
    /// The claims cannot be written.
    #[error("the claims cannot be written")]
    Write(#[source] serde_json::Error),
}

/// The component with a token at its end; a token that was there is replaced.
///
/// # Errors
///
/// Where the bytes are not WebAssembly or a key is of the wrong kind.
pub fn component(wasm: &[u8], issuer: &KeyPair, options: &SignOptions) -> Result<Vec<u8>, SignError> {
    let account = issuer.account_id().ok_or_else(|| SignError::Issuer(issuer.kind()))?;
    let subject = match (options.subject.actor_id(), options.subject.provider_id()) {
        (Some(actor), _) => Subject::Actor(actor),
        (None, Some(provider)) => Subject::Provider(provider),
        (None, None) => return Err(SignError::Subject(options.subject.kind())),
    };
    let mut artifact = section::strip(wasm, Depth::Every)?.rest;
    let claims = Claims {
        issuer: account,
        subject,
        name: options.name.clone(),
        hash: section::hash(&artifact),
        revision: options.revision.into(),
        version: options.version.clone(),
        tags: options.tags.clone(),
        call_alias: None,
        issued_at: options.issued_at,
        not_before: options.not_before,
        expires: options.expires,
        id: Uuid::new_v4().simple().to_string(),
    };
    let token = token::write(&claims, issuer).map_err(SignError::Write)?;
    section::embed(&mut artifact, &token);
    Ok(artifact)
}
