//! Functions and types as plain values: trees without sharing, which whoever makes them keeps small.
//!
//! They are written as WIT writes them. A type that has a name is written by its name; in the alternate form (`{:#}`)
//! by what it stands for, which tells two types of one name apart.

use std::fmt::{self, Display, Formatter};

use mesh_lattice::value;

/// A function and its types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name as a component spells it: `get`, `[method]bucket.get`.
    pub name: String,
    /// Its parameters by name, the handle of a method's resource among them.
    pub params: Vec<(String, Type)>,
    /// What it returns.
    pub result: Option<Type>,
    /// Whether it is declared `async`.
    pub is_async: bool,
    /// The first resource whose handles it takes or gives though they are not its component's to lend: one of the
    /// host's own, or, where the function is exported, one that the component imports.
    pub foreign: Option<Foreign>,
}

/// A resource of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its name.
    pub resource: String,
    /// Who declares it, as the component imports it.
    pub owner: String,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// One that has a name in its interface, and what it stands for.
    Named(String, Box<Type>),
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `error-context`
    ErrorContext,
    /// `list<T>`
    List(Box<Type>),
    /// `list<T, N>`
    FixedList(Box<Type>, u32),
    /// `map<K, V>`
    Map(Box<Type>, Box<Type>),
    /// `tuple<A, B>`
    Tuple(Vec<Type>),
    /// Fields in declared order.
    Record(Vec<(String, Type)>),
    /// Cases in declared order.
    Variant(Vec<(String, Option<Type>)>),
    /// Cases in declared order.
    Enum(Vec<String>),
    /// Names in declared order.
    Flags(Vec<String>),
    /// `option<T>`
    Option(Box<Type>),
    /// `result<T, E>`
    Result(Option<Box<Type>>, Option<Box<Type>>),
    /// A handle that is given away, by the resource's name.
    Own(String),
    /// A handle that is lent.
    Borrow(String),
    /// `future<T>`
    Future(Option<Box<Type>>),
    /// `stream<T>`
    Stream(Option<Box<Type>>),
}

/// Why the values of a function do not cross from one end of a link to the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uncrossable {
    /// A type has no form between two ends.
    #[error("a value of type {0} cannot cross a link")]
    Type(String),
    /// A handle crosses only between the two ends that know its resource from each other.
    #[error("a handle of {} cannot cross this link: the resource is of {}", .0.resource, .0.owner)]
    Handle(Foreign),
}

impl Function {
    /// Whether both take and return the same. What parameters and named types are called does not matter; fields,
    /// cases and resources are known by their names.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let same_result = match (&self.result, &other.result) {
            (Some(one), Some(other)) => one.same(other),
            (None, None) => true,
            _ => false,
        };
        let mut params = self.params.iter().zip(&other.params);
        self.params.len() == other.params.len() && same_result && params.all(|((_, one), (_, other))| one.same(other))
    }

    /// Whether it can be called along a link, whoever is at the other end.
    ///
    /// # Errors
    ///
    /// Where a value or a handle of it cannot cross.
    pub fn crosses(&self) -> Result<(), Uncrossable> {
        self.params.iter().map(|(_, ty)| ty).chain(&self.result).try_for_each(|ty| ty.to_value().map(drop))?;
        self.foreign.clone().map_or(Ok(()), |foreign| Err(Uncrossable::Handle(foreign)))
    }

    /// The types of the parameters, as values of them are written.
    ///
    /// # Errors
    ///
    /// Where a value of one cannot cross a link.
    pub fn param_values(&self) -> Result<Vec<value::Type>, Uncrossable> {
        self.params.iter().map(|(_, ty)| ty.to_value()).collect()
    }

    /// The types that have a name and that this function mentions, each once, what they stand for before them.
    #[must_use]
    pub fn named(&self) -> Vec<(&str, &Type)> {
        let mut found = Vec::new();
        for ty in self.params.iter().map(|(_, ty)| ty).chain(&self.result) {
            ty.collect_named(&mut found);
        }
        found
    }

    /// The first handle that it takes or gives: the name of its resource.
    #[must_use]
    pub fn handle(&self) -> Option<&str> {
        self.params.iter().map(|(_, ty)| ty).chain(&self.result).find_map(Type::handle)
    }
}

impl Type {
    /// What a named type stands for; any other type itself.
    #[must_use]
    pub fn peel(&self) -> &Self {
        let mut ty = self;
        while let Self::Named(_, inner) = ty {
            ty = inner;
        }
        ty
    }

    fn same(&self, other: &Self) -> bool {
        let opt = |one: &Option<Box<Self>>, other: &Option<Box<Self>>| match (one, other) {
            (Some(one), Some(other)) => one.same(other),
            (None, None) => true,
            _ => false,
        };
        match (self.peel(), other.peel()) {
            (Self::List(one), Self::List(other)) | (Self::Option(one), Self::Option(other)) => one.same(other),
            (Self::FixedList(one, n), Self::FixedList(other, m)) => n == m && one.same(other),
            (Self::Map(key, value), Self::Map(other_key, other)) => key.same(other_key) && value.same(other),
            (Self::Tuple(one), Self::Tuple(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.same(other))
            }
            (Self::Record(one), Self::Record(other)) => {
                one.len() == other.len()
                    && one.iter().zip(other).all(|((a, one), (b, other))| a == b && one.same(other))
            }
            (Self::Variant(one), Self::Variant(other)) => {
                let payload = |one: &Option<Self>, other: &Option<Self>| match (one, other) {
                    (Some(one), Some(other)) => one.same(other),
                    (None, None) => true,
                    _ => false,
                };
                one.len() == other.len()
                    && one.iter().zip(other).all(|((a, one), (b, other))| a == b && payload(one, other))
            }
            (Self::Result(ok, err), Self::Result(other_ok, other_err)) => opt(ok, other_ok) && opt(err, other_err),
            (Self::Future(one), Self::Future(other)) | (Self::Stream(one), Self::Stream(other)) => opt(one, other),
            (one, other) => one == other,
        }
    }

    /// The same type as values of it are written on the wire.
    ///
    /// # Errors
    ///
    /// Where its values have no form there.
    pub fn to_value(&self) -> Result<value::Type, Uncrossable> {
        let boxed = |ty: &Self| ty.to_value().map(Box::new);
        let opt = |ty: &Option<Box<Self>>| ty.as_deref().map(boxed).transpose();
        Ok(match self.peel() {
            Self::Named(_, inner) => return inner.to_value(),
            Self::Bool => value::Type::Bool,
            Self::S8 => value::Type::S8,
            Self::U8 => value::Type::U8,
            Self::S16 => value::Type::S16,
            Self::U16 => value::Type::U16,
            Self::S32 => value::Type::S32,
            Self::U32 => value::Type::U32,
            Self::S64 => value::Type::S64,
            Self::U64 => value::Type::U64,
            Self::F32 => value::Type::F32,
            Self::F64 => value::Type::F64,
            Self::Char => value::Type::Char,
            Self::String => value::Type::String,
            Self::List(item) => value::Type::List(boxed(item)?),
            Self::Tuple(items) => value::Type::Tuple(items.iter().map(Self::to_value).collect::<Result<_, _>>()?),
            Self::Record(fields) => {
                let fields = fields.iter().map(|(name, ty)| Ok((name.clone(), ty.to_value()?)));
                value::Type::Record(fields.collect::<Result<_, _>>()?)
            }
            Self::Variant(cases) => {
                let payload = |ty: &Option<Self>| ty.as_ref().map(Self::to_value).transpose();
                let cases = cases.iter().map(|(name, ty)| Ok((name.clone(), payload(ty)?)));
                value::Type::Variant(cases.collect::<Result<_, _>>()?)
            }
            Self::Enum(cases) => value::Type::Enum(cases.clone()),
            Self::Flags(names) => value::Type::Flags(names.clone()),
            Self::Option(inner) => value::Type::Option(boxed(inner)?),
            Self::Result(ok, err) => value::Type::Result { ok: opt(ok)?, err: opt(err)? },
            Self::Own(_) | Self::Borrow(_) => value::Type::Resource,
            other @ (Self::ErrorContext | Self::FixedList(..) | Self::Map(..) | Self::Future(_) | Self::Stream(_)) => {
                return Err(Uncrossable::Type(other.to_string()));
            }
        })
    }

    /// The types directly inside of this one.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Named(_, inner) | Self::List(inner) | Self::FixedList(inner, _) | Self::Option(inner) => vec![inner],
            Self::Map(key, value) => vec![key, value],
            Self::Tuple(items) => items.iter().collect(),
            Self::Record(fields) => fields.iter().map(|(_, ty)| ty).collect(),
            Self::Variant(cases) => cases.iter().filter_map(|(_, ty)| ty.as_ref()).collect(),
            Self::Result(ok, err) => [ok, err].into_iter().flatten().map(Box::as_ref).collect(),
            Self::Future(inner) | Self::Stream(inner) => inner.iter().map(Box::as_ref).collect(),
            _ => Vec::new(),
        }
    }

    fn collect_named<'a>(&'a self, found: &mut Vec<(&'a str, &'a Self)>) {
        if let Self::Named(name, _) = self
            && found.iter().any(|(other, _)| other == name)
        {
            return;
        }
        for part in self.parts() {
            part.collect_named(found);
        }
        if let Self::Named(name, inner) = self {
            found.push((name, inner));
        }
    }

    fn handle(&self) -> Option<&str> {
        match self {
            Self::Own(name) | Self::Borrow(name) => Some(name),
            _ => self.parts().into_iter().find_map(Self::handle),
        }
    }

    /// What stands behind the name of a type where it is declared: `record`, `variant`, or nothing for an alias.
    fn keyword(&self) -> Option<&'static str> {
        match self {
            Self::Record(_) => Some("record"),
            Self::Variant(_) => Some("variant"),
            Self::Enum(_) => Some("enum"),
            Self::Flags(_) => Some("flags"),
            _ => None,
        }
    }
}

/// A named type as WIT declares it: `enum style { plain, loud }`, `type id = u64`.
#[must_use]
pub fn declaration(name: &str, ty: &Type) -> String {
    match ty.keyword() {
        Some(keyword) => format!("{keyword} {name} {}", Braced(ty, false)),
        None => format!("type {name} = {ty}"),
    }
}

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = if self.is_async { "async func" } else { "func" };
        let (name, word, skipped) = match self.name.strip_prefix('[').and_then(|name| name.split_once(']')) {
            Some(("method", name)) => (name, word.to_owned(), 1),
            Some(("static", name)) => (name, format!("static {word}"), 0),
            Some(("constructor", name)) => (name, "constructor".to_owned(), 0),
            _ => (self.name.as_str(), word.to_owned(), 0),
        };
        write!(f, "{name}: {word}(")?;
        for (index, (name, ty)) in self.params.iter().skip(skipped).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name}: ")?;
            ty.fmt(f)?;
        }
        f.write_str(")")?;
        match &self.result {
            Some(ty) if word != "constructor" => {
                f.write_str(" -> ")?;
                ty.fmt(f)
            }
            _ => Ok(()),
        }
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let whole = f.alternate();
        match self {
            Self::Named(name, inner) => match inner.keyword().filter(|_| whole) {
                Some(keyword) => write!(f, "{keyword} {name} {}", Braced(inner, true)),
                None if whole => inner.fmt(f),
                None => f.write_str(name),
            },
            Self::Bool => f.write_str("bool"),
            Self::S8 => f.write_str("s8"),
            Self::U8 => f.write_str("u8"),
            Self::S16 => f.write_str("s16"),
            Self::U16 => f.write_str("u16"),
            Self::S32 => f.write_str("s32"),
            Self::U32 => f.write_str("u32"),
            Self::S64 => f.write_str("s64"),
            Self::U64 => f.write_str("u64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::ErrorContext => f.write_str("error-context"),
            Self::List(item) => angled(f, "list", [Some(item.as_ref())]),
            Self::FixedList(item, length) => {
                f.write_str("list<")?;
                item.fmt(f)?;
                write!(f, ", {length}>")
            }
            Self::Map(key, value) => angled(f, "map", [Some(key.as_ref()), Some(value.as_ref())]),
            Self::Tuple(items) => angled(f, "tuple", items.iter().map(Some)),
            Self::Record(_) | Self::Variant(_) | Self::Enum(_) | Self::Flags(_) => {
                write!(f, "{} {}", self.keyword().unwrap_or_default(), Braced(self, whole))
            }
            Self::Option(inner) => angled(f, "option", [Some(inner.as_ref())]),
            Self::Result(None, None) => f.write_str("result"),
            Self::Result(ok, None) => angled(f, "result", [ok.as_deref()]),
            Self::Result(ok, err) => angled(f, "result", [ok.as_deref(), err.as_deref()]),
            Self::Own(name) => f.write_str(name),
            Self::Borrow(name) => write!(f, "borrow<{name}>"),
            Self::Future(None) => f.write_str("future"),
            Self::Future(inner) => angled(f, "future", [inner.as_deref()]),
            Self::Stream(None) => f.write_str("stream"),
            Self::Stream(inner) => angled(f, "stream", [inner.as_deref()]),
        }
    }
}

fn angled<'a>(f: &mut Formatter<'_>, name: &str, types: impl IntoIterator<Item = Option<&'a Type>>) -> fmt::Result {
    write!(f, "{name}<")?;
    for (index, ty) in types.into_iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        match ty {
            Some(ty) => ty.fmt(f)?,
            None => f.write_str("_")?,
        }
    }
    f.write_str(">")
}

/// What stands between the braces of a declaration, with the types in it written whole or not.
struct Braced<'a>(&'a Type, bool);

impl Display for Braced<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(ty, whole) = self;
        let text = |ty: &Type| if *whole { format!("{ty:#}") } else { ty.to_string() };
        let members: Vec<String> = match ty {
            Type::Record(fields) => fields.iter().map(|(name, ty)| format!("{name}: {}", text(ty))).collect(),
            Type::Variant(cases) => cases
                .iter()
                .map(|(name, payload)| match payload {
                    Some(ty) => format!("{name}({})", text(ty)),
                    None => name.clone(),
                })
                .collect(),
            Type::Enum(names) | Type::Flags(names) => names.clone(),
            _ => Vec::new(),
        };
        write!(f, "{{ {} }}", members.join(", "))
    }
}
