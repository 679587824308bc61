//! The provider trait, what every provider needs, and the suites that every provider of a kind passes.
//!
//! | module | owns |
//! |---|---|
//! | [`provider`] | [`Provider`], [`Factory`], [`Context`]: what a host and a provider say to each other |
//! | [`settings`] | configuration, text by text, as typed values; errors name the key |
//! | [`links`] | which caller has a link to this provider, and with which settings |
//! | [`intake`] | which calls a provider has taken, and whether it takes more |
//! | [`shared`] | what several links use together, made by the first and gone with the last |
//! | [`keyvalue`] | `wasi:keyvalue` from bytes to a backend and back, the same for every backend |
//! | [`metric`] | what a provider counts, for its host's `/metrics` |
//! | [`jitter`] | random waits, so that many who failed together do not come back together |
//! | `conformance` | the suites (feature `conformance`) |
//!
//! A provider is native code that serves an interface, or that turns what happens outside (an HTTP request) into
//! calls. A host starts it through its [`Factory`], tells it its links, and calls it through
//! [`Serve`](mesh_lattice::Serve); it finds the settings of a call by the caller and the link's name, and refuses
//! whoever it has no link for.
//!
//! ```
//! use mesh_provider::{Links, LinkId, ProviderLink, End};
//! use mesh_lattice::{Caller, LinkName};
//!
//! let links = Links::<String>::new();
//! let link = ProviderLink {
//!     end: End::Target,
//!     peer: "counter".parse()?,
//!     name: LinkName::default(),
//!     interfaces: vec!["wasi:keyvalue".parse()?],
//!     config: [("bucket".to_owned(), "counters".to_owned())].into(),
//!     timeout: None,
//! };
//! links.put(link.id(), "the settings of this link".to_owned());
//! let store = "wasi:keyvalue/store@0.2.0-draft".parse()?;
//! let found = links.find(&Caller::Named("counter".parse()?), &LinkName::default(), &store)?;
//! assert_eq!(*found, "the settings of this link");
//! assert!(links.find(&Caller::Named("other".parse()?), &LinkName::default(), &store).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod intake;
pub mod jitter;
pub mod keyvalue;
pub mod links;
pub mod metric;
pub mod provider;
pub mod settings;
pub mod shared;

pub use intake::{Intake, Taken};
pub use links::Links;
pub use metric::{Metric, MetricKind};
pub use provider::{Context, End, Factory, LinkError, LinkId, NatsDefault, Provider, ProviderLink, StartError};
pub use settings::{ConfigError, Settings};
pub use shared::Shared;
