//! Guests of WASI 0.3 that behave badly, each under a path of its own.

use wasip3::{
    clocks::monotonic_clock,
    http::types::{ErrorCode, Fields, Request, Response},
    wit_bindgen::spawn_local,
    wit_future, wit_stream,
};

struct Hostile;

wasip3::http::service::export!(Hostile);

impl wasip3::exports::http::handler::Guest for Hostile {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        match path.as_str() {
            "/trap" => core::arch::wasm32::unreachable(),
            "/spin" => spin(),
            "/hog" => hog(),
            "/streams" => loop {
                std::mem::forget(wit_stream::new::<u8>());
            },
            "/waits" => loop {
                std::mem::forget(spawn_local(monotonic_clock::wait_for(60_000_000_000)));
                wasip3::wit_bindgen::yield_async().await;
            },
            "/never" => {
                monotonic_clock::wait_for(600_000_000_000).await;
                Err(ErrorCode::LoopDetected)
            }
            _ => Ok(behind(path)),
        }
    }
}

fn spin() -> ! {
    loop {
        std::hint::black_box(0);
    }
}

fn hog() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1u8; 1 << 20]);
    }
}

/// Answers with a part of a body, and does the rest behind it.
fn behind(path: String) -> Response {
    let (mut body, reader) = wit_stream::new();
    let (end, ended) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        body.write_all(b"part".to_vec()).await;
        match path.as_str() {
            "/late-trap" => {
                monotonic_clock::wait_for(20_000_000).await;
                core::arch::wasm32::unreachable()
            }
            "/late-spin" => spin(),
            "/late-hog" => hog(),
            "/late-error" => {
                drop(body);
                end.write(Err(ErrorCode::HttpResponseIncomplete)).await.ok();
            }
            _ => while body.write_all(vec![7; 64 << 10]).await.is_empty() {},
        }
    });
    Response::new(Fields::new(), Some(reader), ended).0
}
