use std::time::Duration;

use futures::future::BoxFuture;
use mesh_lattice::{CallError, Code, Invocation, LinkName, Reply};
use mesh_provider::{Context, End, LinkError, StartError};
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
        let refuses = link.config.contains_key("refused");
        self.told.send(link.peer).unwrap();
        Box::pin(std::future::ready(if refuses { Err(LinkError::Conflict("it is taken".into())) } else { Ok(()) }))
    }

    fn begin(&self) -> BoxFuture<'_, ()> {
        self.told.send("begins".parse().unwrap()).unwrap();
        Box::pin(std::future::ready(()))
    }

    fn delete_link(&self, link: &LinkId) -> BoxFuture<'_, ()> {
        self.told.send(format!("without-{}", link.peer).parse().unwrap()).unwrap();
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
        self.told.send("drains".parse().unwrap()).unwrap();
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

fn providers(slow: &Arc<Slow>) -> (Providers, Arc<Notify>) {
    let changed = Arc::new(Notify::new());
    let providers = Providers::new(Arc::new(Starter {
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
    (providers, changed)
}

#[tokio::test]
async fn a_link_that_is_wanted_while_its_provider_is_asked_how_it_is_is_told() {
    let ((told, mut tells), (asked, mut asks)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let slow = Arc::new(Slow { told, asked, answers: Arc::new(Semaphore::new(0)) });
    let (mut providers, changed) = providers(&slow);
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

#[tokio::test]
async fn a_link_that_is_changed_to_what_its_provider_refuses_is_taken_away_until_it_is_changed_again() {
    let ((told, mut tells), (asked, _asks)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let slow = Arc::new(Slow { told, asked, answers: Arc::new(Semaphore::new(1_000)) });
    let (mut providers, changed) = providers(&slow);
    let name: Name = "slow".parse().unwrap();
    let good = spec(&["one", "two"]);
    let mut bad = good.clone();
    let link = bad.links.values_mut().find(|link| link.peer.as_str() == "one").unwrap();
    link.config.insert("refused".into(), "yes".into());

    for (wanted, hears, failed, taken) in
        [(&good, &["one", "two", "begins"][..], 0, 2), (&bad, &["one", "without-one"], 1, 1), (&good, &["one"], 0, 2)]
    {
        providers.put(&name, wanted.clone());
        for expected in hears {
            assert_eq!(soon("it is told", tells.recv()).await.unwrap().as_str(), *expected);
        }
        soon("its links are as they are shown", async {
            let links = |status: ProviderStatus| (status.failed_links.len(), status.taken_links.len());
            while links(providers.statuses().next().unwrap().1) != (failed, taken) {
                changed.notified().await;
            }
        })
        .await;
    }
    assert!(tells.try_recv().is_err(), "the other link was left alone");
    providers.stop_all(Deadline::after(Duration::from_secs(10))).await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_replaced_takes_calls_for_as_long_as_somebody_can_send_it_one() {
    let ((told, mut tells), (asked, _asks)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let slow = Arc::new(Slow { told, asked, answers: Arc::new(Semaphore::new(1_000)) });
    let (mut providers, changed) = providers(&slow);
    let name: Name = "slow".parse().unwrap();
    providers.put(&name, spec(&[]));
    assert_eq!(tells.recv().await.unwrap().as_str(), "begins");
    // What a call holds that was routed just now, and whose thread gets no processor.
    let mut routed = None;
    while routed.is_none() {
        changed.notified().await;
        routed = providers.statuses().next().unwrap().1.provider;
    }
    let mut other = spec(&[]);
    other.run.config.insert("key".into(), "value".into());
    providers.put(&name, other);
    let on_its_way = Duration::from_secs(3);
    assert!(timeout(on_its_way, tells.recv()).await.is_err(), "it is drained with a call on its way");
    drop(routed);
    assert_eq!(tells.recv().await.unwrap().as_str(), "drains");
    assert_eq!(tells.recv().await.unwrap().as_str(), "begins");
    providers.stop_all(Deadline::after(Duration::from_secs(10))).await;
}
