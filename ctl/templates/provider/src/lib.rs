//! Serves `wasi:keyvalue` to other actors: as many buckets as they like, all of them in the one bucket that this actor is
//! linked to. Whoever opens `orders` finds none of the keys of `users`.

use bindings::{
    exports::wasi::keyvalue::{
        atomics,
        store::{self, Bucket, BucketBorrow, Error, KeyResponse},
    },
    wasi::keyvalue::{atomics as kept_atomics, store as kept},
};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "provider", generate_all });
}

struct Provider;

#[cfg(target_arch = "wasm32")]
bindings::export!(Provider with_types_in bindings);

/// What stands behind the handle of a bucket that somebody opened.
struct Part {
    name: String,
    behind: kept::Bucket,
}

impl From<kept::Error> for Error {
    fn from(error: kept::Error) -> Self {
        match error {
            kept::Error::NoSuchStore => Self::NoSuchStore,
            kept::Error::AccessDenied => Self::AccessDenied,
            kept::Error::Other(message) => Self::Other(message),
        }
    }
}

impl store::Guest for Provider {
    type Bucket = Part;

    fn open(name: String) -> Result<Bucket, Error> {
        if name.contains(SEPARATOR) {
            return Err(Error::NoSuchStore);
        }
        Ok(Bucket::new(Part {
            name,
            behind: kept::open("")?,
        }))
    }
}

impl store::GuestBucket for Part {
    fn get(&self, key: String) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.behind.get(&inner(&self.name, &key))?)
    }

    fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        Ok(self.behind.set(&inner(&self.name, &key), &value)?)
    }

    fn delete(&self, key: String) -> Result<(), Error> {
        Ok(self.behind.delete(&inner(&self.name, &key))?)
    }

    fn exists(&self, key: String) -> Result<bool, Error> {
        Ok(self.behind.exists(&inner(&self.name, &key))?)
    }

    fn list_keys(&self, cursor: Option<u64>) -> Result<KeyResponse, Error> {
        let page = self.behind.list_keys(cursor)?;
        let keys = page
            .keys
            .iter()
            .filter_map(|key| outer(&self.name, key))
            .map(str::to_owned)
            .collect();
        Ok(KeyResponse {
            keys,
            cursor: page.cursor,
        })
    }
}

impl atomics::Guest for Provider {
    fn increment(bucket: BucketBorrow<'_>, key: String, delta: u64) -> Result<u64, Error> {
        let part: &Part = bucket.get();
        Ok(kept_atomics::increment(
            &part.behind,
            &inner(&part.name, &key),
            delta,
        )?)
    }
}

/// What stands between the name of a bucket and a key of it; no name has it.
const SEPARATOR: char = '.';

/// The key behind a key of this bucket.
fn inner(bucket: &str, key: &str) -> String {
    format!("{bucket}{SEPARATOR}{key}")
}

/// The key of this bucket that this one behind stands for, if it does.
fn outer<'a>(bucket: &str, inner: &'a str) -> Option<&'a str> {
    inner.strip_prefix(bucket)?.strip_prefix(SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_do_not_meet() {
        assert_eq!(outer("orders", &inner("orders", "a.b")), Some("a.b"));
        assert_eq!(outer("order", &inner("orders", "a")), None);
        assert_eq!(outer("orders", &inner("order", "s.a")), None);
        assert_eq!(outer("", &inner("", "a")), Some("a"));
    }
}
