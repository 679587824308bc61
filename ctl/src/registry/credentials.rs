//! Who we are to a registry.
//!
//! | where | what |
//! |---|---|
//! | `MESH_REGISTRY`, `MESH_REGISTRY_USER`, `MESH_REGISTRY_PASSWORD` or `MESH_REGISTRY_TOKEN` | the registry that they are for, and a name with a password, or a token |
//! | `WASH_REG_URL`, `WASH_REG_USER`, `WASH_REG_PASSWORD` | the same, as `wash` has it |
//! | `config.json` in `DOCKER_CONFIG` or `~/.docker` | what `docker login` wrote down, by registry |
//!
//! The first that speaks of the registry counts. A password is shown to the registry that it is for and to no other, and
//! never printed. Programs that keep passwords for docker are not called: where one would be needed, the error says so.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use crate::exit::Failure;

/// No file with passwords is larger.
const MAX_FILE: u64 = 1 << 20;
/// Docker's own registry has two names.
const DOCKER: [&str; 2] = ["docker.io", "index.docker.io"];

/// Who we are to one registry.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) auth: RegistryAuth,
    registry: String,
    /// Why we are nobody, where somebody was expected.
    unusable: Option<String>,
}

/// What docker keeps.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DockerFile {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Nothing of it is for logs.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry")
    }
}

impl Credentials {
    /// Who we are to this registry, as this process's environment and its user's files have it.
    pub(super) fn find(registry: &str) -> Result<Self, Failure> {
        let read = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(auth) = from_environment(registry, read)? {
            return Ok(Self { auth, registry: registry.to_owned(), unusable: None });
        }
        match docker_file(read) {
            Some(path) => Self::of_file(registry, &path),
            None => Ok(Self::nobody(registry)),
        }
    }

    fn nobody(registry: &str) -> Self {
        Self { auth: RegistryAuth::Anonymous, registry: registry.to_owned(), unusable: None }
    }

    fn of_file(registry: &str, path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let mut text = String::new();
        let opened = fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::nobody(registry)),
            Err(error) => return Err(Failure::invalid(format!("{shown} cannot be read: {error}"))),
            Ok(_) => {}
        }
        // Only the place of a mistake is told: the text around it may be a password.
        let file: DockerFile = serde_json::from_str(&text).map_err(|error| {
            Failure::invalid(format!("{shown} cannot be understood, line {}, column {}", error.line(), error.column()))
        })?;
        let found = file.find(registry);
        let (auth, unusable) = found.map_err(|reason| Failure::invalid(format!("{shown}: {registry}: {reason}")))?;
        Ok(Self { auth, registry: registry.to_owned(), unusable })
    }

    /// What to do about a registry that does not let us.
    pub(super) fn hint(&self) -> String {
        let registry = &self.registry;
        let by_environment =
            format!("MESH_REGISTRY={registry}, MESH_REGISTRY_USER and MESH_REGISTRY_PASSWORD say who you are");
        match (&self.unusable, &self.auth) {
            (Some(unusable), _) => format!("{unusable}: {by_environment}"),
            (None, RegistryAuth::Anonymous) => format!("`docker login {registry}`, or {by_environment}"),
            (None, _) => "is the password right, and may this user do this there?".to_owned(),
        }
    }
}

/// Who is not let in.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.auth {
            RegistryAuth::Anonymous => f.write_str("nobody without a name do this"),
            RegistryAuth::Basic(user, _) => write!(f, "{user} do this"),
            RegistryAuth::Bearer(_) => f.write_str("the bearer of this token do this"),
        }
    }
}

/// What the environment says of this registry.
fn from_environment(registry: &str, read: impl Fn(&str) -> Option<String>) -> Result<Option<RegistryAuth>, Failure> {
    let meant = |name: &str| read(name).is_some_and(|meant| same(&meant, registry));
    let basic = |user: &str, password: &str| Some(RegistryAuth::Basic(read(user)?, read(password)?));
    if read("MESH_REGISTRY").is_none()
        && let Some(name) = ["MESH_REGISTRY_USER", "MESH_REGISTRY_PASSWORD", "MESH_REGISTRY_TOKEN"]
            .into_iter()
            .find(|name| read(name).is_some())
    {
        let failure = Failure::invalid(format!("{name} is set, and not for which registry"));
        return Err(failure.hint(format!("set MESH_REGISTRY={registry} where it is for that one")));
    }
    if meant("MESH_REGISTRY") {
        let token = read("MESH_REGISTRY_TOKEN").map(RegistryAuth::Bearer);
        let auth = token.or_else(|| basic("MESH_REGISTRY_USER", "MESH_REGISTRY_PASSWORD"));
        return auth.map(Some).ok_or_else(|| {
            Failure::invalid("MESH_REGISTRY is set without MESH_REGISTRY_USER and MESH_REGISTRY_PASSWORD")
                .hint("set both, or MESH_REGISTRY_TOKEN")
        });
    }
    Ok(basic("WASH_REG_USER", "WASH_REG_PASSWORD").filter(|_| meant("WASH_REG_URL")))
}

fn docker_file(read: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = read("DOCKER_CONFIG").map(PathBuf::from);
    Some(folder.or_else(|| Some(PathBuf::from(read("HOME")?).join(".docker")))?.join("config.json"))
}

/// Whether a key of docker's file, or a URL, means this registry.
fn same(key: &str, registry: &str) -> bool {
    let host = key.trim_start_matches("https://").trim_start_matches("http://").trim_start_matches("oci://");
    let host = host.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
    host == registry || (DOCKER.contains(&host) && DOCKER.contains(&registry))
}

impl DockerFile {
    /// Who we are to this registry; else nobody, and why where somebody was expected.
    fn find(&self, registry: &str) -> Result<(RegistryAuth, Option<String>), String> {
        let helper = self.cred_helpers.iter().find(|(key, _)| same(key, registry)).map(|(_, helper)| helper);
        let entry = self.auths.iter().find(|(key, _)| same(key, registry)).map(|(_, entry)| entry);
        if let Some(auth) = entry.map(Entry::auth).transpose()?.flatten() {
            return Ok((auth, None));
        }
        // With a store for all, docker writes down for whom it has a password, and not the password.
        let helper = helper.or_else(|| entry.and(self.creds_store.as_ref()));
        let unusable = match (helper, entry) {
            (Some(helper), _) => {
                Some(format!("docker keeps the password in docker-credential-{helper}, which meshctl does not call"))
            }
            (None, Some(Entry { identitytoken: Some(_), .. })) => {
                Some("docker has an identity token for it, which meshctl cannot use".to_owned())
            }
            _ => None,
        };
        Ok((RegistryAuth::Anonymous, unusable))
    }
}

impl Entry {
    fn auth(&self) -> Result<Option<RegistryAuth>, String> {
        let full = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = full(&self.registrytoken) {
            return Ok(Some(RegistryAuth::Bearer(token)));
        }
        if full(&self.identitytoken).is_some() {
            return Ok(None);
        }
        if let Some(auth) = full(&self.auth) {
            let decoded = BASE64.decode(auth.trim().as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
            let (user, password) = pair.ok_or("its `auth` is not a name and a password in base64")?;
            return Ok(Some(RegistryAuth::Basic(user.to_owned(), password.trim_end_matches('\0').to_owned())));
        }
        Ok(full(&self.username).zip(full(&self.password)).map(|(user, password)| RegistryAuth::Basic(user, password)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> DockerFile {
        serde_json::from_str(text).unwrap()
    }

    fn basic(user: &str, password: &str) -> RegistryAuth {
        RegistryAuth::Basic(user.to_owned(), password.to_owned())
    }

    #[test]
    fn a_password_is_for_the_registry_that_it_was_written_down_for() {
        let ann = BASE64.encode(b"ann:secret:with:colons");
        let text = format!(
            r#"{{"auths": {{"ghcr.io": {{"auth": "{ann}"}}, "https://index.docker.io/v1/": {{"auth": "{ann}"}},
                "https://quay.io": {{"username": "bob", "password": "p"}}, "token.io": {{"registrytoken": "t"}}}}}}"#
        );
        let file = file(&text);
        let of = |registry: &str| file.find(registry).unwrap().0;
        assert_eq!(of("ghcr.io"), basic("ann", "secret:with:colons"));
        assert_eq!(of("docker.io"), basic("ann", "secret:with:colons"));
        assert_eq!(of("quay.io"), basic("bob", "p"));
        assert_eq!(of("token.io"), RegistryAuth::Bearer("t".to_owned()));
        for other in ["ghcr.io:443", "evil.ghcr.io", "ghcr.io.evil.example", "io", ""] {
            assert_eq!(of(other), RegistryAuth::Anonymous, "{other}");
        }
    }

    #[test]
    fn what_docker_keeps_elsewhere_is_said_to_be_out_of_reach() {
        let file = file(
            r#"{"auths": {"ghcr.io": {}, "id.io": {"identitytoken": "t"}}, "credsStore": "desktop",
                "credHelpers": {"gcr.io": "gcloud"}, "psFormat": "x"}"#,
        );
        let unusable = |registry: &str| match file.find(registry).unwrap() {
            (RegistryAuth::Anonymous, why) => why.unwrap_or_default(),
            (auth, _) => panic!("{auth:?}"),
        };
        assert!(unusable("ghcr.io").contains("docker-credential-desktop"));
        assert!(unusable("gcr.io").contains("docker-credential-gcloud"));
        assert!(unusable("id.io").contains("desktop"));
        assert_eq!(unusable("quay.io"), "");
    }

    #[test]
    fn a_wrong_file_is_refused_without_saying_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let refused = |text: &str| {
            fs::write(&path, text).unwrap();
            Credentials::of_file("ghcr.io", &path).unwrap_err().to_string()
        };
        for text in
            [r#"{"auths": {"ghcr.io": {"auth": "c2VjcmV0"}}}"#, r#"{"auths": {"ghcr.io": "c2VjcmV0"}}"#, "c2VjcmV0"]
        {
            let error = refused(text);
            assert!(error.contains("config.json") && !error.contains("c2VjcmV0"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(Credentials::of_file("ghcr.io", &path).unwrap().auth, RegistryAuth::Anonymous);
    }

    #[test]
    fn the_environment_speaks_of_one_registry() {
        let with = |pairs: &'static [(&'static str, &'static str)]| {
            move |registry: &str| {
                let find =
                    |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
                from_environment(registry, find)
            }
        };
        let mesh = with(&[("MESH_REGISTRY", "a.io"), ("MESH_REGISTRY_USER", "u"), ("MESH_REGISTRY_PASSWORD", "p")]);
        assert_eq!(mesh("a.io").unwrap(), Some(basic("u", "p")));
        assert_eq!(mesh("b.io").unwrap(), None);
        let token = with(&[("MESH_REGISTRY", "https://a.io/"), ("MESH_REGISTRY_TOKEN", "t")]);
        assert_eq!(token("a.io").unwrap(), Some(RegistryAuth::Bearer("t".to_owned())));
        let wash = with(&[("WASH_REG_URL", "a.io"), ("WASH_REG_USER", "u"), ("WASH_REG_PASSWORD", "p")]);
        assert_eq!(wash("a.io").unwrap(), Some(basic("u", "p")));
        assert_eq!(wash("b.io").unwrap(), None);
        for wrong in
            [with(&[("MESH_REGISTRY_USER", "u"), ("MESH_REGISTRY_PASSWORD", "p")]), with(&[("MESH_REGISTRY", "a.io")])]
        {
            assert!(wrong("a.io").is_err());
        }
    }
}
