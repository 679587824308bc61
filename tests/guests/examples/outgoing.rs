//! Passes a request on to `peer`, and answers with what came back or why nothing did.

use mesh_guests::{
    Fields, IncomingRequest, OutgoingBody, ResponseOutparam, answer,
    http::{
        outgoing_handler,
        types::{Method, OutgoingRequest, Scheme},
    },
    io::streams::StreamError,
    path,
};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let outgoing = OutgoingRequest::new(Fields::new());
    outgoing.set_method(&Method::Post).unwrap();
    outgoing.set_scheme(Some(&Scheme::Http)).unwrap();
    outgoing.set_authority(Some("peer")).unwrap();
    outgoing.set_path_with_query(Some(&path(&request))).unwrap();
    let body = outgoing.body().unwrap();
    let future = match outgoing_handler::handle(outgoing, None) {
        Ok(future) => future,
        Err(error) => return answer(out, 502, format!("{error:?}").as_bytes()),
    };
    body.write().unwrap().blocking_write_and_flush(b"from the guest").ok();
    OutgoingBody::finish(body, None).ok();
    future.subscribe().block();
    match future.get().unwrap().unwrap() {
        Err(error) => answer(out, 502, format!("{error:?}").as_bytes()),
        Ok(response) => {
            let mut text = format!("{} ", response.status()).into_bytes();
            let body = response.consume().unwrap();
            let stream = body.stream().unwrap();
            loop {
                match stream.blocking_read(4096) {
                    Ok(bytes) => text.extend(bytes),
                    Err(StreamError::Closed) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            answer(out, 200, &text);
        }
    }
}

mesh_guests::handler!(handle);
