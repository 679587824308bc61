//! The JSON Schema of our format, for editors: from the very table that the reader goes by.
//!
//! What the schema refuses the reader refuses. The other way it does not hold: that a name is unique, a target exists or
//! a file is a component, no schema can say. A text that holds `${...}` passes everywhere, for what it becomes is not
//! known before it is filled.

use serde_json::{Map, Value as Json, json};

use crate::{
    fields::{Shape, Value},
    format::shape,
};

/// Where the schema says that it comes from.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// `[a-z0-9]([a-z0-9_-]{0,62})`.
const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,62}$";
const INTERFACE: &str =
    "^[A-Za-z][A-Za-z0-9-]*:[A-Za-z][A-Za-z0-9-]*(/[A-Za-z][A-Za-z0-9-]*)?(@[0-9][A-Za-z0-9.+-]*)?$";

/// The schema of `apiVersion: mesh/v1`.
#[must_use]
pub fn schema() -> Json {
    let mut schema = object(&shape::DOCUMENT);
    if let Json::Object(fields) = &mut schema {
        fields.insert("$schema".to_owned(), json!(DRAFT));
        fields.insert("title".to_owned(), json!("An application of Mesh"));
    }
    schema
}

fn object(shape: &Shape) -> Json {
    let required: Vec<&str> = shape.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let properties = shape.fields.iter().map(|field| {
        let mut value = value(&field.value);
        if let Json::Object(fields) = &mut value {
            fields.insert("description".to_owned(), json!(field.doc));
        }
        (field.name.to_owned(), value)
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties.collect::<Map<_, _>>(),
    })
}

fn value(value: &Value) -> Json {
    match value {
        Value::Object(shape) => object(shape),
        Value::List(item) => json!({ "type": "array", "items": self::value(item) }),
        Value::OneOf(choices) => filled(json!({ "enum": choices })),
        Value::Name => text(NAME),
        Value::Interface => text(INTERFACE),
        Value::Text => scalar(),
        Value::Bool => filled(json!({ "type": "boolean" })),
        Value::Count(least, most) => filled(json!({ "type": "integer", "minimum": least, "maximum": most })),
        Value::Bytes => text("^[0-9]+(KiB|MiB|GiB)?$"),
        Value::Time => text("^[0-9]+(ms|s|m|h|d)$"),
        Value::Labels => json!({ "type": "object", "additionalProperties": scalar() }),
        Value::Config => {
            let values = json!({ "type": "object", "additionalProperties": scalar() });
            let part = json!({ "anyOf": [values.clone(), filled(json!({ "type": "string", "pattern": "^@" }))] });
            json!({ "anyOf": [values, { "type": "array", "items": part }] })
        }
        Value::Nothing => json!({ "type": "array", "maxItems": 0 }),
        Value::Later => json!({ "not": {} }),
    }
}

/// A text, also where YAML takes it for a number or a truth.
fn scalar() -> Json {
    json!({ "type": ["string", "number", "boolean"] })
}

/// A text of this form.
fn text(pattern: &str) -> Json {
    filled(json!({ "type": ["string", "number", "boolean"], "pattern": pattern }))
}

/// The same, or a text that is still to be filled.
fn filled(schema: Json) -> Json {
    json!({ "anyOf": [schema, { "type": "string", "pattern": "\\$\\{" }] })
}
