//! Prekeys: whoever claims a prekey's serial first has it.
//!
//! Claims of different prekeys have nothing to do with each other, so that many who ask for the same device at once do not wait for
//! each other: each tries one by chance, and those who lose try another.

use std::collections::HashSet;

use async_trait::async_trait;
use scylla::DeserializeRow;
use uuid::Uuid;

use super::Shared;
use super::session::Vote;
use super::values::count;
use crate::domain::client::{LAST_RESORT, Prekey};
use crate::domain::{ClientId, UserId};
use crate::store::Result;
use crate::store::prekeys::Prekeys;

/// Prekeys in the keyspace of brig.
pub(super) struct CassandraPrekeys(pub(super) Shared);

#[derive(DeserializeRow, Clone, PartialEq, Debug)]
struct Row {
    id: i32,
    key: String,
    serial: Uuid,
    written: i64,
}

impl Row {
    fn prekey(&self) -> Result<Prekey> {
        Ok(Prekey { id: count(self.id.into(), "a prekey's id")?, key: self.key.clone() })
    }
}

const PUT: &str = "INSERT INTO prekeys (user, client, id, key, serial) VALUES (?, ?, ?, ?, ?)";
const LIST: &str = "SELECT id, key, serial, writetime(serial) AS written FROM prekeys WHERE user = ? AND client = ?";
const IDS: &str = "SELECT id FROM prekeys WHERE user = ? AND client = ?";
const CLAIM: &str = "INSERT INTO prekey_claims (serial) VALUES (?) IF NOT EXISTS";
const TAKE: &str = "DELETE FROM prekeys USING TIMESTAMP ? WHERE user = ? AND client = ? AND id = ?";
const DELETE: &str = "DELETE FROM prekeys WHERE user = ? AND client = ?";

/// The candidate that is tried: by chance, the one of last resort only when there is no other.
fn choose<'a>(candidates: &'a [Row], tried: &HashSet<Uuid>, chance: u32) -> Option<&'a Row> {
    let free: Vec<_> =
        candidates.iter().filter(|row| row.id != i32::from(LAST_RESORT) && !tried.contains(&row.serial)).collect();
    let chance = usize::try_from(chance).unwrap_or(0);
    match free.len() {
        0 => candidates.iter().find(|row| row.id == i32::from(LAST_RESORT)),
        number => free.get(chance % number).copied(),
    }
}

#[async_trait]
impl Prekeys for CassandraPrekeys {
    async fn put(&self, user: UserId, client: ClientId, prekeys: &[Prekey]) -> Result<()> {
        let rows = prekeys.iter().map(|prekey| (user, client, i32::from(prekey.id), &prekey.key, Uuid::new_v4()));
        self.0.brig.write_each(PUT, rows).await
    }

    async fn claim(&self, user: UserId, client: ClientId) -> Result<Option<Prekey>> {
        let mut tried = HashSet::new();
        loop {
            let candidates: Vec<Row> = self.0.brig.rows(LIST, (user, client)).await?;
            let Some(row) = choose(&candidates, &tried, getrandom::u32().unwrap_or(0)) else { return Ok(None) };
            if row.id == i32::from(LAST_RESORT) {
                return row.prekey().map(Some);
            }
            tried.insert(row.serial);
            let vote = self.0.brig.vote(CLAIM, (row.serial,)).await?;
            if matches!(vote, Vote::Lost(_)) {
                // Perhaps it is ours, perhaps somebody's: it counts as taken.
                continue;
            }
            // Whoever lost takes it off the list, too: who won may have died before. Just what was seen is removed, whatever the
            // clocks say, and no prekey that came in its place since.
            self.0.brig.write(TAKE, (row.written, user, client, row.id)).await?;
            if matches!(vote, Vote::Carried) {
                return row.prekey().map(Some);
            }
        }
    }

    async fn ids(&self, user: UserId, client: ClientId) -> Result<Vec<u16>> {
        let rows: Vec<(i32,)> = self.0.brig.rows(IDS, (user, client)).await?;
        rows.into_iter().map(|(id,)| count(id.into(), "a prekey's id")).collect()
    }

    async fn delete(&self, user: UserId, client: ClientId) -> Result<()> {
        self.0.brig.write(DELETE, (user, client)).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_one_of_last_resort_comes_last() {
        let row = |id: u16| Row { id: id.into(), key: id.to_string(), serial: Uuid::new_v4(), written: 0 };
        let candidates = [row(1), row(2), row(LAST_RESORT)];
        let mut tried = HashSet::new();
        for chance in [0, 1, u32::MAX] {
            assert_ne!(choose(&candidates, &tried, chance), Some(&candidates[2]));
        }
        tried.insert(candidates[0].serial);
        assert_eq!(choose(&candidates, &tried, 7), Some(&candidates[1]));
        tried.insert(candidates[1].serial);
        assert_eq!(choose(&candidates, &tried, 7), Some(&candidates[2]));
        assert_eq!(choose(&candidates[..2], &tried, 7), None);
    }
}
