//! A store with rules: serves both drafts of key-value to other actors, and keeps what it is given in the store that it
//! is linked to.
//!
//! | bucket or key | rule |
//! |---|---|
//! | bucket `nowhere` | there is none |
//! | key `secret` | nobody may read or write it |
//! | key `trap` | whoever touches it ends the instance |
//! | key `touched` | how often this bucket was touched since it was opened: no other bucket knows |
//!
//! Of two swaps in a row the first finds that somebody came in between.

#![allow(unsafe_op_in_unsafe_fn, reason = "the bindings are of an older edition")]

use std::cell::Cell;

mod bindings {
    wit_bindgen::generate!({
        path: ["../../interfaces/wit", "wit/keeper.wit"],
        world: "mesh:guests/keeper",
        generate_all,
    });
}

use bindings::{
    exports::wasi::{keyvalue0_2_0_draft as first, keyvalue0_2_0_draft2 as second},
    wasi::keyvalue0_2_0_draft2::{atomics as kept_atomics, store as kept},
};

struct Keeper;

/// A bucket of either draft.
struct Shelf {
    name: String,
    touched: Cell<u64>,
    behind: kept::Bucket,
}

/// Values with their keys, where there are any.
type Found = Vec<Option<(String, Vec<u8>)>>;

/// Why an operation failed, in either draft.
enum No {
    Denied,
    Other(String),
}

impl From<kept::Error> for No {
    fn from(error: kept::Error) -> Self {
        Self::Other(format!("{error:?}"))
    }
}

impl Shelf {
    fn open(name: String) -> Result<Self, No> {
        Ok(Self { name, touched: Cell::new(0), behind: kept::open("kept")? })
    }

    /// The key behind, where it may be touched.
    fn key(&self, key: &str) -> Result<String, No> {
        self.touched.set(self.touched.get() + 1);
        match key {
            "secret" => Err(No::Denied),
            "trap" => std::process::abort(),
            _ => Ok(format!("{}.{key}", self.name)),
        }
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, No> {
        match key {
            "touched" => Ok(Some(self.touched.get().to_string().into_bytes())),
            _ => Ok(self.behind.get(&self.key(key)?)?),
        }
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), No> {
        Ok(self.behind.set(&self.key(key)?, value)?)
    }

    fn delete(&self, key: &str) -> Result<(), No> {
        Ok(self.behind.delete(&self.key(key)?)?)
    }

    fn exists(&self, key: &str) -> Result<bool, No> {
        Ok(self.behind.exists(&self.key(key)?)?)
    }

    fn keys(&self) -> Result<Vec<String>, No> {
        let prefix = format!("{}.", self.name);
        let keys = self.behind.list_keys(None)?.keys.into_iter();
        Ok(keys.filter_map(|key| key.strip_prefix(&prefix).map(str::to_owned)).collect())
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, No> {
        Ok(kept_atomics::increment(&self.behind, &self.key(key)?, delta)?)
    }

    fn get_many(&self, keys: Vec<String>) -> Result<Found, No> {
        keys.into_iter().map(|key| Ok(self.get(&key)?.map(|value| (key, value)))).collect()
    }

    fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), No> {
        pairs.iter().try_for_each(|(key, value)| self.set(key, value))
    }

    fn delete_many(&self, keys: Vec<String>) -> Result<(), No> {
        keys.iter().try_for_each(|key| self.delete(key))
    }
}

macro_rules! serve {
    ($draft:ident, $cursor:ty) => {
        impl From<No> for $draft::store::Error {
            fn from(no: No) -> Self {
                match no {
                    No::Denied => Self::AccessDenied,
                    No::Other(message) => Self::Other(message),
                }
            }
        }

        impl $draft::store::Guest for Keeper {
            type Bucket = Shelf;

            fn open(name: String) -> Result<$draft::store::Bucket, $draft::store::Error> {
                match name.as_str() {
                    "nowhere" => Err($draft::store::Error::NoSuchStore),
                    _ => Ok($draft::store::Bucket::new(Shelf::open(name)?)),
                }
            }
        }

        impl $draft::store::GuestBucket for Shelf {
            fn get(&self, key: String) -> Result<Option<Vec<u8>>, $draft::store::Error> {
                Ok(self.get(&key)?)
            }

            fn set(&self, key: String, value: Vec<u8>) -> Result<(), $draft::store::Error> {
                Ok(self.set(&key, &value)?)
            }

            fn delete(&self, key: String) -> Result<(), $draft::store::Error> {
                Ok(self.delete(&key)?)
            }

            fn exists(&self, key: String) -> Result<bool, $draft::store::Error> {
                Ok(self.exists(&key)?)
            }

            fn list_keys(&self, _cursor: Option<$cursor>) -> Result<$draft::store::KeyResponse, $draft::store::Error> {
                Ok($draft::store::KeyResponse { keys: self.keys()?, cursor: None })
            }
        }

        impl $draft::batch::Guest for Keeper {
            fn get_many(
                bucket: $draft::batch::BucketBorrow<'_>,
                keys: Vec<String>,
            ) -> Result<Found, $draft::store::Error> {
                Ok(bucket.get::<Shelf>().get_many(keys)?)
            }

            fn set_many(
                bucket: $draft::batch::BucketBorrow<'_>,
                pairs: Vec<(String, Vec<u8>)>,
            ) -> Result<(), $draft::store::Error> {
                Ok(bucket.get::<Shelf>().set_many(pairs)?)
            }

            fn delete_many(
                bucket: $draft::batch::BucketBorrow<'_>,
                keys: Vec<String>,
            ) -> Result<(), $draft::store::Error> {
                Ok(bucket.get::<Shelf>().delete_many(keys)?)
            }
        }
    };
}

serve!(first, u64);
serve!(second, String);

impl first::atomics::Guest for Keeper {
    fn increment(
        bucket: first::atomics::BucketBorrow<'_>,
        key: String,
        delta: u64,
    ) -> Result<u64, first::store::Error> {
        Ok(bucket.get::<Shelf>().increment(&key, delta.cast_signed())?.cast_unsigned())
    }
}

/// What stood there when somebody looked.
struct Seen {
    name: String,
    key: String,
    value: Option<Vec<u8>>,
    is_second: bool,
}

impl second::atomics::Guest for Keeper {
    type Cas = Seen;

    fn increment(
        bucket: second::atomics::BucketBorrow<'_>,
        key: String,
        delta: i64,
    ) -> Result<i64, second::store::Error> {
        Ok(bucket.get::<Shelf>().increment(&key, delta)?)
    }

    fn swap(cas: second::atomics::Cas, value: Vec<u8>) -> Result<(), second::atomics::CasError> {
        let seen: Seen = cas.into_inner();
        let failed = |no: No| second::atomics::CasError::StoreError(no.into());
        if !seen.is_second {
            let again = second::atomics::Cas::new(Seen { is_second: true, ..seen });
            return Err(second::atomics::CasError::CasFailed(again));
        }
        Shelf::open(seen.name).map_err(failed)?.set(&seen.key, &value).map_err(failed)
    }
}

impl second::atomics::GuestCas for Seen {
    fn new(
        bucket: second::atomics::BucketBorrow<'_>,
        key: String,
    ) -> Result<second::atomics::Cas, second::store::Error> {
        let shelf: &Shelf = bucket.get();
        let seen = Seen { name: shelf.name.clone(), value: shelf.get(&key)?, key, is_second: false };
        Ok(second::atomics::Cas::new(seen))
    }

    fn current(&self) -> Result<Option<Vec<u8>>, second::store::Error> {
        Ok(self.value.clone())
    }
}

bindings::export!(Keeper with_types_in bindings);
