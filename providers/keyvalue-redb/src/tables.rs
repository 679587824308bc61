//! How buckets, keys and values lie in the file. The writer and the readers come here; nobody else knows the tables.
//!
//! Each bucket has two tables. `v:<bucket>` holds the values by key, each behind the number that the key got when it
//! was first written; `k:<bucket>` holds the keys by that number. A listing goes by the numbers, so its cursor stays
//! right while keys come and go: a key that stands throughout is listed once.

use mesh_lattice::wit::keyvalue::KeyResponse;
use mesh_provider::keyvalue::{Delta, StoreError, Version, add};
use redb::{ReadableTable, StorageError, Table, TableDefinition, TableError, TransactionError, WriteTransaction};

/// The number of a key and its value.
type Valued = (u64, &'static [u8]);

/// The keys of a page.
const PAGE: usize = 1_000;

/// What the file or the disk refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TablesError {
    #[error("the database cannot be read or written: {0}")]
    Storage(#[from] StorageError),
    #[error("a table of the database cannot be opened: {0}")]
    Table(#[from] TableError),
    #[error("the database takes no transaction: {0}")]
    Transaction(#[from] TransactionError),
    #[error("the database does not commit: {0}")]
    Commit(#[from] redb::CommitError),
    /// The operation's own failure, which leaves the others alone.
    #[error(transparent)]
    Operation(#[from] StoreError),
}

impl From<TablesError> for StoreError {
    fn from(error: TablesError) -> Self {
        match error {
            TablesError::Operation(error) => error,
            other => Self::backend(other.to_string()),
        }
    }
}

/// One bucket within a write transaction.
pub(crate) struct Bucket<'txn> {
    values: Table<'txn, &'static str, Valued>,
    keys: Table<'txn, u64, &'static str>,
}

impl<'txn> Bucket<'txn> {
    pub(crate) fn open(transaction: &'txn WriteTransaction, bucket: &str) -> Result<Self, TablesError> {
        let (values, keys) = names(bucket);
        Ok(Self {
            values: transaction.open_table(TableDefinition::new(&values))?,
            keys: transaction.open_table(TableDefinition::new(&keys))?,
        })
    }

    pub(crate) fn set(&mut self, key: &str, value: &[u8]) -> Result<(), TablesError> {
        let number = self.values.get(key)?.map(|entry| entry.value().0);
        let number = match number {
            Some(number) => number,
            None => {
                let number = self.keys.last()?.map_or(1, |(last, _)| last.value() + 1);
                self.keys.insert(number, key)?;
                number
            }
        };
        self.values.insert(key, (number, value))?;
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &str) -> Result<(), TablesError> {
        let number = self.values.remove(key)?.map(|entry| entry.value().0);
        if let Some(number) = number {
            self.keys.remove(number)?;
        }
        Ok(())
    }

    pub(crate) fn increment(&mut self, key: &str, delta: Delta) -> Result<i128, TablesError> {
        let sum = add(self.values.get(key)?.as_ref().map(|entry| entry.value().1), delta)?;
        self.set(key, sum.to_string().as_bytes())?;
        Ok(sum)
    }

    pub(crate) fn swap(&mut self, key: &str, expected: &Version, value: &[u8]) -> Result<bool, TablesError> {
        let stands = Version::of_value(self.values.get(key)?.as_ref().map(|entry| entry.value().1));
        if stands != *expected {
            return Ok(false);
        }
        self.set(key, value)?;
        Ok(true)
    }
}

/// Reads what `read` wants of a key: its value where there is one.
pub(crate) fn get<T>(
    database: &impl redb::ReadableDatabase,
    bucket: &str,
    keys: impl IntoIterator<Item = impl AsRef<str>>,
    read: impl Fn(&[u8]) -> T,
) -> Result<Vec<Option<T>>, TablesError> {
    let transaction = database.begin_read()?;
    let keys = keys.into_iter();
    let table = match transaction.open_table(TableDefinition::<&str, Valued>::new(&names(bucket).0)) {
        Ok(table) => table,
        // A bucket is made by the first write to it.
        Err(TableError::TableDoesNotExist(_)) => return Ok(keys.map(|_| None).collect()),
        Err(error) => return Err(error.into()),
    };
    keys.map(|key| Ok(table.get(key.as_ref())?.map(|entry| read(entry.value().1)))).collect()
}

/// A page of keys behind `cursor`.
pub(crate) fn list(
    database: &impl redb::ReadableDatabase,
    bucket: &str,
    cursor: Option<u64>,
) -> Result<KeyResponse, TablesError> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(TableDefinition::<u64, &str>::new(&names(bucket).1)) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(KeyResponse::default()),
        Err(error) => return Err(error.into()),
    };
    let mut page = KeyResponse::default();
    let mut last = None;
    for entry in table.range(cursor.unwrap_or(0).saturating_add(1)..)? {
        let (number, key) = entry?;
        if page.keys.len() == PAGE {
            page.cursor = last;
            break;
        }
        page.keys.push(key.value().to_owned());
        last = Some(number.value());
    }
    Ok(page)
}

fn names(bucket: &str) -> (String, String) {
    (format!("v:{bucket}"), format!("k:{bucket}"))
}
