//! The request of an HTTP announce (BEP 3, "trackers"; keys of BEP 7 and BEP 23).
//!
//! In scope: reading a request from a query string, and writing it as a query string. Other clients
//! write some values in odd ways. Where their meaning is clear, or does not matter, the request is
//! read. Out of scope: HTTP, and what a tracker does with the request.
//!
//! The key `ip` is ignored. The address of a peer is the one that its announce comes from;
//! otherwise anyone could direct a swarm at a victim.

use super::PeerId;
use super::query::{self, QueryError};
use crate::base::percent::escape_into;
use crate::torrent::InfoHash;
use std::fmt::Write;
use std::num::NonZeroU16;

/// The most peers that a request asks for. A larger `numwant` is read as this number.
pub const MAX_NUM_WANT: u32 = 200;

/// The most bytes of `key`.
const MAX_KEY_BYTES: usize = 100;

/// An announce: what a peer reports to a tracker about itself in one swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The id of the announcing peer.
    pub peer_id: PeerId,
    /// The TCP port that the peer listens on.
    pub port: NonZeroU16,
    /// Bytes sent to other peers since `started`.
    pub uploaded: u64,
    /// Bytes received from other peers since `started`.
    pub downloaded: u64,
    /// Bytes that the peer still lacks. 0 means that it is a seed. If the query has no `left`, or
    /// an empty or negative one, this is `u64::MAX`, so that the peer does not count as a seed.
    pub left: u64,
    /// The reason for the announce. `None` for a periodic announce.
    pub event: Option<AnnounceEvent>,
    /// The number of peers that the request asks for. `None` leaves the number to the tracker.
    /// After parsing, this is at most [`MAX_NUM_WANT`].
    pub num_want: Option<u32>,
    /// Whether the request asks for compact peers of 6 or 18 bytes (BEP 23). True if the query has
    /// no `compact`, or an unclear one.
    pub compact: bool,
    /// Whether a list of peers that is not compact may omit the peer ids.
    pub no_peer_id: bool,
    /// A secret that only the peer and the tracker know (BEP 7). It identifies the peer after its
    /// address has changed.
    pub key: Option<Vec<u8>>,
    /// Whether the peer is a pieceful peer, which accepts short intervals. The query key `pieceful`
    /// is an extension of this program.
    pub pieceful: bool,
}

/// The reason for an announce (BEP 3, "event").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// The first announce.
    Started,
    /// The download has just completed.
    Completed,
    /// The peer leaves the swarm.
    Stopped,
    /// The peer has all that it wants, but not the whole torrent (BEP 21, "partial seeds"). This
    /// program sends the event, but parses `paused` in a query as no event.
    Paused,
}

/// Why a query string is not an announce. The text is sent to the peer as `failure reason`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// The query string is malformed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A required key is missing.
    #[error("the announce lacks {0}")]
    Missing(&'static str),
    /// A key occurs twice, with different values.
    #[error("the announce has {0} twice")]
    Repeated(&'static str),
    /// A value that is not 20 bytes.
    #[error("{0} must be 20 bytes")]
    NotTwentyBytes(&'static str),
    /// A value that is not a decimal number.
    #[error("{0} must be a number")]
    NotNumber(&'static str),
    /// A port that is not from 1 to 65535.
    #[error("port must be a number from 1 to 65535")]
    Port,
    /// An event that neither BEP 3 nor BEP 21 (`paused`) defines.
    #[error("event must be started, completed or stopped")]
    Event,
    /// A `key` of more than 100 bytes.
    #[error("key has more than {MAX_KEY_BYTES} bytes")]
    Key,
}

impl AnnounceRequest {
    /// Reads a query string, without the `?`. Unknown keys are ignored.
    ///
    /// # Errors
    /// See [`AnnounceError`].
    pub fn parse(query: &str) -> Result<Self, AnnounceError> {
        let mut values = Values::default();
        for (key, value) in query::pairs(query) {
            values.put(key, value)?;
        }
        Ok(Self {
            info_hash: InfoHash(values.twenty_bytes("info_hash")?),
            peer_id: PeerId(values.twenty_bytes("peer_id")?),
            port: values.port()?,
            uploaded: values.number("uploaded")?.unwrap_or(0),
            downloaded: values.number("downloaded")?.unwrap_or(0),
            left: values.number("left")?.unwrap_or(u64::MAX),
            event: values.event()?,
            num_want: values.num_want()?,
            compact: values.flag("compact").unwrap_or(true),
            no_peer_id: values.flag("no_peer_id").unwrap_or(false),
            key: values.key()?,
            pieceful: values.flag("pieceful").unwrap_or(false),
        })
    }

    /// The query string of this request, without the `?`.
    pub fn to_query(&self) -> String {
        let mut out = String::with_capacity(320);
        out.push_str("info_hash=");
        escape_into(&self.info_hash.0, &mut out);
        out.push_str("&peer_id=");
        escape_into(&self.peer_id.0, &mut out);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "&port={}&uploaded={}&downloaded={}&left={}&compact={}",
            self.port,
            self.uploaded,
            self.downloaded,
            self.left,
            u8::from(self.compact)
        );
        if self.no_peer_id {
            out.push_str("&no_peer_id=1");
        }
        if let Some(event) = self.event {
            out.push_str("&event=");
            out.push_str(event.word());
        }
        if let Some(num_want) = self.num_want {
            let _ = write!(out, "&numwant={num_want}");
        }
        if let Some(key) = &self.key {
            out.push_str("&key=");
            escape_into(key, &mut out);
        }
        if self.pieceful {
            out.push_str("&pieceful=1");
        }
        out
    }

    /// The URL of this request. `announce` is the announce URL of the tracker and may have a query.
    /// `tracker_id` is the `tracker id` of the tracker's last response.
    pub fn url(&self, announce: &str, tracker_id: Option<&[u8]>) -> String {
        let separator = if announce.contains('?') { '&' } else { '?' };
        let mut url = format!("{announce}{separator}{}", self.to_query());
        if let Some(id) = tracker_id {
            url.push_str("&trackerid=");
            escape_into(id, &mut url);
        }
        url
    }
}

impl AnnounceEvent {
    /// The events that [`AnnounceRequest::parse`] returns: all except [`Self::Paused`].
    const PARSED: [Self; 3] = [Self::Started, Self::Completed, Self::Stopped];

    fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
        }
    }
}

/// The known keys, in the order of [`Values::slots`].
const KEYS: [&str; 12] = [
    "info_hash",
    "peer_id",
    "port",
    "uploaded",
    "downloaded",
    "left",
    "event",
    "numwant",
    "compact",
    "no_peer_id",
    "key",
    "pieceful",
];

/// The values of the known keys, still escaped.
#[derive(Default)]
struct Values<'a> {
    slots: [Option<&'a str>; KEYS.len()],
}

impl<'a> Values<'a> {
    fn put(&mut self, key: &str, value: &'a str) -> Result<(), AnnounceError> {
        let slot = KEYS
            .iter()
            .zip(&mut self.slots)
            .find(|(known, _)| **known == key);
        let Some((known, slot)) = slot else {
            return Ok(());
        };
        query::check_escapes(value)?;
        if slot.is_some_and(|former| former != value) {
            return Err(AnnounceError::Repeated(known));
        }
        *slot = Some(value);
        Ok(())
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        let mut slots = KEYS.iter().zip(&self.slots);
        slots
            .find(|(known, _)| **known == key)
            .and_then(|(_, slot)| *slot)
    }

    fn twenty_bytes(&self, key: &'static str) -> Result<[u8; 20], AnnounceError> {
        let value = self.value(key).ok_or(AnnounceError::Missing(key))?;
        query::twenty_bytes(value).ok_or(AnnounceError::NotTwentyBytes(key))
    }

    /// A number. `None` if the value is missing, empty or negative. A number that is too large
    /// becomes `u64::MAX`.
    fn number(&self, key: &'static str) -> Result<Option<u64>, AnnounceError> {
        let value = self.value(key).unwrap_or_default();
        match value.strip_prefix('-').unwrap_or(value) {
            "" => Ok(None),
            digits if !is_digits(digits) => Err(AnnounceError::NotNumber(key)),
            digits if digits == value => Ok(Some(digits.parse().unwrap_or(u64::MAX))),
            _ => Ok(None),
        }
    }

    fn port(&self) -> Result<NonZeroU16, AnnounceError> {
        let value = self.value("port").ok_or(AnnounceError::Missing("port"))?;
        let port = Some(value).filter(|value| is_digits(value));
        let port = port.and_then(|port| port.parse().ok());
        port.ok_or(AnnounceError::Port)
    }

    fn event(&self) -> Result<Option<AnnounceEvent>, AnnounceError> {
        match self.value("event") {
            None | Some("" | "empty" | "paused") => Ok(None),
            Some(word) => {
                let event = AnnounceEvent::PARSED
                    .into_iter()
                    .find(|event| event.word() == word);
                event.map(Some).ok_or(AnnounceError::Event)
            }
        }
    }

    /// `None` if the value is missing, empty or negative: some clients send -1 to leave the number
    /// to the tracker. A number that is too large is reduced to [`MAX_NUM_WANT`].
    fn num_want(&self) -> Result<Option<u32>, AnnounceError> {
        let most = u64::from(MAX_NUM_WANT);
        let amount = self.number("numwant")?.map(|amount| amount.min(most));
        Ok(amount.and_then(|amount| u32::try_from(amount).ok()))
    }

    /// Whether an option is on. `None` if it is missing or unclear.
    fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            "0" | "false" => Some(false),
            "1" | "true" => Some(true),
            _ => None,
        }
    }

    fn key(&self) -> Result<Option<Vec<u8>>, AnnounceError> {
        let Some(value) = self.value("key") else {
            return Ok(None);
        };
        let key: Vec<u8> = query::unescaped(value).take(MAX_KEY_BYTES + 1).collect();
        if key.len() > MAX_KEY_BYTES {
            return Err(AnnounceError::Key);
        }
        Ok(Some(key))
    }
}

/// Whether text has only digits, without sign or blank.
fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The fuzz function of the parser: what is written is read back.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(query: &str) {
    if let Ok(request) = AnnounceRequest::parse(query) {
        assert_eq!(AnnounceRequest::parse(&request.to_query()), Ok(request));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "info_hash=aaaaaaaaaaaaaaaaaaaa";
    const ID: &str = "peer_id=-PF0100-bbbbbbbbbbbb";

    fn request() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: InfoHash([b'a'; 20]),
            peer_id: PeerId::new([b'b'; 12]),
            port: NonZeroU16::new(6881).unwrap(),
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event: None,
            num_want: None,
            compact: true,
            no_peer_id: false,
            key: None,
            pieceful: false,
        }
    }

    /// Requests, each with its query string.
    fn table() -> Vec<(AnnounceRequest, String)> {
        let start = format!("{HASH}&{ID}");
        vec![
            (
                request(),
                format!("{start}&port=6881&uploaded=0&downloaded=0&left=0&compact=1"),
            ),
            (
                AnnounceRequest {
                    info_hash: InfoHash(*b"\0\xff%& +=?/:-._~azAZ09"),
                    uploaded: u64::MAX,
                    downloaded: 1,
                    left: 2,
                    event: Some(AnnounceEvent::Started),
                    num_want: Some(MAX_NUM_WANT),
                    key: Some(b"1a+\n".to_vec()),
                    pieceful: true,
                    ..request()
                },
                format!(
                    "info_hash=%00%FF%25%26%20%2B%3D%3F%2F%3A-._~azAZ09&{ID}&port=6881\
                     &uploaded=18446744073709551615&downloaded=1&left=2&compact=1&event=started&numwant=200\
                     &key=1a%2B%0A&pieceful=1"
                ),
            ),
            (
                AnnounceRequest {
                    event: Some(AnnounceEvent::Completed),
                    compact: false,
                    no_peer_id: true,
                    num_want: Some(0),
                    ..request()
                },
                format!(
                    "{start}&port=6881&uploaded=0&downloaded=0&left=0&compact=0&no_peer_id=1&event=completed&numwant=0"
                ),
            ),
            (
                AnnounceRequest {
                    event: Some(AnnounceEvent::Stopped),
                    ..request()
                },
                format!("{start}&port=6881&uploaded=0&downloaded=0&left=0&compact=1&event=stopped"),
            ),
        ]
    }

    #[test]
    fn each_request_is_encoded_and_parsed_again() {
        for (request, query) in table() {
            assert_eq!(request.to_query(), query);
            assert_eq!(AnnounceRequest::parse(&query), Ok(request), "{query}");
        }
        let url = request().url("http://[::1]:5000/announce?user=1", Some(b"a&\xff"));
        assert!(url.starts_with("http://[::1]:5000/announce?user=1&info_hash=aaaa"));
        assert!(url.ends_with("&compact=1&trackerid=a%26%FF"), "{url}");
    }

    #[test]
    fn queries_of_other_clients_are_accepted() {
        let start = format!("{HASH}&{ID}&port=6881");
        let read = |tail: &str| AnnounceRequest::parse(&format!("{start}{tail}")).unwrap();
        assert_eq!(read("").left, u64::MAX);
        assert_eq!(read("&left=0&event=empty"), request());
        assert_eq!(read("&left=0&event="), request());
        assert_eq!(read("&left=0&numwant=-1"), request());
        assert_eq!(read("&left=0&numwant=-99999999999999999999999"), request());
        assert_eq!(
            read("&numwant=99999999999999999999999").num_want,
            Some(MAX_NUM_WANT)
        );
        assert_eq!(read("&numwant=201").num_want, Some(MAX_NUM_WANT));
        for unknown in [
            "&left=-1",
            "&left&",
            "&left=",
            "&left=-",
            "&left=-99999999999999999999",
        ] {
            assert_eq!(read(unknown), read(""), "{unknown}");
        }
        let huge = read("&left=18446744073709551616&uploaded=99999999999999999999&downloaded=-1");
        assert_eq!(
            (huge.left, huge.uploaded, huge.downloaded),
            (u64::MAX, u64::MAX, 0)
        );
        assert_eq!(read("&left=0&key=a&key=a&left=0"), read("&left=0&key=a"));
        for odd in [
            "&compact",
            "&compact=true&supportcrypto",
            "&no_peer_id&numwant=",
            "&user=100%",
        ] {
            assert_eq!(read(&format!("&left=0{odd}")), request(), "{odd}");
        }
        assert!(!read("&compact=false").compact && read("&no_peer_id=true").no_peer_id);
        assert_eq!(
            read("&left=0&ip=8.8.8.8&ip=%00&supportcrypto=1&&"),
            request()
        );
    }

    #[test]
    fn each_kind_of_bad_query_has_its_own_error() {
        use AnnounceError::*;
        let (nineteen, twenty_one) = ("a".repeat(19), "%61".repeat(21));
        let good = format!("{HASH}&{ID}&port=6881");
        let table: &[(String, AnnounceError)] = &[
            (String::new(), Missing("info_hash")),
            (ID.into(), Missing("info_hash")),
            (HASH.into(), Missing("peer_id")),
            (format!("{HASH}&{ID}"), Missing("port")),
            (
                format!("info_hash={nineteen}&{ID}&port=1"),
                NotTwentyBytes("info_hash"),
            ),
            (
                format!("info_hash={twenty_one}&{ID}&port=1"),
                NotTwentyBytes("info_hash"),
            ),
            (
                format!("info_hash=&{ID}&port=1"),
                NotTwentyBytes("info_hash"),
            ),
            (
                format!("{HASH}&peer_id={nineteen}&port=1"),
                NotTwentyBytes("peer_id"),
            ),
            (
                format!("info_hash=%6&{ID}&port=1"),
                QueryError::Escape.into(),
            ),
            (format!("{good}&left=%zz"), QueryError::Escape.into()),
            (
                format!("{good}&info_hash={}", "c".repeat(20)),
                Repeated("info_hash"),
            ),
            (format!("{good}&port=6882"), Repeated("port")),
            (format!("{good}&left=1&left=2"), Repeated("left")),
            (format!("{HASH}&{ID}&port"), Port),
            (format!("{HASH}&{ID}&port=0"), Port),
            (format!("{HASH}&{ID}&port=65536"), Port),
            (format!("{HASH}&{ID}&port=-1"), Port),
            (format!("{HASH}&{ID}&port="), Port),
            (format!("{HASH}&{ID}&port=+80"), Port),
            (format!("{good}&left=all"), NotNumber("left")),
            (format!("{good}&left=--1"), NotNumber("left")),
            (format!("{good}&left=+1"), NotNumber("left")),
            (format!("{good}&uploaded=1.5"), NotNumber("uploaded")),
            (format!("{good}&downloaded=0x1"), NotNumber("downloaded")),
            (format!("{good}&numwant=many"), NotNumber("numwant")),
            (format!("{good}&event=exploded"), AnnounceError::Event),
            (format!("{good}&key={}", "k".repeat(101)), Key),
        ];
        for (query, error) in table {
            assert_eq!(
                AnnounceRequest::parse(query).as_ref(),
                Err(error),
                "{query}"
            );
        }
    }

    fn any_request() -> impl Strategy<Value = AnnounceRequest> {
        let event = prop::sample::select(vec![
            None,
            Some(AnnounceEvent::Started),
            Some(AnnounceEvent::Completed),
            Some(AnnounceEvent::Stopped),
        ]);
        let key = prop::option::of(prop::collection::vec(any::<u8>(), 0..=MAX_KEY_BYTES));
        (
            any::<([u8; 20], [u8; 20], NonZeroU16, u64, u64, u64)>(),
            any::<(bool, bool, bool)>(),
            (event, prop::option::of(0..=MAX_NUM_WANT), key),
        )
            .prop_map(|(numbers, flags, (event, num_want, key))| AnnounceRequest {
                info_hash: InfoHash(numbers.0),
                peer_id: PeerId(numbers.1),
                port: numbers.2,
                uploaded: numbers.3,
                downloaded: numbers.4,
                left: numbers.5,
                event,
                num_want,
                compact: flags.0,
                no_peer_id: flags.1,
                key,
                pieceful: flags.2,
            })
    }

    proptest! {
        #[test]
        fn every_encoded_request_is_parsed_again(request in any_request()) {
            prop_assert_eq!(AnnounceRequest::parse(&request.to_query()), Ok(request));
        }

        #[test]
        fn parsing_any_text_never_panics(query in "[a-f_=&%0-9+\u{80}-\u{ff}]{0,80}") {
            let _ = AnnounceRequest::parse(&query);
        }
    }
}
