//! Answers messages: whoever asks gets the words of his message counted.

use bindings::{
    exports::wasmcloud::messaging::handler::{BrokerMessage, Guest},
    wasmcloud::messaging::consumer,
};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "actor", generate_all });
}

struct Actor;

#[cfg(target_arch = "wasm32")]
bindings::export!(Actor with_types_in bindings);

impl Guest for Actor {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let answer = answer(&message.body)?;
        match message.reply_to {
            Some(subject) => {
                let body = answer.into_bytes();
                consumer::publish(&BrokerMessage {
                    subject,
                    body,
                    reply_to: None,
                })
            }
            // Nobody waits for an answer.
            None => Ok(()),
        }
    }
}

/// What is said to a message with this body.
fn answer(body: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("not a text: {error}"))?;
    Ok(format!("{} words", text.split_whitespace().count()))
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn counts_words_and_refuses_what_is_no_text() {
        assert_eq!(answer(b"three little words").as_deref(), Ok("3 words"));
        assert_eq!(answer(b"").as_deref(), Ok("0 words"));
        assert!(answer(&[0xff]).is_err());
    }
}
