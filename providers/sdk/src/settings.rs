//! Configuration, text by text, as typed values. Providers read their own and their links' configuration with it:
//! each error names the key. A key that nobody asked for is refused where a person says it ([`Settings::refuse_unknown`]),
//! because a misspelt one that is silently ignored costs an afternoon, and said in the log where it is stored already:
//! work does not stop for it.

use std::{collections::BTreeSet, str::FromStr, time::Duration};

use mesh_lattice::application::Values;

/// Above this likeness, one key is taken for a slip of the pen of another.
const NEAR: f64 = 0.8;

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key that has to be there is not.
    #[error("`{key}` is missing: {expected}")]
    Missing {
        /// The key.
        key: String,
        /// What it should hold.
        expected: String,
    },
    /// A key holds something else. The value itself is not said: it may be a secret in the wrong place.
    #[error("`{key}` is not {expected}")]
    Invalid {
        /// The key.
        key: String,
        /// What it should hold.
        expected: String,
    },
    /// A key that means nothing here.
    #[error("`{key}` is not known here{}: {known}", guess(.meant.as_deref()))]
    Unknown {
        /// The key.
        key: String,
        /// What was probably meant.
        meant: Option<String>,
        /// All that are known, in a sentence.
        known: String,
    },
}

fn guess(meant: Option<&str>) -> String {
    meant.map(|meant| format!(", `{meant}` is")).unwrap_or_default()
}

impl ConfigError {
    /// `key` does not hold `expected`.
    pub fn invalid(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Invalid { key: key.into(), expected: expected.into() }
    }

    /// `key` is not there and should hold `expected`.
    pub fn missing(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Missing { key: key.into(), expected: expected.into() }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Missing { key, .. } | Self::Invalid { key, .. } | Self::Unknown { key, .. } => key,
        }
    }
}

/// Reads one configuration.
#[derive(Debug)]
pub struct Settings<'a> {
    values: &'a Values,
    asked: BTreeSet<&'static str>,
}

impl<'a> Settings<'a> {
    /// Of these values.
    #[must_use]
    pub fn new(values: &'a Values) -> Self {
        Self { values, asked: BTreeSet::new() }
    }

    /// The text under `key`. One that is empty counts as not there.
    pub fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.asked.insert(key);
        self.values.get(key).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The first of several keys that is there, with its text.
    pub fn first(&mut self, keys: &[&'static str]) -> Option<(&'static str, &'a str)> {
        self.asked.extend(keys);
        keys.iter().find_map(|key| self.text(key).map(|text| (*key, text)))
    }

    /// The text under `key`, or an error that says what should stand there.
    ///
    /// # Errors
    ///
    /// Where it is missing.
    pub fn required(&mut self, key: &'static str, expected: &str) -> Result<&'a str, ConfigError> {
        self.text(key).ok_or_else(|| ConfigError::missing(key, expected))
    }

    /// The value under `key`, parsed.
    ///
    /// # Errors
    ///
    /// Where it is something else than `expected`.
    pub fn parsed<T: FromStr>(&mut self, key: &'static str, expected: &str) -> Result<Option<T>, ConfigError> {
        self.text(key).map(|text| text.parse().map_err(|_| ConfigError::invalid(key, expected))).transpose()
    }

    /// `true` or `false` (`1`, `yes`, `on`; `0`, `no`, `off`) under `key`.
    ///
    /// # Errors
    ///
    /// Where it is neither.
    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        self.text(key)
            .map(|text| match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err(ConfigError::invalid(key, "true or false")),
            })
            .transpose()
    }

    /// Milliseconds above zero under `key`.
    ///
    /// # Errors
    ///
    /// Where it is no such number.
    pub fn millis(&mut self, key: &'static str) -> Result<Option<Duration>, ConfigError> {
        let millis = self.parsed::<u64>(key, "a number of milliseconds above zero")?;
        match millis {
            Some(0) => Err(ConfigError::invalid(key, "a number of milliseconds above zero")),
            other => Ok(other.map(Duration::from_millis)),
        }
    }

    /// Marks keys as known that are understood and change nothing here.
    pub fn accept(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    /// The keys that nobody asked for.
    #[must_use]
    pub fn unknown(&self) -> Vec<&'a str> {
        self.values.keys().map(String::as_str).filter(|key| !self.asked.contains(key)).collect()
    }

    /// Refuses what a person should not have said: a key of `said` that nobody asked for, or one that holds nothing.
    ///
    /// # Errors
    ///
    /// Names the first such key, and the one that was probably meant.
    pub fn refuse_unknown(&self, said: &Values) -> Result<(), ConfigError> {
        if let Some(key) = said.keys().find(|key| !self.asked.contains(key.as_str())) {
            let near = |known: &&&'static str| strsim::jaro_winkler(known, key) > NEAR;
            let meant = self
                .asked
                .iter()
                .filter(near)
                .max_by(|one, other| strsim::jaro_winkler(one, key).total_cmp(&strsim::jaro_winkler(other, key)));
            let known = match self.asked.iter().copied().collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => "there is nothing to configure".to_owned(),
                known => format!("known are {known}"),
            };
            return Err(ConfigError::Unknown {
                key: key.clone(),
                meant: meant.map(|meant| (*meant).to_owned()),
                known,
            });
        }
        match said.iter().find(|(_, value)| value.trim().is_empty()) {
            Some((key, _)) => Err(ConfigError::invalid(key, "there to be empty: leave it out, or say a value")),
            None => Ok(()),
        }
    }

    /// Says in the log which keys nobody asked for.
    pub fn warn_unknown(&self, of: &str) {
        for key in self.unknown() {
            tracing::warn!(of, key, "an unknown configuration key is ignored");
        }
    }
}

/// The values with those of the JSON object under `key` beneath them: what stands on its own wins.
///
/// # Errors
///
/// Where the text under `key` is not a JSON object.
pub fn with_json(values: &Values, key: &str) -> Result<Values, ConfigError> {
    let Some(text) = values.get(key).filter(|text| !text.trim().is_empty()) else { return Ok(values.clone()) };
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|_| ConfigError::invalid(key, "a JSON object"))?;
    let mut merged: Values = object
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| match value {
            serde_json::Value::String(text) => (key, text),
            other => (key, other.to_string()),
        })
        .collect();
    merged.extend(values.iter().filter(|(name, _)| *name != key).map(|(name, value)| (name.clone(), value.clone())));
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn values_are_typed_and_errors_name_the_key() {
        let values = values(&[("n", "7"), ("bad", "x"), ("on", "Yes"), ("ms", "20"), ("zero", "0"), ("empty", " ")]);
        let mut settings = Settings::new(&values);
        assert_eq!(settings.parsed::<u32>("n", "a number").unwrap(), Some(7));
        assert_eq!(settings.flag("on").unwrap(), Some(true));
        assert_eq!(settings.millis("ms").unwrap(), Some(Duration::from_millis(20)));
        assert_eq!(settings.text("empty"), None);
        assert_eq!(settings.parsed::<u32>("absent", "a number").unwrap(), None);
        for key in ["bad", "zero"] {
            assert_eq!(settings.millis(key).unwrap_err().key(), key);
        }
        assert_eq!(settings.required("absent", "a URL").unwrap_err().to_string(), "`absent` is missing: a URL");
        assert!(!settings.flag("bad").unwrap_err().to_string().contains('x'), "values are not repeated");
    }

    #[test]
    fn keys_that_nobody_asked_for_are_known() {
        let values = values(&[("listen", "a"), ("lsten", "b"), ("old", "c")]);
        let mut settings = Settings::new(&values);
        assert_eq!(settings.first(&["address", "listen"]), Some(("listen", "a")));
        settings.accept(&["old"]);
        assert_eq!(settings.unknown(), ["lsten"]);
    }

    #[test]
    fn what_a_person_misspells_or_leaves_empty_is_refused_with_what_was_meant() {
        let said = |pairs| {
            let values = values(pairs);
            let mut settings = Settings::new(&values);
            settings.first(&["address", "listen"]);
            settings.text("path");
            settings.refuse_unknown(&values).map_err(|error| error.to_string())
        };
        assert_eq!(said(&[("listen", "a"), ("path", "/")]), Ok(()));
        let error = said(&[("lsten", "a")]).unwrap_err();
        assert_eq!(error, "`lsten` is not known here, `listen` is: known are address, listen, path");
        let error = said(&[("xyz", "a")]).unwrap_err();
        assert_eq!(error, "`xyz` is not known here: known are address, listen, path");
        assert!(said(&[("path", " ")]).unwrap_err().starts_with("`path` is not there to be empty"));
    }

    #[test]
    fn json_lies_beneath_what_stands_on_its_own() {
        let merged = with_json(&values(&[("a", "1"), ("json", r#"{"a": 2, "b": true, "c": null}"#)]), "json").unwrap();
        assert_eq!(merged, values(&[("a", "1"), ("b", "true")]));
        assert_eq!(with_json(&values(&[("json", "[1]")]), "json").unwrap_err().key(), "json");
    }
}
