//! Where the API is reached: one address for all control planes, or the only one's own.

use core::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::{API_PORT, CONTROL_PLANE, Settings};
use crate::site::model::{Host, Site};
use crate::site::names::HostName;

/// An address and a port as they are written.
pub(super) fn parse(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// Where the API is reached in a site; nothing if the site does not say, and has not exactly one control plane.
pub(super) fn of_site(site: &Site, settings: &Settings) -> Option<SocketAddr> {
    let said = settings.endpoint.as_deref().and_then(parse);
    let only = || match control_planes(site)[..] {
        [only] => Some(SocketAddr::new(only.address, API_PORT)),
        _ => None,
    };
    said.or_else(|| of_load_balancers(site)).or_else(only)
}

/// The address that moves and the port of the listener whose servers are the control planes.
fn of_load_balancers(site: &Site) -> Option<SocketAddr> {
    let settings = site.settings.get("load-balancer")?.values().next()?;
    let address: IpAddr = settings.get("vip")?.as_str()?.parse().ok()?;
    let mut listeners = settings.get("listeners")?.as_object()?.values();
    let listener = listeners.find(|listener| listener.get("group").and_then(Value::as_str) == Some(CONTROL_PLANE))?;
    let port = listener.get("port")?.as_u64()?;
    Some(SocketAddr::new(address, u16::try_from(port).ok()?))
}

/// The hosts of the control plane, in the inventory's order.
pub(super) fn control_planes(site: &Site) -> Vec<&Host> {
    let members = site.groups.get(CONTROL_PLANE);
    members.into_iter().flatten().filter_map(|name| site.host(name)).collect()
}

/// Whether a host is of the control plane.
pub(super) fn is_control_plane(site: &Site, host: &HostName) -> bool {
    site.groups.get(CONTROL_PLANE).is_some_and(|members| members.contains(host))
}
