use futures::future::BoxFuture;
use mesh_lattice::{CallError, Code, Invocation, LinkName, Reply};
use mesh_provider::LinkError;
use tokio::sync::{Semaphore, mpsc};

use super::*;

/// A provider that says which links it is told and when it begins, and answers for its health when the test lets it.
struct Slow {
    told: mpsc::UnboundedSender<Name>,
    asked: mpsc::UnboundedSender<()>,
    answers: Arc<Semaphore>,
}

impl Serve for Slow {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async { Err(CallError::new(Code::Unavailable, "a test calls nobody")) })
    }
}

impl Provider for Slow {
    fn put_link(&self, link: ProviderLink) -> BoxFuture<'_, Result<(), LinkError>> {
        self.told.send(link.peer).unwrap();
        Box::pin(std::future::ready(Ok(())))
    }

    fn begin(&self) -> BoxFuture<'_, ()> {
        self.told.send("begins".parse().unwrap()).unwrap();
        Box::pin(std::future::ready(()))
    }

    fn delete_link(&self, _: &LinkId) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            self.asked.send(()).unwrap();
            self.answers.acquire().await.unwrap().forget();
            Ok(())
        })
    }

    fn drain(&self, _: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct SlowFactory(Arc<Slow>);

impl Factory for SlowFactory {
    fn kind(&self) -> Name {
        "slow".parse().unwrap()
    }

    fn interfaces(&self) -> Vec<InterfacePattern> {
        Vec::new()
    }

    fn local_state(&self) -> bool {
        false
    }

    fn start(&self, _: Context) -> BoxFuture<'_, Result<Arc<dyn Provider>, StartError>> {
        Box::pin(std::future::ready(Ok(self.0.clone() as Arc<dyn Provider>)))
    }
}

fn spec(peers: &[&str]) -> ProviderSpec {
    let link = |peer: &&str| ProviderLink {
        end: End::Source,
        peer: peer.parse().unwrap(),
        name: LinkName::default(),
        interfaces: vec!["wasi:http".parse().unwrap()],
        config: Values::new(),
        timeout: None,
    };
    ProviderSpec {
        app: "adhoc".parse().unwrap(),
        revision: 1,
        run: ProviderRun { kind: "slow".parse().unwrap(), config: Values::new() },
        links: peers.iter().map(link).map(|link| (link.id(), link)).collect(),
        lacking: Vec::new(),
    }
}

async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(15), happens).await.unwrap_or_else(|_| panic!("not within 15 s: {what}"))
}

#[tokio::test]
async fn a_link_that_is_wanted_while_its_provider_is_asked_how_it_is_is_told() {
    let ((told, mut tells), (asked, mut asks)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let slow = Arc::new(Slow { told, asked, answers: Arc::new(Semaphore::new(0)) });
    let changed = Arc::new(Notify::new());
    let mut providers = Providers::new(Arc::new(Starter {
        lattice: Default::default(),
        kinds: Kinds::new(vec![Arc::new(SlowFactory(slow.clone()))]),
        data_dir: PathBuf::new(),
        runtime_dir: PathBuf::new(),
        calls: slow.clone(),
        default_nats: None,
        tracing: false,
        work: Handle::current(),
        changed: changed.clone(),
    }));
    let name: Name = "slow".parse().unwrap();
    providers.put(&name, spec(&["one"]));
    assert_eq!(soon("the first link", tells.recv()).await.unwrap().as_str(), "one");
    assert_eq!(soon("all links were told", tells.recv()).await.unwrap().as_str(), "begins");
    providers.put(&name, spec(&["one", "two"]));
    assert_eq!(soon("the second link", tells.recv()).await.unwrap().as_str(), "two");
    soon("the provider is asked", asks.recv()).await;
    providers.put(&name, spec(&["one", "three", "two"]));
    slow.answers.add_permits(1_000);
    assert_eq!(soon("the third link", tells.recv()).await.unwrap().as_str(), "three");
    soon("all three are marked as taken", async {
        while providers.statuses().next().unwrap().1.taken_links.len() != 3 {
            changed.notified().await;
        }
    })
    .await;
    providers.stop_all(Deadline::after(Duration::from_secs(10))).await;
}
