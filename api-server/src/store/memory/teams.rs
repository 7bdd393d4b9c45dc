//! Teams.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use serde_json::Value;

use super::Table;
use crate::domain::id::InvitationId;
use crate::domain::team::{Invitation, Permissions, Team, TeamMember};
use crate::domain::{TeamId, UserId};
use crate::store::Result;
use crate::store::teams::Teams;

#[derive(Default)]
struct Entry {
    team: Option<Team>,
    members: BTreeMap<UserId, TeamMember>,
    invitations: BTreeMap<InvitationId, Invitation>,
    features: BTreeMap<String, Value>,
}

/// Teams by id.
#[derive(Default)]
pub struct MemoryTeams(Table<HashMap<TeamId, Entry>>);

impl MemoryTeams {
    fn read<T: Default>(&self, id: TeamId, read: impl FnOnce(&Entry) -> T) -> T {
        self.0.lock().get(&id).map(read).unwrap_or_default()
    }

    fn write(&self, id: TeamId, write: impl FnOnce(&mut Entry)) {
        write(self.0.lock().entry(id).or_default());
    }
}

#[async_trait]
impl Teams for MemoryTeams {
    async fn put(&self, team: &Team) -> Result<()> {
        self.write(team.id, |entry| entry.team = Some(team.clone()));
        Ok(())
    }

    async fn get(&self, id: TeamId) -> Result<Option<Team>> {
        Ok(self.read(id, |entry| entry.team.clone()))
    }

    async fn delete(&self, id: TeamId) -> Result<()> {
        self.0.lock().remove(&id);
        Ok(())
    }

    async fn put_member(&self, id: TeamId, member: &TeamMember) -> Result<()> {
        self.write(id, |entry| {
            entry.members.insert(member.user, member.clone());
        });
        Ok(())
    }

    async fn set_permissions(&self, id: TeamId, user: UserId, permissions: Permissions) -> Result<()> {
        self.write(id, |entry| {
            if let Some(member) = entry.members.get_mut(&user) {
                member.permissions = permissions;
            }
        });
        Ok(())
    }

    async fn member(&self, id: TeamId, user: UserId) -> Result<Option<TeamMember>> {
        Ok(self.read(id, |entry| entry.members.get(&user).cloned()))
    }

    async fn members(&self, id: TeamId) -> Result<Vec<TeamMember>> {
        Ok(self.read(id, |entry| entry.members.values().cloned().collect()))
    }

    async fn remove_member(&self, id: TeamId, user: UserId) -> Result<()> {
        self.write(id, |entry| {
            entry.members.remove(&user);
        });
        Ok(())
    }

    async fn put_invitation(&self, invitation: &Invitation) -> Result<()> {
        self.write(invitation.team, |entry| {
            entry.invitations.insert(invitation.id, invitation.clone());
        });
        Ok(())
    }

    async fn invitations(&self, id: TeamId) -> Result<Vec<Invitation>> {
        Ok(self.read(id, |entry| entry.invitations.values().cloned().collect()))
    }

    async fn invitation_by_code(&self, code: &str) -> Result<Option<Invitation>> {
        let teams = self.0.lock();
        Ok(teams
            .values()
            .flat_map(|entry| entry.invitations.values())
            .find(|invitation| invitation.code == code)
            .cloned())
    }

    async fn delete_invitation(&self, id: TeamId, invitation: InvitationId) -> Result<()> {
        self.write(id, |entry| {
            entry.invitations.remove(&invitation);
        });
        Ok(())
    }

    async fn put_feature(&self, id: TeamId, name: &str, settings: &Value) -> Result<()> {
        self.write(id, |entry| {
            entry.features.insert(name.to_owned(), settings.clone());
        });
        Ok(())
    }

    async fn features(&self, id: TeamId) -> Result<BTreeMap<String, Value>> {
        Ok(self.read(id, |entry| entry.features.clone()))
    }
}
