//! What the later draft of `wasi:keyvalue` has otherwise than the first: text as cursor, counting with a sign, and
//! compare-and-swap.
//!
//! A handle of a compare-and-swap carries what it stands for, so that any replica of a provider takes it and none
//! keeps anything for it: bucket, key, and the version of the value that stood there when it was made. It gives no
//! right: its bucket is one that the caller could open.

use bytes::Bytes;
use mesh_lattice::{
    CallError,
    wit::{
        Outcome, from_wire,
        keyvalue::{
            CasError, CasHandle, CasParams, Error, IncrementParams2, KeyParams, KeyResponse2, ListParams2, SwapParams,
            operation,
        },
        to_wire,
    },
};
use serde_bytes::ByteBuf;

use super::{Call, Delta, Store, StoreError, Version, answer, bad, checked, counter};

/// What a handle of a compare-and-swap stands for.
struct Cas {
    bucket: ByteBuf,
    key: String,
    version: Version,
}

impl Cas {
    fn read(handle: &CasHandle) -> Result<Self, CallError> {
        let read = from_wire::<(ByteBuf, String, ByteBuf)>(handle);
        let (bucket, key, version) = read.map_err(|_| bad("the handle is not one that was made here"))?;
        Ok(Self { bucket, key, version: Version(version.into_vec()) })
    }

    fn handle(&self) -> Result<CasHandle, CallError> {
        to_wire(&(&self.bucket, &self.key, serde_bytes::Bytes::new(&self.version.0))).map(|bytes| bytes.to_vec().into())
    }
}

impl<S: Store> Call<'_, S> {
    pub(super) async fn run_draft2(&self, operation: &str, params: &[u8]) -> Result<Bytes, CallError> {
        match operation {
            operation::LIST_KEYS => self.list_keys_2(params).await,
            operation::INCREMENT => self.increment_2(params).await,
            operation::CAS_NEW => self.cas_new(params).await,
            operation::CAS_CURRENT => self.cas_current(params).await,
            operation::SWAP => self.swap(params).await,
            same => self.run(same, params).await,
        }
    }

    async fn list_keys_2(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, cursor): ListParams2 = from_wire(params)?;
        let Ok(cursor) = cursor.map(|text| text.parse::<u64>()).transpose() else {
            return answer::<()>(Err(StoreError::Guest(Error::Other("the cursor is not one of this bucket".into()))));
        };
        let page = self.store.list_keys(self.scope(&handle)?, cursor).await;
        answer(page.map(|page| KeyResponse2 { keys: page.keys, cursor: page.cursor.map(|at| at.to_string()) }))
    }

    async fn increment_2(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, key, delta): IncrementParams2 = from_wire(params)?;
        let sum = self.store.increment(self.scope(&handle)?, checked(key)?, Delta::Signed(delta)).await;
        answer(sum.and_then(counter::narrow::<i64>))
    }

    async fn cas_new(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (bucket, key): KeyParams = from_wire(params)?;
        let key = checked(key)?;
        let version = self.store.version(self.scope(&bucket)?, key.clone()).await;
        answer(match version {
            Ok(version) => Ok(Cas { bucket, key, version }.handle()?),
            Err(error) => Err(error),
        })
    }

    /// The value that stands there now: where it is newer than the handle, the swap that follows fails, as it should.
    async fn cas_current(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle,): CasParams = from_wire(params)?;
        let cas = Cas::read(&handle)?;
        let value = self.store.get(self.scope(&cas.bucket)?, checked(cas.key)?).await;
        answer(value.map(|value| value.map(|value| ByteBuf::from(value.to_vec()))))
    }

    async fn swap(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, value): SwapParams = from_wire(params)?;
        let cas = Cas::read(&handle)?;
        let (scope, key) = (self.scope(&cas.bucket)?, checked(cas.key.clone())?);
        let swapped = self.store.swap(scope, key.clone(), cas.version, value.into_vec().into()).await;
        let outcome: Outcome<(), CasError> = match swapped {
            Ok(true) => Outcome::Ok(()),
            Ok(false) => match self.store.version(scope, key).await {
                Ok(version) => {
                    let next = Cas { bucket: cas.bucket.clone(), key: cas.key, version };
                    Outcome::Err(CasError::CasFailed(next.handle()?))
                }
                Err(error) => Outcome::Err(store_error(error)?),
            },
            Err(error) => Outcome::Err(store_error(error)?),
        };
        to_wire(&outcome)
    }
}

fn store_error(error: StoreError) -> Result<CasError, CallError> {
    match error {
        StoreError::Guest(error) => Ok(CasError::StoreError(error)),
        StoreError::Call(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use mesh_lattice::Code;

    use super::*;

    #[test]
    fn a_handle_is_read_by_whoever_serves_the_bucket_and_nonsense_is_refused() {
        let made = Cas { bucket: ByteBuf::from(*b"b"), key: "k".into(), version: Version(vec![1, 2]) };
        let read = Cas::read(&made.handle().unwrap()).unwrap();
        assert_eq!((read.bucket, read.key, read.version), (made.bucket, made.key, made.version));
        for nonsense in [&b""[..], b"\x93", b"\x92\xa1b\xa1k", &[0xff; 40]] {
            assert_eq!(Cas::read(&ByteBuf::from(nonsense)).err().unwrap().code, Code::BadParams, "{nonsense:?}");
        }
    }
}
