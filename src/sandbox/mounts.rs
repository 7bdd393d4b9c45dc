//! Mounts below a folder.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::process::run;

/// Unmounts all that is mounted below a folder, latest first.
pub(super) fn unmount_below(folder: &Path) -> Result<()> {
    let text = fs::read("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    for mount in mount_points(&text).iter().rev().filter(|mount| mount.starts_with(folder)) {
        // Lazily only if something of this machine's still looks into it: the mount is gone from sight at once.
        run(Command::new("umount").arg(mount))
            .or_else(|_| run(Command::new("umount").arg("--lazy").arg(mount)))
            .with_context(|| format!("unmounting {}", mount.display()))?;
    }
    Ok(())
}

/// Field 5 of each line of `/proc/self/mountinfo`, where blanks and backslashes are written `\ooo`.
fn mount_points(mountinfo: &[u8]) -> Vec<PathBuf> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4)).map(unescape).collect()
}

fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        let text = b"36 35 98:0 / /a\\040b\\134c rw - ext4 /dev/sda rw\n37 35 0:4 / /123 rw - proc proc rw\n";
        assert_eq!(mount_points(text), [PathBuf::from("/a b\\c"), PathBuf::from("/123")]);
    }
}
