//! Codes sent by mail, and failures: a row each, so that many at once are all counted.

use async_trait::async_trait;
use scylla::DeserializeRow;
use uuid::Uuid;

use super::Shared;
use super::values::{lifetime, needed};
use crate::domain::Time;
use crate::store::Result;
use crate::store::codes::{Code, Codes, Purpose};

/// Codes and failures in the keyspace of brig.
pub(super) struct CassandraCodes(pub(super) Shared);

#[derive(DeserializeRow)]
struct Row {
    id: Uuid,
    digest: Option<String>,
    subject: Option<String>,
    expires: Option<Time>,
    attempts: Option<i32>,
}

const PUT: &str =
    "INSERT INTO codes (purpose, key, id, digest, subject, expires, attempts) VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?";
const GET: &str = "SELECT id, digest, subject, expires, attempts FROM codes WHERE purpose = ? AND key = ?";
const DELETE: &str = "DELETE FROM codes WHERE purpose = ? AND key = ?";
const FAIL: &str = "INSERT INTO failures (about, failure) VALUES (?, ?) USING TTL ?";
const FAILURES: &str = "SELECT failure FROM failures WHERE about = ?";
const FORGET: &str = "DELETE FROM failures WHERE about = ?";

fn about_code(id: Uuid) -> String {
    format!("code:{id}")
}

fn about_login(name: &str) -> String {
    format!("login:{name}")
}

/// The code with the attempts that are left, unless it ended or none is left.
fn left(row: Row, failures: u32, now: Time) -> Result<Option<Code>> {
    let attempts = u32::try_from(needed(row.attempts, "attempts")?).unwrap_or(0).saturating_sub(failures);
    let code = Code {
        digest: needed(row.digest, "digest")?,
        subject: needed(row.subject, "subject")?,
        expires: needed(row.expires, "expires")?,
        attempts,
    };
    Ok(Some(code).filter(|code| code.expires > now && code.attempts > 0))
}

impl CassandraCodes {
    async fn count(&self, about: &str) -> Result<u32> {
        let rows: Vec<(Uuid,)> = self.0.brig.rows(FAILURES, (about,)).await?;
        Ok(u32::try_from(rows.len()).unwrap_or(u32::MAX))
    }
}

#[async_trait]
impl Codes for CassandraCodes {
    async fn put(&self, purpose: Purpose, key: &str, code: &Code) -> Result<()> {
        let attempts = i32::try_from(code.attempts).unwrap_or(i32::MAX);
        let lifetime = lifetime(code.expires, Time::now());
        let values =
            (purpose.name(), key, Uuid::new_v4(), &code.digest, &code.subject, code.expires, attempts, lifetime);
        self.0.brig.write(PUT, values).await
    }

    async fn get(&self, purpose: Purpose, key: &str) -> Result<Option<Code>> {
        let row = self.0.brig.row::<Row>(GET, (purpose.name(), key)).await?;
        // Takes as long where there is none: nobody is to learn for whom there is a code.
        let failures = self.count(&about_code(row.as_ref().map_or_else(Uuid::new_v4, |row| row.id))).await?;
        row.map_or(Ok(None), |row| left(row, failures, Time::now()))
    }

    async fn fail(&self, purpose: Purpose, key: &str) -> Result<()> {
        let Some(row) = self.0.brig.row::<Row>(GET, (purpose.name(), key)).await? else { return Ok(()) };
        let lifetime = lifetime(needed(row.expires, "expires")?, Time::now());
        self.0.brig.write(FAIL, (about_code(row.id), Uuid::new_v4(), lifetime)).await
    }

    async fn delete(&self, purpose: Purpose, key: &str) -> Result<()> {
        self.0.brig.write(DELETE, (purpose.name(), key)).await
    }

    async fn count_failure(&self, name: &str, window: i64) -> Result<u32> {
        let about = about_login(name);
        let lifetime = i32::try_from(window).unwrap_or(i32::MAX).max(1);
        self.0.brig.write(FAIL, (&about, Uuid::new_v4(), lifetime)).await?;
        self.count(&about).await
    }

    async fn failures(&self, name: &str) -> Result<u32> {
        self.count(&about_login(name)).await
    }

    async fn forget_failures(&self, name: &str) -> Result<()> {
        self.0.brig.write(FORGET, (about_login(name),)).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn failures_take_attempts_off_and_never_more_than_there_are() {
        let row = || Row {
            id: Uuid::new_v4(),
            digest: Some("digest".to_owned()),
            subject: Some("subject".to_owned()),
            expires: Some(Time::from_milliseconds(10)),
            attempts: Some(3),
        };
        let at = Time::from_milliseconds;
        assert_eq!(left(row(), 1, at(9)).unwrap().unwrap().attempts, 2);
        assert_eq!(left(row(), 3, at(9)).unwrap(), None);
        assert_eq!(left(row(), 7, at(9)).unwrap(), None);
        assert_eq!(left(row(), 0, at(10)).unwrap(), None, "it ended");
    }
}
