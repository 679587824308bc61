//! Writes down that it was called. Each effect is one atomic increment of a key that names the request and the
//! moment, so that a second effect of the same request shows however close it follows.
//!
//! | request | does |
//! |---|---|
//! | `POST /ID?work=MS` | works for so long, then makes the effect |
//! | `GET /entries?N` | lists the effects from cursor `N` on: the next cursor or `end`, then `KEY COUNT` lines |
//! | any other | nothing |

use mesh_guests::{IncomingRequest, ResponseOutparam, answer, clocks::wall_clock, http::types::Method, path, sleep};
use wasmcloud_component::wasi::keyvalue::{atomics, store};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let path = path(&request);
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    let done = match (request.method(), path.trim_start_matches('/')) {
        (Method::Post, id) => enter(id, query),
        (_, "entries") => entries(query),
        _ => Ok("ready".to_owned()),
    };
    match done {
        Ok(text) => answer(out, 200, text.as_bytes()),
        Err(error) => answer(out, 502, format!("{error:?}").as_bytes()),
    }
}

fn enter(id: &str, query: &str) -> Result<String, store::Error> {
    if let Some(work) = query.strip_prefix("work=").and_then(|work| work.parse().ok()).filter(|work| *work > 0) {
        sleep(work);
    }
    let bucket = store::open("")?;
    let now = wall_clock::now();
    let moment = now.seconds * 1_000 + u64::from(now.nanoseconds) / 1_000_000;
    atomics::increment(&bucket, &format!("{id}-{moment}"), 1).map(|count| count.to_string())
}

fn entries(cursor: &str) -> Result<String, store::Error> {
    let bucket = store::open("")?;
    let page = bucket.list_keys(cursor.parse().ok())?;
    let mut text = page.cursor.map_or_else(|| "end\n".to_owned(), |next| format!("{next}\n"));
    for key in page.keys {
        let count = bucket.get(&key)?.unwrap_or_default();
        text += &format!("{key} {}\n", String::from_utf8_lossy(&count));
    }
    Ok(text)
}

mesh_guests::handler!(handle);
