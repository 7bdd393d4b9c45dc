//! Lists of hosts, short enough to read: `db[1:3], lb1`.

use crate::site::names::HostName;

/// The hosts in the inventory's own range notation where names are numbered in a row, the rest by name.
#[must_use]
pub fn ranges(hosts: &[&HostName]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut run: Option<(&str, u64, u64)> = None;
    for host in hosts {
        match (numbered(host.as_str()), run) {
            (Some((stem, number)), Some((of, first, last))) if stem == of && number == last + 1 => {
                run = Some((of, first, number));
            }
            (found, former) => {
                parts.extend(former.map(range));
                run = found.map(|(stem, number)| (stem, number, number));
                if found.is_none() {
                    parts.push(host.as_str().to_owned());
                }
            }
        }
    }
    parts.extend(run.map(range));
    const SHOWN: usize = 6;
    let more = parts.len().saturating_sub(SHOWN);
    parts.truncate(SHOWN);
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    parts.join(", ")
}

/// A name that ends in a number without leading zeros, in its two parts.
fn numbered(name: &str) -> Option<(&str, u64)> {
    let stem = name.trim_end_matches(|character: char| character.is_ascii_digit());
    let digits = &name[stem.len()..];
    if digits.starts_with('0') && digits.len() > 1 { None } else { Some((stem, digits.parse().ok()?)) }
}

fn range((stem, first, last): (&str, u64, u64)) -> String {
    match last - first {
        0 => format!("{stem}{first}"),
        1 => format!("{stem}{first}, {stem}{last}"),
        _ => format!("{stem}[{first}:{last}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_hosts_become_ranges_and_long_lists_short() {
        let told = |names: &[&str]| {
            let hosts: Vec<HostName> = names.iter().map(|name| HostName::from(*name)).collect();
            ranges(&hosts.iter().collect::<Vec<_>>())
        };
        assert_eq!(told(&["db1", "db2", "db3", "lb1"]), "db[1:3], lb1");
        assert_eq!(told(&["db1", "db2"]), "db1, db2");
        assert_eq!(told(&["db09", "db10", "edge", "db1"]), "db09, db10, edge, db1");
        assert_eq!(told(&["a", "b", "c", "d", "e", "f", "g", "h"]), "a, b, c, d, e, f, 2 more");
    }
}
