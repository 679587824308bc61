//! The projects that `meshctl new` writes, as they lie under `ctl/templates`, where each of them is whole: it builds
//! and passes its tests. Here they are compiled in, and get the name that somebody chose. `commands/new.rs` writes them.

use serde::Serialize;

/// One kind of project.
#[derive(Debug, Serialize)]
pub(crate) struct Template {
    /// What it is, as it is typed: `actor`, `provider` or `app`.
    pub(crate) kind: Kind,
    /// Its name among those of its kind.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) about: &'static str,
    /// The name that its files carry.
    #[serde(skip)]
    stands_for: &'static str,
    #[serde(skip)]
    files: &'static [(&'static str, &'static str)],
}

/// What somebody wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Actor,
    Provider,
    App,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Provider => "provider",
            Self::App => "app",
        }
    }
}

macro_rules! files {
    ($folder:literal: $($file:literal)*) => {
        &[$(($file, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $folder, "/", $file)))),*]
    };
}

/// All of them; of each kind the first is what somebody gets who names none.
pub(crate) const ALL: &[Template] = &[
    Template {
        kind: Kind::Actor,
        name: "http",
        about: "answers HTTP requests",
        stands_for: "my-actor",
        files: files!("http": ".gitignore" "Cargo.lock" "Cargo.toml" "Makefile" "README.md" "lattice.sh" "mesh.yaml"
            "src/lib.rs" "test.sh"),
    },
    Template {
        kind: Kind::Actor,
        name: "keyvalue",
        about: "counts HTTP requests in a key-value store",
        stands_for: "my-actor",
        files: files!("keyvalue": ".gitignore" "Cargo.lock" "Cargo.toml" "Makefile" "README.md" "lattice.sh" "mesh.yaml"
            "src/lib.rs" "test.sh" "wit/deps/keyvalue/atomic.wit" "wit/deps/keyvalue/batch.wit"
            "wit/deps/keyvalue/store.wit" "wit/deps/keyvalue/watch.wit" "wit/deps/keyvalue/world.wit" "wit/world.wit"),
    },
    Template {
        kind: Kind::Actor,
        name: "messaging",
        about: "answers messages on a NATS subject",
        stands_for: "my-actor",
        files: files!("messaging": ".gitignore" "Cargo.lock" "Cargo.toml" "Makefile" "README.md" "lattice.sh"
            "mesh.yaml" "src/lib.rs" "test.sh" "wit/deps/messaging/messaging.wit" "wit/world.wit"),
    },
    Template {
        kind: Kind::Actor,
        name: "custom",
        about: "serves an interface of its own to people and to other actors",
        stands_for: "my-actor",
        files: files!("custom": ".gitignore" "Cargo.lock" "Cargo.toml" "Makefile" "README.md" "lattice.sh" "mesh.yaml"
            "src/lib.rs" "test.sh" "wit/world.wit"),
    },
    Template {
        kind: Kind::Provider,
        name: "keyvalue",
        about: "an actor that serves wasi:keyvalue to other actors, and keeps it in a store that it is linked to",
        stands_for: "my-provider",
        files: files!("provider": ".gitignore" "Cargo.lock" "Cargo.toml" "Makefile" "README.md" "lattice.sh" "mesh.yaml"
            "probe/Cargo.toml" "probe/src/lib.rs" "src/lib.rs" "test.sh" "wit/deps/keyvalue/atomic.wit"
            "wit/deps/keyvalue/batch.wit" "wit/deps/keyvalue/store.wit" "wit/deps/keyvalue/watch.wit"
            "wit/deps/keyvalue/world.wit" "wit/world.wit"),
    },
    Template {
        kind: Kind::App,
        name: "custom",
        about: "two actors that talk on an interface of their own, one of them answers HTTP requests",
        stands_for: "my-app",
        files: files!("app": ".gitignore" "Cargo.lock" "Cargo.toml" "Makefile" "README.md" "front/Cargo.toml"
            "front/src/lib.rs" "greeter/Cargo.toml" "greeter/src/lib.rs" "lattice.sh" "mesh.yaml" "test.sh"
            "wit/greeting.wit"),
    },
];

/// Those of this kind.
pub(crate) fn of(kind: Kind) -> impl Iterator<Item = &'static Template> {
    ALL.iter().filter(move |template| template.kind == kind)
}

impl Template {
    /// Its files under this name: paths and texts.
    pub(crate) fn files(&self, name: &str) -> impl Iterator<Item = (&'static str, String)> {
        // What cargo builds has an underscore where its package has a hyphen.
        let (stem, built) = (self.stands_for.replace('-', "_"), name.replace('-', "_"));
        let named = move |text: &str| text.replace(self.stands_for, name).replace(&stem, &built);
        self.files.iter().map(move |(path, text)| (*path, named(text)))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn walk(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            // What a build in the place leaves behind.
            if ["target", "build", ".mesh"].iter().any(|left| *left == name) {
                continue;
            }
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_every_template_is_written_and_carries_the_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut lying = BTreeSet::new();
        for folder in fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
            let mut files = BTreeSet::new();
            walk(&folder, &folder, &mut files);
            lying.insert(files);
        }
        let written = ALL.iter().map(|template| template.files("a").map(|(path, _)| path.to_owned()).collect());
        assert_eq!(written.collect::<BTreeSet<BTreeSet<String>>>(), lying);
        for template in ALL {
            for (path, text) in template.files("pay-now") {
                assert!(!text.contains("my-") && !text.contains("my_"), "{} {path}: {text}", template.about);
            }
            let (_, test) = template.files("pay-now").find(|(path, _)| *path == "test.sh").unwrap();
            assert!(test.contains("/pay_now") && test.contains("/pay-now"), "{test}");
        }
    }
    #[test]
    fn every_manifest_is_read_without_a_fault() {
        for template in ALL {
            let (name, text) = template.files("pay-now").find(|(path, _)| *path == "mesh.yaml").unwrap();
            let source = mesh_manifest::Source::new(name, ".", text.into_bytes());
            if let Err(faults) = mesh_manifest::read(&[source], &mesh_manifest::Reading::default()) {
                panic!("{}: {}", template.about, faults.render(false));
            }
        }
    }
}
