//! Kernel parameters: the running kernel's by /proc/sys, the next boot's by a file of our own in /etc/sysctl.d.

use std::fs;
use std::io::{self, Write as _};

use rustix::fs::Access;

use super::names::Ids;
use super::place::Place;
use super::problem::{Doing as _, Problem};
use super::root::Root;
use crate::resource::Sysctl;
use crate::state::State;

/// A parameter that the kernel does not have counts as one that cannot be written, with an empty value.
///
/// # Errors
/// When the name is none or the value cannot be read.
pub fn observe(root: &Root, wanted: &Sysctl) -> Result<State, Problem> {
    let path = root.path(&kernel_path(&wanted.name)?);
    let value = match fs::read_to_string(&path) {
        Ok(value) => value.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Problem::io(format!("read {}", path.display()), &error)),
    };
    let persistent = match fs::read_to_string(root.path(&file_path(&wanted.name))) {
        Ok(text) => assigned(&text, &wanted.name),
        Err(_) => None,
    };
    let writable = rustix::fs::access(&path, Access::WRITE_OK).is_ok();
    Ok(State::Sysctl { value, persistent, writable })
}

/// Sets the parameter now and for the next boot. One that cannot be set here is passed over if that is tolerated, and one
/// that is enough as it is stays.
///
/// # Errors
/// When the kernel or the file system refuses.
pub fn apply(root: &Root, wanted: &Sysctl) -> Result<(), Problem> {
    let path = root.path(&kernel_path(&wanted.name)?);
    let enough = wanted.at_least && fs::read_to_string(&path).is_ok_and(|value| wanted.is_met_by(&value));
    if enough && !root.path(&file_path(&wanted.name)).exists() {
        return Ok(());
    }
    let file = Place::make(root, &file_path(&wanted.name))?;
    file.write(Ids::own(), 0o644, |file| {
        let text = format!("# Written by wire-deploy.\n{} = {}\n", wanted.name, wanted.value);
        file.write_all(text.as_bytes()).doing(format!("write {}", file_path(&wanted.name)))
    })?;
    if enough {
        return Ok(());
    }
    match fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&path)
        .and_then(|mut file| file.write_all(wanted.value.as_bytes()))
    {
        Err(error) if !wanted.tolerate => Err(Problem::new(format!(
            "cannot set {} to {:?} in the running kernel: {error}",
            wanted.name, wanted.value
        ))
        .hint("on a container the machine that runs it has to set it; then say `tolerate` for this setting")),
        _ => Ok(()),
    }
}

/// Forgets the parameter for the next boot; the running kernel keeps it.
///
/// # Errors
/// When the file cannot be removed.
pub fn remove(root: &Root, wanted: &Sysctl) -> Result<(), Problem> {
    Place::find(root, &file_path(&wanted.name))?.map_or(Ok(()), |place| place.remove())
}

fn kernel_path(name: &str) -> Result<String, Problem> {
    let valid = !name.is_empty() && name.split('.').all(|part| !part.is_empty()) && !name.contains(['\0', '\n']);
    if !valid {
        return Err(Problem::new(format!("expected a kernel parameter such as vm.swappiness, found {name:?}")));
    }
    // As sysctl(8): the separator is a dot, a slash stands for a dot within a part (`net.ipv4.conf.eth0/100.forwarding`).
    let path: String = name
        .chars()
        .map(|letter| {
            if letter == '.' {
                '/'
            } else if letter == '/' {
                '.'
            } else {
                letter
            }
        })
        .collect();
    Ok(format!("/proc/sys/{path}"))
}

fn file_path(name: &str) -> String {
    format!("/etc/sysctl.d/90-wire-deploy-{}.conf", name.replace('/', "-"))
}

fn assigned(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut values = lines.filter_map(|line| line.split_once('=')).filter(|(key, _)| key.trim() == name);
    values.next_back().map(|(_, value)| value.trim().to_owned())
}
