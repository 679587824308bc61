//! Actors that talk on an interface of their own, people that call them, and ends that do not fit.

use anyhow::{Result, ensure};
use mesh_tests::lattice::{Lattice, READY_WITHIN};

/// What `caller` answers for `/Ada`.
const ADA: &str = "Hello, Ada. (2 words)\n\
    HELLO, DR. COUNTESS ADA!!! (4 words)\n\
    Bonjour, Dr. Countess Ada (36). (5 words)\n\
    nobody speaks tlh\n\
    Hello, Ada. (2 words)\n\
    there is nobody to greet\n\
    HELLO, ADA (36)! (3 words)\n\
    3 greetings of 11 words, and 1 in another conversation\n";

async fn start(lattice: &Lattice, name: &str) -> Result<()> {
    let file = lattice.signed(name).await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", name]).await?;
    Ok(())
}

/// Lets the caller call the greeter: before that it is not ready, because nobody serves what it imports.
async fn link(lattice: &Lattice) -> Result<()> {
    lattice.ok(["link", "put", "caller", "greeter", "acme:greeting"]).await?;
    lattice.until_ready("greeter", 1).await?;
    lattice.until_ready("caller", 1).await?;
    Ok(())
}

#[tokio::test]
async fn one_actor_calls_another_on_an_interface_of_its_own() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    start(&lattice, "greeter").await?;
    start(&lattice, "caller").await?;
    link(&lattice).await?;
    assert_eq!(lattice.ok(["call", "caller", "http", "GET", "/Ada"]).await?, ADA);
    let address = lattice.serve("caller").await?;
    lattice.until_answering(address, "/Ada").await?;
    assert_eq!(mesh_tests::http::get(address, "/Ada").await?.text(), ADA);

    let greet = ["call", "greeter", "acme:greeting/greet.greet"];
    let call = |arguments: [&'static str; 3]| greet.into_iter().chain(arguments).collect::<Vec<_>>();
    let who = r#"{name: "Ada", titles: ["Countess"]}"#;
    let said = lattice.ok(call([who, "loud(2)", "{titles}"])).await?;
    assert_eq!(said, "ok({text: \"HELLO, COUNTESS ADA!!\", words: 3})\n");
    let unknown = lattice.meshctl(call([who, "speaking(\"tlh\")", "{}"])).await?;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (1, "err(unknown-language(\"tlh\"))\n"), "{unknown}");
    let wrong = lattice.meshctl(call([who, "quiet", "{}"])).await?;
    ensure!(wrong.code == 2 && wrong.stderr.contains("quiet is none of plain, loud, speaking"), "{wrong}");
    for (function, argument) in [("[constructor]conversation", who), ("[method]conversation.said", "1")] {
        let function = format!("acme:greeting/greet.{function}");
        let refused = lattice.meshctl(["call", "greeter", &function, argument]).await?;
        ensure!(refused.code == 2 && refused.stderr.contains("a handle of conversation"), "{refused}");
    }
    let missing = lattice.meshctl(["call", "greeter", "acme:greeting/greet.shout"]).await?;
    ensure!(missing.code == 3 && missing.stderr.contains("acme:greeting/greet@1.0.0.greet-all"), "{missing}");
    Ok(())
}

#[tokio::test]
async fn the_answer_is_the_same_where_the_two_run_on_different_hosts() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(1).start().await?;
    // What is wanted while there is one host runs there and stays; what comes later goes to the host with less.
    start(&lattice, "greeter").await?;
    lattice.until_ready("greeter", 1).await?;
    lattice.up(2).await?;
    start(&lattice, "caller").await?;
    link(&lattice).await?;
    for (actor, host) in [("greeter", lattice.host_id(0)?), ("caller", lattice.host_id(1)?)] {
        let one = lattice.get_one("actors", actor).await?;
        assert_eq!(one["hosts"][0]["id"], host, "{actor} is not where this scenario needs it: {one}");
    }
    assert_eq!(lattice.ok(["call", "caller", "http", "GET", "/Ada"]).await?, ADA);
    let crossed = lattice.metric(1, "mesh_calls_total", "place=\"remote\",code=\"ok\"").await?;
    let (alone, talking) = (["greet"; 4].len() + ["greet-all"].len(), ["greet"; 4].len());
    let made = ["new", "new", "finish", "said", "drop"].len();
    assert_eq!(crossed, (alone + talking + made) as u64, "each is a call from the one host to the other");
    Ok(())
}

#[tokio::test]
async fn a_link_between_ends_of_other_types_is_refused_with_both_signatures() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    for name in ["greeter", "misfit", "caller"] {
        let file = lattice.signed(name).await?;
        lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", name]).await?;
    }
    let refused = lattice.meshctl(["link", "put", "misfit", "greeter", "acme:greeting"]).await?;
    let both = "greet of acme:greeting/greet@1.0.0 has other types at its two ends\n  \
        actor misfit calls    greet: func(who: string) -> string\n  \
        actor greeter serves  greet: func(who: person, how: style, extra: extras) -> result<greeting, error>\n";
    ensure!(refused.code == 2 && refused.stderr.contains(both), "{refused}\n{}", lattice.logs());
    assert!(lattice.get("links").await?.is_empty(), "nothing was changed");
    lattice.ok(["link", "put", "caller", "greeter", "acme:greeting"]).await?;

    // The other end becomes something else later: the link fails, and says why.
    let file = lattice.signed("misfit").await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", "caller"]).await?;
    mesh_tests::wait::eventually("the link is failed", READY_WITHIN, || async {
        let link = lattice.get("links").await?.into_iter().next().unwrap_or_default();
        ensure!(link["state"] == "failed", "{link}");
        let reason = link["reason"].as_str().unwrap_or_default();
        Ok(reason.contains("actor caller calls    greet: func(who: string) -> string").then_some(()))
    })
    .await?;
    Ok(())
}
