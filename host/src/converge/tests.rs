use std::{sync::OnceLock, time::Duration};

use futures::future::BoxFuture;
use mesh_claims::{KeyKind, KeyPair, Trust};
use mesh_lattice::{
    CallError, Code, InterfacePattern, Invocation, Reply, Serve,
    application::Application,
    stored::{Assignment, Item, ItemKind},
};
use mesh_provider::{Context, Factory, LinkError, LinkId, ProviderLink, StartError};
use mesh_runtime::{Engine, EngineConfig};
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

use super::*;
use crate::{actors, artifacts::Artifacts, known::WantedApp, providers, router::Router};

const WITHIN: Duration = Duration::from_secs(10);

/// Calls along its link as soon as it is told of it, and keeps the host from going on until it has.
struct Hasty {
    calls: OnceLock<Arc<dyn Serve>>,
    answer: Mutex<Option<Code>>,
    answered: Condvar,
}

impl Serve for Hasty {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async { Err(CallError::new(Code::Unavailable, "a test calls nobody")) })
    }
}

impl Provider for Hasty {
    fn put_link(&self, link: ProviderLink) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move {
            let mut call = crate::testing::call("web", link.peer.as_str());
            call.deadline = Deadline::after(Duration::from_millis(1));
            let failed = self.calls.get().unwrap().serve(call).await.err().map(|error| error.code);
            *self.answer.lock() = failed;
            self.answered.notify_all();
            Ok(())
        })
    }

    fn delete_link(&self, _: &LinkId) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn drain(&self, _: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct HastyFactory(Arc<Hasty>);

impl Factory for HastyFactory {
    fn kind(&self) -> Name {
        "hasty".parse().unwrap()
    }

    /// Asked for the host's report, in between of telling the provider and whatever comes after that.
    fn interfaces(&self) -> Vec<InterfacePattern> {
        let mut answer = self.0.answer.lock();
        while answer.is_none() {
            assert!(!self.0.answered.wait_for(&mut answer, WITHIN).timed_out(), "it never called");
        }
        Vec::new()
    }

    fn local_state(&self) -> bool {
        false
    }

    fn start(&self, context: Context) -> BoxFuture<'_, Result<Arc<dyn Provider>, StartError>> {
        let _ = self.0.calls.set(context.calls);
        Box::pin(std::future::ready(Ok(self.0.clone() as Arc<dyn Provider>)))
    }
}

/// A web server that is linked to an actor which runs nowhere yet.
fn known() -> Known {
    let root = KeyPair::generate(KeyKind::Operator).operator_id().unwrap();
    let application: Application = serde_json::from_value(serde_json::json!({
        "name": "demo",
        "actors": [{ "name": "counter", "artifact": { "digest": mesh_lattice::Digest::of(b"") } }],
        "providers": [{ "name": "web", "use": "hasty" }],
        "links": [{ "source": "web", "target": "counter", "interfaces": ["wasi:keyvalue"] }],
    }))
    .unwrap();
    let application = Arc::new(application);
    let name = application.name.clone();
    let mut known = Known::nothing(Trust::new(root));
    let web = Item { app: name.clone(), revision: 1, name: "web".parse().unwrap(), kind: ItemKind::Provider };
    known.assignment = Some(Assignment { incarnation: known.incarnation, term: 1, items: vec![web] });
    known.revisions.insert((name.clone(), 1), application.clone());
    known.apps.insert(name, WantedApp { revision: 1, application, links_since: vec![1] });
    known
}

#[test]
fn a_provider_that_calls_at_once_is_known_to_be_linked() {
    let work = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hasty = Arc::new(Hasty { calls: OnceLock::new(), answer: Mutex::default(), answered: Condvar::new() });
    let (said, stops) = (hasty.clone(), work.handle().clone());
    let ended = control.block_on(async move { tokio::time::timeout(3 * WITHIN, converges(hasty, stops)).await });
    work.shutdown_timeout(WITHIN);
    ended.expect("it converges and stops");
    assert_eq!(*said.answer.lock(), Some(Code::Unavailable), "nobody serves it, and that is all");
}

async fn converges(hasty: Arc<Hasty>, work: Handle) {
    let dir = tempfile::tempdir().unwrap();
    let (_publish, known) = watch::channel(Arc::new(known()));
    let (table, tables) = watch::channel(Arc::new(Table::default()));
    let router = Router::new(tables, None, None, Arc::default());
    let changed = Arc::new(Notify::new());
    let kinds = Kinds::new(vec![Arc::new(HastyFactory(hasty))]);
    let (_stores, store) = watch::channel(None);
    let actors = Actors::new(Arc::new(actors::Starter {
        engine: Engine::new(EngineConfig::default()).unwrap(),
        artifacts: Artifacts::new(dir.path().to_owned(), store),
        calls: router.clone(),
        known: known.clone(),
        ran_before: HashSet::new(),
        changed: changed.clone(),
    }));
    let providers = Providers::new(Arc::new(providers::Starter {
        lattice: Default::default(),
        kinds: kinds.clone(),
        data_dir: dir.path().to_owned(),
        runtime_dir: dir.path().to_owned(),
        calls: router,
        default_nats: None,
        tracing: false,
        work,
        changed: changed.clone(),
    }));
    let nothing = Report { origin: Origin::Nothing, term: 0, actors: vec![], providers: vec![], serving: vec![] };
    let (report, mut reports) = watch::channel(Arc::new(nothing));
    let own = crate::testing::host_id(1);
    let converge = Converge { own, site: String::new(), known, actors, providers, kinds, changed, table, report };
    let (stop, stops) = mpsc::channel(1);
    let runs = async {
        reports.wait_for(|report| !report.serving.is_empty()).await.unwrap();
        let (done, stopped) = oneshot::channel();
        stop.send(Stop::Providers(Deadline::after(WITHIN), done)).await.ok().unwrap();
        stopped.await.unwrap();
    };
    tokio::join!(converge.run(stops), runs);
}
