//! Which subjects can be published to and subscribed to. Pure.

use mesh_lattice::subject::is_reserved;

/// The longest subject: a protocol line of NATS has 4,096 bytes, and two subjects stand in one.
const LONGEST: usize = 1_024;

/// The shortest name of an inbox that nobody can guess: clients of NATS use 22 random characters.
const UNGUESSABLE: usize = 20;

/// Why nothing can be sent or received there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSubject {
    /// Not the form of a subject.
    #[error("{0:?} is no subject: words of visible characters between dots")]
    Form(String),
    /// A subject that hosts or the server use themselves.
    #[error("{0:?} belongs to the mesh or to NATS itself")]
    Reserved(String),
}

fn is_formed(subject: &str, token: impl Fn(&str, bool) -> bool) -> bool {
    let mut tokens = subject.split('.').peekable();
    let mut formed = !subject.is_empty() && subject.len() <= LONGEST;
    while let Some(each) = tokens.next() {
        let visible = |c: char| !c.is_whitespace() && !c.is_control();
        formed &= !each.is_empty() && each.chars().all(visible) && token(each, tokens.peek().is_none());
    }
    formed
}

/// Whether an actor may publish to it.
///
/// # Errors
///
/// Where it is no subject, one with wildcards, or one that is not for actors.
pub fn publishable(subject: &str) -> Result<(), BadSubject> {
    if !is_formed(subject, |token, _| !matches!(token, "*" | ">")) {
        return Err(BadSubject::Form(subject.to_owned()));
    }
    if is_reserved(subject) && !is_given_inbox(subject) {
        return Err(BadSubject::Reserved(subject.to_owned()));
    }
    Ok(())
}

/// Whether a link may subscribe to it.
///
/// # Errors
///
/// Where it is no subject, or one that would see what is not for actors.
pub fn subscribable(subject: &str) -> Result<(), BadSubject> {
    if !is_formed(subject, |token, last| token != ">" || last) {
        return Err(BadSubject::Form(subject.to_owned()));
    }
    if is_reserved(subject) { Err(BadSubject::Reserved(subject.to_owned())) } else { Ok(()) }
}

/// Whether it is an inbox whose name nobody can guess.
fn is_given_inbox(subject: &str) -> bool {
    let name = subject.strip_prefix("_INBOX.").and_then(|rest| rest.split('.').next());
    name.is_some_and(|name| name.len() >= UNGUESSABLE && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_publish_to_subjects_of_their_own_and_answer_where_they_were_asked() {
        for subject in ["orders", "orders.new", "é.ü", "_INBOX.ABCDEFGHIJKLMNOPQRSTUV.abc", "a>b", "_INBOXES.a"] {
            assert_eq!(publishable(subject), Ok(()), "{subject}");
        }
        for subject in ["", ".", "a.", ".a", "a..b", "a b", "a\r\nPUB x", "a.*", "a.>", "*", ">", &"a".repeat(1025)] {
            assert_eq!(publishable(subject), Err(BadSubject::Form(subject.to_owned())), "{subject}");
        }
        let guessable = ["_INBOX.a", "_INBOX", "_INBOX.ABCDEFGHIJKLMNOPQRS", "_INBOX.abcdefgh-jklmnopqrstuv"];
        let mesh = ["mesh", "mesh.default.ctl.apply", "$JS.API.STREAM.DELETE.X", "$SYS.REQ.SERVER.PING", "$KV.b.k"];
        for subject in guessable.into_iter().chain(mesh) {
            assert_eq!(publishable(subject), Err(BadSubject::Reserved(subject.to_owned())), "{subject}");
        }
    }

    #[test]
    fn links_subscribe_to_what_cannot_see_the_traffic_of_others() {
        for subject in ["orders", "orders.*", "orders.>", "orders.*.new"] {
            assert_eq!(subscribable(subject), Ok(()), "{subject}");
        }
        for subject in ["", "a.>.b", "a b"] {
            assert_eq!(subscribable(subject), Err(BadSubject::Form(subject.to_owned())), "{subject}");
        }
        let inbox = "_INBOX.ABCDEFGHIJKLMNOPQRSTUV";
        for subject in [">", "*", "*.a", "mesh.>", "$JS.>", "_INBOX.>", inbox] {
            assert_eq!(subscribable(subject), Err(BadSubject::Reserved(subject.to_owned())), "{subject}");
        }
    }
}
