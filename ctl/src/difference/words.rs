//! Fields of the stored form in the words of a manifest, and values as people write them.

use mesh_lattice::{Digest, secret};
use serde_json::Value;

use super::Fields;

/// What configurations begin with.
const CONFIG: [&str; 3] = ["config", "source_config", "target_config"];
/// Digits of a digest that tell it from others.
const DIGITS: usize = 12;

/// Names that a manifest has other words for.
const RENAMED: [(&str, &str); 5] = [
    ("limits.memory_bytes", "limits.memory"),
    ("limits.cpu_ms", "limits.cpu"),
    ("limits.time_ms", "limits.time"),
    ("timeout_ms", "timeout"),
    ("replicas.count", "replicas"),
];

/// Puts this field, or the fields in it.
pub(super) fn put(name: &str, value: &Value, fields: &mut Fields) {
    match value {
        Value::Null => {}
        Value::Array(parts) if CONFIG.contains(&name) => config(name, parts, fields),
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            fields.insert(name.to_owned(), items.join(", "));
        }
        Value::Object(inner) => {
            for (field, value) in inner {
                put(&format!("{name}.{field}"), value, fields);
            }
        }
        _ => {
            let renamed = RENAMED.iter().find(|(stored, _)| *stored == name).map_or(name, |(_, word)| word);
            fields.insert(renamed.to_owned(), number(name, value).unwrap_or_else(|| text(value)));
        }
    }
}

/// A configuration key by key, later parts winning; their order is a field of its own where there are several.
fn config(name: &str, parts: &[Value], fields: &mut Fields) {
    let mut order = Vec::new();
    for part in parts {
        if let Some(shared) = part.get("shared").and_then(Value::as_str) {
            fields.insert(format!("{name}.@{shared}"), "yes".to_owned());
            order.push(format!("@{shared}"));
        }
        for (key, value) in part.get("values").and_then(Value::as_object).into_iter().flatten() {
            fields.insert(format!("{name}.{key}"), text(value));
            order.push(key.clone());
        }
    }
    if parts.len() > 1 {
        fields.insert(format!("{name}.order"), order.join(", "));
    }
}

/// Sizes and times with their unit.
fn number(name: &str, value: &Value) -> Option<String> {
    let number = value.as_u64()?;
    if name.ends_with("_bytes") {
        let (unit, size) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
            .into_iter()
            .find(|(_, size)| number > 0 && number.is_multiple_of(*size))
            .unwrap_or(("B", 1));
        return Some(format!("{}{unit}", number / size));
    }
    let seconds = number > 0 && number.is_multiple_of(1_000);
    name.ends_with("_ms").then(|| if seconds { format!("{}s", number / 1_000) } else { format!("{number}ms") })
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Object(spread) if spread.contains_key("where") => {
            let labels = spread.get("where").and_then(Value::as_object).into_iter().flatten();
            let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={}", text(value))).collect();
            let weight = spread.get("weight").map(text).unwrap_or_default();
            format!("{} weight {weight}", if labels.is_empty() { "anywhere".to_owned() } else { labels.join(",") })
        }
        other => other.to_string(),
    }
}

pub(super) fn digest(digest: &Digest) -> String {
    digest.to_string().chars().take(DIGITS).collect()
}

/// What looks like a secret is left out.
pub(super) fn shown(field: &str, value: &str) -> String {
    let key = CONFIG.iter().find_map(|config| field.strip_prefix(config)?.strip_prefix('.'));
    match key {
        Some(key) => secret::shown(key, value),
        None => value.to_owned(),
    }
}
