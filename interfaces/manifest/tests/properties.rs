//! Whatever is read is taken or refused, and what is written in our format reads back as what it was.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use mesh_lattice::{
    application::{ConfigPart, Instances, Limits, Replicas, Spread, Values},
    name::Labels,
};
use mesh_manifest::{
    Draft, Facts, Reading, Reference, Source, Spanned, convert,
    draft::{Actor, Link, Provider},
    read, resolve,
};
use proptest::{collection::vec, option, prelude::*};

/// Reads, resolves, shows: nothing of it may panic.
fn run(text: Vec<u8>) {
    let sources = [Source::new("any.yaml", "/app", text)];
    match read(&sources, &Reading::default()) {
        Ok(manifests) => {
            convert(&manifests.drafts).unwrap();
            if let Err(faults) = resolve(&manifests.drafts, &Facts::default()) {
                assert!(!faults.render(false).is_empty());
            }
        }
        Err(faults) => assert!(!faults.render(true).is_empty()),
    }
}

/// Texts that are near to manifests.
const SEEDS: [&str; 4] = [
    include_str!("oam/hello.yaml"),
    include_str!("oam/blog.yaml"),
    include_str!("broken/many.yaml"),
    "apiVersion: mesh/v1\nkind: Application\nmetadata: { name: a }\nspec:\n  actors:\n    - &a { name: a, artifact: ./a.wasm, \
     config: [ \"@s\", { k: \"${v:-é}\" } ], links: [ { to: kv, interfaces: [ \"wasi:keyvalue\" ], timeout: 2s } ] }\n  providers:\n    \
     - { name: kv, use: keyvalue-nats }\n",
];

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Default::default())
}

fn name<T>() -> impl Strategy<Value = T>
where
    T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug,
{
    prop_oneof!["[a-z0-9][a-z0-9_-]{0,8}", "(true|null|yes|no|1e3|0x1|1_0|007|on)"]
        .prop_map(|text| text.parse().unwrap())
}

fn config() -> impl Strategy<Value = Vec<Spanned<ConfigPart>>> {
    let text = prop_oneof![
        any::<String>(),
        "[ -~]{0,20}",
        "\\PC{0,8}",
        "(|~|null|true|1e3|- a|a: b|# c|\\$\\{a\\}|\\$\\$\\{a\\}|@x|\\||>|'|\"|a\nb|a\n|\n|\ta| a|a |\\*a|&a|!a|%a|---)"
    ];
    let key = "[^\\p{Cc}]{1,8}";
    let values = prop::collection::btree_map(key, text, 1..4).prop_map(|values: Values| ConfigPart::Values(values));
    vec(prop_oneof![values, name().prop_map(ConfigPart::Shared)].prop_map(spanned), 0..3)
}

fn placement() -> impl Strategy<Value = Vec<Spread>> {
    let label = ("[A-Za-z0-9_./-]{1,6}", "[A-Za-z0-9_./-]{0,6}");
    let labels = vec(label, 0..3).prop_map(|pairs| {
        pairs.into_iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap())).collect::<Labels>()
    });
    vec((labels, 0..1_000_000_u32).prop_map(|(labels, weight)| Spread { labels, weight }), 0..3)
}

fn replicas() -> impl Strategy<Value = Replicas> {
    prop_oneof![(0..10_000_u32).prop_map(Replicas::Count), Just(Replicas::Everywhere)]
}

fn reference() -> impl Strategy<Value = Reference> {
    let file = "[a-z./$ {}#:'-]{1,12}\\.wasm".prop_filter("a path", |text: &String| !text.contains("://"));
    let file =
        file.prop_map(|written: String| Reference::File { path: std::path::Path::new("/app").join(&written), written });
    prop_oneof![
        file,
        "oci://[a-z.:0-9]{1,9}/[a-z]{1,5}:[0-9.]{1,4}".prop_map(Reference::Oci),
        any::<[u8; 4]>().prop_map(|bytes| Reference::Digest(mesh_lattice::Digest::of(&bytes))),
    ]
}

fn actor() -> impl Strategy<Value = Actor> {
    let limits = (65_536..=4_u64 << 30, 1..=3_600_000_u64, 1..=3_600_000_u64)
        .prop_map(|(memory_bytes, cpu_ms, time_ms)| Limits { memory_bytes, cpu_ms, time_ms });
    let limits = prop_oneof![limits, Just(Limits::default())];
    (name(), reference(), replicas(), 1..=100_000_u32, 1..=1_000_000_u32, limits, placement(), config()).prop_map(
        |(name, artifact, replicas, concurrency, reuse, limits, placement, config)| Actor {
            name: spanned(name),
            artifact: spanned(artifact),
            replicas: spanned(replicas),
            concurrency,
            instances: Instances { reuse },
            limits,
            placement,
            config,
        },
    )
}

fn provider() -> impl Strategy<Value = Provider> {
    (name(), name(), option::of(replicas()), placement(), config()).prop_map(
        |(name, kind, replicas, placement, config)| Provider {
            name: spanned(name),
            kind: spanned(kind),
            replicas: replicas.map(spanned),
            placement,
            config,
        },
    )
}

/// A link whose source is the n-th thing of the draft, or nothing of it.
fn link() -> impl Strategy<Value = (usize, Link)> {
    let interfaces = vec(
        "[a-z]{1,5}:[a-z]{1,5}(/[a-z]{1,5})?(@0\\.2\\.[0-9])?".prop_map(|text| spanned(text.parse().unwrap())),
        1..3,
    );
    let timeout = option::of(1..=3_600_000_u64);
    (0..8_usize, name(), name(), interfaces, name(), config(), config(), config(), any::<bool>(), timeout).prop_map(
        |(
            source,
            elsewhere,
            target,
            interfaces,
            name,
            config,
            source_config,
            target_config,
            idempotent,
            timeout_ms,
        )| {
            let link = Link {
                source: spanned(elsewhere),
                target: spanned(target),
                interfaces,
                name: spanned(name),
                config,
                source_config,
                target_config,
                idempotent,
                timeout_ms,
            };
            (source, link)
        },
    )
}

fn draft() -> impl Strategy<Value = Draft> {
    (name(), vec(actor(), 0..4), vec(provider(), 0..4), vec(link(), 0..6)).prop_map(
        |(name, mut actors, mut providers, links)| {
            // Names are unique, and links stand in the order in which the format says them.
            actors.iter_mut().enumerate().for_each(|(n, a)| a.name.value = format!("a{n}").parse().unwrap());
            providers.iter_mut().enumerate().for_each(|(n, p)| p.name.value = format!("p{n}").parse().unwrap());
            let names: Vec<_> =
                actors.iter().map(|a| a.name.clone()).chain(providers.iter().map(|p| p.name.clone())).collect();
            let mut links: Vec<_> = links
                .into_iter()
                .map(|(n, link)| match names.get(n) {
                    Some(source) => (n, Link { source: source.clone(), ..link }),
                    None => (usize::MAX, Link { source: spanned("elsewhere".parse().unwrap()), ..link }),
                })
                .collect();
            links.sort_by_key(|(n, _)| *n);
            let links = links.into_iter().map(|(_, link)| link).collect();
            Draft { source: Source::new("made", "/app", Vec::new()), name: spanned(name), actors, providers, links }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_are_taken_or_refused(text in vec(any::<u8>(), 0..400)) {
        run(text);
    }

    #[test]
    fn texts_of_the_characters_of_yaml_are_taken_or_refused(text in "[-:{}\\[\\],&*!|>'\"%@`?#a1~\n \t$]{0,200}") {
        run(text.into_bytes());
    }

    #[test]
    fn mutated_manifests_are_taken_or_refused(
        seed in 0..SEEDS.len(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8, 0..40_usize), 1..6),
    ) {
        let mut text = SEEDS[seed].as_bytes().to_vec();
        for (at, byte, how, length) in changes {
            let at = at.index(text.len().max(1)).min(text.len().saturating_sub(1));
            let end = (at + length).min(text.len());
            match how {
                0 => text[at] = byte,
                1 => drop(text.drain(at..end)),
                2 => text.insert(at, *b"-:{}[],&*!|>'\"\n \t$"[..].get(usize::from(byte) % 18).unwrap()),
                _ => {
                    let again: Vec<u8> = text[at..end].to_vec();
                    text.splice(at..at, again);
                }
            }
            if text.is_empty() {
                break;
            }
        }
        run(text);
    }

    #[test]
    fn what_is_written_reads_back_as_what_it_was(draft in draft()) {
        let text = convert(std::slice::from_ref(&draft)).unwrap();
        let sources: [Arc<Source>; 1] = [Source::new("made.yaml", "/app", text.clone().into())];
        let manifests = read(&sources, &Reading::default());
        let manifests = manifests.unwrap_or_else(|faults| panic!("{}\n{text}", faults.render(false)));
        prop_assert_eq!(&manifests.drafts[..], &[draft][..], "{}", text);
    }
}
