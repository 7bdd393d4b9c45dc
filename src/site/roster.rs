//! Who is in the inventory: hosts with their ranges written out, groups with their members, and every slip in that.

use std::collections::{BTreeMap, BTreeSet};

use super::document::Document;
use super::names::{GroupName, HostName, ServiceName};
use super::problem::{Place, Problem, hint_for, nearest};
use super::range::Pattern;
use super::rules;
use super::tree::{Content, Entry, Tree};
use super::written::{GroupWritten, HostWritten, InventoryFile};

/// The inventory's hosts and groups, in its order.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub hosts: Vec<Listed>,
    pub groups: Vec<ListedGroup>,
}

/// A host.
#[derive(Debug)]
pub(super) struct Listed {
    pub name: HostName,
    /// The key in the file, with its range.
    pub key: String,
    /// Which of the hosts that the key stands for.
    pub index: usize,
    /// How many hosts the key stands for.
    pub of: usize,
    /// Where the key stands.
    pub place: Place,
    /// What it says; nothing if that does not fit, which is a problem of its own.
    pub written: Option<HostWritten>,
    /// Its groups by their index in [`Roster::groups`]: the outer ones first, among others the earlier ones.
    pub groups: Vec<usize>,
}

/// A group.
#[derive(Debug)]
pub(super) struct ListedGroup {
    pub name: GroupName,
    /// Where its key stands, or the first host that says it is in it.
    pub place: Place,
    pub written: GroupWritten,
    /// Its hosts by their index in [`Roster::hosts`], those of its groups too.
    pub members: BTreeSet<usize>,
    /// The groups within it, by index.
    inner: Vec<usize>,
}

/// Lists an inventory.
pub(super) fn list(
    document: &Document,
    file: &InventoryFile,
    services: &[ServiceName],
    problems: &mut Vec<Problem>,
) -> Roster {
    let mut lister = Lister { document, services, problems, roster: Roster::default(), by_name: BTreeMap::new() };
    lister.hosts(file);
    lister.groups(file);
    lister.hosts_own_groups();
    lister.members();
    lister.roster
}

struct Lister<'a> {
    document: &'a Document,
    services: &'a [ServiceName],
    problems: &'a mut Vec<Problem>,
    roster: Roster,
    by_name: BTreeMap<String, usize>,
}

/// The texts of a list with their places.
pub(super) fn texts<'a>(list: Option<&'a Tree>) -> Vec<(&'a str, Place)> {
    let items = list.map(Tree::items).unwrap_or_default().iter();
    let text = |item: &'a Tree| match &item.content {
        Content::Text(text) => Some((text.as_str(), item.place)),
        _ => None,
    };
    items.filter_map(text).collect()
}

impl<'a> Lister<'a> {
    fn problem(&mut self, place: Place, message: String, hint: Option<String>) {
        self.problems.push(self.document.problem(place, message, hint));
    }

    /// The entries of a section of the file, each key once.
    fn entries(&self, section: &str) -> Vec<&'a Entry> {
        let document: &'a Document = self.document;
        let mut seen = BTreeSet::new();
        let entries = document.tree.get(&[section]).map(Tree::entries).unwrap_or_default();
        entries.iter().filter(|entry| seen.insert(entry.key.as_str())).collect()
    }

    fn hosts(&mut self, file: &InventoryFile) {
        for entry in self.entries("hosts") {
            let written = match &entry.value.content {
                Content::Null => Some(HostWritten::default()),
                _ => file.hosts.as_ref().and_then(|hosts| hosts.get(&entry.key)).cloned(),
            };
            let pattern = match Pattern::read(&entry.key) {
                Ok(pattern) => pattern,
                Err(reason) => {
                    self.problem(entry.place, reason, None);
                    continue;
                }
            };
            let names = pattern.all();
            if let Some((name, reason)) = names.iter().find_map(|name| Some((name, rules::host_name(name)?))) {
                let hint = "a host's name is of small letters, digits, hyphens and dots";
                self.problem(entry.place, format!("host name `{name}` {reason}"), Some(hint.to_owned()));
            }
            for (index, name) in names.iter().enumerate() {
                if let Some(first) = self.by_name.get(name) {
                    let line = self.roster.hosts[*first].place.line;
                    let hint = Some("every host is listed once".to_owned());
                    self.problem(
                        entry.place,
                        format!("host `{name}` is there twice; the first is in line {line}"),
                        hint,
                    );
                    continue;
                }
                self.by_name.insert(name.clone(), self.roster.hosts.len());
                self.roster.hosts.push(Listed {
                    name: HostName(name.clone()),
                    key: entry.key.clone(),
                    index,
                    of: names.len(),
                    place: entry.place,
                    written: written.clone(),
                    groups: Vec::new(),
                });
            }
        }
    }

    fn groups(&mut self, file: &InventoryFile) {
        let entries = self.entries("groups");
        for entry in &entries {
            let written = file.groups.as_ref().and_then(|groups| groups.get(&entry.key)).cloned().unwrap_or_default();
            if let Some(reason) = rules::group_name(&entry.key) {
                let hint = "a group's name is of small letters, digits and hyphens";
                self.problem(entry.place, format!("group name `{}` {reason}", entry.key), Some(hint.to_owned()));
            }
            let members = self.hosts_of(&entry.key, entry.value.get(&["hosts"]));
            self.roster.groups.push(ListedGroup {
                name: GroupName(entry.key.clone()),
                place: entry.place,
                written,
                members,
                inner: Vec::new(),
            });
        }
        let mut referenced = BTreeSet::new();
        for (index, entry) in entries.iter().enumerate() {
            for (name, place) in texts(entry.value.get(&["groups"])) {
                match self.group(name) {
                    Some(inner) => {
                        referenced.insert(inner);
                        self.roster.groups[index].inner.push(inner);
                    }
                    None => self.unknown_group(name, place),
                }
            }
        }
        for (index, entry) in entries.iter().enumerate() {
            let known = self.services.iter().any(|service| service.as_str() == entry.key);
            let near = nearest(&entry.key, self.services.iter().map(ServiceName::as_str));
            if let (false, false, Some(near)) = (known, referenced.contains(&index), near) {
                let message = format!("group `{}` is no service's, but nearly", entry.key);
                let hint = format!("did you mean `{near}`? Else choose a name that is less like it");
                self.problem(entry.place, message, Some(hint));
            }
        }
    }

    /// The hosts that a group's list names.
    fn hosts_of(&mut self, group: &str, list: Option<&Tree>) -> BTreeSet<usize> {
        let mut members = BTreeSet::new();
        for (text, place) in texts(list) {
            let names = match Pattern::read(text) {
                Ok(pattern) => pattern.all(),
                Err(reason) => {
                    self.problem(place, reason, None);
                    continue;
                }
            };
            for name in names {
                match self.by_name.get(&name) {
                    Some(host) if members.insert(*host) => {}
                    Some(_) => self.problem(place, format!("group `{group}` names host `{name}` twice"), None),
                    None => {
                        let hint = hint_for(&name, "hosts", self.by_name.keys().map(String::as_str));
                        self.problem(place, format!("group `{group}` names an unknown host `{name}`"), hint);
                    }
                }
            }
        }
        members
    }

    fn group(&self, name: &str) -> Option<usize> {
        self.roster.groups.iter().position(|group| group.name.as_str() == name)
    }

    fn unknown_group(&mut self, name: &str, place: Place) {
        let groups = self.roster.groups.iter().map(|group| group.name.as_str());
        let mut names: Vec<&str> = groups.chain(self.services.iter().map(ServiceName::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let hint = hint_for(name, "groups", names.iter().copied());
        self.problem(place, format!("there is no group `{name}`"), hint);
    }

    /// What hosts say of the groups they are in. A service's group need not be listed for that.
    fn hosts_own_groups(&mut self) {
        for entry in self.entries("hosts") {
            for (name, place) in texts(entry.value.get(&["groups"])) {
                let service = self.services.iter().any(|service| service.as_str() == name);
                let group = match self.group(name) {
                    Some(group) => group,
                    None if service => {
                        self.roster.groups.push(ListedGroup {
                            name: GroupName::from(name),
                            place,
                            written: GroupWritten::default(),
                            members: BTreeSet::new(),
                            inner: Vec::new(),
                        });
                        self.roster.groups.len() - 1
                    }
                    None => {
                        self.unknown_group(name, place);
                        continue;
                    }
                };
                let hosts = self.roster.hosts.iter().enumerate().filter(|(_, host)| host.key == entry.key);
                let members: Vec<usize> = hosts.map(|(index, _)| index).collect();
                self.roster.groups[group].members.extend(members);
            }
        }
    }

    /// Gives outer groups the hosts of their inner ones, and every host its groups in their order.
    fn members(&mut self) {
        let count = self.roster.groups.len();
        let mut below: Vec<BTreeSet<usize>> = Vec::with_capacity(count);
        for start in 0..count {
            let mut reached = BTreeSet::new();
            let mut waiting = self.roster.groups[start].inner.clone();
            while let Some(group) = waiting.pop() {
                if reached.insert(group) {
                    waiting.extend(&self.roster.groups[group].inner);
                }
            }
            if reached.contains(&start) {
                let (name, place) = (self.roster.groups[start].name.clone(), self.roster.groups[start].place);
                let hint = Some("a group's groups must not lead back to it".to_owned());
                self.problem(place, format!("group `{name}` is within itself"), hint);
            }
            below.push(reached);
        }
        let own: Vec<BTreeSet<usize>> = self.roster.groups.iter().map(|group| group.members.clone()).collect();
        for (group, reached) in below.iter().enumerate() {
            let inherited = reached.iter().flat_map(|inner| own[*inner].iter().copied());
            self.roster.groups[group].members.extend(inherited);
            if self.roster.groups[group].members.is_empty() && !self.names_anyone(group) {
                let (name, place) = (self.roster.groups[group].name.clone(), self.roster.groups[group].place);
                let hint = "name its hosts, or remove the group: a service without a group is not installed";
                self.problem(place, format!("group `{name}` has no hosts"), Some(hint.to_owned()));
            }
        }
        // The more groups it has within it, the further out a group is.
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|group| (std::cmp::Reverse(below[*group].len()), *group));
        for group in order {
            for host in self.roster.groups[group].members.clone() {
                self.roster.hosts[host].groups.push(group);
            }
        }
    }

    /// Whether a group's lists have anything in them, right or wrong; what is wrong was said already.
    fn names_anyone(&self, group: usize) -> bool {
        let name = self.roster.groups[group].name.as_str();
        let some = |found: &Tree| match &found.content {
            Content::Null => false,
            Content::Sequence(items) => !items.is_empty(),
            _ => true,
        };
        let section = self.document.tree.get(&["groups", name]);
        if section.is_some_and(|found| !matches!(found.content, Content::Null | Content::Mapping(_))) {
            return true;
        }
        ["hosts", "groups"].iter().any(|list| section.and_then(|found| found.get(&[*list])).is_some_and(some))
    }
}
