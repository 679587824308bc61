//! The fields of our format, each with a sentence: what the reader takes, and what its JSON Schema says.

use mesh_lattice::application::range;

use crate::fields::{Field, Shape, Value};

const fn field(name: &'static str, value: Value, doc: &'static str) -> Field {
    Field { name, required: false, value, doc }
}

const fn needed(name: &'static str, value: Value, doc: &'static str) -> Field {
    Field { name, required: true, value, doc }
}

const fn count(range: std::ops::RangeInclusive<u64>) -> Value {
    Value::Count(*range.start(), *range.end())
}

/// What our documents call themselves.
pub(crate) const VERSION: &str = "mesh/v1";

/// A document.
pub(crate) const DOCUMENT: Shape = Shape {
    title: "a manifest",
    fields: &[
        needed("apiVersion", Value::OneOf(&[VERSION]), "the format of this document"),
        needed("kind", Value::OneOf(&["Application"]), "what it describes"),
        needed("metadata", Value::Object(&METADATA), "the application's name"),
        needed("spec", Value::Object(&SPEC), "the application's actors, providers and links"),
    ],
};

pub(crate) const METADATA: Shape = Shape {
    title: "`metadata`",
    fields: &[needed("name", Value::Name, "the application's name, unique in the lattice")],
};

pub(crate) const SPEC: Shape = Shape {
    title: "`spec`",
    fields: &[
        field("actors", Value::List(&Value::Object(&ACTOR)), "what runs"),
        field("providers", Value::List(&Value::Object(&PROVIDER)), "what serves interfaces"),
        field("links", Value::List(&Value::Object(&OWN_LINK)), "links whose source is in another application"),
    ],
};

pub(crate) const ACTOR: Shape = Shape {
    title: "an actor",
    fields: &[
        needed("name", Value::Name, "its name, unique in the lattice"),
        needed("artifact", Value::Text, "a path relative to this file, oci://registry/repository:tag or sha256:digest"),
        REPLICAS,
        EVERYWHERE,
        field("concurrency", count(range::CONCURRENCY), "live instances on one host; twice as many calls may wait"),
        field("instances", Value::Object(&INSTANCES), "how long an instance lives"),
        field("limits", Value::Object(&LIMITS), "what one instance may use"),
        PLACEMENT,
        field("ready", Value::Later, "when it counts as ready"),
        field("update", Value::Object(&UPDATE), "how a new revision takes over"),
        field("config", Value::Config, "its configuration; later parts win"),
        SECRETS,
        LINKS,
    ],
};

pub(crate) const PROVIDER: Shape = Shape {
    title: "a provider",
    fields: &[
        needed("name", Value::Name, "its name, unique in the lattice"),
        field("use", Value::Name, "which provider it is, for example http-server"),
        field("artifact", Value::Later, "a provider of one's own"),
        field("run", Value::OneOf(&["builtin"]), "whether it is part of the host or a process of its own"),
        REPLICAS,
        EVERYWHERE,
        PLACEMENT,
        field("config", Value::Config, "its configuration; later parts win"),
        SECRETS,
        LINKS,
    ],
};

const REPLICAS: Field = field("replicas", count(range::REPLICAS), "hosts that run it, each at most once");
const EVERYWHERE: Field = field("everywhere", Value::Bool, "one on each host of its placement");
const PLACEMENT: Field = field("placement", Value::List(&Value::Object(&SPREAD)), "the hosts that it may run on");
const SECRETS: Field = field("secrets", Value::Nothing, "secrets that it may read");
const LINKS: Field = field("links", Value::List(&Value::Object(&LINK)), "what it may call");

pub(crate) const INSTANCES: Shape = Shape {
    title: "`instances`",
    fields: &[field("reuse", count(range::REUSE), "calls that one instance serves, one after the other")],
};

pub(crate) const LIMITS: Shape = Shape {
    title: "`limits`",
    fields: &[
        field("memory", Value::Bytes, "linear memory, 64MiB where nothing is said"),
        field("cpu", Value::Time, "processor time of one invocation, 500ms where nothing is said"),
        field("time", Value::Time, "wall time until a reply begins, 5s where nothing is said"),
    ],
};

pub(crate) const SPREAD: Shape = Shape {
    title: "a placement",
    fields: &[
        field("where", Value::Labels, "labels that a host must carry"),
        field("weight", count(range::WEIGHT), "its share of the replicas, 100 where nothing is said"),
    ],
};

pub(crate) const UPDATE: Shape = Shape {
    title: "`update`",
    fields: &[
        field("maxSurge", Value::Count(1, 1), "replicas beyond the wanted ones while a revision takes over"),
        field("maxUnavailable", Value::Count(0, 0), "replicas that may be missing meanwhile"),
    ],
};

pub(crate) const LINK: Shape = Shape { title: "a link", fields: &LINK_FIELDS };

/// A link that says its source too.
pub(crate) const OWN_LINK: Shape = Shape { title: "a link of `spec`", fields: &OWN_LINK_FIELDS };

const TO: Field = needed("to", Value::Name, "the name of what is called");
const INTERFACES: Field =
    needed("interfaces", Value::List(&Value::Interface), "namespace:package, or namespace:package/interface");
const LINK_NAME: Field = field("name", Value::Name, "tells apart several targets on one interface");
const CONFIG: Field = field("config", Value::Config, "for the end that is a provider");
const SOURCE_CONFIG: Field = field("source_config", Value::Config, "for the end that calls, where both are providers");
const TARGET_CONFIG: Field =
    field("target_config", Value::Config, "for the end that is called, where both are providers");
const TIMEOUT: Field = field("timeout", Value::Time, "how long a call may take");
const IDEMPOTENT: Field = field("idempotent", Value::Bool, "a call that got no answer may be made again elsewhere");

const LINK_FIELDS: [Field; 8] = [TO, INTERFACES, LINK_NAME, CONFIG, SOURCE_CONFIG, TARGET_CONFIG, TIMEOUT, IDEMPOTENT];
const OWN_LINK_FIELDS: [Field; 9] = [
    needed("from", Value::Name, "the name of what calls"),
    TO,
    INTERFACES,
    LINK_NAME,
    CONFIG,
    SOURCE_CONFIG,
    TARGET_CONFIG,
    TIMEOUT,
    IDEMPOTENT,
];
