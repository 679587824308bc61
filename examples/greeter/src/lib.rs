//! Greets people: an actor that exports an interface of its own, which no host knows. Whoever is linked calls it, on
//! this host or on another.

use std::cell::RefCell;

use bindings::exports::acme::greeting::greet::{
    Conversation, Error, Extras, Greeting, Guest, GuestConversation, Person, Style,
};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "greeter" });

    use super::Greeter;
    export!(Greeter);
}

struct Greeter;

/// What stands behind the handle of a conversation, in the one instance that made it.
struct Talk {
    who: Person,
    said: RefCell<Vec<Greeting>>,
}

impl Guest for Greeter {
    type Conversation = Talk;

    fn greet(who: Person, how: Style, extra: Extras) -> Result<Greeting, Error> {
        if who.name.is_empty() {
            return Err(Error::Nobody);
        }
        let mut name = String::new();
        if extra.contains(Extras::TITLES) {
            who.titles.iter().for_each(|title| name += &format!("{title} "));
        }
        name += &who.name;
        if let (true, Some(age)) = (extra.contains(Extras::AGE), who.age) {
            name += &format!(" ({age})");
        }
        let text = match how {
            Style::Plain => format!("Hello, {name}."),
            Style::Loud(marks) => format!("HELLO, {}{}", name.to_uppercase(), "!".repeat(marks.into())),
            Style::Speaking(language) => match language.as_str() {
                "en" => format!("Hello, {name}."),
                "de" => format!("Guten Tag, {name}."),
                "fr" => format!("Bonjour, {name}."),
                _ => return Err(Error::UnknownLanguage(language)),
            },
        };
        let words = u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX);
        Ok(Greeting { text, words })
    }

    fn greet_all(people: Vec<Person>) -> Vec<Result<Greeting, Error>> {
        people.into_iter().map(|who| Self::greet(who, Style::Plain, Extras::empty())).collect()
    }
}

impl GuestConversation for Talk {
    fn new(who: Person) -> Self {
        Self { who, said: RefCell::default() }
    }

    fn greet(&self, how: Style, extra: Extras) -> Result<Greeting, Error> {
        let greeting = Greeter::greet(self.who.clone(), how, extra)?;
        self.said.borrow_mut().push(greeting.clone());
        Ok(greeting)
    }

    fn said(&self) -> Vec<Greeting> {
        self.said.borrow().clone()
    }

    fn finish(talk: Conversation) -> Vec<Greeting> {
        talk.into_inner::<Self>().said.into_inner()
    }
}
