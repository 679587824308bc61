//! What nats-server's monitoring says about its configuration: `/varz`.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::Finding;
use crate::time;

/// No answer is larger.
const MAX_ANSWER: u64 = 4 << 20;
/// Clocks that differ by more than this, in seconds, make claims expire early or late.
const SKEW: u64 = 10;
/// A connection that answers nothing is to end within this time: hosts count on seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// How it ends within four.
const PINGS: &str = "set `ping_interval: 1s`, `ping_max: 2`";

/// Looks at the server's configuration.
pub(super) async fn look(monitor: Option<&str>, limit: Duration) -> Vec<Finding> {
    let Some(url) = monitor else {
        let advice =
            "nats-server shows its configuration where `http: 127.0.0.1:8222` is set; a context names it as `monitor`";
        return vec![Finding::warn(
            "monitor",
            "where its monitoring listens is not known: its settings are not checked",
            advice,
        )];
    };
    match timeout(limit, varz(url)).await {
        Ok(Ok(varz)) => vec![sync(&varz), pings(&varz), clock(&varz)],
        Ok(Err(error)) => {
            vec![Finding::warn("monitor", format!("{url}: {error:#}"), "look at nats-server's `http` setting")]
        }
        Err(_) => vec![Finding::warn(
            "monitor",
            format!("{url} does not answer within {limit:?}"),
            "look at nats-server's log",
        )],
    }
}

async fn varz(url: &str) -> anyhow::Result<Value> {
    let address = url.strip_prefix("http://").context("not an http:// address")?.trim_end_matches('/');
    let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
    let request = format!("GET /varz HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer).context("the answer is not text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "the answer is {:.60}", head.lines().next().unwrap_or_default());
    serde_json::from_str(body).context("the answer is not JSON")
}

fn sync(varz: &Value) -> Finding {
    match varz.pointer("/jetstream/config/sync_always").and_then(Value::as_bool) {
        Some(true) => Finding::ok("sync", "what JetStream acknowledges is on disk"),
        _ => Finding::warn(
            "sync",
            "what JetStream acknowledges may be lost when the machine loses power",
            "set `jetstream { sync_interval: always }`",
        ),
    }
}

fn pings(varz: &Value) -> Finding {
    let interval = varz.get("ping_interval").and_then(Value::as_u64);
    let out = varz.get("ping_max").and_then(Value::as_u64);
    let (Some(interval), Some(out)) = (interval, out) else {
        return Finding::warn("pings", "the server does not say how often it pings", PINGS);
    };
    // The first tick may find that something was heard since the last one, and the one after the last ping ends it.
    let ticks = u32::try_from(out.saturating_add(2)).unwrap_or(u32::MAX);
    let ends = Duration::from_nanos(interval).saturating_mul(ticks);
    let message = format!("a connection that answers nothing ends within {ends:?}, with what it still carries");
    if ends <= ENDS_WITHIN { Finding::ok("pings", message) } else { Finding::warn("pings", message, PINGS) }
}

fn clock(varz: &Value) -> Finding {
    let Some(server) = varz.get("now").and_then(Value::as_str).and_then(seconds) else {
        return Finding::warn("clock", "the server does not say what time it is", "");
    };
    let skew = server.abs_diff(time::now());
    if skew <= SKEW {
        return Finding::ok("clock", format!("this machine and the server differ by {skew} s at most"));
    }
    let advice = "let both follow a time server: claims and logs are judged by wall clocks";
    Finding::warn("clock", format!("this machine and the server differ by {skew} s"), advice)
}

/// Seconds since 1970 of a moment like `2026-11-22T20:02:40.123456789Z`.
fn seconds(text: &str) -> Option<u64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.split('.').next()?.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days before 1 March of the year, in years that begin in March (the inverse of `time::utc`).
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days.checked_sub(719_468)?) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Grade, *};

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        for at in [0, 951_782_400, 1_790_000_000, 4_102_444_799] {
            let text = time::utc(at).replace(" UTC", ".123Z").replacen(' ', "T", 1);
            assert_eq!(seconds(&text), Some(at), "{text}");
        }
        for bad in ["", "2026-11-22", "2026-13-01T00:00:00Z", "2026-11-22T00:00:00", "x-1-1T0:0:0Z"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn settings_are_graded() {
        let good = json!({
            "ping_interval": 1_000_000_000_u64, "ping_max": 2,
            "jetstream": { "config": { "sync_always": true } },
            "now": format!("{}Z", time::utc(time::now()).replace(" UTC", "").replacen(' ', "T", 1)),
        });
        assert_eq!((sync(&good).grade, pings(&good).grade, clock(&good).grade), (Grade::Ok, Grade::Ok, Grade::Ok));
        let bad = json!({
            "ping_interval": 120_000_000_000_u64, "ping_max": 2,
            "jetstream": { "config": {} },
            "now": "2020-01-01T00:00:00Z",
        });
        assert_eq!((sync(&bad).grade, pings(&bad).grade, clock(&bad).grade), (Grade::Warn, Grade::Warn, Grade::Warn));
    }
}
