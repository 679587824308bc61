//! The part of the suite that only the later draft of `wasi:keyvalue` has.

use std::sync::Arc;

use futures::future::try_join_all;
use mesh_lattice::wit::{
    Outcome,
    keyvalue::{CasError, KeyResponse2, operation},
};
use serde_bytes::{ByteBuf, Bytes};

use super::{Backend, Client, Failure, check, client::Called, client::done, note};
use crate::Provider;

const STORE: &str = "wasi:keyvalue/store@0.2.0-draft2";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft2";

/// The same client, speaking the later draft.
struct Later<'a>(&'a Client);

impl Later<'_> {
    async fn list_keys(&self, cursor: Option<&str>) -> Called<KeyResponse2> {
        self.0.call(STORE, operation::LIST_KEYS, &(self.0.handle(), cursor)).await
    }

    async fn increment(&self, key: &str, delta: i64) -> Called<i64> {
        self.0.call(ATOMICS, operation::INCREMENT, &(self.0.handle(), key, delta)).await
    }

    async fn cas(&self, key: &str) -> Result<ByteBuf, Failure> {
        done(self.0.call(ATOMICS, operation::CAS_NEW, &(self.0.handle(), key)).await)
    }

    async fn current(&self, cas: &ByteBuf) -> Called<Option<ByteBuf>> {
        self.0.call(ATOMICS, operation::CAS_CURRENT, &(cas,)).await
    }

    /// The handle for the next attempt, where somebody wrote in between.
    async fn swap(&self, cas: &ByteBuf, value: &[u8]) -> Result<Option<ByteBuf>, Failure> {
        match self.0.call(ATOMICS, operation::SWAP, &(cas, Bytes::new(value))).await? {
            Outcome::Ok(()) => Ok(None),
            Outcome::Err(CasError::CasFailed(next)) => Ok(Some(next)),
            Outcome::Err(CasError::StoreError(error)) => Err(Failure(format!("a swap failed: {error:?}"))),
        }
    }
}

pub(super) async fn script(client: &Client, seen: &mut String) -> Result<(), Failure> {
    let later = Later(client);
    note(seen, "later: increment n -3", later.increment("n", -3).await);
    note(seen, "later: increment n 5", later.increment("n", 5).await);
    note(seen, "later: get n", client.get("n").await);
    note(seen, "later: increment n 2^63-1", later.increment("n", i64::MAX).await);
    note(seen, "later: list-keys", later.list_keys(None).await);
    note(seen, "later: list-keys nonsense", later.list_keys(Some("nonsense")).await);
    note(
        seen,
        "later: get",
        client.call::<_, Outcome<Option<ByteBuf>, _>>(STORE, operation::GET, &(client.handle(), "n")).await,
    );

    let absent = later.cas("c").await?;
    note(seen, "later: current c", later.current(&absent).await);
    let won = later.swap(&absent, b"1").await?;
    note(seen, "later: swap absent c", Ok(Outcome::Ok(won.is_none())));
    let Some(next) = later.swap(&absent, b"2").await? else {
        return Err(Failure("one handle swapped twice".into()));
    };
    note(seen, "later: current c", later.current(&next).await);
    done(client.set("c", b"3").await)?;
    let Some(next) = later.swap(&next, b"4").await? else {
        return Err(Failure("a swap overwrote what was written in between".into()));
    };
    note(seen, "later: current c", later.current(&next).await);
    let won = later.swap(&next, b"5").await?;
    note(seen, "later: swap c", Ok(Outcome::Ok(won.is_none())));
    let deleted = later.cas("c").await?;
    done(client.delete("c").await)?;
    let lost = later.swap(&deleted, b"6").await?;
    note(seen, "later: swap deleted c", Ok(Outcome::Ok(lost.is_none())));
    note(seen, "later: get c", client.get("c").await);
    let forged: Called<()> = client.call(ATOMICS, operation::SWAP, &(Bytes::new(b"forged"), Bytes::new(b"7"))).await;
    note(seen, "later: swap a forged handle", forged);
    Ok(())
}

/// Eight clients that add by compare-and-swap lose nothing.
pub(super) async fn swaps_exactly(provider: &Arc<dyn Provider>, backend: &Backend) -> Result<(), Failure> {
    const CLIENTS: u32 = 8;
    const EACH: u32 = 25;
    let client = &Client::linked(provider, "swapper", "swaps", backend).await?;
    let add = |_| async move {
        let later = Later(client);
        for _ in 0..EACH {
            let mut cas = later.cas("sum").await?;
            loop {
                let text = done(later.current(&cas).await)?.map_or_else(Default::default, ByteBuf::into_vec);
                let sum = String::from_utf8_lossy(&text).parse::<u32>().unwrap_or(0) + 1;
                match later.swap(&cas, sum.to_string().as_bytes()).await? {
                    None => break,
                    Some(next) => cas = next,
                }
            }
        }
        Ok::<_, Failure>(())
    };
    try_join_all((0..CLIENTS).map(add)).await?;
    let sum = done(client.get("sum").await)?;
    let expected = (CLIENTS * EACH).to_string();
    check(sum.as_deref().map(Vec::as_slice) == Some(expected.as_bytes()), || format!("the sum stands at {sum:?}"))
}
