//! The names by which HTTP clients may call a tracker, in the field `Host` of their requests.
//!
//! By DNS rebinding, a web page can make a browser send requests to any IP address and read the
//! answers. The `Host` of these requests is a name that belongs to the owner of the page. So a
//! tracker answers only requests for its own names. It also answers every request for an IP
//! address, because a page cannot read such an answer.

use crate::system::lock;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;

/// The names of one tracker.
#[derive(Debug, Default)]
pub struct OwnNames {
    /// The names that the operator has chosen, in lower case.
    chosen: HashSet<String>,
    /// The hosts of TRACKER_INFO, in lower case.
    listed: Mutex<HashSet<String>>,
}

impl OwnNames {
    /// The names of a tracker whose operator has chosen the names `chosen`.
    pub fn new(chosen: &[String]) -> Self {
        Self {
            chosen: chosen.iter().map(|name| canonical(name)).collect(),
            listed: Mutex::default(),
        }
    }

    /// Replaces the hosts of TRACKER_INFO.
    pub(super) fn set_listed<'a>(&self, hosts: impl Iterator<Item = &'a str>) {
        *lock(&self.listed) = hosts.map(canonical).collect();
    }

    /// Whether the tracker answers a request for this host. It answers requests without a host too:
    /// only old clients send them, and browsers do not.
    pub(super) fn allow_host(&self, host: &str) -> bool {
        let name = without_port(host);
        if name.is_empty() || is_ip_address(name) {
            return true;
        }
        let name = canonical(name);
        name == "localhost" || self.chosen.contains(&name) || lock(&self.listed).contains(&name)
    }
}

/// The form in which names are compared: in lower case, and without a dot at the end.
fn canonical(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_ip_address(name: &str) -> bool {
    let in_brackets = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match in_brackets {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<IpAddr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_answers_requests_for_addresses_and_for_its_own_names() {
        let names = OwnNames::new(&["Tracker.Example".to_owned()]);
        names.set_listed(["one.lab", "10.0.0.1"].into_iter());
        for own in [
            "",
            "127.0.0.1",
            "127.0.0.1:5000",
            "192.0.2.7:80",
            "[::1]",
            "[2001:db8::1]:5000",
            "localhost:5000",
            "LOCALHOST",
            "tracker.example",
            "TRACKER.example.:5000",
            "one.lab:5000",
        ] {
            assert!(names.allow_host(own), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:5000",
            "tracker.example.evil.example",
            "127.0.0.1.evil.example",
            "[evil]",
            "two.lab",
            "localhost.evil.example",
        ] {
            assert!(!names.allow_host(other), "{other}");
        }
        names.set_listed(["two.lab"].into_iter());
        assert!(names.allow_host("two.lab") && !names.allow_host("one.lab"));
    }
}
