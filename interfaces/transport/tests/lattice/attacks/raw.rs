//! A host's side of the wire, written a second time with nothing but the primitives: what somebody with NATS
//! credentials, and perhaps with a host's key, can say. That its honest calls are executed shows that its attacks fail
//! for the reason that they should.

use std::{sync::atomic::AtomicU64, sync::atomic::Ordering, time::Duration};

use bytes::{Buf as _, Bytes};
use mesh_claims::keys::KeyPair;
use mesh_lattice::{
    BootId, CallId, Deadline, HostId, LatticeName, Monotonic,
    frame::{Call, Frame, Hello, VERSIONS},
    subject,
};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    digest::{Context, SHA256},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand::SystemRandom,
};

use crate::fixture::{Server, settle};

/// What stands in front of the ciphertext.
pub(super) const PREFIX: usize = 17;

/// New calls, as sealing names them.
pub(super) const CALL: u8 = 1;

/// Signs of life beside the calls.
pub(super) const PULSE: u8 = 3;

/// Somebody with NATS credentials and a key.
pub(super) struct Raw {
    pub(super) client: async_nats::Client,
    pub(super) key: KeyPair,
    pub(super) host: HostId,
    pub(super) boot: BootId,
}

/// The sealed frames of a message: those of a bundle, or the one that it is.
pub(super) fn frames(message: &Bytes) -> Vec<Bytes> {
    if message.first() != Some(&2) {
        return vec![message.clone()];
    }
    let (mut frames, mut rest) = (Vec::new(), message.slice(1..));
    while !rest.is_empty() {
        let length = rest.get_u32() as usize;
        frames.push(rest.split_to(length));
    }
    frames
}

/// A message of these.
pub(super) fn bundle(frames: &[Bytes]) -> Bytes {
    let mut bundle = vec![2];
    for frame in frames {
        bundle.extend((frame.len() as u32).to_be_bytes());
        bundle.extend(frame);
    }
    bundle.into()
}

/// A caller's side of a session.
pub(super) struct Sealer {
    pub(super) id: u64,
    key: LessSafeKey,
    counter: AtomicU64,
}

impl Raw {
    pub(super) async fn with(server: &Server, key: KeyPair) -> Self {
        let client = async_nats::connect(server.url()).await.unwrap();
        Self { client, host: key.host_id().unwrap(), key, boot: BootId::new() }
    }

    /// A signed Hello to `to`, and the key that belongs to it.
    pub(super) fn hello(&self, to: &HostId) -> (Hello, EphemeralPrivateKey) {
        self.hello_with(to, |_| {})
    }

    /// The same, changed before it is signed.
    pub(super) fn hello_with(&self, to: &HostId, change: impl FnOnce(&mut Hello)) -> (Hello, EphemeralPrivateKey) {
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).unwrap();
        let mut hello = Hello {
            versions: VERSIONS,
            lattice: LatticeName::default(),
            from: self.host.clone(),
            from_boot: self.boot,
            to: to.clone(),
            to_boot: None,
            ephemeral: private.compute_public_key().unwrap().as_ref().try_into().unwrap(),
            answers: None,
            max_frame: 1 << 20,
            clock: Monotonic::now(),
            signature: Vec::new(),
        };
        change(&mut hello);
        hello.signature = self.key.sign(&statement(&hello)).to_vec();
        (hello, private)
    }

    /// Sends a Hello; what came back, if anything did before `limit`.
    pub(super) async fn ask(&self, to: &HostId, hello: &Hello, limit: Duration) -> Option<Hello> {
        let question = Frame::Hello(Box::new(hello.clone())).encode();
        let asked = self.client.request(subject::hello(&LatticeName::default(), to), question.into());
        let answer = tokio::time::timeout(limit, asked).await.ok()?.unwrap();
        match Frame::decode(&answer.payload).unwrap() {
            Frame::Hello(answer) => Some(*answer),
            other => panic!("{other:?}"),
        }
    }

    /// Makes a session as an honest host would.
    pub(super) async fn shake_hands(&self, to: &HostId) -> Sealer {
        let (hello, private) = self.hello(to);
        let answer = self.ask(to, &hello, Duration::from_secs(10)).await.unwrap();
        Sealer::agree(private, &hello, &answer)
    }

    /// Publishes on the subject of new calls of this boot.
    pub(super) async fn publish_call(&self, to: &HostId, boot: BootId, payload: impl Into<Bytes>) {
        self.client.publish(subject::call(&LatticeName::default(), to, boot), payload.into()).await.unwrap();
    }

    /// Waits until the server has taken in all that was published.
    pub(super) async fn settle(&self) {
        settle(&self.client).await;
    }
}

impl Sealer {
    fn agree(private: EphemeralPrivateKey, asked: &Hello, answer: &Hello) -> Self {
        struct Material;
        impl KeyType for Material {
            fn len(&self) -> usize {
                32
            }
        }
        let mut said = Context::new(&SHA256);
        said.update(&statement(asked));
        said.update(&statement(answer));
        let salt = Salt::new(HKDF_SHA256, said.finish().as_ref());
        agree_ephemeral(private, &UnparsedPublicKey::new(&X25519, &answer.ephemeral), |shared| {
            let secret = salt.extract(shared);
            let expand = |info: &[u8]| {
                let mut out = [0; 32];
                secret.expand(&[b"mesh session 1 ", info], Material).unwrap().fill(&mut out).unwrap();
                out
            };
            let id = u64::from_be_bytes(*expand(b"id").first_chunk::<8>().unwrap());
            Self::new(id, expand(b"caller to callee"))
        })
        .unwrap()
    }

    /// With a key of one's own choice.
    pub(super) fn new(id: u64, key: [u8; 32]) -> Self {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
        Self { id, key, counter: AtomicU64::new(0) }
    }

    /// The next sealed message.
    pub(super) fn seal(&self, class: u8, plain: &[u8]) -> Vec<u8> {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut out = vec![1];
        out.extend(self.id.to_be_bytes());
        out.extend(counter.to_be_bytes());
        let additional: Vec<u8> = [&[class][..], &out].concat();
        let mut nonce = [0; NONCE_LEN];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        let mut sealed = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(additional), &mut sealed).unwrap();
        out.extend(sealed);
        out
    }
}

/// What a Hello's signature covers.
pub(super) fn statement(hello: &Hello) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(if hello.answers.is_some() { b"mesh hello answer\0" } else { b"mesh hello\0" });
    out.extend(hello.versions.0.to_be_bytes());
    out.extend(hello.versions.1.to_be_bytes());
    for text in [hello.lattice.as_str(), hello.from.as_str(), hello.to.as_str()] {
        out.push(text.len().try_into().unwrap());
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(hello.from_boot.0.as_bytes());
    out.push(u8::from(hello.to_boot.is_some()));
    out.extend(hello.to_boot.iter().flat_map(|boot| *boot.0.as_bytes()));
    out.extend_from_slice(&hello.ephemeral);
    out.push(u8::from(hello.answers.is_some()));
    out.extend(hello.answers.iter().flat_map(|answered| answered.into_array()));
    out.extend(hello.max_frame.to_be_bytes());
    out.extend(hello.clock.0.to_be_bytes());
    out
}

/// A call of `web` to `counter`, with 10 s to go and the parameters `tick`.
pub(super) fn call_frame() -> (Call, Vec<u8>) {
    let frame = serde_json::json!({
        "i": CallId::new(), "c": { "n": "web" }, "l": "default", "t": "counter", "w": "test:echo/echo", "o": "count",
        "s": Monotonic::now(), "d": Deadline::after(Duration::from_secs(10)),
    });
    let call: Call = serde_json::from_value(frame).unwrap();
    let bytes = Frame::Call(Box::new(call.clone()), Bytes::from_static(b"tick")).encode();
    (call, bytes)
}
