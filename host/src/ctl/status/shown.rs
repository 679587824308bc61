//! Configuration as it is shown to whoever may look: complete, but for what looks like a secret. Reading needs nothing
//! but the lattice's NATS credentials, so what must stay among few is left out here, not where it is printed.

use std::collections::BTreeMap;

use mesh_lattice::{
    Name,
    application::{ConfigPart, Values},
};

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";

/// Keys with one of these in them hold secrets, unless they name a file.
const SECRET: [&str; 7] = ["seed", "password", "passwd", "token", "secret", "jwt", "private"];

/// A configuration put together from its parts. A shared one that is missing is told of by the state of what uses it.
pub(super) fn shown(shared: &BTreeMap<Name, Values>, parts: &[ConfigPart]) -> Values {
    let mut all = Values::new();
    for part in parts {
        match part {
            ConfigPart::Values(own) => all.extend(own.clone()),
            ConfigPart::Shared(name) => all.extend(shared.get(name).cloned().unwrap_or_default()),
        }
    }
    values(&all)
}

/// These values.
pub(super) fn values(values: &Values) -> Values {
    values.iter().map(|(key, value)| (key.clone(), value_of(key, value))).collect()
}

fn value_of(key: &str, value: &str) -> String {
    let speaks = |text: &str| SECRET.iter().any(|word| text.to_ascii_lowercase().contains(word));
    let file = key.to_ascii_lowercase().ends_with("file");
    let document = value.trim_start().starts_with(['{', '-']) && speaks(value);
    if (speaks(key) && !file) || document || is_seed(value.trim()) {
        return HIDDEN.to_owned();
    }
    value.split(',').map(without_password).collect::<Vec<_>>().join(",")
}

/// A seed as nkeys write it, in a place where nobody expects one.
fn is_seed(text: &str) -> bool {
    text.len() == 58 && text.starts_with('S') && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// `redis://user:password@host/` without the password; without the user too where he is all there is, which is a token.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return url.to_owned() };
    let after = rest.get(user.len()..).unwrap_or_default();
    match user.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:{HIDDEN}{after}"),
        None => format!("{scheme}://{HIDDEN}{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_left_out_and_the_rest_is_shown() {
        let seed = mesh_claims::KeyPair::generate(mesh_claims::KeyKind::User).seed();
        for (key, value, seen) in [
            ("listen", "127.0.0.1:8080", "127.0.0.1:8080"),
            ("bucket", "counters", "counters"),
            ("credentials_file", "/etc/kv.creds", "/etc/kv.creds"),
            ("token_file", "/etc/token", "/etc/token"),
            ("client_seed", "SUAB", HIDDEN),
            ("client_jwt", "eyJ0", HIDDEN),
            ("API_TOKEN", "x", HIDDEN),
            ("dbPassword", "x", HIDDEN),
            ("greeting", seed.as_str(), HIDDEN),
            ("config_json", r#"{"password": "x"}"#, HIDDEN),
            ("config_json", r#"{"port": 9000}"#, r#"{"port": 9000}"#),
            ("tls_key", "-----BEGIN PRIVATE KEY-----", HIDDEN),
            ("url", "redis://host:6379/3", "redis://host:6379/3"),
            ("url", "redis://user:hu@sh@host/3", "redis://user:(hidden)@host/3"),
            ("url", "nats://token@a:1,nats://u:p@b:2", "nats://(hidden)@a:1,nats://u:(hidden)@b:2"),
            ("url", "http://host/a@b", "http://host/a@b"),
        ] {
            assert_eq!(value_of(key, value), seen, "{key}");
        }
    }

    #[test]
    fn parts_are_put_together_later_ones_win() {
        let shared = BTreeMap::from([("s".parse().unwrap(), Values::from([("a".to_owned(), "1".to_owned())]))]);
        let own = Values::from([("a".to_owned(), "2".to_owned())]);
        let parts = [ConfigPart::Shared("s".parse().unwrap()), ConfigPart::Values(own.clone())];
        assert_eq!(shown(&shared, &parts), own);
        assert_eq!(shown(&shared, &[ConfigPart::Shared("missing".parse().unwrap())]), Values::new());
    }
}
