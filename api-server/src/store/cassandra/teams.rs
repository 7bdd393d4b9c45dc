//! Teams, members, invitations, features.

use std::collections::BTreeMap;

use async_trait::async_trait;
use scylla::DeserializeRow;
use serde_json::Value;

use super::Shared;
use super::values::{count, from_json, json, needed};
use crate::domain::id::InvitationId;
use crate::domain::team::{Invitation, Permissions, Team, TeamMember};
use crate::domain::{TeamId, Time, UserId};
use crate::store::Result;
use crate::store::teams::Teams;

/// Teams in the keyspace of galley.
pub(super) struct CassandraTeams(pub(super) Shared);

#[derive(DeserializeRow)]
struct TeamRow {
    id: TeamId,
    creator: UserId,
    name: String,
    icon: String,
    icon_key: Option<String>,
}

#[derive(DeserializeRow)]
struct MemberRow {
    user: UserId,
    joined: Option<bool>,
    own: Option<i64>,
    copy: Option<i64>,
    invited_by: Option<UserId>,
    invited_at: Option<Time>,
}

impl MemberRow {
    /// The member; none when the row is what a late change left.
    fn member(self) -> Result<Option<TeamMember>> {
        if self.joined != Some(true) {
            return Ok(None);
        }
        let permissions = Permissions {
            copy: count(needed(self.copy, "copy")?, "copy")?,
            own: count(needed(self.own, "own")?, "own")?,
        };
        Ok(Some(TeamMember { user: self.user, permissions, invited: self.invited_by.zip(self.invited_at) }))
    }
}

#[derive(DeserializeRow)]
struct InvitationRow {
    team: TeamId,
    id: InvitationId,
    email: String,
    role: String,
    name: Option<String>,
    created_by: UserId,
    created_at: Time,
    code: String,
}

impl InvitationRow {
    fn invitation(self) -> Result<Invitation> {
        Ok(Invitation {
            id: self.id,
            team: self.team,
            email: self.email,
            role: from_json(&self.role)?,
            name: self.name,
            created_by: self.created_by,
            created_at: self.created_at,
            code: self.code,
        })
    }
}

macro_rules! invitation {
    () => {
        "team, id, email, role, name, created_by, created_at, code"
    };
}

const PUT: &str = "INSERT INTO teams (id, creator, name, icon, icon_key) VALUES (?, ?, ?, ?, ?)";
const GET: &str = "SELECT id, creator, name, icon, icon_key FROM teams WHERE id = ?";
const DELETE: &str = "DELETE FROM teams WHERE id = ?";
const PUT_MEMBER: &str = "INSERT INTO team_members (team, user, joined, own, copy, invited_by, invited_at) \
                          VALUES (?, ?, true, ?, ?, ?, ?)";
const SET_PERMISSIONS: &str = "UPDATE team_members SET own = ?, copy = ? WHERE team = ? AND user = ?";
const MEMBER: &str =
    "SELECT user, joined, own, copy, invited_by, invited_at FROM team_members WHERE team = ? AND user = ?";
const MEMBERS: &str = "SELECT user, joined, own, copy, invited_by, invited_at FROM team_members WHERE team = ?";
const REMOVE_MEMBER: &str = "DELETE FROM team_members WHERE team = ? AND user = ?";
const REMOVE_MEMBERS: &str = "DELETE FROM team_members WHERE team = ?";
const PUT_INVITATION: &str =
    concat!("INSERT INTO team_invitations (", invitation!(), ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
const INVITATION: &str = concat!("SELECT ", invitation!(), " FROM team_invitations WHERE team = ? AND id = ?");
const INVITATIONS: &str = concat!("SELECT ", invitation!(), " FROM team_invitations WHERE team = ?");
const DELETE_INVITATION: &str = "DELETE FROM team_invitations WHERE team = ? AND id = ?";
const PUT_CODE: &str = "INSERT INTO invitation_codes (code, team, invitation) VALUES (?, ?, ?)";
const CODE: &str = "SELECT team, invitation FROM invitation_codes WHERE code = ?";
const DELETE_CODE: &str = "DELETE FROM invitation_codes WHERE code = ?";
const PUT_FEATURE: &str = "INSERT INTO team_features (team, name, settings) VALUES (?, ?, ?)";
const FEATURES: &str = "SELECT name, settings FROM team_features WHERE team = ?";
const DELETE_FEATURES: &str = "DELETE FROM team_features WHERE team = ?";

impl CassandraTeams {
    async fn invitation(&self, id: TeamId, invitation: InvitationId) -> Result<Option<Invitation>> {
        let row = self.0.galley.row::<InvitationRow>(INVITATION, (id, invitation)).await?;
        row.map(InvitationRow::invitation).transpose()
    }
}

#[async_trait]
impl Teams for CassandraTeams {
    async fn put(&self, team: &Team) -> Result<()> {
        self.0.galley.write(PUT, (team.id, team.creator, &team.name, &team.icon, &team.icon_key)).await
    }

    async fn get(&self, id: TeamId) -> Result<Option<Team>> {
        let row = self.0.galley.row::<TeamRow>(GET, (id,)).await?;
        Ok(row.map(|row| Team {
            id: row.id,
            creator: row.creator,
            name: row.name,
            icon: row.icon,
            icon_key: row.icon_key,
        }))
    }

    async fn delete(&self, id: TeamId) -> Result<()> {
        for invitation in self.invitations(id).await? {
            self.delete_invitation(id, invitation.id).await?;
        }
        for statement in [DELETE_FEATURES, REMOVE_MEMBERS, DELETE] {
            self.0.galley.write(statement, (id,)).await?;
        }
        Ok(())
    }

    async fn put_member(&self, id: TeamId, member: &TeamMember) -> Result<()> {
        let (own, copy) = (bits(member.permissions.own), bits(member.permissions.copy));
        let (by, at) = member.invited.unzip();
        self.0.galley.write(PUT_MEMBER, (id, member.user, own, copy, by, at)).await
    }

    async fn set_permissions(&self, id: TeamId, user: UserId, permissions: Permissions) -> Result<()> {
        let values = (bits(permissions.own), bits(permissions.copy), id, user);
        self.0.galley.write(SET_PERMISSIONS, values).await
    }

    async fn member(&self, id: TeamId, user: UserId) -> Result<Option<TeamMember>> {
        self.0.galley.row::<MemberRow>(MEMBER, (id, user)).await?.map_or(Ok(None), MemberRow::member)
    }

    async fn members(&self, id: TeamId) -> Result<Vec<TeamMember>> {
        let rows: Vec<MemberRow> = self.0.galley.rows(MEMBERS, (id,)).await?;
        rows.into_iter().filter_map(|row| row.member().transpose()).collect()
    }

    async fn remove_member(&self, id: TeamId, user: UserId) -> Result<()> {
        self.0.galley.write(REMOVE_MEMBER, (id, user)).await
    }

    async fn put_invitation(&self, invitation: &Invitation) -> Result<()> {
        let values = (
            invitation.team,
            invitation.id,
            &invitation.email,
            json(&invitation.role)?,
            &invitation.name,
            invitation.created_by,
            invitation.created_at,
            &invitation.code,
        );
        self.0.galley.write(PUT_INVITATION, values).await?;
        self.0.galley.write(PUT_CODE, (&invitation.code, invitation.team, invitation.id)).await
    }

    async fn invitations(&self, id: TeamId) -> Result<Vec<Invitation>> {
        let rows: Vec<InvitationRow> = self.0.galley.rows(INVITATIONS, (id,)).await?;
        rows.into_iter().map(InvitationRow::invitation).collect()
    }

    async fn invitation_by_code(&self, code: &str) -> Result<Option<Invitation>> {
        let Some((team, id)) = self.0.galley.row::<(TeamId, InvitationId)>(CODE, (code,)).await? else {
            return Ok(None);
        };
        // What is left of an invitation that is gone proves nothing.
        Ok(self.invitation(team, id).await?.filter(|invitation| invitation.code == code))
    }

    async fn delete_invitation(&self, id: TeamId, invitation: InvitationId) -> Result<()> {
        if let Some(known) = self.invitation(id, invitation).await? {
            self.0.galley.write(DELETE_CODE, (&known.code,)).await?;
        }
        self.0.galley.write(DELETE_INVITATION, (id, invitation)).await
    }

    async fn put_feature(&self, id: TeamId, name: &str, settings: &Value) -> Result<()> {
        self.0.galley.write(PUT_FEATURE, (id, name, json(settings)?)).await
    }

    async fn features(&self, id: TeamId) -> Result<BTreeMap<String, Value>> {
        let rows: Vec<(String, String)> = self.0.galley.rows(FEATURES, (id,)).await?;
        rows.into_iter().map(|(name, settings)| Ok((name, from_json(&settings)?))).collect()
    }
}

/// Permissions as a number of Cassandra's: there are far fewer than 63.
fn bits(permissions: u64) -> i64 {
    i64::try_from(permissions).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn permissions_alone_make_no_member() {
        let row = |joined| MemberRow {
            user: UserId::random(),
            joined,
            own: Some(8191),
            copy: Some(1),
            invited_by: Some(UserId::random()),
            invited_at: None,
        };
        assert_eq!(row(None).member().unwrap(), None);
        let member = row(Some(true)).member().unwrap().unwrap();
        assert_eq!((member.permissions.own, member.permissions.copy, member.invited), (8191, 1, None));
    }
}
