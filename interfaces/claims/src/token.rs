//! The token: a JWT signed by its issuer's nkey, in the form that the artifacts which exist already carry.
//!
//! Read strictly: three parts without padding, the one header that there is, no field twice at any depth, revision 3.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use mesh_lattice::id::{AccountId, ActorId, ProviderId};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};

use crate::{
    keys::{self, KeyPair},
    refusal::{Refusal, RefusalCode},
};

/// The only revision of the claims that is read and written.
const REVISION: u64 = 3;
/// No token that anybody writes is near this.
const MAX_TOKEN: usize = 64 << 10;
const HEADER: &str = r#"{"typ":"jwt","alg":"Ed25519"}"#;

/// Whom the claims are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An actor.
    Actor(ActorId),
    /// A provider.
    Provider(ProviderId),
}

impl Subject {
    /// The public key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Actor(id) => id.as_str(),
            Self::Provider(id) => id.as_str(),
        }
    }
}

/// What an issuer says about an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who says it.
    pub issuer: AccountId,
    /// Whom it is about.
    pub subject: Subject,
    /// A name for people.
    pub name: Option<String>,
    /// SHA-256 of the artifact without the token's section, upper-case hexadecimal.
    pub hash: String,
    /// The artifact's revision; 0 where it has none.
    pub revision: i64,
    /// The artifact's version, for people.
    pub version: Option<String>,
    /// Words that the issuer put on it.
    pub tags: Vec<String>,
    /// A short name that callers may use.
    pub call_alias: Option<String>,
    /// When it was said, in seconds since 1970.
    pub issued_at: u64,
    /// From when it holds.
    pub not_before: Option<u64>,
    /// Until when it holds.
    pub expires: Option<u64>,
    /// Tells this token from every other.
    pub id: String,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    jti: String,
    iat: u64,
    iss: String,
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    wascap: Metadata,
    wascap_revision: u64,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_alias: Option<String>,
    #[serde(default)]
    prov: bool,
}

/// Writes and signs the token. The issuer of the claims is the key that signs.
pub(crate) fn write(claims: &Claims, issuer: &KeyPair) -> Result<String, serde_json::Error> {
    let payload = Payload {
        jti: claims.id.clone(),
        iat: claims.issued_at,
        iss: issuer.public(),
        sub: claims.subject.as_str().to_owned(),
        exp: claims.expires,
        nbf: claims.not_before,
        wascap: Metadata {
            name: claims.name.clone(),
            hash: claims.hash.clone(),
            tags: Some(claims.tags.clone()),
            rev: i32::try_from(claims.revision).ok(),
            ver: claims.version.clone(),
            call_alias: claims.call_alias.clone(),
            prov: matches!(claims.subject, Subject::Provider(_)),
        },
        wascap_revision: REVISION,
    };
    let payload = serde_json::to_vec(&payload)?;
    let signed = format!("{}.{}", BASE64URL_NOPAD.encode(HEADER.as_bytes()), BASE64URL_NOPAD.encode(&payload));
    let signature = issuer.sign(signed.as_bytes());
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// Reads the token and checks that its issuer signed it.
pub(crate) fn read(token: &[u8]) -> Result<Claims, Refusal> {
    let token = std::str::from_utf8(token).map_err(|_| Refusal::malformed("the token is not text"))?;
    if token.len() > MAX_TOKEN {
        return Err(Refusal::malformed("the token is larger than any token is"));
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err(Refusal::malformed("the token does not have three parts"));
    };
    check_header(header)?;
    let payload: Payload = json(payload, "claims")?;
    if payload.wascap_revision != REVISION {
        let found = payload.wascap_revision;
        return Err(Refusal::malformed(format!("claims of revision {found}; only revision {REVISION} is accepted")));
    }
    let claims = claims(payload)?;
    let signature = decode(signature, "signature")?;
    let signed = token.rsplit_once('.').map_or("", |(signed, _)| signed);
    keys::verify(claims.issuer.as_str(), signed.as_bytes(), &signature)
        .map_err(|_| Refusal::tampered(format!("the claims are not signed by {}", claims.issuer)))?;
    Ok(claims)
}

fn check_header(header: &str) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Header {
        typ: String,
        alg: String,
    }
    let header: Header = json(header, "header")?;
    if header.typ != "jwt" || header.alg != "Ed25519" {
        return Err(Refusal::malformed("the token is not a jwt signed with Ed25519"));
    }
    Ok(())
}

fn claims(payload: Payload) -> Result<Claims, Refusal> {
    let wrong_kind = |what: &str| Refusal::new(RefusalCode::WrongKind, what.to_owned());
    let issuer = payload.iss.parse().map_err(|_| wrong_kind("the issuer is not an account's key (A...)"))?;
    let subject = match (payload.sub.parse(), payload.sub.parse()) {
        (Ok(actor), _) => Subject::Actor(actor),
        (_, Ok(provider)) => Subject::Provider(provider),
        _ => return Err(wrong_kind("the subject is neither an actor's key (M...) nor a provider's (V...)")),
    };
    if payload.wascap.prov && matches!(subject, Subject::Actor(_)) {
        return Err(wrong_kind("the subject is an actor's key and the claims say that it is a provider"));
    }
    Ok(Claims {
        issuer,
        subject,
        name: payload.wascap.name,
        hash: payload.wascap.hash,
        revision: payload.wascap.rev.map_or(0, i64::from),
        version: payload.wascap.ver,
        tags: payload.wascap.tags.unwrap_or_default(),
        call_alias: payload.wascap.call_alias,
        issued_at: payload.iat,
        not_before: payload.nbf,
        expires: payload.exp,
        id: payload.jti,
    })
}

fn decode(part: &str, what: &str) -> Result<Vec<u8>, Refusal> {
    BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| Refusal::malformed(format!("the token's {what} is not base64url without padding")))
}

/// Reads a part of the token as strict JSON: no object has a field twice.
fn json<T: DeserializeOwned>(part: &str, what: &str) -> Result<T, Refusal> {
    let bytes = decode(part, what)?;
    let refused = |error| Refusal::malformed(format!("the token's {what} cannot be read as strict JSON: {error}"));
    let Strict = serde_json::from_slice(&bytes).map_err(refused)?;
    serde_json::from_slice(&bytes).map_err(refused)
}

/// JSON in which no object has a field twice: two readers who differ in which one they take would read two tokens.
/// Nothing of it is kept, whatever it holds.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrictVisitor;

        impl<'de> Visitor<'de> for StrictVisitor {
            type Value = Strict;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Strict, E> {
                Ok(Strict)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
                Ok(Strict)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
                Ok(Strict)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
                Ok(Strict)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
                Ok(Strict)
            }

            fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
                Ok(Strict)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
                while let Some(Strict) = items.next_element()? {}
                Ok(Strict)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Strict, A::Error> {
                let mut names = BTreeSet::new();
                while let Some((name, Strict)) = fields.next_entry::<String, _>()? {
                    if let Some(twice) = names.replace(name) {
                        return Err(A::Error::custom(format!("the field {twice:.60?} stands twice")));
                    }
                }
                Ok(Strict)
            }
        }

        deserializer.deserialize_any(StrictVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyKind;

    fn signed(header: &str, payload: &str, issuer: &KeyPair) -> Vec<u8> {
        let signed =
            format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(payload.as_bytes()));
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes()))).into_bytes()
    }

    fn payload(issuer: &str, subject: &str, rest: &str) -> String {
        format!(
            r#"{{"jti":"1","iat":5,"iss":"{issuer}","sub":"{subject}","wascap":{{"hash":"AB"}},"wascap_revision":3{rest}}}"#
        )
    }

    #[test]
    fn everything_that_is_not_strict_is_refused_by_its_code() {
        let issuer = KeyPair::generate(KeyKind::Account);
        let account = issuer.public();
        let actor = KeyPair::generate(KeyKind::Actor).public();
        let user = KeyPair::generate(KeyKind::User);
        let good = payload(&account, &actor, "");
        let revision = |number: &str| good.replace("\"wascap_revision\":3", number);
        let table = [
            (r#"{"typ":"jwt","alg":"none"}"#, good.clone(), RefusalCode::Malformed),
            (r#"{"typ":"jwt","alg":"ed25519"}"#, good.clone(), RefusalCode::Malformed),
            (r#"{"typ":"jwt","alg":"none","alg":"Ed25519"}"#, good.clone(), RefusalCode::Malformed),
            (r#"{"typ":"jwt"}"#, good.clone(), RefusalCode::Malformed),
            (HEADER, revision("\"wascap_revision\":2"), RefusalCode::Malformed),
            (HEADER, revision("\"x\":1"), RefusalCode::Malformed),
            (HEADER, payload(&account, &actor, r#","exp":1,"exp":2"#), RefusalCode::Malformed),
            (HEADER, payload(&account, &actor, r#","later":{"a":1,"a":2}"#), RefusalCode::Malformed),
            (HEADER, payload(&account, &actor, r#","exp":-1"#), RefusalCode::Malformed),
            (HEADER, payload(&account, &actor, r#","exp":"never""#), RefusalCode::Malformed),
            (HEADER, format!("{good} x"), RefusalCode::Malformed),
            (HEADER, payload(&account, &user.public(), ""), RefusalCode::WrongKind),
            (HEADER, payload(&account, "test.wasm", ""), RefusalCode::WrongKind),
            (HEADER, payload(&user.public(), &actor, ""), RefusalCode::WrongKind),
            (HEADER, good.replace(r#""hash""#, r#""prov":true,"hash""#), RefusalCode::WrongKind),
        ];
        for (header, payload, code) in table {
            assert_eq!(read(&signed(header, &payload, &issuer)).unwrap_err().code, code, "{header} {payload}");
        }
        assert_eq!(read(&signed(HEADER, &good, &user)).unwrap_err().code, RefusalCode::Tampered);
        assert!(read(&signed(HEADER, &good, &issuer)).is_ok());
        assert!(read(&signed(HEADER, &payload(&account, &actor, r#","later":{"a":[1]}"#), &issuer)).is_ok());
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_read() {
        let issuer = KeyPair::generate(KeyKind::Account);
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(read(&signed(HEADER, &deep, &issuer)).unwrap_err().code, RefusalCode::Malformed);
        assert_eq!(read(&vec![b'A'; MAX_TOKEN + 1]).unwrap_err().code, RefusalCode::Malformed);
    }
}
