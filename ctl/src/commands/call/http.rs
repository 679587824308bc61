//! `call TARGET http METHOD PATH`: a request to an actor that serves HTTP, without a listener or a link.

use std::collections::BTreeMap;

use anyhow::Context as _;
use mesh_lattice::{
    Interface, Name,
    wit::{
        self, Outcome,
        http::{HANDLE, RequestHead, ResponseHead, headers},
    },
};
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::{host_of, nobody};
use crate::{
    client::{Client, Operation},
    commands::claims,
    exit::{Exit, Failure},
    output::{Output, Table},
};

/// The interface that is called; an actor may spell another version of it.
const INTERFACE: &str = "wasi:http/incoming-handler@0.2.0";

/// A request as it was typed.
pub(super) struct Request {
    head: RequestHead,
    body: Option<Vec<u8>>,
}

/// An answer.
#[derive(Serialize)]
struct Shown<'a> {
    status: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: &'a str,
}

impl Request {
    /// Reads what was typed.
    pub(super) fn of(arguments: &[String], typed: &[String], data: &Option<String>) -> anyhow::Result<Self> {
        let [method, path] = arguments else {
            return Err(Failure::invalid("a request has a method and a path: `call TARGET http GET /`").into());
        };
        let fields = typed.iter().map(|header| {
            let (name, value) = header
                .split_once(':')
                .ok_or_else(|| Failure::invalid(format!("{header:?} is not a header: NAME: VALUE")))?;
            Ok((name.trim().to_lowercase(), ByteBuf::from(value.trim().as_bytes())))
        });
        let head = RequestHead {
            method: method.to_uppercase(),
            scheme: Some("http".to_owned()),
            authority: Some("localhost".to_owned()),
            path_with_query: Some(path.clone()),
            headers: fields.collect::<anyhow::Result<_>>()?,
        };
        head.clone().into_parts().map_err(|error| Failure::invalid(error.message))?;
        let body = match data.as_deref().map(|data| (data, data.strip_prefix('@'))) {
            Some((_, Some(file))) => Some(claims::read(std::path::Path::new(file))?),
            Some((text, None)) => Some(text.as_bytes().to_vec()),
            None => None,
        };
        Ok(Self { head, body })
    }

    /// Sends it, and shows the answer.
    pub(super) async fn send(self, client: &Client, target: &Name, out: &Output) -> anyhow::Result<()> {
        let status = client.status().await?;
        let actor = status.actors.iter().find(|actor| actor.name == *target).ok_or_else(|| nobody(target))?;
        let operation = Operation {
            host: &host_of(actor)?,
            target,
            interface: Some(INTERFACE.parse::<Interface>()?),
            function: HANDLE,
            params: wit::to_wire(&(self.head,))?.to_vec(),
            body: self.body,
        };
        let (result, body) = client.operate(operation).await?;
        let answer: Outcome<ResponseHead, String> = wit::from_wire(&result).context("the answer cannot be read")?;
        match answer {
            Outcome::Ok(head) => show(&head, &body.unwrap_or_default(), out),
            Outcome::Err(error) => Err(Failure::new(Exit::Failed, error).into()),
        }
    }
}

fn show(head: &ResponseHead, body: &[u8], out: &Output) -> anyhow::Result<()> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &headers(&head.headers)? {
        fields.entry(name.to_string()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    out.detail(&format!("status {}", head.status));
    for (name, values) in &fields {
        out.detail(&format!("{name}: {}", values.join(", ")));
    }
    let text = String::from_utf8_lossy(body);
    if out.is_for_people() {
        out.bytes(body)?;
    } else {
        out.show(&Shown { status: head.status, headers: fields, body: &text }, Table::default)?;
    }
    if head.status >= 400 {
        return Err(Failure::new(Exit::Failed, format!("the answer has the status {}", head.status)).into());
    }
    Ok(())
}
