//! The one way to wait for what tells nobody: ask again and again, to a deadline.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Between two questions.
const EVERY: Duration = Duration::from_millis(20);

/// Asks until there is an answer, and says how long that took. A question that fails is asked again: what it said last
/// is in the error.
///
/// # Errors
///
/// Where there is no answer within `within`.
pub async fn eventually<T, F>(what: &str, within: Duration, mut ask: impl FnMut() -> F) -> Result<(T, Duration)>
where
    F: Future<Output = Result<Option<T>>>,
{
    let start = Instant::now();
    let mut last = String::from("it is not so");
    loop {
        match tokio::time::timeout(within.max(EVERY), ask()).await {
            Ok(Ok(Some(answer))) => return Ok((answer, start.elapsed())),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => last = "the question itself took too long".to_owned(),
        }
        if start.elapsed() > within {
            bail!("not within {within:?}: {what}: {last}");
        }
        tokio::time::sleep(EVERY).await;
    }
}
