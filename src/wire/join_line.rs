//! The two texts with the secret of a token: the join line, which enrols a machine in one command,
//! and the token, which is kept in a file.
//!
//! Both are [typed texts](crate::base::to_typed_text). Both carry the fingerprint of the cluster,
//! so that the secret is never sent to the trackers of another cluster. A join line also carries
//! the addresses of the trackers. Its bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the version, 1 |
//! | 32 | the fingerprint of the cluster |
//! | 16 | the secret |
//! | 1 | the kind of an address: 4 for IPv4, 6 for IPv6, 0 for a host name |
//! | 4, 16, or 1 and the length | the address, or the length of the host name and the host name |
//! | 2 | the port, the higher byte first |
//!
//! The last three lines are repeated for each tracker. A token has only the first three.

use super::machine::MachineSecret;
use super::{HostPort, TrackerInfo};
use crate::base::{TypedTextError, begins_with_word, count_word, from_typed_text, to_typed_text};
use crate::certificate::Fingerprint;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The most trackers in a join line: a cluster has no more.
pub const MAX_JOIN_TRACKERS: usize = 5;
/// The most bytes of a text that is read as a join line or a token. A line with five long host
/// names is shorter.
pub const MAX_JOIN_TEXT: usize = 8 << 10;

const JOIN_WORD: &str = "join";
const TOKEN_WORD: &str = "token";
const VERSION: u8 = 1;
/// The kinds of an address.
const NAME: u8 = 0;
const IPV4: u8 = 4;
const IPV6: u8 = 6;

/// What a machine needs to enrol: the trackers, their cluster and the secret of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinLine {
    token: MachineToken,
    trackers: Vec<HostPort>,
}

/// The secret of a token, and the cluster that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineToken {
    /// The fingerprint of the cluster whose trackers know the token.
    pub cluster: Fingerprint,
    /// The secret.
    pub secret: MachineSecret,
}

/// Why a text is not a join line or a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinTextError {
    /// A token instead of a join line.
    #[error(
        "this is a token, not a join line: write it into a file, and start the machine with \
         pieceful peer --token FILE"
    )]
    IsToken,
    /// A join line instead of a token.
    #[error("this is a join line, not a token: use it with pieceful join")]
    IsJoinLine,
    /// The text was not copied or typed as it was printed.
    #[error("{0}; copy it again, from the first word to the last group")]
    Typing(#[from] TypedTextError),
    /// The text is there more than once.
    #[error("it is there more than once; copy it once, from the first word to the last group")]
    Repeated,
    /// A later version made the text, or another program.
    #[error("it is of another version of pieceful; use the version that made it")]
    Version,
    /// The text is longer than [`MAX_JOIN_TEXT`].
    #[error("it is too long; copy only what was printed")]
    TooLong,
}

/// The trackers cannot be in a join line: there are none, there are more than
/// [`MAX_JOIN_TRACKERS`], or one of them has the port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a join line has 1 to {MAX_JOIN_TRACKERS} trackers, each with a port from 1 to 65535")]
pub struct JoinTrackersError;

impl JoinTextError {
    /// Whether the text may be the beginning of a right one.
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::Typing(TypedTextError::Incomplete))
    }
}

impl JoinLine {
    /// The line for these trackers.
    ///
    /// # Errors
    /// [`JoinTrackersError`].
    pub fn new(token: MachineToken, trackers: Vec<HostPort>) -> Result<Self, JoinTrackersError> {
        let is_count = (1..=MAX_JOIN_TRACKERS).contains(&trackers.len());
        let is_tracker = |at: &HostPort| at.port != 0 && at.host.len() <= usize::from(u8::MAX);
        match is_count && trackers.iter().all(is_tracker) {
            true => Ok(Self { token, trackers }),
            false => Err(JoinTrackersError),
        }
    }

    /// The token in it.
    pub fn token(&self) -> &MachineToken {
        &self.token
    }

    /// The TRACKER_INFO that it describes.
    pub fn tracker_info(&self) -> TrackerInfo {
        TrackerInfo {
            addresses: self.trackers.clone(),
            fingerprint: Some(self.token.cluster),
        }
    }
}

impl fmt::Display for JoinLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.token.to_bytes();
        for tracker in &self.trackers {
            put_tracker(tracker, &mut bytes);
        }
        f.write_str(&to_typed_text(JOIN_WORD, &bytes))
    }
}

impl FromStr for JoinLine {
    type Err = JoinTextError;

    fn from_str(text: &str) -> Result<Self, JoinTextError> {
        if begins_with_word(TOKEN_WORD, text) {
            return Err(JoinTextError::IsToken);
        }
        let bytes = read(JOIN_WORD, text)?;
        let (token, mut rest) = MachineToken::split(&bytes)?;
        let mut trackers = Vec::new();
        while !rest.is_empty() {
            let (tracker, others) = split_tracker(rest).ok_or(JoinTextError::Version)?;
            trackers.push(tracker);
            rest = others;
        }
        Self::new(token, trackers).map_err(|_| JoinTextError::Version)
    }
}

impl MachineToken {
    fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION], self.cluster.as_bytes(), &self.secret.0].concat()
    }

    /// The token at the start of these bytes, and the bytes after it.
    fn split(bytes: &[u8]) -> Result<(Self, &[u8]), JoinTextError> {
        let split = || {
            let (version, rest) = bytes.split_first()?;
            let (cluster, rest) = rest.split_first_chunk()?;
            let (secret, rest) = rest.split_first_chunk()?;
            let token = Self {
                cluster: Fingerprint::from_bytes(*cluster),
                secret: MachineSecret(*secret),
            };
            (*version == VERSION).then_some((token, rest))
        };
        split().ok_or(JoinTextError::Version)
    }
}

impl fmt::Display for MachineToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_typed_text(TOKEN_WORD, &self.to_bytes()))
    }
}

impl FromStr for MachineToken {
    type Err = JoinTextError;

    fn from_str(text: &str) -> Result<Self, JoinTextError> {
        if begins_with_word(JOIN_WORD, text) {
            return Err(JoinTextError::IsJoinLine);
        }
        match Self::split(&read(TOKEN_WORD, text)?)? {
            (token, []) => Ok(token),
            _ => Err(JoinTextError::Version),
        }
    }
}

/// The bytes of a text that begins with `word`.
fn read(word: &'static str, text: &str) -> Result<Vec<u8>, JoinTextError> {
    if text.len() > MAX_JOIN_TEXT {
        return Err(JoinTextError::TooLong);
    }
    from_typed_text(word, text).map_err(|error| match count_word(word, text) > 1 {
        true => JoinTextError::Repeated,
        false => error.into(),
    })
}

fn put_tracker(tracker: &HostPort, bytes: &mut Vec<u8>) {
    match tracker.host.parse() {
        Ok(IpAddr::V4(address)) => {
            bytes.push(IPV4);
            bytes.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            bytes.push(IPV6);
            bytes.extend(address.octets());
        }
        Err(_) => {
            // `JoinLine::new` has checked the length.
            let length = u8::try_from(tracker.host.len()).unwrap_or(u8::MAX);
            bytes.extend([NAME, length]);
            bytes.extend(tracker.host.bytes());
        }
    }
    bytes.extend(tracker.port.to_be_bytes());
}

/// The tracker at the start of these bytes, and the bytes after it. `None` if [`put_tracker`]
/// writes no such bytes.
fn split_tracker(bytes: &[u8]) -> Option<(HostPort, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (host, rest) = match *kind {
        IPV4 => {
            let (octets, rest) = rest.split_first_chunk::<4>()?;
            (Ipv4Addr::from(*octets).to_string(), rest)
        }
        IPV6 => {
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            (Ipv6Addr::from(*octets).to_string(), rest)
        }
        NAME => {
            let (length, rest) = rest.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(*length))?;
            let name = str::from_utf8(name).ok()?;
            (name.to_owned(), rest)
        }
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    let tracker = HostPort { host, port };
    // A host name must be one, and must not be an address.
    let is_written_so = *kind != NAME || tracker.host.parse::<IpAddr>().is_err();
    let is_tracker = tracker.to_string().parse() == Ok(tracker.clone());
    (is_written_so && is_tracker).then_some((tracker, rest))
}

/// The fuzz function of both texts: what is read is written as the same bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    crate::base::fuzz_typed_text(bytes);
    let typed = String::from_utf8_lossy(bytes);
    for text in [typed.into_owned(), to_typed_text(JOIN_WORD, bytes)] {
        if let Ok(line) = text.parse::<JoinLine>() {
            assert_eq!(line.to_string().parse(), Ok(line.clone()));
            let info = line.tracker_info();
            assert_eq!(info.to_string().parse(), Ok(info));
        }
    }
    if let Ok(token) = to_typed_text(TOKEN_WORD, bytes).parse::<MachineToken>() {
        assert_eq!(token.to_bytes(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> MachineToken {
        MachineToken {
            cluster: Fingerprint::of(b"cluster"),
            secret: MachineSecret([0x5a; 16]),
        }
    }

    fn line(trackers: &[&str]) -> Result<JoinLine, JoinTrackersError> {
        let trackers = trackers.iter().map(|tracker| tracker.parse().unwrap());
        JoinLine::new(token(), trackers.collect())
    }

    #[test]
    fn a_join_line_is_written_and_read_with_each_kind_of_address() {
        let name = format!("{0}.{0}.{0}.x:1", "a".repeat(63));
        for trackers in [
            &["192.168.1.10:5000"][..],
            &["[2001:db8::1]:5000", "tracker-2.example.org:65535"],
            &["a:1", "b:2", "c:3", "d:4", &name],
        ] {
            let line = line(trackers).unwrap();
            let text = line.to_string();
            assert!(text.starts_with("join-") && text.len() <= MAX_JOIN_TEXT);
            assert_eq!(text.to_uppercase().parse(), Ok(line.clone()));
            let info = line.tracker_info();
            let listed: Vec<String> = info.addresses.iter().map(HostPort::to_string).collect();
            assert_eq!(listed, trackers);
            assert_eq!(info.fingerprint, Some(token().cluster));
        }
        // Two trackers: the length that people have to copy.
        let two = line(&["192.168.1.10:5000", "192.168.1.11:5000"]);
        assert_eq!(two.unwrap().to_string().len(), 166);
    }

    #[test]
    fn a_token_is_written_and_read_and_shows_nothing_in_debug_output() {
        let text = token().to_string();
        assert!(text.starts_with("token-") && text.len() < 150, "{text}");
        assert_eq!(text.parse(), Ok(token()));
        let debug = format!("{:?} {:?}", token(), line(&["a:1"]));
        assert!(
            !debug.contains("90") && debug.contains("MachineSecret(..)"),
            "{debug}"
        );
    }

    #[test]
    fn each_of_the_two_texts_says_how_the_other_is_used() {
        let (token, line) = (token().to_string(), line(&["a:1"]).unwrap().to_string());
        assert_eq!(token.parse::<JoinLine>(), Err(JoinTextError::IsToken));
        assert_eq!(line.parse::<MachineToken>(), Err(JoinTextError::IsJoinLine));
    }

    #[test]
    fn damaged_texts_are_refused() {
        let right = line(&["a:1"]).unwrap().to_string();
        let wrong = right.replacen("-0", "-7", 1);
        let error = wrong.parse::<JoinLine>().unwrap_err().to_string();
        assert!(
            error.contains("group 1 (7") && error.contains("copy it again"),
            "{error}"
        );
        let too_long = format!("{right}{}", " ".repeat(MAX_JOIN_TEXT));
        assert_eq!(too_long.parse::<JoinLine>(), Err(JoinTextError::TooLong));
        let start = token().to_bytes();
        let with = |more: &[u8]| to_typed_text(JOIN_WORD, &[&start[..], more].concat());
        assert!(with(&[NAME, 1, b'a', 0, 1]).parse::<JoinLine>().is_ok());
        for more in [
            &[][..],
            &[IPV4, 1, 2, 3, 4, 0],
            &[IPV4, 1, 2, 3, 4, 0, 0],
            &[NAME, 1, b'a', 0, 0],
            &[NAME, 0, 0, 1],
            &[NAME, 2, b'a', b' ', 0, 1],
            &[NAME, 9, b'a', 0, 1],
            &[NAME, 7, b'1', b'.', b'2', b'.', b'3', b'.', b'4', 0, 1],
            &[3, 0, 1],
            &[NAME, 1, b'a', 0, 1].repeat(6),
        ] {
            assert_eq!(
                with(more).parse::<JoinLine>(),
                Err(JoinTextError::Version),
                "{more:?}"
            );
        }
        let mut later = start.clone();
        later[0] = 2;
        let later = to_typed_text(TOKEN_WORD, &later);
        assert_eq!(later.parse::<MachineToken>(), Err(JoinTextError::Version));
        for trackers in [&[][..], &["a:0"], &["a:1"; 6]] {
            assert_eq!(line(trackers), Err(JoinTrackersError));
        }
    }

    #[test]
    fn the_fuzz_function_holds_for_both_texts() {
        for bytes in [
            token().to_bytes(),
            line(&["a:1"]).unwrap().to_string().into_bytes(),
        ] {
            fuzz(&bytes);
        }
    }
}
