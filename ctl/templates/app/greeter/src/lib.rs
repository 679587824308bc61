//! Greets people: serves `example:greeting/greet`, an interface that no host knows. Whoever is linked calls
//! it, on this host or on another.

use bindings::exports::example::greeting::greet::{Error, Guest, Person};

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "greeter" });
}

struct Greeter;

#[cfg(target_arch = "wasm32")]
bindings::export!(Greeter with_types_in bindings);

impl Guest for Greeter {
    fn greet(who: Person) -> Result<String, Error> {
        if who.name.is_empty() {
            return Err(Error::Nobody);
        }
        let title = who
            .title
            .map(|title| format!("{title} "))
            .unwrap_or_default();
        Ok(format!("Hello, {title}{}.", who.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greet(name: &str, title: Option<&str>) -> Result<String, Error> {
        Greeter::greet(Person {
            name: name.to_owned(),
            title: title.map(str::to_owned),
        })
    }

    #[test]
    fn greets_with_a_title_and_without() {
        assert_eq!(greet("Ada", None).unwrap(), "Hello, Ada.");
        assert_eq!(
            greet("Ada", Some("Countess")).unwrap(),
            "Hello, Countess Ada."
        );
        assert!(matches!(greet("", None), Err(Error::Nobody)));
    }
}
