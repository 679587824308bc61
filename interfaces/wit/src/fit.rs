//! Whether one end serves what the other calls, function by function.

use std::fmt::{self, Display, Formatter};

use mesh_lattice::Interface;

use crate::signature::{Function, Type, Uncrossable};

/// A function that cannot be called as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The interface as the caller spells it.
    pub interface: Interface,
    /// The function's name.
    pub function: String,
    /// How it is called.
    pub called: String,
    /// How it is served; `None` where it is not.
    pub served: Option<String>,
    /// Why no call of it can cross, where the two ends agree on it.
    pub uncrossable: Option<Uncrossable>,
}

impl Misfit {
    /// The two signatures, one under the other, each behind who it belongs to.
    #[must_use]
    pub fn between(&self, caller: &str, callee: &str) -> String {
        let width = caller.chars().count().max(callee.chars().count());
        let served = self.served.as_deref().unwrap_or("(no such function)");
        let what = match (&self.uncrossable, &self.served) {
            (Some(reason), _) => format!("works along no link: {reason}"),
            (None, Some(_)) => "has other types at its two ends".to_owned(),
            (None, None) => "is not served".to_owned(),
        };
        let Self { interface, function, called, .. } = self;
        format!("{function} of {interface} {what}\n  {caller:<width$}  {called}\n  {callee:<width$}  {served}")
    }
}

impl Display for Misfit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.between("called as", "served as"))
    }
}

/// The first function that is called and not served with the same types, or whose calls cannot cross; functions that are
/// served and not called do no harm.
#[must_use]
pub fn misfit(interface: &Interface, called: &[Function], served: &[Function]) -> Option<Misfit> {
    called.iter().find_map(|wanted| {
        let found = served.iter().find(|function| function.name == wanted.name);
        let same = found.is_some_and(|found| wanted.same(found) || is_spelled_twice(interface, wanted, found));
        let uncrossable = found.filter(|_| same).and_then(|found| wanted.crosses().and(found.crosses()).err());
        if same && uncrossable.is_none() {
            return None;
        }
        let (mut one, mut other) = (wanted.to_string(), found.map(ToString::to_string));
        // What reads the same differs in what the names stand for.
        if uncrossable.is_none() && other.as_ref() == Some(&one) {
            (one, other) = (format!("{wanted:#}"), found.map(|found| format!("{found:#}")));
        }
        let (interface, function) = (interface.clone(), wanted.name.clone());
        Some(Misfit { interface, function, called: one, served: other, uncrossable })
    })
}

/// What `get-many` of key-value returns: each value with its key where there is one, or each key with its value where
/// there is one. Both are written under one version, and a host understands both on either side.
const GET_MANY: [&str; 2] =
    ["result<list<option<tuple<string, list<u8>>>>, error>", "result<list<tuple<string, option<list<u8>>>>, error>"];

fn is_spelled_twice(interface: &Interface, called: &Function, served: &Function) -> bool {
    let known = |ty: &Option<Type>| ty.as_ref().is_some_and(|ty| GET_MANY.contains(&ty.to_string().as_str()));
    (interface.package(), interface.interface(), called.name.as_str()) == ("wasi:keyvalue", "batch", "get-many")
        && (known(&called.result) && known(&served.result))
        && Function { result: served.result.clone(), ..called.clone() }.same(served)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::published;

    #[test]
    fn the_two_spellings_of_get_many_fit_and_no_third_one() {
        let of = |name: &Interface| name.as_str() == "wasi:keyvalue/batch@0.2.0-draft2";
        let (interface, served) = published::interfaces().find(|(name, _)| of(name)).unwrap();
        let newer = |value: Type| {
            let mut functions = served.to_vec();
            let function = functions.iter_mut().find(|function| function.name == "get-many").unwrap();
            let Some(Type::Result(_, error)) = function.result.take() else { panic!("no result") };
            let pair = Type::Tuple(vec![Type::String, value]);
            function.result = Some(Type::Result(Some(Box::new(Type::List(Box::new(pair)))), error));
            functions
        };
        let bytes = Type::List(Box::new(Type::U8));
        let spelled = newer(Type::Option(Box::new(bytes.clone())));
        assert_eq!((misfit(interface, &spelled, served), misfit(interface, served, &spelled)), (None, None));
        let other = misfit(interface, &newer(bytes), served).unwrap();
        assert_eq!(other.function, "get-many");
        let elsewhere: Interface = "acme:keyvalue/batch@0.2.0-draft2".parse().unwrap();
        assert!(misfit(&elsewhere, &spelled, served).is_some(), "of no other interface");
    }
}
