//! Users and groups, read from /etc/passwd and /etc/group: a static binary must not load NSS modules, and whatever runs
//! a service on the host is a local user.

use std::fs;
use std::io;

use super::problem::{Doing as _, Problem};
use super::root::Root;
use crate::resource::Owner;

/// Who something belongs to, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub user: u32,
    /// Group.
    pub group: u32,
}

impl Ids {
    /// The agent's own.
    #[must_use]
    pub fn own() -> Self {
        Self { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() }
    }
}

/// The host's users and groups.
#[derive(Debug, Default)]
pub struct Names {
    users: Vec<Account>,
    groups: Vec<Members>,
}

/// A line of /etc/passwd.
#[derive(Debug)]
pub struct Account {
    /// Name.
    pub name: String,
    /// Number.
    pub user: u32,
    /// Number of the primary group.
    pub group: u32,
    /// Home folder.
    pub home: String,
}

#[derive(Debug)]
struct Members {
    name: String,
    group: u32,
    members: Vec<String>,
}

impl Names {
    /// Reads both files; a missing one is empty.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(root: &Root) -> Result<Self, Problem> {
        let text = |path: &str| match fs::read(root.path(path)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).doing(format!("read {path}")),
        };
        let users = text("/etc/passwd")?.lines().filter_map(account).collect();
        let groups = text("/etc/group")?.lines().filter_map(members).collect();
        Ok(Self { users, groups })
    }

    /// The user of this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&Account> {
        self.users.iter().find(|account| account.name == name)
    }

    /// Whether there is a group of this name.
    #[must_use]
    pub fn has_group(&self, name: &str) -> bool {
        self.groups.iter().any(|group| group.name == name)
    }

    /// The groups that list a user as their member.
    #[must_use]
    pub fn groups_of(&self, user: &str) -> Vec<String> {
        let of_user = self.groups.iter().filter(|group| group.members.iter().any(|member| member == user));
        of_user.map(|group| group.name.clone()).collect()
    }

    /// The group's name, or its number where it has none.
    #[must_use]
    pub fn group_name(&self, group: u32) -> String {
        let known = self.groups.iter().find(|known| known.group == group);
        known.map_or_else(|| group.to_string(), |known| known.name.clone())
    }

    /// The names behind numbers; a number where there is none.
    #[must_use]
    pub fn owner(&self, ids: Ids) -> Owner {
        let user = self.users.iter().find(|account| account.user == ids.user);
        Owner {
            user: user.map_or_else(|| ids.user.to_string(), |account| account.name.clone()),
            group: self.group_name(ids.group),
        }
    }

    /// The numbers behind names.
    ///
    /// # Errors
    /// When there is no such user or group.
    pub fn ids(&self, owner: &Owner) -> Result<Ids, Problem> {
        let unknown = |what: &str, name: &str| {
            Problem::new(format!("there is no {what} {name:?} on this host"))
                .hint(format!("a {what} resource must come before what belongs to it"))
        };
        let user = self.user(&owner.user).ok_or_else(|| unknown("user", &owner.user))?;
        let group = self.groups.iter().find(|group| group.name == owner.group);
        let group = group.ok_or_else(|| unknown("group", &owner.group))?;
        Ok(Ids { user: user.user, group: group.group })
    }
}

fn account(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let &[name, _, user, group, _, home, ..] = fields.as_slice() else { return None };
    Some(Account { name: name.to_owned(), user: user.parse().ok()?, group: group.parse().ok()?, home: home.to_owned() })
}

fn members(line: &str) -> Option<Members> {
    let fields: Vec<&str> = line.split(':').collect();
    let &[name, _, group, members] = fields.as_slice() else { return None };
    let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
    Some(Members { name: name.to_owned(), group: group.parse().ok()?, members })
}
