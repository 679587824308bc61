//! Streams the body of the request back while it comes in, with its method, path and one of its headers.

use mesh_guests::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam, io::streams::StreamError,
};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let headers = Fields::new();
    headers.set(&"x-method".to_owned(), &[format!("{:?}", request.method()).into_bytes()]).unwrap();
    headers.set(&"x-path".to_owned(), &[mesh_guests::path(&request).into_bytes()]).unwrap();
    headers.set(&"x-authority".to_owned(), &[request.authority().unwrap_or_default().into_bytes()]).unwrap();
    headers.set(&"x-seen".to_owned(), &request.headers().get(&"x-given".to_owned())).unwrap();
    let response = OutgoingResponse::new(headers);
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let incoming = request.consume().unwrap();
    {
        let (from, to) = (incoming.stream().unwrap(), body.write().unwrap());
        loop {
            match from.blocking_read(4096) {
                Ok(bytes) => to.blocking_write_and_flush(&bytes).unwrap(),
                Err(StreamError::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    OutgoingBody::finish(body, None).unwrap();
}

mesh_guests::handler!(handle);
