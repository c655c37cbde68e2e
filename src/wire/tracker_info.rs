//! The text of a TRACKER_INFO file: the addresses of the trackers of a cluster, in order, and
//! optionally the fingerprint of the cluster.
//!
//! Each address is a line `HOST:PORT` (IPv6 as `[::1]:5000`). `#` starts a comment. The optional
//! line `fingerprint sha256:HEX` pins the cluster. In scope: parsing the text. Out of scope:
//! reading the file, and looking up host names.

use crate::certificate::Fingerprint;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The contents of a TRACKER_INFO file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackerInfo {
    /// The addresses of the trackers, in order. The first is tracker number 1.
    pub addresses: Vec<HostPort>,
    /// The fingerprint of the cluster, if the file pins it.
    pub fingerprint: Option<Fingerprint>,
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A DNS name or an IP address. An IPv6 address has no brackets here.
    pub host: String,
    /// The port. 0 lets a tracker bind a free port.
    pub port: u16,
}

/// Why a text is not a TRACKER_INFO.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrackerInfoError {
    /// A line is neither an address nor a fingerprint.
    #[error("line {line}: {source}")]
    Address {
        /// The number of the line, from 1.
        line: usize,
        /// Why the line is not an address.
        source: HostPortError,
    },
    /// A fingerprint line is malformed.
    #[error(
        "line {line}: a fingerprint is written as fingerprint sha256:HEX, where HEX is 64 hex digits"
    )]
    Fingerprint {
        /// The number of the line, from 1.
        line: usize,
    },
    /// There is a second fingerprint.
    #[error("line {line}: a second fingerprint; a cluster has one")]
    SecondFingerprint {
        /// The number of the line, from 1.
        line: usize,
    },
    /// The file lists no tracker with this number.
    #[error("there is no tracker {number}: the file lists {count}, numbered from 1")]
    NoSuchTracker {
        /// The requested number.
        number: u32,
        /// The number of trackers in the file.
        count: usize,
    },
}

/// Why a text is not a `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// There is no `:PORT` after the host.
    #[error("{0:?} lacks a port; write HOST:PORT, as in 127.0.0.1:5000")]
    NoPort(String),
    /// The port is not a number from 0 to 65535.
    #[error("{0:?} is not a port; it must be a number from 0 to 65535")]
    Port(String),
    /// The host is neither a host name nor an IP address.
    #[error(
        "{0:?} is not a host name or address (write an IPv6 address in brackets, as in [::1]:5000)"
    )]
    Host(String),
}

impl TrackerInfo {
    /// The address of tracker `number`, from 1.
    ///
    /// # Errors
    /// [`TrackerInfoError::NoSuchTracker`].
    pub fn address(&self, number: u32) -> Result<&HostPort, TrackerInfoError> {
        let index = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1));
        index
            .and_then(|index| self.addresses.get(index))
            .ok_or(TrackerInfoError::NoSuchTracker {
                number,
                count: self.addresses.len(),
            })
    }
}

impl fmt::Display for TrackerInfo {
    /// The text of a file that lists these trackers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for address in &self.addresses {
            writeln!(f, "{address}")?;
        }
        match self.fingerprint {
            Some(fingerprint) => writeln!(f, "fingerprint {fingerprint}"),
            None => Ok(()),
        }
    }
}

impl FromStr for TrackerInfo {
    type Err = TrackerInfoError;

    fn from_str(text: &str) -> Result<Self, TrackerInfoError> {
        let mut info = Self::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default().trim();
            let mut words = content.split_whitespace();
            match words.next() {
                None => {}
                Some("fingerprint") => {
                    let hash = words.next().and_then(|word| word.parse().ok());
                    let hash = hash
                        .filter(|_| words.next().is_none())
                        .ok_or(TrackerInfoError::Fingerprint { line })?;
                    if info.fingerprint.replace(hash).is_some() {
                        return Err(TrackerInfoError::SecondFingerprint { line });
                    }
                }
                Some(_) => {
                    let address = content.parse();
                    let address =
                        address.map_err(|source| TrackerInfoError::Address { line, source })?;
                    info.addresses.push(address);
                }
            }
        }
        Ok(info)
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let shortened = |text: &str| text.chars().take(80).collect::<String>();
        // In `[::1]`, the last colon is inside the brackets, so there is no port.
        let (host, port) = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.starts_with('[') || host.ends_with(']'))
            .ok_or_else(|| HostPortError::NoPort(shortened(text)))?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_host = match bracketed {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => is_host_name(host),
        };
        if !is_host {
            return Err(HostPortError::Host(shortened(host)));
        }
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let number = port.parse().ok().filter(|_| is_number);
        Ok(Self {
            host: bracketed.unwrap_or(host).to_owned(),
            port: number.ok_or_else(|| HostPortError::Port(shortened(port)))?,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whether `host` is a DNS name or an IPv4 address (RFC 1123, section 2.1). Underscores are
/// accepted too, because they occur in practice.
fn is_host_name(host: &str) -> bool {
    host.len() <= 253
        && host.trim_end_matches('.').split('.').all(|label| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(legal)
        })
}

/// The fuzz function of the parser: what is written is read back.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(info) = String::from_utf8_lossy(bytes).parse::<TrackerInfo>() else {
        return;
    };
    assert_eq!(info.to_string().parse(), Ok(info));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_parsed() {
        let hex = "00ff".repeat(16);
        let text = format!(
            "\u{feff}# our trackers\r\n127.0.0.1:5000\n\n  tracker-2.example.org:65535  # the second\n\
             fingerprint  sha256:{hex}\n[::1]:0"
        );
        let info: TrackerInfo = text.parse().unwrap();
        let addresses: Vec<_> = info.addresses.iter().map(HostPort::to_string).collect();
        assert_eq!(
            addresses,
            ["127.0.0.1:5000", "tracker-2.example.org:65535", "[::1]:0"]
        );
        assert_eq!(
            info.fingerprint.unwrap().to_string(),
            format!("sha256:{hex}")
        );
        assert_eq!(
            info.address(3),
            Ok(&HostPort {
                host: "::1".into(),
                port: 0
            })
        );
        for number in [0, 4, u32::MAX] {
            assert_eq!(
                info.address(number),
                Err(TrackerInfoError::NoSuchTracker { number, count: 3 })
            );
        }
        assert_eq!("".parse(), Ok(TrackerInfo::default()));
    }

    #[test]
    fn each_kind_of_bad_address_has_its_own_error() {
        use HostPortError::*;
        let long = "a".repeat(254);
        for (text, error) in [
            ("localhost", NoPort("localhost".into())),
            ("[::1]", NoPort("[::1]".into())),
            ("", NoPort("".into())),
            ("localhost:", Port("".into())),
            ("localhost:65536", Port("65536".into())),
            ("localhost:+80", Port("+80".into())),
            ("localhost:http", Port("http".into())),
            (":5000", Host("".into())),
            ("::1:5000", Host("::1".into())),
            ("[::1]x:5000", NoPort("[::1]x:5000".into())),
            ("[localhost]:5000", Host("[localhost]".into())),
            ("a..b:5000", Host("a..b".into())),
            ("a b:5000", Host("a b".into())),
            ("http://localhost:5000", Host("http://localhost".into())),
            ("\x1b[0m:5000", Host("\x1b[0m".into())),
            (&format!("{long}:1"), Host("a".repeat(80))),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(error), "{text}");
        }
    }

    #[test]
    fn errors_name_the_number_of_the_line() {
        let hex = "ab".repeat(32);
        let pin = format!("fingerprint sha256:{hex}");
        for (text, start) in [
            ("a:1\n\nb", "line 3: \"b\" lacks a port"),
            ("fingerprint", "line 1: a fingerprint is written"),
            ("fingerprint sha256:12", "line 1: a fingerprint is written"),
            (
                &format!("#\nfingerprint md5:{hex}"),
                "line 2: a fingerprint is written",
            ),
            (&format!("{pin}0"), "line 1: a fingerprint is written"),
            (&format!("{pin} x"), "line 1: a fingerprint is written"),
            (&format!("{pin}\n{pin}"), "line 2: a second fingerprint"),
        ] {
            let error = text.parse::<TrackerInfo>().unwrap_err().to_string();
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }
}
