//! Users, and who has which name.

use async_trait::async_trait;
use scylla::DeserializeRow;
use scylla::value::{CqlValue, MaybeUnset};

use super::Shared;
use super::session::Vote;
use super::values::{from_json, from_json_or_default, json, needed};
use crate::domain::user::{User, UserChange};
use crate::domain::{TeamId, Time, UserId};
use crate::store::users::{Claim, Users};
use crate::store::{Page, Result};

/// Users and claims in the keyspace of brig.
pub(super) struct CassandraUsers(pub(super) Shared);

/// A row of `users`.
#[derive(DeserializeRow, Clone, Default)]
struct Row {
    id: Option<UserId>,
    name: Option<String>,
    email: Option<String>,
    handle: Option<String>,
    accent_id: Option<i32>,
    assets: Option<String>,
    locale: Option<String>,
    text_status: Option<String>,
    team: Option<TeamId>,
    supported_protocols: Option<String>,
    status: Option<String>,
    searchable: Option<bool>,
}

impl Row {
    /// The user; none when the row is what a late change left.
    fn user(self) -> Result<Option<User>> {
        let Some(name) = self.name else { return Ok(None) };
        Ok(Some(User {
            id: needed(self.id, "id")?,
            name,
            email: self.email,
            handle: self.handle,
            accent_id: self.accent_id.unwrap_or(0),
            assets: from_json_or_default(self.assets.as_deref())?,
            locale: needed(self.locale, "locale")?,
            text_status: self.text_status,
            team: self.team,
            supported_protocols: from_json_or_default(self.supported_protocols.as_deref())?,
            status: from_json(&needed(self.status, "status")?)?,
            searchable: self.searchable.unwrap_or(true),
        }))
    }
}

macro_rules! columns {
    () => {
        "id, name, email, handle, accent_id, assets, locale, text_status, team, supported_protocols, status, searchable"
    };
}

const GET: &str = concat!("SELECT ", columns!(), " FROM users WHERE id = ?");
const INSERT: &str = concat!("INSERT INTO users (", columns!(), ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
const UPDATE: &str = "UPDATE users SET name = ?, email = ?, handle = ?, accent_id = ?, assets = ?, locale = ?, text_status = ?, \
                      team = ?, supported_protocols = ?, status = ?, searchable = ? WHERE id = ?";
const FIRST: &str = concat!("SELECT ", columns!(), " FROM users LIMIT ?");
const FOLLOWING: &str = concat!("SELECT ", columns!(), " FROM users WHERE token(id) > token(?) LIMIT ?");
const SET_PASSWORD: &str = "UPDATE users SET password = ? WHERE id = ?";
const PASSWORD: &str = "SELECT password FROM users WHERE id = ?";
const CLAIM: &str = "INSERT INTO claims (name, user) VALUES (?, ?) IF NOT EXISTS";
const TAKEN: &str = "SELECT user, WRITETIME(user) FROM claims WHERE name = ?";
const TAKE_OVER: &str = "UPDATE claims SET user = ? WHERE name = ? IF user = ?";
const RELEASE: &str = "DELETE FROM claims WHERE name = ? IF user = ?";
const OWNER: &str = "SELECT user FROM claims WHERE name = ?";

#[async_trait]
impl Users for CassandraUsers {
    async fn ready(&self) -> Result<()> {
        self.0.ready().await
    }

    async fn insert(&self, user: &User) -> Result<()> {
        let values = (
            user.id,
            &user.name,
            &user.email,
            &user.handle,
            user.accent_id,
            json(&user.assets)?,
            &user.locale,
            &user.text_status,
            user.team,
            json(&user.supported_protocols)?,
            json(&user.status)?,
            user.searchable,
        );
        self.0.brig.write(INSERT, values).await
    }

    async fn get(&self, id: UserId) -> Result<Option<User>> {
        self.0.brig.row::<Row>(GET, (id,)).await?.map_or(Ok(None), Row::user)
    }

    async fn get_many(&self, ids: &[UserId]) -> Result<Vec<User>> {
        let rows = self.0.brig.rows_each::<Row, _>(GET, ids.iter().map(|id| (*id,))).await?;
        rows.into_iter().flatten().filter_map(|row| row.user().transpose()).collect()
    }

    async fn update(&self, id: UserId, change: UserChange) -> Result<()> {
        let values = (
            MaybeUnset::from_option(change.name),
            MaybeUnset::from_option(change.email),
            MaybeUnset::from_option(change.handle),
            MaybeUnset::from_option(change.accent_id),
            MaybeUnset::from_option(change.assets.map(|assets| json(&assets)).transpose()?),
            MaybeUnset::from_option(change.locale),
            MaybeUnset::from_option(change.text_status),
            MaybeUnset::from_option(change.team),
            MaybeUnset::from_option(change.supported_protocols.map(|protocols| json(&protocols)).transpose()?),
            MaybeUnset::from_option(change.status.map(|status| json(&status)).transpose()?),
            MaybeUnset::from_option(change.searchable),
            id,
        );
        self.0.brig.write(UPDATE, values).await
    }

    async fn all(&self, after: Option<UserId>, size: usize) -> Result<Page<User>> {
        let (mut users, mut after) = (Vec::new(), after);
        let wanted = size.saturating_add(1);
        // Rows that are no users make a page shorter than what was asked for.
        while users.len() < wanted {
            let limit = i32::try_from(wanted - users.len()).unwrap_or(i32::MAX);
            let rows: Vec<Row> = match after {
                None => self.0.brig.rows(FIRST, (limit,)).await?,
                Some(id) => self.0.brig.rows(FOLLOWING, (id, limit)).await?,
            };
            let Some(last) = rows.last() else { break };
            after = last.id;
            for row in rows {
                users.extend(row.user()?);
            }
        }
        Ok(Page::cut(users, size))
    }

    async fn set_password(&self, id: UserId, hash: Option<&str>) -> Result<()> {
        self.0.brig.write(SET_PASSWORD, (hash, id)).await
    }

    async fn password(&self, id: UserId) -> Result<Option<String>> {
        Ok(self.0.brig.row::<(Option<String>,)>(PASSWORD, (id,)).await?.and_then(|(hash,)| hash))
    }

    async fn claim(&self, claim: &Claim, user: UserId) -> Result<bool> {
        let name = claim.key();
        // Most that are taken have been for long: no vote is needed to see that.
        if let Some(owner) = self.owner(claim).await?
            && owner != user
        {
            return Ok(false);
        }
        // The same claim may be made again: it is known by its user.
        let (vote, _) = self.0.brig.vote_until_known(CLAIM, (&name, user)).await?;
        Ok(match vote {
            Vote::Carried => true,
            Vote::Refused(present) => present.get("user") == Some(&CqlValue::Uuid(user.0)),
            Vote::Lost(_) => false,
        })
    }

    async fn take_over(&self, claim: &Claim, user: UserId, before: Time) -> Result<bool> {
        let name = claim.key();
        let Some((owner, taken)) = self.0.brig.row::<(UserId, i64)>(TAKEN, (&name,)).await? else { return Ok(false) };
        // Votes are timed in microseconds.
        if taken / 1000 >= before.milliseconds() || claim.is_borne_by(self.get(owner).await?.as_ref()) {
            return Ok(false);
        }
        Ok(match self.0.brig.vote_until_known(TAKE_OVER, (user, &name, owner)).await?.0 {
            Vote::Carried => true,
            Vote::Refused(present) => present.get("user") == Some(&CqlValue::Uuid(user.0)),
            Vote::Lost(_) => false,
        })
    }

    async fn release(&self, claim: &Claim, user: UserId) -> Result<()> {
        match self.0.brig.vote_until_known(RELEASE, (claim.key(), user)).await? {
            (Vote::Lost(error), _) => Err(error),
            _ => Ok(()),
        }
    }

    async fn owner(&self, claim: &Claim) -> Result<Option<UserId>> {
        Ok(self.0.brig.row::<(UserId,)>(OWNER, (claim.key(),)).await?.map(|(user,)| user))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::domain::user::AccountStatus;

    #[test]
    fn what_a_late_change_left_is_no_user() {
        let left = Row { id: Some(UserId::random()), handle: Some("ann".to_owned()), ..Row::default() };
        assert_eq!(left.clone().user().unwrap(), None);
        let row = Row {
            name: Some("Ann".to_owned()),
            locale: Some("en".to_owned()),
            status: Some("\"suspended\"".to_owned()),
            ..left
        };
        let user = row.clone().user().unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.status, user.assets.len()), ("Ann", AccountStatus::Suspended, 0));
        assert!(Row { status: Some("\"asleep\"".to_owned()), ..row }.user().is_err());
    }
}
