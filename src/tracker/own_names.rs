//! The names by which HTTP clients may call a tracker, in the field `Host` of their requests.
//!
//! A web page can make a browser send requests to any address, under a host name of the page's
//! owner (DNS rebinding), and read the answers. So a tracker answers only requests for its own
//! names. A request for an IP address is always answered: a page cannot read that answer.

use crate::system::lock;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;

/// The names of one tracker.
#[derive(Debug, Default)]
pub struct OwnNames {
    /// In lower case.
    chosen: HashSet<String>,
    /// The hosts of TRACKER_INFO, in lower case.
    listed: Mutex<HashSet<String>>,
}

impl OwnNames {
    /// The names that the operator has chosen.
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

    /// Whether a request with this field `Host` is answered. Old clients send no such field;
    /// browsers always do.
    pub(super) fn allow(&self, host: &str) -> bool {
        let name = without_port(host);
        if name.is_empty() || is_ip_address(name) {
            return true;
        }
        let name = canonical(name);
        name == "localhost" || self.chosen.contains(&name) || lock(&self.listed).contains(&name)
    }
}

/// A name as it is compared: without regard to case, or to a dot at its end.
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
    fn a_tracker_answers_to_addresses_and_to_its_own_names() {
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
            assert!(names.allow(own), "{own}");
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
            assert!(!names.allow(other), "{other}");
        }
        names.set_listed(["two.lab"].into_iter());
        assert!(names.allow("two.lab") && !names.allow("one.lab"));
    }
}
