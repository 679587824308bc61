//! A registry that answers as a test tells it to, and notes what it was asked.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use mesh_lattice::Digest;
use serde_json::json;

use crate::fixture::MANIFEST;

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The method and the path: `GET /v2/`.
    pub(crate) what: String,
    /// The header `authorization`.
    pub(crate) authorization: Option<String>,
}

/// What it answers.
pub(crate) enum Said {
    /// A whole answer.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// As many bytes as are announced first, and then fewer.
    Cut(usize, Vec<u8>),
    /// Bytes without end, and no word of how many.
    Endless,
    /// Nothing, while the connection stays open.
    Nothing,
}

/// The server. Its threads end with the process of the test.
pub(crate) struct Hostile {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Hostile {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), answer)
    }

    pub(crate) fn at(address: SocketAddr, answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (answer, noted) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                thread::spawn(move || serve(stream, &*answer, &noted));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn image(&self) -> String {
        format!("oci://{}/a:1", self.address)
    }

    /// All that it was asked whose method and path begin so.
    pub(crate) fn asked(&self, what: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.what.starts_with(what)).cloned().collect()
    }
}

/// One request for each connection. A client that is gone needs no answer.
fn serve(stream: TcpStream, answer: &dyn Fn(&Asked) -> Said, noted: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let what = first.rsplit_once(' ')?.0.to_owned();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let authorization = head.iter().filter_map(|line| line.split_once(": "));
    let authorization = authorization.into_iter().find(|(key, _)| key.eq_ignore_ascii_case("authorization"));
    let asked = Asked { what, authorization: authorization.map(|(_, value)| value.to_owned()) };
    noted.lock().unwrap().push(asked.clone());
    say(stream, answer(&asked)).ok()
}

fn say(mut stream: TcpStream, said: Said) -> std::io::Result<()> {
    let head = |status: u16, length: String| format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{length}");
    match said {
        Said::Whole(status, headers, body) => {
            let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let length = format!("content-length: {}\r\n{headers}\r\n", body.len());
            stream.write_all(head(status, length).as_bytes())?;
            stream.write_all(&body)
        }
        Said::Cut(announced, body) => {
            stream.write_all(head(200, format!("content-length: {announced}\r\n\r\n")).as_bytes())?;
            stream.write_all(&body)
        }
        Said::Endless => {
            stream.write_all(head(200, "\r\n".to_owned()).as_bytes())?;
            loop {
                stream.write_all(&[0; 65_536])?;
            }
        }
        // Until the client has enough.
        Said::Nothing => stream.read(&mut [0; 16]).map(|_| ()),
    }
}

pub(crate) fn missing() -> Said {
    Said::Whole(404, Vec::new(), Vec::new())
}

pub(crate) fn whole(body: &[u8]) -> Said {
    Said::Whole(200, Vec::new(), body.to_vec())
}

/// The manifest of an image with this layer, of this size.
pub(crate) fn manifest(layer: &[u8], size: usize) -> Vec<u8> {
    let config = format!("sha256:{}", Digest::of(b"{}"));
    let layer = format!("sha256:{}", Digest::of(layer));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/wasm", "digest": layer, "size": size }],
    });
    serde_json::to_vec(&manifest).unwrap()
}
