//! Whose calls are taken: with the control that each of them is taken once when it first comes.

use mesh_claims::{KeyKind, KeyPair};
use mesh_lattice::{
    CallId,
    key::{Key, TrustKey},
    stored::TrustStatement,
};

use super::*;

/// One that must not be called by what only judges.
struct Nobody;

impl Serve for Nobody {
    fn serve(&self, _: Invocation) -> futures::future::BoxFuture<'_, Result<Reply, CallError>> {
        panic!("nothing is called here")
    }
}

struct Desk {
    shared: Shared,
    known: watch::Sender<Arc<Known>>,
    root: KeyPair,
    user: KeyPair,
    now: Monotonic,
}

fn known(root: &KeyPair, user: &KeyPair, statement: TrustStatement) -> Arc<Known> {
    let mut trust = Trust::new(root.operator_id().unwrap());
    let key = Key::Trust(TrustKey::User(user.user_id().unwrap()));
    trust.apply(&key, &Envelope::sign(&key, Incarnation::new(), 1, &statement, root).unwrap()).unwrap();
    Arc::new(Known::nothing(trust))
}

impl Desk {
    fn new() -> Self {
        let (root, user) = (KeyPair::generate(KeyKind::Operator), KeyPair::generate(KeyKind::User));
        let trusted = TrustStatement::User { id: user.user_id().unwrap(), admin: false };
        let (known, here) = watch::channel(known(&root, &user, trusted));
        let operators = Operators {
            host: crate::testing::host_id(1),
            boot: BootId::new(),
            known: here,
            inward: Arc::new(Nobody),
            refusals: Arc::default(),
            work: Handle::current(),
        };
        let shared = Shared { operators, taken: Mutex::default() };
        Self { shared, known, root, user, now: Monotonic(1_000_000_000) }
    }

    fn call(&self) -> OperatorCall {
        OperatorCall {
            id: CallId::new(),
            until: self.now.plus(Duration::from_secs(5)),
            target: "counter".parse().unwrap(),
            interface: "acme:counter/count".parse().unwrap(),
            operation: "add".to_owned(),
            params: ByteBuf::from(*b"\x91\x01"),
            body: None,
        }
    }

    fn sign(&self, call: &OperatorCall, by: &KeyPair) -> Envelope {
        let key = operator::key(&self.shared.operators.host, self.shared.operators.boot);
        Envelope::sign(&key, self.incarnation(), 1, call, by).unwrap()
    }

    fn incarnation(&self) -> Incarnation {
        self.known.borrow().incarnation
    }

    fn judge(&self, envelope: &Envelope) -> Result<(), Reason> {
        self.shared.judge(&envelope.encode(), self.now).map(drop).map_err(|(reason, ..)| reason)
    }
}

#[tokio::test]
async fn a_trusted_users_call_is_taken_once_and_never_again() {
    let mut desk = Desk::new();
    let envelope = desk.sign(&desk.call(), &desk.user);
    assert_eq!(desk.judge(&envelope), Ok(()));
    for _ in 0..1_000 {
        assert_eq!(desk.judge(&envelope), Err(Reason::Replayed));
    }
    desk.now = desk.now.plus(Duration::from_secs(6));
    assert_eq!(desk.judge(&envelope), Err(Reason::Late));
    assert_eq!(desk.judge(&desk.sign(&desk.call(), &desk.user)), Ok(()), "another one is another one");
}

#[tokio::test]
async fn no_byte_of_a_call_can_be_changed() {
    let desk = Desk::new();
    let good = desk.sign(&desk.call(), &desk.user).encode();
    let mut taken = 0;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x01;
        taken += usize::from(desk.shared.judge(&bad, desk.now).is_ok());
    }
    println!("{taken} of {} changed envelopes were taken", good.len());
    assert_eq!(taken, 0);
    assert!(desk.shared.judge(&good, desk.now).is_ok(), "the one that was signed is");
}

#[tokio::test]
async fn what_nobody_trusted_signed_for_this_boot_is_refused() {
    let desk = Desk::new();
    let (call, stranger) = (desk.call(), KeyPair::generate(KeyKind::User));
    assert_eq!(desk.judge(&desk.sign(&call, &stranger)), Err(Reason::Untrusted));
    assert_eq!(desk.judge(&desk.sign(&call, &desk.root)), Err(Reason::Untrusted), "the root is no user");
    let mut unsigned = desk.sign(&call, &desk.user);
    unsigned.signature = vec![0; 64];
    assert_eq!(desk.judge(&unsigned), Err(Reason::Unauthentic));
    let mut in_his_name = desk.sign(&call, &stranger);
    in_his_name.signer = desk.user.public();
    assert_eq!(desk.judge(&in_his_name), Err(Reason::Unauthentic));

    let host = &desk.shared.operators.host;
    for key in [
        operator::key(host, BootId::new()),
        operator::key(&crate::testing::host_id(2), desk.shared.operators.boot),
        "app.counter".to_owned(),
    ] {
        let envelope = Envelope::sign(&key, desk.incarnation(), 1, &call, &desk.user).unwrap();
        assert_eq!(desk.judge(&envelope), Err(Reason::Unauthentic), "{key}");
        assert!(!key.starts_with("operate") || Key::parse(&key).is_none(), "no stored value has the key of a call");
    }
    let key = operator::key(host, desk.shared.operators.boot);
    let elsewhere = Envelope::sign(&key, Incarnation::new(), 1, &call, &desk.user).unwrap();
    assert_eq!(desk.judge(&elsewhere), Err(Reason::Unauthentic), "another lattice's");
    assert_eq!(desk.shared.judge(b"\x80", desk.now).unwrap_err().0, Reason::Malformed);
    assert_eq!(desk.judge(&desk.sign(&call, &desk.user)), Ok(()));
}

#[tokio::test]
async fn a_call_is_signed_for_a_while_and_a_user_calls_while_he_is_trusted() {
    let desk = Desk::new();
    let long = OperatorCall { until: desk.now.plus(LONGEST + Duration::from_secs(1)), ..desk.call() };
    assert_eq!(desk.judge(&desk.sign(&long, &desk.user)), Err(Reason::Malformed));
    let late = OperatorCall { until: desk.now, ..desk.call() };
    assert_eq!(desk.judge(&desk.sign(&late, &desk.user)), Err(Reason::Late));
    assert_eq!(desk.judge(&desk.sign(&desk.call(), &desk.user)), Ok(()));
    desk.known.send_replace(known(&desk.root, &desk.user, TrustStatement::Withdrawn));
    assert_eq!(desk.judge(&desk.sign(&desk.call(), &desk.user)), Err(Reason::Untrusted));
}
