//! A user leaves: what he signed last is signed again by whoever removes him, in the commit that removes him, so that
//! nothing that he set up depends on the trust in him any more.
//!
//! He must not be able to hinder that by changing what is being signed: where he keeps doing so, his removal is
//! written alone, and the lattice goes on with what it believed last.

use mesh_claims::KeyPair;
use mesh_lattice::{
    control::{self, Signed, SignedRequest, operation},
    key::{Key, TrustKey},
    stored::TrustStatement,
};

use super::{Client, Judge, edit::Change};

/// Records that go into the commit with the statement itself; more than these are signed again before it.
const TOGETHER: usize = 400;
/// How often the whole is tried that somebody keeps changing, before the statement goes alone.
const TRIES: u32 = 6;

/// A user's word counts no more.
#[derive(Debug)]
pub(crate) struct Departed {
    /// What became of the statement.
    pub(crate) change: Change,
    /// How many records were signed again.
    pub(crate) taken_over: usize,
    /// Whether records were left as they are, because somebody kept changing them.
    pub(crate) left: bool,
}

impl Client {
    /// Makes these statements, the last of which takes away this user's word, and signs again what he signed.
    pub(crate) async fn part_with(
        &self,
        user: &str,
        statements: &[(TrustKey, TrustStatement)],
    ) -> anyhow::Result<Departed> {
        let signer = self.signer()?;
        let judge = self.judge(&signer).await?;
        let mut taken_over = 0;
        for tries in 1.. {
            let left = tries > TRIES;
            let mut again = if left { Vec::new() } else { self.held_of(user, &judge, &signer).await? };
            if again.len() > TOGETHER {
                again.truncate(TOGETHER);
                let records = again.len();
                taken_over += if self.committed(again, 1).await? { records } else { 0 };
                continue;
            }
            let records = again.len();
            let resign = statements.len() > 1;
            let (writes, change) = self.statements(statements, resign, &judge, &signer).await?;
            let unchanged = writes.is_empty();
            let writes: Vec<_> = again.into_iter().chain(writes).collect();
            if writes.is_empty() || self.committed(writes, tries).await? {
                let change = if unchanged { Change::Unchanged } else { change };
                return Ok(Departed { change, taken_over: taken_over + records, left });
            }
        }
        anyhow::bail!("the lattice's state keeps being changed by somebody else: try again")
    }

    /// What is gone by of what this user signed, signed again.
    async fn held_of(&self, user: &str, judge: &Judge, signer: &KeyPair) -> anyhow::Result<Vec<control::Write>> {
        let asked = SignedRequest { signer: user.to_owned() };
        let signed: Signed = self.request(operation::SIGNED, &asked).await?;
        let keys: Vec<Key> = signed.keys.iter().filter_map(|key| Key::parse(key)).collect();
        if keys.is_empty() || user == signer.public() {
            return Ok(Vec::new());
        }
        let snapshot = self.read(&keys).await?;
        let again = keys.iter().filter_map(|key| {
            let held = snapshot.held_of(key, user, judge)?;
            snapshot.take_over(key, held, signer)
        });
        Ok(again.collect())
    }
}
