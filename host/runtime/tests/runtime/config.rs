//! `wasi:config` and `wasi:logging` under every name and version that guests in the field have.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use mesh_runtime::ActorConfig;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    guests::{alone, config, engine, eventually, guest, text},
    peer::Peer,
};

#[tokio::test(flavor = "multi_thread")]
async fn configuration_has_one_answer_under_all_its_names() {
    let values = [("greeting", "salut"), ("place", "here")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let config = ActorConfig { config: values.into(), ..config("older") };
    let actor = engine(true).actor(&guest("older"), config.clone(), Peer::nobody()).await.unwrap();
    let answer = text(&actor, "/cache").await;
    assert_eq!(answer, "Some(\"salut\") [(\"greeting\", \"salut\"), (\"place\", \"here\")]");
    assert!(actor.imports().is_empty(), "{:?}", actor.imports());

    let peer = Peer::answering(|_| Ok(mesh_lattice::Reply::wire(b"\x81\xa2ok\x05".as_slice())));
    let actor = engine(true).actor(&guest("visits"), config, peer).await.unwrap();
    assert_eq!(text(&actor, "/").await, "salut 5");
}

/// What is printed on this thread.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Printed {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// On one thread, because a subscriber of this test alone belongs to one.
#[tokio::test]
async fn what_guests_print_and_log_are_events_of_their_actor() {
    let printed = Printed::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(printed.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let engine = engine(true);
    text(&*alone(&engine, "print").await, "/").await;
    text(&*alone(&engine, "older").await, "/cache").await;
    let all = || String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
    eventually("what was begun is printed when the instance goes", || all().contains("an unfinished one")).await;
    let printed = all();
    let line = |words: &[&str]| printed.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(line(&["INFO guest", "a line \\u{1b}[31mthat is red", "actor=\"print\"", "stdout"]), "{printed}");
    assert!(line(&["an unfinished one", "stderr"]), "{printed}");
    assert!(line(&["WARN guest", "a warning", "actor=\"older\"", "context=\"older\""]), "{printed}");
}
