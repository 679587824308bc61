//! What looks like a secret in a configuration, and what is shown in its place. Whoever shows configuration to people shows
//! it through this: reading a lattice needs nothing but its NATS credentials.

/// What stands in place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// Keys with one of these in them hold secrets, unless they name a file.
const SECRET: [&str; 7] = ["seed", "password", "passwd", "token", "secret", "jwt", "private"];

/// This value as it may be shown: complete, but for what looks like a secret.
#[must_use]
pub fn shown(key: &str, value: &str) -> String {
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
        let seed = format!("SU{}", "A2".repeat(28));
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
            assert_eq!(shown(key, value), seen, "{key}");
        }
    }
}
