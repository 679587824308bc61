//! The fields of an OAM application as wasmCloud's users write them. Others warn.

use crate::fields::{Field, Shape, Value};

/// What such documents call themselves.
pub(crate) const VERSION: &str = "core.oam.dev/v1beta1";

/// What the reader of a field takes is its own business: OAM has no schema here.
const fn field(name: &'static str) -> Field {
    Field { name, required: false, value: Value::Text, doc: "" }
}

const fn needed(name: &'static str, doc: &'static str) -> Field {
    Field { name, required: true, value: Value::Text, doc }
}

pub(super) const DOCUMENT: Shape = Shape {
    title: "a manifest",
    fields: &[
        needed("apiVersion", "the format of this document"),
        needed("kind", "`Application`"),
        needed("metadata", "the application's name"),
        needed("spec", "its components"),
    ],
};

pub(super) const METADATA: Shape = Shape {
    title: "`metadata`",
    fields: &[needed("name", "the application's name"), field("annotations"), field("labels"), field("namespace")],
};

pub(super) const SPEC: Shape =
    Shape { title: "`spec`", fields: &[needed("components", "what runs"), field("policies")] };

pub(super) const COMPONENT: Shape = Shape {
    title: "a component",
    fields: &[
        needed("name", "its name"),
        needed("type", "`component` or `capability`"),
        needed("properties", "its `image`"),
        field("traits"),
    ],
};

pub(super) const PROPERTIES: Shape = Shape {
    title: "`properties`",
    fields: &[field("image"), field("application"), field("id"), field("config"), field("secrets")],
};

pub(super) const SHARED: Shape = Shape {
    title: "`application`",
    fields: &[needed("name", "the application that has it"), needed("component", "its name there")],
};

pub(super) const CONFIG: Shape =
    Shape { title: "a configuration", fields: &[needed("name", "its name"), field("properties")] };

pub(super) const TRAIT: Shape = Shape {
    title: "a trait",
    fields: &[needed("type", "`spreadscaler`, `daemonscaler` or `link`"), field("properties")],
};

pub(super) const SCALER: Shape =
    Shape { title: "a scaler", fields: &[field("instances"), field("replicas"), field("spread")] };

pub(super) const SPREAD: Shape =
    Shape { title: "a spread", fields: &[field("name"), field("requirements"), field("weight")] };

pub(super) const LINK: Shape = Shape {
    title: "a link",
    fields: &[
        needed("target", "the component that is called"),
        needed("namespace", "for example `wasi`"),
        needed("package", "for example `keyvalue`"),
        field("interfaces"),
        field("name"),
        field("source"),
        field("source_config"),
        field("target_config"),
    ],
};

pub(super) const END: Shape =
    Shape { title: "an end of a link", fields: &[field("name"), field("config"), field("secrets")] };

pub(super) const POLICY: Shape =
    Shape { title: "a policy", fields: &[needed("name", "its name"), needed("type", "its type"), field("properties")] };
