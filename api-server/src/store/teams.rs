//! Teams, members, invitations, features.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::Result;
use crate::domain::id::InvitationId;
use crate::domain::team::{Invitation, Permissions, Team, TeamMember};
use crate::domain::{TeamId, UserId};

/// Teams.
#[async_trait]
pub trait Teams: Send + Sync {
    /// Keeps a team, in place of what it was.
    async fn put(&self, team: &Team) -> Result<()>;
    /// One team.
    async fn get(&self, id: TeamId) -> Result<Option<Team>>;
    /// Removes a team with its members, invitations and features.
    async fn delete(&self, id: TeamId) -> Result<()>;

    /// Adds a member, or sets their permissions.
    async fn put_member(&self, id: TeamId, member: &TeamMember) -> Result<()>;
    /// Sets a member's permissions.
    async fn set_permissions(&self, id: TeamId, user: UserId, permissions: Permissions) -> Result<()>;
    /// One member.
    async fn member(&self, id: TeamId, user: UserId) -> Result<Option<TeamMember>>;
    /// All members, by user.
    async fn members(&self, id: TeamId) -> Result<Vec<TeamMember>>;
    /// Removes a member.
    async fn remove_member(&self, id: TeamId, user: UserId) -> Result<()>;

    /// Keeps an invitation.
    async fn put_invitation(&self, invitation: &Invitation) -> Result<()>;
    /// A team's invitations, by id.
    async fn invitations(&self, id: TeamId) -> Result<Vec<Invitation>>;
    /// The invitation that a code proves.
    async fn invitation_by_code(&self, code: &str) -> Result<Option<Invitation>>;
    /// Removes an invitation.
    async fn delete_invitation(&self, id: TeamId, invitation: InvitationId) -> Result<()>;

    /// Sets a feature's settings.
    async fn put_feature(&self, id: TeamId, name: &str, settings: &Value) -> Result<()>;
    /// The features that were set, by name.
    async fn features(&self, id: TeamId) -> Result<BTreeMap<String, Value>>;
}
