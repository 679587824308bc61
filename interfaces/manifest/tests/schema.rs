//! The JSON Schema against the reader: what the schema refuses the reader refuses, and what is right passes both.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use mesh_manifest::{Reading, Source, read, schema::schema};
use serde_json::{Value, json};

/// Whether a value is of a schema, as far as ours use the language.
fn fits(schema: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(word, rule)| match word.as_str() {
        "$schema" | "title" | "description" => true,
        "type" => match rule {
            Value::String(one) => is(one, value),
            several => several.as_array().unwrap().iter().any(|one| is(one.as_str().unwrap(), value)),
        },
        "enum" => rule.as_array().unwrap().contains(value),
        "pattern" => {
            value.as_str().is_none_or(|text| regex::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
        }
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
        "required" => value
            .as_object()
            .is_none_or(|map| rule.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))),
        "properties" => value
            .as_object()
            .is_none_or(|map| map.iter().all(|(name, value)| rule.get(name).is_none_or(|schema| fits(schema, value)))),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let known = |name: &String| schema.get("properties").is_some_and(|known| known.get(name).is_some());
            map.iter().filter(|(name, _)| !known(name)).all(|(_, value)| match rule {
                Value::Bool(allowed) => *allowed,
                schema => fits(schema, value),
            })
        }),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(rule, item))),
        "anyOf" => rule.as_array().unwrap().iter().any(|schema| fits(schema, value)),
        "not" => !fits(rule, value),
        other => panic!("the schema uses `{other}`, which this test does not know"),
    })
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("there is no type `{other}`"),
    }
}

/// Whether the reader takes it: JSON is YAML.
fn taken(value: &Value) -> bool {
    read(&[Source::new("case.json", "/app", value.to_string().into())], &Reading::default()).is_ok()
}

/// With every field that may be said today.
fn full() -> Value {
    let link = json!({ "to": "kv", "interfaces": ["wasi:keyvalue", "wasi:keyvalue/store@0.2.0-draft"], "name": "main",
        "config": { "bucket": "b", "size": 5, "on": true }, "timeout": "2s", "idempotent": true });
    json!({
        "apiVersion": "mesh/v1", "kind": "Application", "metadata": { "name": "shop" },
        "spec": {
            "actors": [{
                "name": "cart", "artifact": "./cart.wasm", "replicas": 2, "everywhere": false, "concurrency": 64,
                "instances": { "reuse": 5 }, "limits": { "memory": "64MiB", "cpu": "500ms", "time": "5s" },
                "placement": [{ "where": { "zone": "edge" }, "weight": 30 }, {}],
                "update": { "maxSurge": 1, "maxUnavailable": 0 }, "config": ["@shared", { "greeting": "hello" }],
                "secrets": [], "links": [link]
            }],
            "providers": [{
                "name": "kv", "use": "keyvalue-nats", "run": "builtin", "everywhere": true, "placement": [],
                "config": { "bucket": "b" }, "secrets": [],
                "links": [{ "to": "cart", "interfaces": ["wasi:http/incoming-handler"], "source_config": {}, "target_config": [] }]
            }],
            "links": [{ "from": "other", "to": "cart", "interfaces": ["acme:shop/till"] }]
        }
    })
}

/// Every place in a value.
fn places(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| places(value, format!("{at}/{name}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| places(value, format!("{at}/{n}"), found))
        }
        _ => {}
    }
    found.push(at);
}

#[test]
fn what_is_right_passes_both() {
    let schema = schema();
    assert!(fits(&schema, &full()));
    assert!(taken(&full()));
    let smallest = json!({ "apiVersion": "mesh/v1", "kind": "Application", "metadata": { "name": "a" }, "spec": {} });
    assert!(fits(&schema, &smallest) && taken(&smallest));
    let mut filled = full();
    filled["spec"]["actors"][0]["replicas"] = json!("${n:-3}");
    filled["metadata"]["name"] = json!("shop-${zone:-here}");
    assert!(fits(&schema, &filled) && taken(&filled));
}

#[test]
fn what_the_schema_refuses_the_reader_refuses() {
    let (schema, full) = (schema(), full());
    let mut all = Vec::new();
    places(&full, String::new(), &mut all);
    let instead = [
        json!(null),
        json!(5),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(100_001),
        json!(true),
        json!("x"),
        json!("X!"),
        json!(""),
        json!("1e3"),
        json!("@a"),
        json!("a:b"),
        json!("2s"),
        json!("64MiB"),
        json!([]),
        json!([5]),
        json!([[]]),
        json!(["a"]),
        json!({}),
        json!({ "a": "b" }),
        json!({ "a": [] }),
        json!({ "a": null }),
    ];
    let (mut refused, mut cases) = (0, 0);
    let mut judge = |case: &Value, what: &str| {
        cases += 1;
        if !fits(&schema, case) {
            refused += 1;
            assert!(!taken(case), "the schema refuses what the reader takes: {what}");
        }
    };
    for place in &all {
        for value in &instead {
            let mut case = full.clone();
            *case.pointer_mut(place).unwrap() = value.clone();
            judge(&case, &format!("{place} = {value}"));
        }
        let (parent, field) = place.rsplit_once('/').unwrap_or_default();
        let mut case = full.clone();
        if let Some(Value::Object(map)) = case.pointer_mut(parent) {
            map.remove(field);
            judge(&case, &format!("without {place}"));
        }
        let mut case = full.clone();
        if let Some(Value::Object(map)) = case.pointer_mut(place) {
            map.insert("ready".into(), json!({ "http": "/" }));
            judge(&case, &format!("{place} with a field more"));
        }
    }
    println!("{refused} of {cases} cases are refused by the schema, and by the reader");
    assert!(refused > cases / 2 && refused < cases);
}

#[test]
fn the_schema_says_what_each_field_is_for() {
    let schema = schema();
    let actor = &schema["properties"]["spec"]["properties"]["actors"]["items"];
    assert_eq!(actor["required"], json!(["name", "artifact"]));
    for (name, field) in actor["properties"].as_object().unwrap() {
        assert!(field["description"].as_str().is_some_and(|doc| doc.len() > 5), "{name}");
    }
}
