//! System users and groups, made by the host's own programs.

use super::names::Names;
use super::problem::Problem;
use super::process::Program;
use super::root::Root;
use crate::resource::{Group, User};
use crate::state::{State, UserState};

/// The user as /etc/passwd and /etc/group have it.
#[must_use]
pub fn observe_user(names: &Names, wanted: &User) -> State {
    names.user(&wanted.name).map_or(State::Absent, |account| {
        State::User(UserState {
            group: names.group_name(account.group),
            groups: names.groups_of(&wanted.name),
            home: account.home.clone(),
        })
    })
}

/// Whether the group is there.
#[must_use]
pub fn observe_group(names: &Names, wanted: &Group) -> State {
    if names.has_group(&wanted.name) { State::Group } else { State::Absent }
}

/// Makes the user, or gives it the group, home and further groups that it should have.
///
/// # Errors
/// When the program refuses.
pub fn apply_user(root: &Root, names: &Names, wanted: &User) -> Result<(), Problem> {
    let groups = wanted.groups.join(",");
    let mut arguments = Vec::new();
    let program = if let Some(account) = names.user(&wanted.name) {
        if names.group_name(account.group) != wanted.group {
            arguments.extend(["--gid", &wanted.group]);
        }
        if account.home != wanted.home {
            arguments.extend(["--home", &wanted.home]);
        }
        if !groups.is_empty() {
            arguments.extend(["--append", "--groups", &groups]);
        }
        "usermod"
    } else {
        arguments.extend([
            "--gid",
            &wanted.group,
            "--system",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            "--home-dir",
            &wanted.home,
        ]);
        if !groups.is_empty() {
            arguments.extend(["--groups", &groups]);
        }
        "useradd"
    };
    run(root, program, &arguments, &wanted.name)
}

/// Makes the group.
///
/// # Errors
/// When the program refuses.
pub fn apply_group(root: &Root, wanted: &Group) -> Result<(), Problem> {
    run(root, "groupadd", &["--system"], &wanted.name)
}

/// Removes the user.
///
/// # Errors
/// When the program refuses, as while one of its processes runs.
pub fn remove_user(root: &Root, names: &Names, wanted: &User) -> Result<(), Problem> {
    if names.user(&wanted.name).is_none() {
        return Ok(());
    }
    run(root, "userdel", &[], &wanted.name)
}

/// Removes the group; removing its user may have done so already.
///
/// # Errors
/// When the program refuses, as while it is a user's primary group.
pub fn remove_group(root: &Root, wanted: &Group) -> Result<(), Problem> {
    if !Names::read(root)?.has_group(&wanted.name) {
        return Ok(());
    }
    run(root, "groupdel", &[], &wanted.name)
}

fn run(root: &Root, program: &str, arguments: &[&str], name: &str) -> Result<(), Problem> {
    let folder = root.folder().to_string_lossy();
    let prefix: &[&str] = if root.is_host() { &[] } else { &["--prefix", &folder] };
    let name = ["--", name];
    let arguments = prefix.iter().chain(arguments).chain(&name);
    Program::new(program, arguments).run(&mut |_| {})?.success()
}
