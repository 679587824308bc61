//! WIT values as text (WAVE): arguments as a person types them, results as a person reads them.
//!
//! The grammar is read by the library; here its tree meets the types of one function. It is read strictly: a field that
//! the type does not have is an error, where the library's own conversion would pass it over.

use anyhow::{Context as _, anyhow};
use mesh_lattice::value::{Type, Value};
use wasm_wave::{ast::Node, parser::ParserError, untyped::UntypedFuncCall};

use crate::exit::Failure;

/// What is said where text stands without quotes.
const QUOTES: &str = "text is written in double quotes, which a shell takes away unless they are quoted: '\"text\"'";

/// Reads one argument for each of these parameters; options at the end may be left out.
pub(crate) fn arguments(params: &[(String, Type)], typed: &[String]) -> anyhow::Result<Vec<Value>> {
    let source = format!("f({})", typed.join(", "));
    let call = UntypedFuncCall::parse(&source).map_err(|error| wrong(&source, &error))?;
    let empty = Vec::new();
    let nodes: Vec<&Node> = match call.params_node() {
        Some(node) => node.as_tuple().map_err(|error| wrong(&source, &error))?.collect(),
        None => empty,
    };
    if nodes.len() > params.len() {
        return Err(Failure::invalid(format!("{} arguments, and it takes {}", nodes.len(), params.len())).into());
    }
    let mut values = Vec::new();
    for (index, (name, ty)) in params.iter().enumerate() {
        let value = match (nodes.get(index), ty) {
            (Some(node), _) => value(ty, node, &source).with_context(|| format!("the argument {name}"))?,
            (None, Type::Option(_)) => Value::Option(None),
            (None, _) => return Err(Failure::invalid(format!("the argument {name} is missing")).into()),
        };
        values.push(value);
    }
    Ok(values)
}

fn wrong(source: &str, error: &ParserError) -> anyhow::Error {
    let near: String = source.get(error.span()).unwrap_or_default().chars().take(60).collect();
    let failure = Failure::invalid(format!("{near:?}: {error}"));
    if near.chars().next().is_some_and(char::is_alphabetic) { failure.hint(QUOTES).into() } else { failure.into() }
}

fn value(ty: &Type, node: &Node, source: &str) -> anyhow::Result<Value> {
    let bad = |error: ParserError| wrong(source, &error);
    Ok(match ty {
        Type::Bool => Value::Bool(node.as_bool().map_err(bad)?),
        Type::S8 => Value::S8(node.as_number(source).map_err(bad)?),
        Type::U8 => Value::U8(node.as_number(source).map_err(bad)?),
        Type::S16 => Value::S16(node.as_number(source).map_err(bad)?),
        Type::U16 => Value::U16(node.as_number(source).map_err(bad)?),
        Type::S32 => Value::S32(node.as_number(source).map_err(bad)?),
        Type::U32 => Value::U32(node.as_number(source).map_err(bad)?),
        Type::S64 => Value::S64(node.as_number(source).map_err(bad)?),
        Type::U64 => Value::U64(node.as_number(source).map_err(bad)?),
        Type::F32 => Value::F32(node.as_number(source).map_err(bad)?),
        Type::F64 => Value::F64(node.as_number(source).map_err(bad)?),
        Type::Char => Value::Char(node.as_char(source).map_err(bad)?),
        Type::String => Value::String(node.as_str(source).map_err(bad)?.into_owned()),
        Type::List(_) if ty.is_bytes() => {
            let bytes = node.as_list().map_err(bad)?.map(|node| node.as_number::<u8>(source));
            Value::Bytes(bytes.collect::<Result<Vec<u8>, _>>().map_err(bad)?.into())
        }
        Type::List(item) => Value::List(all(node.as_list().map_err(bad)?.map(|node| value(item, node, source)))?),
        Type::Tuple(items) => {
            let nodes = node.as_tuple().map_err(bad)?;
            if nodes.len() != items.len() {
                return Err(invalid(format!("a tuple of {}, where {} belong", nodes.len(), items.len())));
            }
            Value::Tuple(all(items.iter().zip(nodes).map(|(ty, node)| value(ty, node, source)))?)
        }
        Type::Record(fields) => record(fields, node, source)?,
        Type::Enum(cases) => Value::Enum(one_of(cases, node.as_enum(source).map_err(bad)?)?),
        Type::Variant(cases) => variant(cases, node, source)?,
        Type::Option(inner) => {
            // `some` may be left out where nothing else could be meant.
            let payload = match node.as_option() {
                Err(_) if !matches!(**inner, Type::Option(_)) => Some(node),
                payload => payload.map_err(bad)?,
            };
            Value::Option(payload.map(|node| boxed(inner, node, source)).transpose()?)
        }
        Type::Result { ok, err } => Value::Result(match node.as_result().map_err(bad)? {
            Ok(payload) => Ok(payload_of(ok.as_deref(), payload, source)?),
            Err(payload) => Err(payload_of(err.as_deref(), payload, source)?),
        }),
        Type::Flags(names) => {
            let set: Vec<&str> = node.as_flags(source).map_err(bad)?.collect();
            for name in &set {
                one_of(names, name)?;
            }
            Value::Flags(names.iter().filter(|name| set.contains(&name.as_str())).cloned().collect())
        }
        Type::Resource => return Err(invalid("a handle cannot be typed".to_owned())),
    })
}

fn invalid(message: String) -> anyhow::Error {
    Failure::invalid(message).into()
}

fn all(values: impl Iterator<Item = anyhow::Result<Value>>) -> anyhow::Result<Vec<Value>> {
    values.collect()
}

fn boxed(ty: &Type, node: &Node, source: &str) -> anyhow::Result<Box<Value>> {
    value(ty, node, source).map(Box::new)
}

fn payload_of(ty: Option<&Type>, node: Option<&Node>, source: &str) -> anyhow::Result<Option<Box<Value>>> {
    match (ty, node) {
        (Some(ty), Some(node)) => boxed(ty, node, source).map(Some),
        (None, None) => Ok(None),
        (Some(_), None) => Err(invalid("it has to carry a value".to_owned())),
        (None, Some(_)) => Err(invalid("it carries no value".to_owned())),
    }
}

fn one_of(names: &[String], typed: &str) -> anyhow::Result<String> {
    let known = names.iter().find(|name| *name == typed.trim_start_matches('%'));
    known.cloned().ok_or_else(|| invalid(format!("{typed} is none of {}", names.join(", "))))
}

fn record(fields: &[(String, Type)], node: &Node, source: &str) -> anyhow::Result<Value> {
    let typed: Vec<_> = node.as_record(source).map_err(|error| wrong(source, &error))?.collect();
    let names: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
    for (name, _) in &typed {
        one_of(&names, name).with_context(|| format!("the field {name}"))?;
    }
    let values = fields.iter().map(|(name, ty)| {
        let value = match (typed.iter().find(|(typed, _)| typed == name), ty) {
            (Some((_, node)), _) => value(ty, node, source).with_context(|| format!("the field {name}"))?,
            (None, Type::Option(_)) => Value::Option(None),
            (None, _) => return Err(invalid(format!("the field {name} is missing"))),
        };
        Ok((name.clone(), value))
    });
    Ok(Value::Record(values.collect::<anyhow::Result<_>>()?))
}

fn variant(cases: &[(String, Option<Type>)], node: &Node, source: &str) -> anyhow::Result<Value> {
    let (name, payload) = node.as_variant(source).map_err(|error| wrong(source, &error))?;
    let names: Vec<String> = cases.iter().map(|(name, _)| name.clone()).collect();
    let name = one_of(&names, name)?;
    let ty = cases.iter().find(|(case, _)| *case == name).and_then(|(_, ty)| ty.as_ref());
    let payload = payload_of(ty, payload, source).with_context(|| format!("the case {name}"))?;
    Ok(Value::Variant(name, payload))
}

/// A value as text.
pub(crate) fn text(value: &Value) -> anyhow::Result<String> {
    let joined = |values: &[Value]| -> anyhow::Result<String> {
        Ok(values.iter().map(text).collect::<anyhow::Result<Vec<_>>>()?.join(", "))
    };
    Ok(match value {
        Value::Bool(value) => value.to_string(),
        Value::S8(value) => value.to_string(),
        Value::U8(value) => value.to_string(),
        Value::S16(value) => value.to_string(),
        Value::U16(value) => value.to_string(),
        Value::S32(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::S64(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => value.to_string().replace("NaN", "nan"),
        Value::F64(value) => value.to_string().replace("NaN", "nan"),
        Value::Char(value) => format!("'{}'", escaped(*value, '\'')),
        Value::String(value) => {
            format!("\"{}\"", value.chars().map(|value| escaped(value, '"')).collect::<String>())
        }
        Value::Bytes(bytes) => {
            format!("[{}]", bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        Value::List(values) => format!("[{}]", joined(values)?),
        Value::Tuple(values) => format!("({})", joined(values)?),
        Value::Record(fields) => record_text(fields)?,
        Value::Enum(name) => label(name),
        Value::Variant(name, payload) => label(name) + &payload_text(payload.as_deref())?,
        Value::Option(None) => "none".to_owned(),
        Value::Option(payload) => "some".to_owned() + &payload_text(payload.as_deref())?,
        Value::Result(Ok(payload)) => "ok".to_owned() + &payload_text(payload.as_deref())?,
        Value::Result(Err(payload)) => "err".to_owned() + &payload_text(payload.as_deref())?,
        Value::Flags(names) => format!("{{{}}}", names.join(", ")),
        Value::Resource(_) => return Err(anyhow!("it returned a handle, which only an actor can use")),
    })
}

/// A record without its fields that are none; one without any other has a colon of its own.
fn record_text(fields: &[(String, Value)]) -> anyhow::Result<String> {
    let set = fields.iter().filter(|(_, value)| *value != Value::Option(None));
    let fields =
        set.map(|(name, value)| Ok(format!("{name}: {}", text(value)?))).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(if fields.is_empty() { "{:}".to_owned() } else { format!("{{{}}}", fields.join(", ")) })
}

fn payload_text(payload: Option<&Value>) -> anyhow::Result<String> {
    payload.map_or_else(|| Ok(String::new()), |value| Ok(format!("({})", text(value)?)))
}

/// A case whose name is a word of the grammar is marked.
fn label(name: &str) -> String {
    let reserved = ["true", "false", "nan", "inf", "some", "none", "ok", "err"].contains(&name);
    if reserved { format!("%{name}") } else { name.to_owned() }
}

fn escaped(value: char, quote: char) -> String {
    match value {
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        value if value == quote => format!("\\{value}"),
        value if value.is_control() => format!("\\u{{{:x}}}", u32::from(value)),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Type {
        Type::Record(vec![
            ("name".into(), Type::String),
            ("age".into(), Type::Option(Box::new(Type::U8))),
            ("marks".into(), Type::Flags(vec!["bold".into(), "loud".into()])),
        ])
    }

    fn read(ty: &Type, typed: &str) -> anyhow::Result<Value> {
        Ok(arguments(&[("a".into(), ty.clone())], &[typed.to_owned()])?.remove(0))
    }

    #[test]
    fn values_of_every_type_come_back_from_their_text() {
        let list = |ty: Type| Type::List(Box::new(ty));
        let shape = Type::Variant(vec![("dot".into(), None), ("none".into(), None), ("disc".into(), Some(Type::F64))]);
        let result = Type::Result { ok: Some(Box::new(Type::S64)), err: None };
        for (ty, typed) in [
            (Type::Bool, "true"),
            (Type::S8, "-128"),
            (Type::U64, "18446744073709551615"),
            (Type::F32, "nan"),
            (Type::F64, "-0.5"),
            (Type::F64, "inf"),
            (Type::Char, r"'\''"),
            (Type::String, r#""a \"b\" \\ \n \u{7} ☃""#),
            (list(Type::U8), "[0, 255]"),
            (list(Type::U16), "[]"),
            (list(list(Type::Bool)), "[[true], []]"),
            (Type::Tuple(vec![Type::U8, Type::String]), r#"(1, "x")"#),
            (person(), r#"{name: "Ada", age: some(36), marks: {bold}}"#),
            (person(), r#"{name: "Ada", marks: {}}"#),
            (Type::Enum(vec!["plain".into(), "ok".into()]), "%ok"),
            (shape.clone(), "dot"),
            (shape.clone(), "%none"),
            (shape, "disc(0.25)"),
            (Type::Option(Box::new(Type::Option(Box::new(Type::U8)))), "some(none)"),
            (result.clone(), "ok(-1)"),
            (result, "err"),
        ] {
            let value = read(&ty, typed).unwrap_or_else(|error| panic!("{typed}: {error:#}"));
            assert_eq!(text(&value).unwrap(), typed, "{value:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (ty, typed, said) in [
            (Type::U8, "256", "256"),
            (Type::String, "ada", "ada"),
            (person(), r#"{name: "Ada", marks: {}, size: 1}"#, "size is none of name, age, marks"),
            (person(), r#"{marks: {}}"#, "the field name is missing"),
            (person(), r#"{name: "Ada", marks: {huge}}"#, "huge is none of bold, loud"),
            (Type::Enum(vec!["plain".into()]), "loud", "loud is none of plain"),
            (Type::Tuple(vec![Type::U8]), "(1, 2)", "a tuple of 2, where 1 belong"),
            (Type::U8, "1, 2", "2 arguments, and it takes 1"),
            (Type::U8, "", "the argument a is missing"),
            (Type::U8, "1)", ")"),
            (Type::Resource, "1", "a handle cannot be typed"),
        ] {
            let error = format!("{:#}", read(&ty, typed).unwrap_err());
            assert!(error.contains(said), "{typed}: {error}");
        }
        let option = Type::Option(Box::new(Type::U8));
        assert_eq!(read(&option, "").unwrap(), Value::Option(None), "an option at the end may be left out");
        assert_eq!(read(&option, "7").unwrap(), Value::Option(Some(Box::new(Value::U8(7)))));
    }
}
