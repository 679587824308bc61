//! The built programs and actors.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context as _, Error, Result, ensure};

/// The folder of the programs that cargo built, which this test is in too.
///
/// # Errors
///
/// Where this is not run by cargo.
pub fn built() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder =
        test.ancestors().find(|folder| folder.file_name().is_some_and(|name| name != "deps") && folder.is_dir());
    Ok(folder.context("this test is not where cargo puts it")?.to_owned())
}

/// One of our own programs.
///
/// # Errors
///
/// Where it is not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = built()?.join(name);
    ensure!(
        path.is_file(),
        "{} is not built: `make test` does it, or `cargo build -p meshctl -p mesh-host --bins`",
        path.display()
    );
    Ok(path)
}

/// An unsigned actor: an example of the repository, or one of the guests of the tests. All of them are built once for
/// each run of the tests, into a target directory of their own: a cargo inside a cargo that shares its directory waits
/// for ever.
///
/// # Errors
///
/// Where they cannot be built, or there is none of this name.
pub fn unsigned(name: &str) -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let target = BUILT.get_or_init(|| build_all().map_err(|error| format!("{error:#}"))).clone().map_err(Error::msg)?;
    let release = target.join("wasm32-wasip2/release");
    let file = format!("{}.wasm", name.replace('-', "_"));
    let found = [release.join(&file), release.join("examples").join(&file)].into_iter().find(|path| path.is_file());
    found.with_context(|| format!("there is no guest {name} in {}", release.display()))
}

/// Where actors are built.
///
/// # Errors
///
/// Where this is not run by cargo.
pub fn target() -> Result<PathBuf> {
    match std::env::var_os("MESH_GUESTS_TARGET_DIR") {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => built()?.parent().map(|target| target.join("guests")).context("no target directory"),
    }
}

fn build_all() -> Result<PathBuf> {
    let target = target()?;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = tests.parent().context("the tests are not in the repository")?;
    build(&repository.join("examples/Cargo.toml"), &[], &target)?;
    build(&tests.join("guests/Cargo.toml"), &["--examples"], &target)?;
    Ok(target)
}

fn build(manifest: &Path, what: &[&str], target: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip2"]).args(what);
    command.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(target);
    let output = command.stdin(Stdio::null()).output().context("cargo cannot be run")?;
    ensure!(
        output.status.success(),
        "{} does not build (`make tools` installs the target wasm32-wasip2):\n{}",
        manifest.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A copy of an unsigned actor.
///
/// # Errors
///
/// Where it is not built or cannot be copied.
pub fn copy(name: &str, into: &Path) -> Result<PathBuf> {
    let to = into.join(format!("{name}.wasm"));
    std::fs::copy(unsigned(name)?, &to)?;
    Ok(to)
}
