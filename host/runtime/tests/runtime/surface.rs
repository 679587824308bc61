//! What a component needs, what nobody can give it, and what happens to what nobody gives yet.

use mesh_lattice::{Code, Serve};
use mesh_runtime::{ActorError, CompileError, EngineConfig};

use crate::{
    guests::{alone, component, config, engine, get, guest, text},
    peer::Peer,
};

fn names(interfaces: &[mesh_lattice::Interface]) -> Vec<String> {
    interfaces.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_says_what_it_needs_links_for() {
    let engine = engine(true);
    let visits = alone(&engine, "visits").await;
    let mut imports = names(visits.imports());
    imports.sort();
    assert_eq!(
        imports,
        ["wasi:keyvalue/atomics@0.2.0-draft", "wasi:keyvalue/batch@0.2.0-draft", "wasi:keyvalue/store@0.2.0-draft"]
    );
    assert_eq!(names(visits.exports()), ["wasi:http/incoming-handler@0.2.2"]);
    assert!(alone(&engine, "hello").await.imports().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_nobody_knows_is_called_along_a_link_and_fails_only_there() {
    for pooling in [true, false] {
        let actor = alone(&engine(pooling), "custom").await;
        assert_eq!(names(actor.imports()), ["acme:billing/ledger@1.2.0"]);
        assert_eq!(text(&actor, "/").await, "not called");
        for (path, function) in [("/balance", "ledger@1.2.0#balance"), ("/charge", "#[constructor]account")] {
            let error = actor.serve(get(path)).await.unwrap_err();
            assert_eq!(error.code, Code::Trap);
            assert!(error.message.contains(function) && error.message.contains("not_linked"), "{error}");
        }
    }
}

async fn refusal(verified: &mesh_claims::Verified<mesh_claims::Component>) -> ActorError {
    let result = engine(false).actor(verified, config("refused"), Peer::nobody()).await;
    result.err().expect("an actor")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_wasi_that_is_not_here_is_named() {
    let error = refusal(&guest("tomorrow")).await;
    let ActorError::Unservable { imports } = &error else { panic!("{error}") };
    assert_eq!(imports, &["wasi:clocks/monotonic-clock@0.4.0"]);
    assert_eq!(error.to_string(), "no host can serve wasi:clocks/monotonic-clock@0.4.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn core_imports_are_named_each() {
    let text = r#"(component
        (import "libc" (core module (export "malloc" (func (param i32) (result i32)))))
        (import "libm" (core module))
        (import "acme:a/b@1.0.0" (instance)))"#;
    let error = refusal(&component(text)).await;
    let ActorError::Unservable { imports } = &error else { panic!("{error}") };
    assert_eq!(imports, &["libc", "libm"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_cross_a_link_is_named_with_the_reason() {
    let nested = (0..70).fold("u8".to_owned(), |inner, _| format!("(tuple {inner})"));
    let wide = (0..17).fold("(type $t0 (tuple u8 u8))".to_owned(), |types, at| {
        format!("{types} (type $t{} (tuple $t{at} $t{at}))", at + 1)
    });
    for (reason, text) in [
        (
            "resource of the host",
            r#"(import "wasi:io/poll@0.2.0" (instance $i (export "pollable" (type (sub resource)))))
            (alias export $i "pollable" (type $p))
            (import "acme:a/b" (instance (export "f" (func (param "p" (borrow $p))))))"#
                .to_owned(),
        ),
        ("nest deeper", format!(r#"(import "acme:a/b" (instance (export "f" (func (param "p" {nested})))))"#)),
        ("too large", format!(r#"{wide} (import "acme:a/b" (instance (export "f" (func (param "p" $t17)))))"#)),
        ("a stream cannot", r#"(import "acme:a/b" (instance (export "f" (func (param "p" (stream u8))))))"#.to_owned()),
        (
            "a future cannot",
            r#"(import "acme:a/b" (instance (export "f" (func async (result (option (future u32)))))))"#.to_owned(),
        ),
        ("neither a function", r#"(import "acme:a/b" (instance (export "f" (instance))))"#.to_owned()),
    ] {
        let error = refusal(&component(&format!("(component {text})"))).await;
        let ActorError::Unservable { imports } = &error else { panic!("{error}") };
        assert!(
            imports.len() == 1 && imports[0].starts_with("acme:a/b#f: ") && imports[0].contains(reason),
            "{imports:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_exports_nothing_starts_and_answers_nothing() {
    let actor = engine(true).actor(&component("(component)"), config("empty"), Peer::nobody()).await.unwrap();
    assert_eq!(actor.serve(get("/")).await.unwrap_err().code, Code::UnknownOperation);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_or_too_large_is_not_compiled() {
    let error = refusal(&component("(module)")).await;
    assert!(matches!(error, ActorError::Compile(CompileError::NotAComponent)), "{error}");
    let engine = mesh_runtime::Engine::new(EngineConfig { max_component_bytes: 10_000, ..Default::default() }).unwrap();
    let result = engine.actor(&guest("hello"), config("large"), Peer::nobody()).await;
    let error = result.err().expect("an actor");
    assert!(matches!(error, ActorError::Compile(CompileError::TooLarge { limit: 10_000, .. })), "{error}");
    assert_eq!(engine.compilations(), 0);
}
