//! Asks the greeter that it is linked to and answers with what it heard, a line for each call. Where the greeter runs
//! makes no difference to a single byte of that.

use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

use bindings::acme::greeting::greet::{self, Conversation, Error, Extras, Greeting, Person, Style};

mod bindings {
    wit_bindgen::generate!({ path: "../greeter/wit", world: "caller" });
}

struct Caller;

wasi::http::proxy::export!(Caller);

impl wasi::exports::http::incoming_handler::Guest for Caller {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        respond(out, &greetings(path.trim_matches('/')));
    }
}

/// Everything that can be said to `name`.
fn greetings(name: &str) -> String {
    let who = Person { name: name.to_owned(), age: Some(36), titles: vec!["Dr.".to_owned(), "Countess".to_owned()] };
    let styles = [
        (Style::Plain, Extras::empty()),
        (Style::Loud(3), Extras::TITLES),
        (Style::Speaking("fr".to_owned()), Extras::TITLES | Extras::AGE),
        (Style::Speaking("tlh".to_owned()), Extras::empty()),
    ];
    let one_by_one = styles.iter().map(|(how, extra)| greet::greet(&who, how, *extra));
    let stranger = Person { name: String::new(), age: None, titles: Vec::new() };
    let together = greet::greet_all(&[who.clone(), stranger]);
    let mut text: String = one_by_one.chain(together).map(|answer| line(&answer)).collect();
    text += &conversations(&who);
    text
}

/// Two conversations with the same person. They are the greeter's, each in an instance of its own: what is here are
/// handles, and what is dropped here ends there.
fn conversations(who: &Person) -> String {
    let (short, long) = (Conversation::new(who), Conversation::new(who));
    let _ = short.greet(&Style::Plain, Extras::empty());
    let _ = long.greet(&Style::Plain, Extras::AGE);
    let _ = long.greet(&Style::Speaking("de".to_owned()), Extras::TITLES);
    let last = line(&long.greet(&Style::Loud(1), Extras::AGE));
    let said = Conversation::finish(long);
    let words: u32 = said.iter().map(|greeting| greeting.words).sum();
    format!("{last}{} greetings of {words} words, and {} in another conversation\n", said.len(), short.said().len())
}

fn line(answer: &Result<Greeting, Error>) -> String {
    match answer {
        Ok(greeting) => format!("{} ({} words)\n", greeting.text, greeting.words),
        Err(Error::Nobody) => "there is nobody to greet\n".to_owned(),
        Err(Error::UnknownLanguage(language)) => format!("nobody speaks {language}\n"),
    }
}

/// Sends `text` as the whole body. A client that is gone is nobody's error, so what fails here is let go.
fn respond(out: ResponseOutparam, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}
