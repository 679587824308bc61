//! Artifacts whose sections, nesting or token would be too much.

use data_encoding::BASE64URL_NOPAD;
use mesh_claims::{KeyKind, KeyPair, sign};
use wasm_encoder::Encode as _;

const COMPONENT: &[u8] = &[0, b'a', b's', b'm', 0x0d, 0, 1, 0];
const MODULE: &[u8] = &[0, b'a', b's', b'm', 1, 0, 0, 0];

/// A component that its issuer signed.
pub(super) fn honest() -> Vec<u8> {
    let issuer = KeyPair::generate(KeyKind::Account);
    let options = sign::SignOptions::new(KeyPair::generate(KeyKind::Actor));
    sign::component(COMPONENT, &issuer, &options).unwrap()
}

fn section(id: u8, data: &[u8]) -> Vec<u8> {
    let mut out = vec![id];
    data.encode(&mut out);
    out
}

fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    name.encode(&mut content);
    content.extend_from_slice(data);
    section(0, &content)
}

/// A component with this token.
fn with_token(token: &[u8]) -> Vec<u8> {
    [COMPONENT, &custom("jwt", token)].concat()
}

/// A component with a token of these claims.
fn with_claims(claims: &str) -> Vec<u8> {
    let header = BASE64URL_NOPAD.encode(br#"{"typ":"jwt","alg":"Ed25519"}"#);
    let claims = BASE64URL_NOPAD.encode(claims.as_bytes());
    with_token(format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&[7; 64])).as_bytes())
}

pub(super) fn bombs() -> Vec<(String, Vec<u8>)> {
    let mut all = sections();
    all.extend(tokens());
    all
}

fn sections() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for preamble in [COMPONENT, MODULE] {
        let kind = if preamble == MODULE { "module" } else { "component" };
        let mut add = |name: &str, rest: Vec<u8>| all.push((format!("{kind}: {name}"), [preamble, &rest].concat()));
        for id in 0..14u8 {
            add(&format!("section {id} of 4 GiB"), vec![id, 0xff, 0xff, 0xff, 0xff, 0x0f]);
            add(&format!("section {id} with 2^32 entries"), section(id, &[0xff, 0xff, 0xff, 0xff, 0x0f]));
            add(&format!("section {id} of zeros"), section(id, &vec![0; 100_000]));
        }
        add("100,000 empty custom sections", custom("", b"").repeat(100_000));
        add("100,000 tokens", custom("jwt", b"").repeat(100_000));
        add("a length of too many bytes", [&[0][..], &[0x80; 100]].concat());
        add("a custom name of 4 GiB", section(0, &[0xff, 0xff, 0xff, 0xff, 0x0f]));
    }
    for depth in [31, 32, 33, 200, 1_000] {
        let nested = (0..depth).fold(COMPONENT.to_vec(), |inner, _| [COMPONENT, &section(4, &inner)].concat());
        all.push((format!("components {depth} deep"), nested));
    }
    // Each nested one says that it goes on to the end: what is inside is told apart by the parser alone.
    let lying = [COMPONENT, &[4, 0xff, 0xff, 0x3f]].concat().repeat(20_000);
    all.push(("components that are longer than they are".to_owned(), [COMPONENT, &lying].concat()));
    all
}

fn tokens() -> Vec<(String, Vec<u8>)> {
    let claims = |rest: &str| format!(r#"{{"jti":"1","iat":5,"iss":"A","sub":"M","wascap_revision":3,{rest}}}"#);
    let many = |item: &str, count: usize| vec![item; count].join(",");
    let named: String = (0..4_000).map(|n| format!("\"{n}\":{{}},")).collect();
    let shaped = [
        ("arrays", "[".repeat(40_000)),
        ("closed arrays", format!("{}{}", "[".repeat(20_000), "]".repeat(20_000))),
        ("objects", r#"{"":"#.repeat(12_000)),
        ("numbers", format!("[{}]", many("0", 24_000))),
        ("empty objects", format!("[{}]", many("{}", 15_000))),
        ("one-field objects", format!("[{}]", many(r#"{"":0}"#, 6_500))),
        ("names", format!("{{{}\"x\":0}}", named)),
        ("a name twice", r#"{"a":1,"a":2}"#.to_owned()),
        ("a number without end", "9".repeat(45_000)),
        ("an exponent without end", format!("1e{}", "9".repeat(45_000))),
        ("escapes", format!("\"{}\"", r"\u0000".repeat(8_000))),
        ("half a surrogate", r#""\ud800""#.to_owned()),
        ("tags", claims(&format!(r#""wascap":{{"hash":"AB","tags":[{}]}}"#, many("\"\"", 15_000)))),
        ("deep tags", claims(&format!(r#""wascap":{{"hash":"AB","tags":{}"#, "[".repeat(40_000)))),
        ("a long hash", claims(&format!(r#""wascap":{{"hash":"{}"}}"#, "A".repeat(45_000)))),
        ("nothing", String::new()),
        ("text that is not finished", "\"".to_owned()),
    ];
    let mut all: Vec<_> =
        shaped.into_iter().map(|(name, json)| (format!("claims of {name}"), with_claims(&json))).collect();
    all.push(("a token of a mebibyte".to_owned(), with_token(&vec![b'a'; 1 << 20])));
    all.push(("a token of dots".to_owned(), with_token(&vec![b'.'; 60_000])));
    all.push(("a token that is not text".to_owned(), with_token(&vec![0xff; 60_000])));
    all
}
