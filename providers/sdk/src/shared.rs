//! What several links use together, a connection for example: made by the first that needs it, gone with the last.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Weak},
};

use tokio::sync::Mutex;

/// Values by what they were made from, held by their users alone.
#[derive(Debug)]
pub struct Shared<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V> Shared<K, V> {
    /// The value that somebody uses, else the one that `make` makes; others wait meanwhile.
    ///
    /// # Errors
    ///
    /// Those of `make`.
    pub async fn get_or_make<E>(&self, key: &K, make: impl Future<Output = Result<V, E>>) -> Result<Arc<V>, E> {
        let mut values = self.0.lock().await;
        values.retain(|_, value| value.strong_count() > 0);
        if let Some(value) = values.get(key).and_then(Weak::upgrade) {
            return Ok(value);
        }
        let value = Arc::new(make.await?);
        values.insert(key.clone(), Arc::downgrade(&value));
        Ok(value)
    }

    /// All that are in use.
    pub async fn all(&self) -> Vec<Arc<V>> {
        self.0.lock().await.values().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test]
    async fn a_value_is_made_once_for_those_who_use_it_and_again_for_who_comes_after_them() {
        let shared = Shared::<&str, u8>::default();
        let make = |value| async move { Ok::<_, Infallible>(value) };
        let one = shared.get_or_make(&"a", make(1)).await.unwrap();
        let same = shared.get_or_make(&"a", make(2)).await.unwrap();
        assert!(Arc::ptr_eq(&one, &same));
        assert_eq!(shared.all().await.len(), 1);
        drop((one, same));
        assert!(shared.all().await.is_empty());
        assert_eq!(*shared.get_or_make(&"a", make(3)).await.unwrap(), 3);
    }
}
