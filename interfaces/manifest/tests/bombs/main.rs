//! Documents that are made to hurt: each is refused, quickly and in little memory.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

#[expect(unsafe_code, reason = "an allocator that counts what is held")]
mod counting;
mod make;

use std::time::{Duration, Instant};

use mesh_manifest::{Facts, MAX_BYTES, Reading, Source, read, resolve};

/// What is promised for each.
const TIME: Duration = Duration::from_millis(50);
/// What one may hold at its worst, its own text not counted: several times the largest text that may be.
const MEMORY: usize = 8 << 20;

#[test]
fn every_bomb_is_refused_in_time_and_in_bounded_memory() {
    let bombs = make::bombs();
    let count = bombs.len();
    assert!(count >= 100, "{count} bombs");
    let (mut slowest, mut largest) = ((Duration::ZERO, String::new()), (0, String::new()));
    for (name, text) in bombs {
        let source = [Source::new(name.as_str(), "/app", text)];
        let held = counting::begin();
        let began = Instant::now();
        let outcome = read(&source, &Reading::default());
        let mut took = began.elapsed();
        let peak = counting::peak().saturating_sub(held);
        let faults = outcome.err().unwrap_or_else(|| panic!("{name} is taken"));
        assert!(!faults.render(false).is_empty());
        // What took long because of others does not take long again.
        for _ in 0..3 {
            if took > TIME {
                let again = Instant::now();
                assert!(read(&source, &Reading::default()).is_err());
                took = took.min(again.elapsed());
            }
        }
        slowest = slowest.max((took, name.clone()));
        largest = largest.max((peak, name));
    }
    println!(
        "{count} bombs; slowest: {} in {:?}; largest: {} with {} KiB",
        slowest.1,
        slowest.0,
        largest.1,
        largest.0 >> 10
    );
    assert!(slowest.0 < TIME * 3, "{} took {:?}", slowest.1, slowest.0);
    assert!(largest.0 < MEMORY, "{} held {} bytes", largest.1, largest.0);
}

/// What is no bomb is taken: a limit that refused everything would pass the test above too.
#[test]
fn the_largest_document_that_may_be_is_taken_in_the_same_bounds() {
    let mut text = String::from("apiVersion: mesh/v1\nkind: Application\nmetadata: { name: big }\nspec:\n  actors:\n");
    for n in 0..1_200 {
        text.push_str(&format!("    - {{ name: a{n}, artifact: a.wasm, replicas: 2, config: {{ a: b, c: d }} }}\n"));
    }
    let source = [Source::new("big.yaml", "/app", text.clone().into())];
    let held = counting::begin();
    let began = Instant::now();
    let manifests = read(&source, &Reading::default()).unwrap();
    println!("{} bytes, 1200 actors: {:?}, {} KiB", text.len(), began.elapsed(), (counting::peak() - held) >> 10);
    assert_eq!(manifests.drafts[0].actors.len(), 1_200);
    assert!(counting::peak() - held < MEMORY);

    let mut text = String::from("apiVersion: mesh/v1\nkind: Application\nmetadata: { name: links }\nspec:\n  links:\n");
    for n in 0..2_000 {
        text.push_str(&format!("    - {{ from: a, to: b{n}, interfaces: [ 'a:b/c{n}', 'a:b/d{n}' ] }}\n"));
    }
    let drafts = read(&[Source::new("links.yaml", "/app", text.into())], &Reading::default()).unwrap().drafts;
    let began = Instant::now();
    assert!(resolve(&drafts, &Facts { complete: true, ..Facts::default() }).is_err());
    assert!(resolve(&drafts, &Facts::default()).is_ok());
    println!("2000 links of one source, twice resolved: {:?}", began.elapsed());

    let note = "x".repeat(100 << 10);
    let long = format!(
        "apiVersion: mesh/v1\nkind: Application\nmetadata: {{ name: long }}\nspec: {{ actors: [ {{ name: a, artifact: a, \
         config: {{ note: {note} }} }} ] }}\n"
    );
    assert!(long.len() < MAX_BYTES);
    assert!(read(&[Source::new("long.yaml", "/app", long.into())], &Reading::default()).is_ok());
}
