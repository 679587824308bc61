//! What the README and the examples tell a newcomer to type works when it is pasted: every line succeeds, and the last
//! `curl` is answered at once.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use mesh_tests::{guest, lattice::free_address};
use tokio::process::Command;

/// Where the examples listen.
const ADDRESS: &str = "127.0.0.1:8080";

/// What builds the examples: the guests of the tests, which are built before.
const BUILD: &str = "cargo build --release --target wasm32-wasip2 --manifest-path examples/Cargo.toml\n";

/// Each paste ends within this, `--wait` included.
const WITHIN: Duration = Duration::from_secs(240);

/// The lines between the first pair of fences after `heading`.
fn lines(page: &str, heading: &str) -> Result<String> {
    let after = page.split_once(heading).with_context(|| format!("the page has no {heading:?}"))?.1;
    let block = after.split("```").nth(1).context("no lines to paste")?;
    Ok(block.trim_start().to_owned())
}

/// A folder to paste into. Whatever it started is stopped with it.
struct Desk(tempfile::TempDir);

impl Drop for Desk {
    fn drop(&mut self) {
        if let Ok(meshctl) = guest::program("meshctl") {
            let mut down = std::process::Command::new(meshctl);
            let _ = down.args(["down", "--purge"]).current_dir(self.0.path()).stdout(Stdio::null()).status();
        }
    }
}

impl Desk {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::TempDir::with_prefix("mesh-paste-")?))
    }

    /// What a clone has of this example, with its program built, and an address of its own.
    fn example(&self, name: &str, address: &str) -> Result<()> {
        let folder = self.0.path().join("examples").join(name);
        let built = self.0.path().join("examples/target/wasm32-wasip2/release");
        std::fs::create_dir_all(&folder)?;
        std::fs::create_dir_all(&built)?;
        std::fs::copy(guest::unsigned(name)?, built.join(format!("{name}.wasm")))?;
        let manifest = std::fs::read_to_string(repository()?.join("examples").join(name).join("mesh.yaml"))?;
        Ok(std::fs::write(folder.join("mesh.yaml"), manifest.replace(ADDRESS, address))?)
    }

    /// Pastes these lines, in a clone that has these examples; returns what the last one printed.
    async fn paste(&self, lines: &str, examples: &[&str]) -> Result<String> {
        let address = free_address()?.to_string();
        for name in examples {
            self.example(name, &address)?;
        }
        let script = lines.replace(ADDRESS, &address).replace("--detach", "--detach --port 0");
        let built = guest::built()?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(built).chain(std::env::split_paths(&path)))?;
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &script]).current_dir(self.0.path()).env("PATH", path);
        for variable in ["MESH_SERVER", "MESH_KEY", "MESH_LATTICE", "MESH_CONTEXT", "MESH_ROOT"] {
            bash.env_remove(variable);
        }
        let output = tokio::time::timeout(WITHIN, bash.stdin(Stdio::null()).kill_on_drop(true).output()).await??;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{script}\nended with {}\n{out}\n{err}", output.status);
        Ok(out.lines().last().unwrap_or_default().to_owned())
    }
}

fn repository() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests are not in the repository")?.to_owned())
}

#[tokio::test]
async fn the_quick_start_of_the_readme_can_be_pasted() -> Result<()> {
    let counter = guest::unsigned("counter")?;
    let page = std::fs::read_to_string(repository()?.join("README.md"))?;
    let all = lines(&page, "The same by hand")?;
    let built = "~/.cache/mesh/target/guests/wasm32-wasip2/release/counter.wasm";
    ensure!(all.contains(built) && all.trim_end().ends_with("meshctl down"), "{all}");
    let all = all.replace(built, &counter.to_string_lossy());
    let desk = Desk::new()?;
    let (story, down) = all.rsplit_once("meshctl down").context("it ends with `meshctl down`")?;
    assert_eq!(desk.paste(story, &["counter"]).await?, "1", "what the README's curl prints first");
    desk.paste(&format!("meshctl down{down}"), &[]).await?;
    Ok(())
}

#[tokio::test]
async fn what_the_examples_say_can_be_pasted() -> Result<()> {
    let alone = [("hello", "1"), ("counter", "1"), ("visits", "ada")].map(|one| vec![one]);
    let together = vec![("greeter", "HELLO, COUNTESS ADA!!!"), ("caller", "and 1 in another conversation")];
    for examples in alone.into_iter().chain([together]) {
        let desk = Desk::new()?;
        desk.paste("meshctl up --hosts 2 --detach", &[]).await?;
        for (name, answer) in examples {
            let page = std::fs::read_to_string(repository()?.join("examples").join(name).join("README.md"))?;
            let story = lines(&page, "\n")?;
            ensure!(story.starts_with(BUILD), "{name} begins with something else than {BUILD}: {story}");
            let said = desk.paste(&story.replace(BUILD, ""), &[name]).await?;
            ensure!(said.contains(answer), "{name} answers {said:?}");
        }
    }
    Ok(())
}
