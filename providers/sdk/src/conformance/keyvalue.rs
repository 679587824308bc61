//! `wasi:keyvalue` as every backend serves it. [`run`] is the whole suite; it wants a provider with an empty backend.

mod client;
mod draft2;

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use futures::future::try_join_all;
use mesh_lattice::{
    Code, LinkName,
    application::Values as Config,
    wit::{
        Outcome,
        keyvalue::{Error, operation},
    },
};
use serde_bytes::ByteBuf;

pub use self::client::Client;
use self::client::{Called, STORE, done};
use super::{Failure, check};
use crate::{End, Provider, ProviderLink};

/// What every backend answers, line by line.
pub const TRANSCRIPT: &str = include_str!("keyvalue.txt");

/// What is particular to the backend under test.
#[derive(Debug, Clone)]
pub struct Backend {
    /// The configuration of a link to it; `bucket` is added.
    pub config: Config,
    /// The largest value that it takes.
    pub value_limit: usize,
}

/// Runs the whole suite and returns what [`transcript`] saw.
///
/// # Errors
///
/// The first thing that was otherwise than it should be.
pub async fn run(provider: Arc<dyn Provider>, backend: &Backend) -> Result<String, Failure> {
    refuses_who_has_no_link(&provider, backend).await?;
    let seen = transcript(&provider, backend).await?;
    check(seen == TRANSCRIPT, || format!("the transcript differs:\n{}", difference(TRANSCRIPT, &seen)))?;
    lists_ten_thousand_keys(&provider, backend).await?;
    counts_eight_clients_exactly(&provider, backend).await?;
    keeps_values_up_to_its_limit(&provider, backend).await?;
    draft2::swaps_exactly(&provider, backend).await?;
    Ok(seen)
}

async fn refuses_who_has_no_link(provider: &Arc<dyn Provider>, backend: &Backend) -> Result<(), Failure> {
    let stranger = Client::without_link(provider, "stranger")?;
    let denied = |code: Option<Code>| check(code == Some(Code::Denied), || format!("a stranger gets {code:?}"));
    denied(stranger.get("k").await.err().map(|error| error.code))?;
    denied(stranger.set("k", b"v").await.err().map(|error| error.code))?;
    denied(stranger.increment("k", 1).await.err().map(|error| error.code))?;
    denied(stranger.delete_many(&["k".to_owned()]).await.err().map(|error| error.code))?;

    let friend = Client::linked(provider, "friend", "refusal", backend).await?;
    check(done(friend.get("k").await)?.is_none(), || "a refused caller has written".into())?;
    let link = ProviderLink {
        end: End::Target,
        peer: "friend".parse()?,
        name: LinkName::default(),
        interfaces: vec!["wasi:keyvalue".parse()?],
        config: Config::new(),
        timeout: None,
    };
    provider.delete_link(&link.id()).await;
    denied(friend.get("k").await.err().map(|error| error.code))
}

/// Keys that some backend or other would stumble over.
fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "",
        " ",
        ".",
        "..",
        "a.b",
        ".a",
        "a.",
        "a..b",
        "*",
        ">",
        "a.*",
        "a.>",
        "a b",
        " a",
        "$",
        "$KV",
        "/",
        "a/b",
        "=",
        "=m=a",
        "=m==",
        "%20",
        "a:b",
        "A",
        "a",
        "_",
        "-",
        "\u{0}",
        "\n",
        "a\r\nb",
        "ключ",
        "日本語",
        "🦀",
        "\\",
        "'",
        "\"",
        "{}",
        "\u{feff}",
    ]
    .map(str::to_owned)
    .into();
    keys.push("k".repeat(1024));
    keys.push("é".repeat(512));
    keys.push("a.".repeat(511) + "a");
    keys
}

/// A fixed script of operations, each with what came of it.
///
/// # Errors
///
/// Where an operation could not be called at all.
pub async fn transcript(provider: &Arc<dyn Provider>, backend: &Backend) -> Result<String, Failure> {
    let client = Client::linked(provider, "script", "script", backend).await?;
    let mut seen = String::new();
    one_key(&client, &mut seen).await;
    counters(&client, &mut seen).await;
    batches(&client, &mut seen).await;
    buckets(&client, &mut seen).await;
    keys_that_are_odd(&client.opened("odd"), &mut seen).await?;
    limits(&client, &mut seen).await;
    draft2::script(&client.opened("later"), &mut seen).await?;
    Ok(seen)
}

fn note<T: std::fmt::Debug>(seen: &mut String, what: &str, called: Called<T>) {
    let result = match called {
        Ok(Outcome::Ok(value)) => format!("{value:?}"),
        Ok(Outcome::Err(error)) => format!("error {error:?}"),
        Err(error) => format!("failed {}", error.code),
    };
    // Writing to a string does not fail.
    let _ = writeln!(seen, "{what} -> {result}");
}

async fn one_key(client: &Client, seen: &mut String) {
    note(seen, "get a", client.get("a").await);
    note(seen, "exists a", client.exists("a").await);
    note(seen, "delete a", client.delete("a").await);
    note(seen, "set a", client.set("a", b"one").await);
    note(seen, "get a", client.get("a").await);
    note(seen, "exists a", client.exists("a").await);
    note(seen, "set a", client.set("a", b"\x00\xff").await);
    note(seen, "get a", client.get("a").await);
    note(seen, "set empty", client.set("empty", b"").await);
    note(seen, "get empty", client.get("empty").await);
    note(seen, "exists empty", client.exists("empty").await);
    note(seen, "delete a", client.delete("a").await);
    note(seen, "get a", client.get("a").await);
    note(seen, "exists a", client.exists("a").await);
    note(seen, "set a", client.set("a", b"again").await);
    note(seen, "get a", client.get("a").await);
}

async fn counters(client: &Client, seen: &mut String) {
    note(seen, "increment n 1", client.increment("n", 1).await);
    note(seen, "increment n 41", client.increment("n", 41).await);
    note(seen, "increment n 0", client.increment("n", 0).await);
    note(seen, "get n", client.get("n").await);
    note(seen, "set n", client.set("n", b"7").await);
    note(seen, "increment n 1", client.increment("n", 1).await);
    note(seen, "delete n", client.delete("n").await);
    note(seen, "increment n 5", client.increment("n", 5).await);
    note(seen, "increment a 1", client.increment("a", 1).await);
    note(seen, "get a", client.get("a").await);
    note(seen, "increment empty 1", client.increment("empty", 1).await);
    note(seen, "increment zero 0", client.increment("zero", 0).await);
    note(seen, "get zero", client.get("zero").await);
}

async fn batches(client: &Client, seen: &mut String) {
    let names = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let pair = |key: &str, value: &[u8]| (key.to_owned(), ByteBuf::from(value));
    note(seen, "set-many", client.set_many(&[]).await);
    note(seen, "set-many x y x", client.set_many(&[pair("x", b"1"), pair("y", b"2"), pair("x", b"3")]).await);
    note(seen, "get-many", client.get_many(&[]).await);
    note(seen, "get-many y none x y", client.get_many(&names(&["y", "none", "x", "y"])).await);
    note(seen, "delete-many none x", client.delete_many(&names(&["none", "x"])).await);
    note(seen, "get-many x y", client.get_many(&names(&["x", "y"])).await);
    let mut page = client.list_keys(None).await;
    if let Ok(Outcome::Ok(page)) = &mut page {
        page.keys.sort();
    }
    note(seen, "list-keys", page);
}

async fn buckets(client: &Client, seen: &mut String) {
    note(seen, "open", client.open("").await);
    note(seen, "open other", client.open("other").await);
    let other = client.opened("other");
    note(seen, "other: get a", other.get("a").await);
    note(seen, "other: list-keys", other.list_keys(None).await);
    note(seen, "other: set a", other.set("a", b"other").await);
    note(seen, "other: get a", other.get("a").await);
    note(seen, "get a", client.get("a").await);
    note(seen, "default: get a", client.opened("default").get("a").await);
    note(seen, "script: get a", client.opened("script").get("a").await);
}

async fn keys_that_are_odd(client: &Client, seen: &mut String) -> Result<(), Failure> {
    let keys = odd_keys();
    for key in &keys {
        done(client.set(key, key.as_bytes()).await).map_err(|failure| about(key, failure))?;
    }
    let mut intact = 0;
    for key in &keys {
        let value = done(client.get(key).await).map_err(|failure| about(key, failure))?;
        check(value.as_deref().map(Vec::as_slice) == Some(key.as_bytes()), || {
            format!("{key:?} holds another's value")
        })?;
        intact += 1;
    }
    let listed: BTreeSet<String> = client.all_keys().await?.into_iter().collect();
    let expected: BTreeSet<String> = keys.iter().cloned().collect();
    check(listed == expected, || {
        format!("odd keys are not listed as they are: {:?}", listed.symmetric_difference(&expected))
    })?;
    let _ = writeln!(seen, "odd keys -> {intact} intact, {} listed", listed.len());
    for key in &keys {
        done(client.delete(key).await).map_err(|failure| about(key, failure))?;
    }
    note(seen, "odd: list-keys", client.list_keys(None).await);
    Ok(())
}

async fn limits(client: &Client, seen: &mut String) {
    let long = "k".repeat(1025);
    note(seen, "get a long key", client.get(&long).await);
    note(seen, "set a long key", client.set(&long, b"").await);
    let many = vec![String::new(); 10_001];
    note(seen, "get-many too many", client.get_many(&many).await.map(|_| Outcome::<(), Error>::Ok(())));
    let unknown: Result<Outcome<(), Error>, _> = client.call(STORE, "[method]bucket.swap", &(client.handle(),)).await;
    note(seen, "an unknown function", unknown);
    let wrong: Result<Outcome<(), Error>, _> = client.call(STORE, operation::SET, &(client.handle(), 7)).await;
    note(seen, "wrong parameters", wrong);
}

fn about(key: &str, failure: Failure) -> Failure {
    Failure(format!("key {:?}: {failure}", key.chars().take(40).collect::<String>()))
}

async fn lists_ten_thousand_keys(provider: &Arc<dyn Provider>, backend: &Backend) -> Result<(), Failure> {
    const KEYS: usize = 10_000;
    let client = Client::linked(provider, "lister", "many", backend).await?;
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key.{number}")).collect();
    for part in keys.chunks(1_000) {
        let pairs: Vec<_> = part.iter().map(|key| (key.clone(), ByteBuf::from(*b"v"))).collect();
        done(client.set_many(&pairs).await)?;
    }
    let listed = client.all_keys().await?;
    check(listed.len() == KEYS, || format!("{} keys are listed, not {KEYS}", listed.len()))?;
    let distinct: BTreeSet<&String> = listed.iter().collect();
    check(distinct.len() == KEYS, || "keys are listed twice".into())?;

    // Who deletes what he lists comes to an empty bucket: no key slips through between two pages.
    let mut cursor = None;
    loop {
        let page = done(client.list_keys(cursor).await)?;
        done(client.delete_many(&page.keys).await)?;
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let left = client.all_keys().await?;
    check(left.is_empty(), || format!("{} keys are left after all that were listed were deleted", left.len()))
}

async fn counts_eight_clients_exactly(provider: &Arc<dyn Provider>, backend: &Backend) -> Result<(), Failure> {
    const CLIENTS: u64 = 8;
    const EACH: u64 = 1_000;
    let client = Client::linked(provider, "counter", "counters", backend).await?;
    let count = || async {
        let mut answers = Vec::new();
        for _ in 0..EACH {
            answers.push(done(client.increment("hits", 1).await)?);
        }
        Ok::<_, Failure>(answers)
    };
    let answers: BTreeSet<u64> = try_join_all((0..CLIENTS).map(|_| count())).await?.into_iter().flatten().collect();
    check(answers.into_iter().eq(1..=CLIENTS * EACH), || {
        "two increments got the same answer, or one is missing".into()
    })?;
    let value = done(client.get("hits").await)?;
    let expected = (CLIENTS * EACH).to_string();
    check(value.as_deref().map(Vec::as_slice) == Some(expected.as_bytes()), || {
        format!("the counter stands at {value:?}")
    })
}

async fn keeps_values_up_to_its_limit(provider: &Arc<dyn Provider>, backend: &Backend) -> Result<(), Failure> {
    let client = Client::linked(provider, "large", "large", backend).await?;
    let most = vec![0xa5; backend.value_limit];
    done(client.set("most", &most).await)?;
    let read = done(client.get("most").await)?;
    check(read.as_deref().map(Vec::as_slice) == Some(&most), || "the largest value is not read as it was".into())?;
    let more = vec![0; backend.value_limit + 1];
    for (what, code) in [
        ("set", client.set("more", &more).await.err().map(|error| error.code)),
        ("set-many", client.set_many(&[("more".into(), ByteBuf::from(more.clone()))]).await.err().map(|e| e.code)),
    ] {
        check(code == Some(Code::TooLarge), || format!("{what} of a value above the limit gets {code:?}"))?;
    }
    check(!done(client.exists("more").await)?, || "a value above the limit was kept".into())?;
    done(client.delete("most").await)
}

/// The first line in which two texts differ.
fn difference(expected: &str, seen: &str) -> String {
    let seen_all = seen;
    let lines = expected.lines().chain(std::iter::repeat("")).zip(seen.lines().chain(std::iter::repeat("")));
    let most = expected.lines().count().max(seen.lines().count());
    match lines.take(most).find(|(one, other)| one != other) {
        Some((expected, seen)) => format!("expected {expected}\nseen     {seen}\nall that was seen:\n{seen_all}"),
        None => String::new(),
    }
}
