//! What haproxy's configuration says, read back for whoever asks the running node.

use core::net::Ipv4Addr;

use wire_deploy_agent::resource::{Content, File, Probe, Resource};

use crate::desired::Node;

/// haproxy's configuration.
pub(super) const HAPROXY: &str = "/etc/haproxy/wire-deploy.cfg";
/// The section in which a node tells how it is.
pub(super) const STATUS: &str = "wire-deploy-status";

/// A section that takes connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// Its name.
    pub name: String,
    /// Where.
    pub port: u16,
    /// What servers are asked for to see whether they are well, where that is asked at the port that clients come to as well: what another
    /// port speaks says nothing about this one.
    pub path: Option<String>,
    /// They are asked over TLS.
    pub tls: bool,
}

/// The sections of a node's haproxy.
pub(super) fn sections(node: &Node) -> Vec<Section> {
    let text = node.resources.iter().find_map(|resource| match resource {
        Resource::File(File { path, content: Content::Text(text), .. }) if path == HAPROXY => Some(text.as_str()),
        _ => None,
    });
    read(text.unwrap_or_default())
}

/// The address that moves, if there is one.
pub(super) fn vip(node: &Node) -> Option<Ipv4Addr> {
    node.resources.iter().find_map(|resource| match resource {
        Resource::Probe(Probe::Address { address }) => Some(*address),
        _ => None,
    })
}

fn read(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), sections.last_mut()) {
            (["listen" | "frontend", name], _) => {
                sections.push(Section { name: (*name).to_owned(), ..Section::default() });
            }
            (["bind", address], Some(section)) => {
                section.port = address.trim_start_matches(':').parse().unwrap_or_default();
            }
            (["http-check", "send", "meth", "GET", "uri", path, ..], Some(section)) => {
                section.path = Some((*path).to_owned());
            }
            (["server", options @ ..], Some(section)) => {
                section.tls |= options.contains(&"check-ssl");
                section.path.take_if(|_| options.contains(&"port"));
            }
            _ => {}
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read() {
        let text = "global\n  maxconn 10\n\nfrontend wire-deploy-status\n  bind :8404\n\nlisten api\n  bind :6443\n  option httpchk\n  \
                    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host api\n  server db1 10.0.0.1:6443 check check-ssl verify none\n\
                    listen plain\n  bind :80\n  server db1 10.0.0.1:80 check\n\
                    listen mail\n  bind :25\n  option httpchk\n  http-check send meth GET uri /up ver HTTP/1.1 hdr Host mail\n  \
                    server db1 10.0.0.1:25 check send-proxy-v2 port 8080\n";
        let section = |name: &str, port, path: Option<&str>, tls| Section {
            name: name.to_owned(),
            port,
            path: path.map(str::to_owned),
            tls,
        };
        let expected = [
            section(STATUS, 8404, None, false),
            section("api", 6443, Some("/readyz"), true),
            section("plain", 80, None, false),
            section("mail", 25, None, false),
        ];
        assert_eq!(read(text), expected);
    }
}
