//! Cookies: each goes by itself when it ends.

use async_trait::async_trait;
use scylla::DeserializeRow;

use super::Shared;
use super::values::{count, lifetime, needed};
use crate::domain::{ClientId, Time, UserId};
use crate::store::Result;
use crate::store::cookies::{Cookie, Cookies};

/// Cookies in the keyspace of brig.
pub(super) struct CassandraCookies(pub(super) Shared);

#[derive(DeserializeRow)]
struct Row {
    id: i64,
    session: Option<bool>,
    created: Option<Time>,
    expires: Option<Time>,
    label: Option<String>,
    client: Option<ClientId>,
    successor: Option<i64>,
}

impl Row {
    fn cookie(self) -> Result<Cookie> {
        Ok(Cookie {
            id: count(self.id, "a cookie's id")?,
            session: self.session.unwrap_or(false),
            created: needed(self.created, "created")?,
            expires: needed(self.expires, "expires")?,
            label: self.label,
            client: self.client,
            successor: self.successor.map(|id| count(id, "a cookie's successor")).transpose()?,
        })
    }
}

macro_rules! columns {
    () => {
        "id, session, created, expires, label, client, successor"
    };
}

const PUT: &str = concat!("INSERT INTO cookies (user, ", columns!(), ") VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?");
const GET: &str = concat!("SELECT ", columns!(), " FROM cookies WHERE user = ? AND id = ?");
const LIST: &str = concat!("SELECT ", columns!(), " FROM cookies WHERE user = ?");
const DELETE: &str = "DELETE FROM cookies WHERE user = ? AND id = ?";

/// The cookies that have not ended, the oldest first.
fn present(rows: Vec<Row>, now: Time) -> Result<Vec<Cookie>> {
    let mut cookies = rows.into_iter().map(Row::cookie).collect::<Result<Vec<_>>>()?;
    cookies.retain(|cookie| cookie.expires > now);
    cookies.sort_by_key(|cookie| (cookie.created, cookie.id));
    Ok(cookies)
}

#[async_trait]
impl Cookies for CassandraCookies {
    async fn put(&self, user: UserId, cookie: &Cookie) -> Result<()> {
        let values = (
            user,
            i64::from(cookie.id),
            cookie.session,
            cookie.created,
            cookie.expires,
            &cookie.label,
            cookie.client,
            cookie.successor.map(i64::from),
            lifetime(cookie.expires, Time::now()),
        );
        self.0.brig.write(PUT, values).await
    }

    async fn get(&self, user: UserId, id: u32) -> Result<Option<Cookie>> {
        let row = self.0.brig.row::<Row>(GET, (user, i64::from(id))).await?;
        Ok(present(row.into_iter().collect(), Time::now())?.pop())
    }

    async fn list(&self, user: UserId) -> Result<Vec<Cookie>> {
        present(self.0.brig.rows(LIST, (user,)).await?, Time::now())
    }

    async fn delete(&self, user: UserId, ids: &[u32]) -> Result<()> {
        self.0.brig.write_each(DELETE, ids.iter().map(|id| (user, i64::from(*id)))).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn cookies_that_ended_are_gone_before_their_rows_are() {
        let row = |id, created, expires| Row {
            id,
            session: None,
            created: Some(Time::from_milliseconds(created)),
            expires: Some(Time::from_milliseconds(expires)),
            label: None,
            client: None,
            successor: None,
        };
        let rows = vec![row(1, 5, 100), row(2, 4, 10), row(3, 3, 11)];
        let ids: Vec<_> = present(rows, Time::from_milliseconds(10)).unwrap().iter().map(|cookie| cookie.id).collect();
        assert_eq!(ids, [3, 1]);
    }
}
