//! Teams: members, permissions, invitations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::id::InvitationId;
use super::{TeamId, Time, UserId};

/// A team.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Team {
    /// Never changes.
    pub id: TeamId,
    /// Who founded it.
    pub creator: UserId,
    /// Shown to members.
    pub name: String,
    /// Asset key of the picture.
    pub icon: String,
    /// Key of that asset.
    pub icon_key: Option<String>,
}

/// A user in a team.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TeamMember {
    /// The user.
    pub user: UserId,
    /// What they may do.
    pub permissions: Permissions,
    /// Who invited them, and when.
    pub invited: Option<(UserId, Time)>,
}

/// Permissions as bits: what a member may do, and what they may hand on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Permissions {
    /// Handed on.
    pub copy: u64,
    /// Own.
    #[serde(rename = "self")]
    pub own: u64,
}

/// One permission in a team.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema)]
pub enum Permission {
    /// Begin a conversation in the team.
    CreateConversation,
    /// Delete a team's conversation that one is in.
    DeleteConversation,
    /// Invite.
    AddTeamMember,
    /// Remove members.
    RemoveTeamMember,
    /// Change name and picture.
    SetTeamData,
    /// See others' permissions.
    GetMemberPermissions,
    /// List all conversations.
    GetTeamConversations,
    /// Delete the team.
    DeleteTeam,
    /// Change others' permissions.
    SetMemberPermissions,
}

impl Permission {
    fn bit(self) -> u64 {
        1 << match self {
            Self::CreateConversation => 0,
            Self::DeleteConversation => 1,
            Self::AddTeamMember => 2,
            Self::RemoveTeamMember => 3,
            Self::SetTeamData => 8,
            Self::GetMemberPermissions => 9,
            Self::GetTeamConversations => 10,
            Self::DeleteTeam => 11,
            Self::SetMemberPermissions => 12,
        }
    }
}

/// The named sets of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TeamRole {
    /// Everything.
    Owner,
    /// Everything but billing and deletion.
    Admin,
    /// What most have.
    #[default]
    Member,
    /// Only conversations.
    Partner,
}

impl TeamRole {
    /// Its permissions.
    pub fn permissions(self) -> Permissions {
        let bits = match self {
            Self::Owner => 8191,
            Self::Admin => 5951,
            Self::Member => 1587,
            Self::Partner => 1025,
        };
        Permissions { copy: bits, own: bits }
    }
}

impl Permissions {
    /// Whether one is among a member's own.
    pub fn allows(self, permission: Permission) -> bool {
        self.own & permission.bit() != 0
    }

    /// Whether these are all an owner has.
    pub fn is_owner(self) -> bool {
        self == TeamRole::Owner.permissions()
    }

    /// Whether these bits are ones that exist, and what is handed on is held.
    pub fn is_valid(self) -> bool {
        self.own <= 8191 && self.copy & !self.own == 0
    }

    /// Whether a member with these may give `others`.
    pub fn may_give(self, others: Permissions) -> bool {
        others.own & !self.copy == 0
    }
}

/// An invitation into a team.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Invitation {
    /// Never changes.
    pub id: InvitationId,
    /// The team.
    pub team: TeamId,
    /// Whom it is for; lower case.
    pub email: String,
    /// What they will be.
    pub role: TeamRole,
    /// How the inviter calls them.
    pub name: Option<String>,
    /// Who invites.
    pub created_by: UserId,
    /// When.
    pub created_at: Time,
    /// What is sent by mail and proves the invitation.
    pub code: String,
}

/// An invitation as the API shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct InvitationView {
    id: InvitationId,
    team: TeamId,
    email: String,
    role: TeamRole,
    name: Option<String>,
    created_by: UserId,
    created_at: Time,
    phone: Option<String>,
    url: Option<String>,
}

impl Invitation {
    /// As the API shows it: without the code.
    pub fn view(&self) -> InvitationView {
        InvitationView {
            id: self.id,
            team: self.team,
            email: self.email.clone(),
            role: self.role,
            name: self.name.clone(),
            created_by: self.created_by,
            created_at: self.created_at,
            phone: None,
            url: None,
        }
    }
}

/// A team as the API shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TeamView {
    id: TeamId,
    creator: UserId,
    name: String,
    icon: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon_key: Option<String>,
    binding: bool,
    splash_screen: Option<String>,
}

impl Team {
    /// As the API shows it.
    pub fn view(&self) -> TeamView {
        TeamView {
            id: self.id,
            creator: self.creator,
            name: self.name.clone(),
            icon: self.icon.clone(),
            icon_key: self.icon_key.clone(),
            binding: true,
            splash_screen: None,
        }
    }
}

/// A member as the API shows them.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TeamMemberView {
    user: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Permissions>,
    created_by: Option<UserId>,
    created_at: Option<Time>,
    legalhold_status: &'static str,
}

impl TeamMember {
    /// As the API shows them; permissions only to those who may see them.
    pub fn view(&self, with_permissions: bool) -> TeamMemberView {
        TeamMemberView {
            user: self.user,
            permissions: with_permissions.then_some(self.permissions),
            created_by: self.invited.map(|(user, _)| user),
            created_at: self.invited.map(|(_, time)| time),
            legalhold_status: "no_consent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_hold_what_they_should() {
        for permission in [Permission::DeleteTeam, Permission::SetMemberPermissions, Permission::AddTeamMember] {
            assert!(TeamRole::Owner.permissions().allows(permission));
            assert!(!TeamRole::Member.permissions().allows(permission));
        }
        assert!(!TeamRole::Admin.permissions().allows(Permission::DeleteTeam));
        assert!(TeamRole::Admin.permissions().may_give(TeamRole::Member.permissions()));
        assert!(!TeamRole::Admin.permissions().may_give(TeamRole::Owner.permissions()));
        assert!(TeamRole::Partner.permissions().allows(Permission::CreateConversation));
    }
}
