//! Which link a request belongs to. Pure: the listener holds a table as a snapshot and replaces it as a whole.
//!
//! A host name that a link names goes before links without one; among the links of a host name, the longest path that
//! the request's path begins with wins, and it ends where a segment ends: `/api` takes `/api` and `/api/x`, not
//! `/apis`.

use std::{collections::HashMap, sync::Arc};

use mesh_lattice::{LinkName, Name};
use mesh_provider::LinkId;

use crate::settings::LinkSettings;

/// One link.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) id: LinkId,
    pub(crate) target: Name,
    pub(crate) link: LinkName,
    pub(crate) settings: LinkSettings,
}

impl Route {
    pub(crate) fn new(id: LinkId, settings: LinkSettings) -> Self {
        Self { target: id.peer.clone(), link: id.name.clone(), id, settings }
    }

    fn takes(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.settings.path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The links of one address.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// By host name in lower case; each list has the longest path first.
    hosts: HashMap<String, Vec<Arc<Route>>>,
    any: Vec<Arc<Route>>,
}

/// Two links want the same requests.
#[derive(Debug, thiserror::Error)]
#[error("{target} already takes what comes for {host} under {path}")]
pub(crate) struct Taken {
    target: Name,
    host: String,
    path: String,
}

impl Routes {
    /// This table with a link added or changed.
    pub(crate) fn with(&self, route: Route) -> Result<Self, Taken> {
        let mut routes = self.without(&route.id);
        let list = match &route.settings.host {
            Some(host) => routes.hosts.entry(host.clone()).or_default(),
            None => &mut routes.any,
        };
        if let Some(other) = list.iter().find(|other| other.settings.path == route.settings.path) {
            return Err(Taken {
                target: other.target.clone(),
                host: route.settings.host.unwrap_or_else(|| "any host".to_owned()),
                path: format!("{}/", route.settings.path),
            });
        }
        let before = |other: &Arc<Route>| other.settings.path.len() >= route.settings.path.len();
        let at = list.partition_point(before);
        list.insert(at, Arc::new(route));
        Ok(routes)
    }

    /// This table without a link.
    pub(crate) fn without(&self, id: &LinkId) -> Self {
        let others = |list: &Vec<Arc<Route>>| list.iter().filter(|route| route.id != *id).cloned().collect::<Vec<_>>();
        let hosts = self.hosts.iter().map(|(host, list)| (host.clone(), others(list)));
        Self { hosts: hosts.filter(|(_, list)| !list.is_empty()).collect(), any: others(&self.any) }
    }

    pub(crate) fn holds(&self, id: &LinkId) -> bool {
        self.hosts.values().flatten().chain(&self.any).any(|route| route.id == *id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.any.is_empty()
    }

    /// The link that a request for `path` at `host` belongs to.
    pub(crate) fn find(&self, host: Option<&str>, path: &str) -> Option<&Arc<Route>> {
        let of_host = match host {
            Some(host) if !self.hosts.is_empty() => self.of_host(host),
            _ => None,
        };
        let takes = |route: &&Arc<Route>| route.takes(path);
        of_host.and_then(|list| list.iter().find(takes)).or_else(|| self.any.iter().find(takes))
    }

    fn of_host(&self, host: &str) -> Option<&Vec<Arc<Route>>> {
        let name = without_port(host);
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.hosts.get(&name.to_ascii_lowercase()).or_else(|| self.hosts.get(&host.to_ascii_lowercase()));
        }
        self.hosts.get(name).or_else(|| self.hosts.get(host))
    }
}

/// `example.com:8080` and `[::1]:8080` without their port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            if name.contains(':') && !name.ends_with(']') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use mesh_lattice::application::Values;
    use mesh_provider::{End, ProviderLink};

    use super::*;
    use crate::settings::ServerSettings;

    fn route(target: &str, pairs: &[(&str, &str)]) -> Route {
        let link = ProviderLink {
            end: End::Source,
            peer: target.parse().unwrap(),
            name: LinkName::default(),
            interfaces: vec!["wasi:http".parse().unwrap()],
            config: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            timeout: None,
        };
        let server = ServerSettings::read(&Values::new()).unwrap();
        Route::new(link.id(), LinkSettings::read(&link, &server).unwrap())
    }

    fn table(routes: Vec<Route>) -> Routes {
        routes.into_iter().fold(Routes::default(), |table, route| table.with(route).unwrap())
    }

    #[test]
    fn the_host_name_goes_first_and_then_the_longest_path() {
        let table = table(vec![
            route("root", &[]),
            route("api", &[("path", "/api")]),
            route("api-v2", &[("path", "/api/v2/")]),
            route("shop", &[("host", "shop.example")]),
            route("cart", &[("host", "Shop.Example"), ("path", "/cart")]),
        ]);
        for (host, path, target) in [
            (None, "/", "root"),
            (Some("localhost:8080"), "/apis", "root"),
            (None, "/api", "api"),
            (None, "/api/", "api"),
            (None, "/api/v2", "api-v2"),
            (None, "/api/v20", "api"),
            (None, "/api/v2/x/y", "api-v2"),
            (Some("shop.example"), "/", "shop"),
            (Some("SHOP.example:8080"), "/api", "shop"),
            (Some("shop.example:80"), "/cart/1", "cart"),
            (Some("other.shop.example"), "/cart", "root"),
        ] {
            let found = table.find(host, path).map(|route| route.target.as_str());
            assert_eq!(found, Some(target), "{host:?} {path}");
        }
    }

    #[test]
    fn where_nothing_matches_nothing_is_found() {
        let table = table(vec![route("api", &[("path", "/api")]), route("shop", &[("host", "shop.example")])]);
        assert!(table.find(Some("localhost"), "/").is_none());
        assert!(table.find(None, "*").is_none());
    }

    #[test]
    fn two_links_cannot_have_the_same_requests_and_one_can_change() {
        let one = table(vec![route("a", &[("path", "/x")])]);
        let error = one.with(route("b", &[("path", "/x/")])).unwrap_err().to_string();
        assert_eq!(error, "a already takes what comes for any host under /x/");
        assert!(one.with(route("b", &[("path", "/x"), ("host", "h")])).is_ok());
        let moved = one.with(route("a", &[("path", "/y")])).unwrap();
        assert!(moved.find(None, "/x").is_none() && moved.find(None, "/y").is_some());
        let id = route("a", &[]).id;
        assert!(moved.holds(&id));
        assert!(moved.without(&id).is_empty());
    }

    #[test]
    fn a_port_is_no_part_of_a_host_name() {
        for (host, name) in
            [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("::1", "::1"), (":80", ":80")]
        {
            assert_eq!(without_port(host), name);
        }
    }
}
