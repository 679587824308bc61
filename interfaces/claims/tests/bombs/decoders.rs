//! Every decoder that bytes of others reach: what a NATS message, a stored value, an artifact or a guest can hold.

use std::sync::LazyLock;

use bytes::Bytes;
use mesh_claims::{Envelope, Trust, verify};
use mesh_lattice::{
    application::{Application, Values},
    control,
    frame::Frame,
    key::Key,
    stored,
    value::{self, Type},
    wit,
};
use serde::de::DeserializeOwned;

/// A name and the decoder: whether it read anything.
pub(crate) type Decoder = (&'static str, fn(&[u8]) -> bool);

fn reads<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    value::read::<T>(bytes).is_ok()
}

/// As control requests and their answers are read.
fn carries<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    value::read_carrying::<T>(bytes).is_ok()
}

pub(crate) const ALL: &[Decoder] = &[
    ("frame", |bytes| Frame::decode(&Bytes::copy_from_slice(bytes)).is_ok()),
    ("skip", |bytes| value::skip(bytes).is_ok()),
    ("envelope", |bytes| Envelope::decode(bytes).is_ok()),
    ("statement", |bytes| {
        let mut trust = Trust::new(crate::corpus::root());
        let Ok(envelope) = Envelope::decode(bytes) else { return false };
        Key::parse(&envelope.key).is_some_and(|key| trust.apply(&key, &envelope).is_ok())
    }),
    ("claims", |bytes| verify::read(bytes).is_ok()),
    ("lattice record", reads::<stored::LatticeRecord>),
    ("pointer", reads::<stored::AppPointer>),
    ("application", reads::<Application>),
    ("values", reads::<Values>),
    ("owner", reads::<stored::OwnerRecord>),
    ("trust statement", reads::<stored::TrustStatement>),
    ("node", reads::<stored::NodeRecord>),
    ("pin", reads::<stored::Pin>),
    ("assignment", reads::<stored::Assignment>),
    ("observed", reads::<stored::Observed>),
    ("route", reads::<stored::Route>),
    ("leader", reads::<stored::Leader>),
    ("lease", reads::<stored::Lease>),
    ("event", reads::<stored::Event>),
    ("status request", carries::<control::StatusRequest>),
    ("read request", carries::<control::ReadRequest>),
    ("commit", carries::<control::Commit>),
    ("status", carries::<control::ControlReply<control::Status>>),
    ("read", carries::<control::ControlReply<control::Read>>),
    ("committed", carries::<control::ControlReply<control::Committed>>),
    ("http request", |bytes| wit::from_wire::<(wit::http::RequestHead,)>(bytes).is_ok()),
    ("http response", |bytes| wit::from_wire::<wit::Outcome<wit::http::ResponseHead, String>>(bytes).is_ok()),
    ("keys", |bytes| wit::from_wire::<(String, Vec<String>)>(bytes).is_ok()),
    ("list of options", |bytes| value::decode(&LIST, bytes).is_ok()),
    ("list of lists of numbers", |bytes| value::decode(&NUMBERS, bytes).is_ok()),
    ("record", |bytes| value::decode(&RECORD, bytes).is_ok()),
    ("deep tuple", |bytes| value::decode(&DEEP, bytes).is_ok()),
];

fn list(item: Type) -> Type {
    Type::List(Box::new(item))
}

static LIST: LazyLock<Type> = LazyLock::new(|| list(Type::Option(Box::new(Type::String))));
static NUMBERS: LazyLock<Type> = LazyLock::new(|| list(list(Type::U32)));
static RECORD: LazyLock<Type> = LazyLock::new(|| {
    let field = |name: &str, ty| (name.to_owned(), ty);
    Type::Record(vec![
        field("a", Type::Option(Box::new(list(Type::String)))),
        field("b", Type::Option(Box::new(Type::Flags(vec!["x".into(), "y".into()])))),
        field("c", Type::Option(Box::new(list(Type::Variant(vec![("n".into(), Some(Type::U8)), ("o".into(), None)]))))),
    ])
});
/// One level less than may be written.
static DEEP: LazyLock<Type> =
    LazyLock::new(|| (0..value::MAX_DEPTH - 1).fold(Type::U8, |inner, _| Type::Tuple(vec![inner])));
