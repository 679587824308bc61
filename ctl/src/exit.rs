//! How a failed command ends: an exit code for scripts, a sentence and a hint for people.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed |
//! | 2 | wrong usage or invalid input |
//! | 3 | not found |
//! | 4 | refused: trust, policy, permission |
//! | 5 | the lattice cannot be reached |
//! | 6 | timed out |

use std::process::ExitCode;

use mesh_claims::{Refusal, RefusalCode, surface::NotAComponent};
use mesh_lattice::{CallError, Code, control::ControlCode};
use mesh_transport::{ArtifactError, ConnectError, Disconnected, RequestError, StateError, connect::TlsTrouble};
use mesh_wit::SignatureError;

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Invalid = 2,
    NotFound = 3,
    Refused = 4,
    Unreachable = 5,
    TimedOut = 6,
}

/// A failure whose exit code is known where it happens.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: String::new() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Exit::Invalid, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// What the person can do next.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(kind(error) as u8)
}

/// How a command ends with this error: as the first of its causes says that has an exit code.
pub(crate) fn kind(error: &anyhow::Error) -> Exit {
    error.chain().find_map(known).unwrap_or(Exit::Failed)
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.exit);
    }
    if let Some(refusal) = cause.downcast_ref::<Refusal>() {
        return Some(if refusal.code == RefusalCode::Malformed { Exit::Invalid } else { Exit::Refused });
    }
    if cause.is::<NotAComponent>() || cause.is::<SignatureError>() || cause.is::<mesh_manifest::Faults>() {
        return Some(Exit::Invalid);
    }
    if let Some(error) = cause.downcast_ref::<CallError>() {
        return Some(from_call(error.code));
    }
    from_lattice(cause)
}

/// What a call without a result comes to.
fn from_call(code: Code) -> Exit {
    match code {
        Code::BadParams | Code::TooLarge | Code::Unsupported => Exit::Invalid,
        Code::UnknownTarget | Code::UnknownOperation => Exit::NotFound,
        Code::NotLinked | Code::Denied | Code::Unauthenticated => Exit::Refused,
        Code::Busy | Code::Unavailable => Exit::Unreachable,
        Code::DeadlineExceeded => Exit::TimedOut,
        Code::Lost
        | Code::Gone
        | Code::ReplyLost
        | Code::Cancelled
        | Code::Trap
        | Code::CpuLimit
        | Code::MemoryLimit
        | Code::NoAnswer
        | Code::Backend
        | Code::Internal => Exit::Failed,
    }
}

/// What the lattice's own errors come to.
fn from_lattice(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(error) = cause.downcast_ref::<ConnectError>() {
        return Some(match error {
            ConnectError::Unreachable { .. } | ConnectError::NoJetStream { .. } => Exit::Unreachable,
            ConnectError::Tls { trouble: TlsTrouble::NotSpoken | TlsTrouble::Other, .. } => Exit::Unreachable,
            ConnectError::Refused { .. } | ConnectError::Tls { .. } => Exit::Refused,
            ConnectError::Configuration { .. } => Exit::Invalid,
        });
    }
    if let Some(error) = cause.downcast_ref::<RequestError>() {
        return Some(match error {
            RequestError::Disconnected(_) | RequestError::NoHost => Exit::Unreachable,
            RequestError::Timeout(_) => Exit::TimedOut,
            RequestError::Refused(refused) => match refused.code {
                ControlCode::Invalid => Exit::Invalid,
                ControlCode::NotFound => Exit::NotFound,
                ControlCode::Refused => Exit::Refused,
                ControlCode::Unavailable => Exit::Unreachable,
                ControlCode::Conflict | ControlCode::Internal => Exit::Failed,
            },
            RequestError::Malformed(_) => Exit::Failed,
        });
    }
    if let Some(error) = cause.downcast_ref::<StateError>() {
        return Some(match error {
            StateError::Disconnected(_) | StateError::Missing => Exit::Unreachable,
            StateError::Timeout => Exit::TimedOut,
            StateError::Refused(_) => Exit::Refused,
            _ => Exit::Failed,
        });
    }
    if let Some(error) = cause.downcast_ref::<ArtifactError>() {
        return Some(match error {
            ArtifactError::Disconnected(_) => Exit::Unreachable,
            ArtifactError::Timeout => Exit::TimedOut,
            ArtifactError::TooLarge(_) => Exit::Invalid,
            _ => Exit::Failed,
        });
    }
    cause.is::<Disconnected>().then_some(Exit::Unreachable)
}

/// What the person can do next, where one of the causes knows it.
pub(crate) fn hint(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(hint_of).filter(|hint| !hint.is_empty())
}

fn hint_of_tls(trouble: TlsTrouble) -> &'static str {
    match trouble {
        TlsTrouble::Authority => "name the authority that signed the server's certificate with --tls-ca FILE",
        TlsTrouble::Name => "name the server with --server by a name that its certificate is for",
        TlsTrouble::Date => "the server needs a new certificate; or is the clock of this machine wrong?",
        TlsTrouble::OurCertificate => {
            "the server wants to see a certificate that it believes: --tls-cert FILE and --tls-key FILE"
        }
        TlsTrouble::NotSpoken => "this server does not speak TLS: leave out --tls-ca, or configure `tls` in the server",
        TlsTrouble::Other => "what nats-server logs says more",
    }
}

fn hint_of<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return (!failure.hint.is_empty()).then_some(failure.hint.as_str());
    }
    match cause.downcast_ref::<ConnectError>() {
        Some(ConnectError::Unreachable { .. }) => {
            return Some("start a lattice with `meshctl up`, or name a running server with --server");
        }
        Some(ConnectError::NoJetStream { .. }) => {
            return Some("start nats-server with JetStream (`-js`, or `jetstream {}` in its configuration)");
        }
        Some(ConnectError::Refused { .. }) => return Some("name the credentials with --creds"),
        Some(ConnectError::Tls { trouble, .. }) => return Some(hint_of_tls(*trouble)),
        _ => {}
    }
    match cause.downcast_ref::<RequestError>() {
        Some(RequestError::NoHost) => Some(
            "is a meshd running in this lattice? `meshctl up` starts a development lattice, `meshctl doctor` looks",
        ),
        Some(RequestError::Timeout(_)) => Some("`meshctl doctor` looks what is wrong; --timeout waits longer"),
        Some(RequestError::Refused(refused)) => Some(refused.hint.as_str()),
        _ => None,
    }
}
