//! What names, domains and addresses may look like; each rule answers with what is wrong, or with nothing.

use core::net::IpAddr;

/// Releases whose packages can be resolved: codename and what it is.
pub const RELEASES: &[(&str, &str)] =
    &[("bookworm", "Debian 12"), ("jammy", "Ubuntu 22.04"), ("noble", "Ubuntu 24.04")];

/// A label of a DNS name, in small letters.
fn label(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() {
        return Some("has an empty label".to_owned());
    }
    if text.len() > 63 {
        return Some(format!("has a label of {} characters; 63 are the most", text.len()));
    }
    if let Some(wrong) = text.chars().find(|character| !character.is_ascii() || !allowed(*character as u8)) {
        return Some(if wrong.is_ascii_uppercase() {
            "has capital letters".to_owned()
        } else {
            format!("has {wrong:?} in it; letters, digits and hyphens may be")
        });
    }
    (text.starts_with('-') || text.ends_with('-')).then(|| "has a label that begins or ends with a hyphen".to_owned())
}

fn dns_name(text: &str) -> Option<String> {
    if text.len() > 253 {
        return Some(format!("has {} characters; 253 are the most", text.len()));
    }
    text.split('.').find_map(label)
}

/// Why a text cannot be a site's name.
#[must_use]
pub fn site_name(text: &str) -> Option<String> {
    if text.contains('.') {
        Some("has a dot in it; letters, digits and hyphens may be".to_owned())
    } else {
        label(text)
    }
}

/// Why a text cannot be a host's name.
#[must_use]
pub fn host_name(text: &str) -> Option<String> {
    if text.parse::<IpAddr>().is_ok() {
        return Some("is an address; a name begins with a letter or is no address".to_owned());
    }
    dns_name(text)
}

/// Why a text cannot be a group's name.
#[must_use]
pub fn group_name(text: &str) -> Option<String> {
    label(&text.replace('_', "-")).or_else(|| {
        text.starts_with(|first: char| !first.is_ascii_lowercase()).then(|| "does not begin with a letter".to_owned())
    })
}

/// Why a text cannot be the backend's domain.
#[must_use]
pub fn domain(text: &str) -> Option<String> {
    if text.contains("://") || text.contains('/') {
        return Some("is a URL; only its host name is wanted".to_owned());
    }
    if !text.contains('.') {
        return Some("has no dot".to_owned());
    }
    if let Some(reason) = dns_name(text) {
        return Some(reason);
    }
    let last = text.rsplit('.').next().unwrap_or_default();
    (!last.bytes().all(|byte| byte.is_ascii_lowercase()) && !last.starts_with("xn--"))
        .then(|| format!("ends in `{last}`; the last label is of letters only"))
}

/// Why an address cannot be a host's.
#[must_use]
pub fn address(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("stands for every address"),
        _ if address.is_multicast() => Some("is a multicast address"),
        IpAddr::V4(four) if four.is_broadcast() => Some("is the broadcast address"),
        _ => None,
    }
}

/// Why a text cannot be a host key's fingerprint.
#[must_use]
pub fn fingerprint(text: &str) -> Option<&'static str> {
    let Some(rest) = text.strip_prefix("SHA256:") else { return Some("does not begin with `SHA256:`") };
    let valid =
        rest.len() == 43 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
    (!valid).then_some("is not `SHA256:` and 43 characters of base64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        for (text, expected) in [
            ("example.com", None),
            ("wire.example.xn--p1ai", None),
            ("a-b.c1.org", None),
            ("localhost", Some("no dot")),
            ("example.c0m", Some("ends in `c0m`")),
            ("10.0.0.1", Some("ends in `1`")),
            ("https://example.com", Some("is a URL")),
            ("Example.com", Some("capital letters")),
            ("example.com.", Some("empty label")),
            ("exa mple.com", Some("has ' ' in it")),
            ("-a.com", Some("hyphen")),
            ("bücher.de", Some("has 'ü' in it")),
        ] {
            let found = domain(text);
            assert_eq!(found.is_some(), expected.is_some(), "{text}: {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{text}");
        }
        assert!(domain(&format!("{}.com", "a".repeat(64))).is_some());
        assert!(domain(&format!("{}com", "a.".repeat(126))).is_some());
    }

    #[test]
    fn names_of_hosts_and_groups() {
        for (text, valid) in
            [("db1", true), ("db1.zone-a", true), ("Db1", false), ("db_1", false), ("10.0.0.1", false), ("", false)]
        {
            assert_eq!(host_name(text).is_none(), valid, "{text}");
        }
        for (text, valid) in
            [("redis", true), ("load-balancer", true), ("zone_a", true), ("1a", false), ("@x", false), ("a.b", false)]
        {
            assert_eq!(group_name(text).is_none(), valid, "{text}");
        }
    }

    #[test]
    fn fingerprints() {
        assert_eq!(fingerprint("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"), None);
        for text in ["", "MD5:00:11", "SHA256:short", "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF="] {
            assert!(fingerprint(text).is_some(), "{text}");
        }
    }
}
