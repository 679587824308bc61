//! What went wrong with a registry: what it is, why, and what a person can do about it.

use std::error::Error;

use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};

use super::{Image, MAX_ARTIFACT, credentials::Credentials};
use crate::exit::{Exit, Failure};

/// Of what a registry says, no more than this is repeated.
const MAX_SAID: usize = 300;

/// What went wrong.
#[derive(Debug)]
pub(super) struct Trouble {
    kind: TroubleKind,
    why: String,
}

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TroubleKind {
    /// Nobody is there.
    Unreachable,
    /// Its certificate is not one that this machine believes.
    Certificate,
    /// It does not speak TLS, or we do not and it does.
    OtherProtocol,
    /// It took too long.
    Silent,
    /// It does not let us.
    Denied,
    /// It has no such image.
    Missing,
    /// The image is no component.
    NotOurs,
    /// Larger than what hosts run.
    TooLarge,
    /// What came is not what was named.
    OtherContent,
    /// It says that it cannot.
    Failed,
}

impl Trouble {
    fn new(kind: TroubleKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    pub(super) fn silent(why: &str) -> Self {
        Self::new(TroubleKind::Silent, why)
    }

    pub(super) fn not_ours(why: String) -> Self {
        Self::new(TroubleKind::NotOurs, why)
    }

    pub(super) fn too_large(why: String) -> Self {
        Self::new(TroubleKind::TooLarge, why)
    }

    pub(super) fn other_content(why: String) -> Self {
        Self::new(TroubleKind::OtherContent, why)
    }

    /// What ended a download.
    pub(super) fn from_transfer(error: std::io::Error) -> Self {
        match error.get_ref() {
            Some(cause) if cause.is::<DigestError>() => Self::other_content(cause.to_string()),
            _ => Self::new(TroubleKind::Failed, format!("the download broke off: {}", last(&error))),
        }
    }

    /// The sentence, and what can be done.
    pub(super) fn into_failure(self, image: &Image, credentials: &Credentials) -> Failure {
        let (registry, why) = (image.registry(), said(&self.why));
        let (exit, message, hint) = match self.kind {
            TroubleKind::Unreachable => (
                Exit::Failed,
                format!("{image}: the registry {registry} cannot be reached: {why}"),
                "is its name right, and does this machine reach it?".to_owned(),
            ),
            TroubleKind::Certificate => (
                Exit::Refused,
                format!("{image}: the certificate of {registry} is not believed: {why}"),
                "SSL_CERT_FILE names other authorities than those of this machine".to_owned(),
            ),
            TroubleKind::OtherProtocol => (
                Exit::Failed,
                format!("{image}: {registry} does not speak TLS as it is expected to: {why}"),
                format!("where it has none on purpose: --plain-http {registry}"),
            ),
            TroubleKind::Silent => (
                Exit::TimedOut,
                format!("{image}: the registry {registry} is too slow: {why}"),
                "--timeout waits longer".to_owned(),
            ),
            TroubleKind::Denied => {
                (Exit::Refused, format!("{image}: {registry} does not let {credentials}: {why}"), credentials.hint())
            }
            TroubleKind::Missing => (
                Exit::NotFound,
                format!("{image}: {registry} has no such image: {why}"),
                "are the repository and the tag right? Some registries say so of what they do not show to you"
                    .to_owned(),
            ),
            TroubleKind::NotOurs => (
                Exit::Invalid,
                format!("{image} holds no component: {why}"),
                "`meshctl push`, `wash push` and `wkg oci push` write images that do".to_owned(),
            ),
            TroubleKind::TooLarge => (
                Exit::Invalid,
                format!("{image} is too large: {why}, and a host runs {} MiB at most", MAX_ARTIFACT >> 20),
                String::new(),
            ),
            TroubleKind::OtherContent => (
                Exit::Refused,
                format!("{image}: {registry} sends something else than it names: {why}"),
                "the registry, or something between it and here, is broken or lies".to_owned(),
            ),
            TroubleKind::Failed => (Exit::Failed, format!("{image}: the registry {registry}: {why}"), String::new()),
        };
        Failure::new(exit, message).hint(hint)
    }
}

impl From<OciDistributionError> for Trouble {
    fn from(error: OciDistributionError) -> Self {
        use TroubleKind::{Denied, Failed, OtherContent};
        match error {
            OciDistributionError::RequestError(error) => {
                let kind = match error.status() {
                    Some(status) => of_status(status.as_u16()),
                    None => request(&error, error.is_connect(), error.is_timeout()),
                };
                Self::new(kind, last(&error))
            }
            OciDistributionError::UnauthorizedError { .. } => Self::new(Denied, "not authorized"),
            OciDistributionError::AuthenticationFailure(why) => Self::new(Denied, format!("no token: {why}")),
            OciDistributionError::RegistryTokenDecodeError(why) => Self::new(Failed, format!("its token: {why}")),
            OciDistributionError::RegistryError { envelope, .. } => {
                let kind = envelope.errors.iter().find_map(|error| of_code(&error.code)).unwrap_or(Failed);
                let why: Vec<&str> = envelope.errors.iter().map(|error| error.message.as_str()).collect();
                Self::new(kind, why.join("; "))
            }
            OciDistributionError::ServerError { code, message, .. } => {
                // What servers with TLS say to somebody without.
                let needs_tls = code == 400 && message.contains("HTTPS");
                let kind = if needs_tls { TroubleKind::OtherProtocol } else { of_status(code) };
                Self::new(kind, format!("it answers {code}: {message}"))
            }
            OciDistributionError::DigestError(error) => Self::new(OtherContent, error.to_string()),
            other => Self::new(Failed, other.to_string()),
        }
    }
}

fn of_code(code: &OciErrorCode) -> Option<TroubleKind> {
    match code {
        OciErrorCode::Unauthorized | OciErrorCode::Denied => Some(TroubleKind::Denied),
        OciErrorCode::ManifestUnknown
        | OciErrorCode::NameUnknown
        | OciErrorCode::NotFound
        | OciErrorCode::BlobUnknown => Some(TroubleKind::Missing),
        _ => None,
    }
}

fn of_status(status: u16) -> TroubleKind {
    match status {
        401 | 403 => TroubleKind::Denied,
        404 => TroubleKind::Missing,
        _ => TroubleKind::Failed,
    }
}

/// Why a request did not come through. TLS is a part of connecting, and tells its causes apart.
fn request(error: &(dyn Error + 'static), connecting: bool, late: bool) -> TroubleKind {
    if late {
        return TroubleKind::Silent;
    }
    match causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => TroubleKind::Certificate,
        Some(_) => TroubleKind::OtherProtocol,
        None if connecting => TroubleKind::Unreachable,
        None => TroubleKind::Failed,
    }
}

/// An error and what it stems from. What the system reports may carry more inside.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inside) => Some(inside),
        None => error.source(),
    }
}

/// The cause of all, which says most.
fn last(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

/// What somebody else wrote, on one line and not for ever.
fn said(text: &str) -> String {
    let line: String = text.chars().take(MAX_SAID).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_SAID).is_some() { format!("{}…", line.trim()) } else { line.trim().to_owned() }
}
