//! Peer ids (BEP 3, "peer_id"; BEP 20, peer id conventions).
//!
//! In scope: making a peer id for this program, and finding the client name in the id of another
//! peer. Out of scope: randomness; the caller passes it in.

use std::fmt;

/// The prefix of the peer ids of this version (BEP 20, Azureus style: name, version, dashes).
const OWN_PREFIX: &[u8; 8] = b"-PF0100-";

/// The two letters of well-known clients (BEP 20), and their names.
const CLIENTS: &[(&[u8; 2], &str)] = &[
    (b"PF", "pieceful"),
    (b"LT", "libtorrent"),
    (b"lt", "rTorrent"),
    (b"TR", "Transmission"),
    (b"qB", "qBittorrent"),
    (b"DE", "Deluge"),
    (b"UT", "uTorrent"),
    (b"AZ", "Vuze"),
    (b"BI", "BiglyBT"),
    (b"KT", "KTorrent"),
    (b"WW", "WebTorrent"),
    (b"GT", "anacrolix/torrent"),
    (b"rQ", "rqbit"),
];

/// The id of a peer in announces and handshakes: 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub [u8; 20]);

impl PeerId {
    /// An id for this program: `-PF0100-` and 12 random bytes.
    pub fn new(random: [u8; 12]) -> Self {
        let mut bytes = [0; 20];
        let own = OWN_PREFIX.iter().chain(&random);
        bytes
            .iter_mut()
            .zip(own)
            .for_each(|(byte, own)| *byte = *own);
        Self(bytes)
    }

    /// The name and version of the client, such as `libtorrent 2.0.9`; of aria2 only the name. If
    /// the client or its version is unknown, the first eight bytes, with unprintable bytes escaped.
    /// The text is safe to show on a terminal.
    pub fn client(&self) -> String {
        match self.0 {
            [b'-', a, b, major, minor, patch, _, b'-', ..] => {
                let known = CLIENTS.iter().find(|(letters, _)| **letters == [a, b]);
                let version: Option<Vec<String>> = [major, minor, patch]
                    .into_iter()
                    .map(|digit| Some(char::from(digit).to_digit(36)?.to_string()))
                    .collect();
                if let (Some((_, name)), Some(version)) = (known, version) {
                    return format!("{name} {}", version.join("."));
                }
            }
            [b'A', b'2', b'-', ..] => return "aria2".into(),
            _ => {}
        }
        let start = self.0.first_chunk::<8>().map_or(&self.0[..], |start| start);
        start.escape_ascii().to_string()
    }
}

/// All 20 bytes, with unprintable bytes escaped.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_this_program_has_the_version_of_the_package() {
        let id = PeerId::new(*b"abcdefghijkl");
        assert_eq!(&id.0, b"-PF0100-abcdefghijkl");
        assert_eq!(id.client(), concat!("pieceful ", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn known_clients_are_named_and_other_ids_are_escaped() {
        for (id, client) in [
            (b"-LT2090-abcdefghijkl", "libtorrent 2.0.9"),
            (b"-TR410Z-abcdefghijkl", "Transmission 4.1.0"),
            (b"-qB51A0-abcdefghijkl", "qBittorrent 5.1.10"),
            (b"A2-1-36-0-abcdefghij", "aria2"),
            (b"-XX1234-abcdefghijkl", "-XX1234-"),
            (b"-TR\x1b[0m-abcdefghijk\n", r"-TR\x1b[0m-"),
            (b"\0\xff\r\n                ", r"\x00\xff\r\n    "),
        ] {
            assert_eq!(PeerId(*id).client(), client);
        }
        assert_eq!(PeerId([b'\n'; 20]).to_string(), r"\n".repeat(20));
    }
}
