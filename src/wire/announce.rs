//! The request of an HTTP announce (BEP 3, "trackers"; keys of BEP 7 and BEP 23).
//!
//! In scope: query string to request and back. Out of scope: HTTP itself, and what a tracker makes of it. The query's
//! `ip` is never read: the peer's address is the one it announces from, else anyone could turn a swarm on a victim.

use super::PeerId;
use super::query::{self, QueryError};
use crate::base::percent::escape_into;
use crate::torrent::InfoHash;
use std::fmt::Write;
use std::num::NonZeroU16;

/// The most peers a request asks for; a larger `numwant` is read as this.
pub const MAX_NUM_WANT: u32 = 200;

/// The longest `key`, in bytes.
const MAX_KEY: usize = 100;

/// What a peer tells a tracker about itself in one swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The peer's own id.
    pub peer_id: PeerId,
    /// The TCP port it listens on.
    pub port: NonZeroU16,
    /// Bytes sent to others since `started`.
    pub uploaded: u64,
    /// Bytes taken from others since `started`.
    pub downloaded: u64,
    /// Bytes still missing; 0 makes the peer a seed. Left out of the query, it is read as `u64::MAX`: not a seed.
    pub left: u64,
    /// Why it announces, if not merely because the interval is over.
    pub event: Option<Event>,
    /// How many peers it wants; `None` leaves that to the tracker. Never more than [`MAX_NUM_WANT`] once read.
    pub num_want: Option<u32>,
    /// Whether peers shall come as 6 or 18 bytes each (BEP 23), which is also what leaving it out asks for.
    pub compact: bool,
    /// Whether a list of peers that is not compact may leave out their ids.
    pub no_peer_id: bool,
    /// A secret shared with the tracker alone, by which a peer proves to be the same at another address (BEP 7).
    pub key: Option<Vec<u8>>,
    /// Whether the peer is one of ours, which announces as often as it is told; the query key `pieceful` is our own.
    pub pieceful: bool,
}

/// Why a peer announces (BEP 3, "event").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first announce.
    Started,
    /// The download is complete since now.
    Completed,
    /// The peer leaves the swarm.
    Stopped,
    /// The peer has what it wants and lacks the rest (BEP 21, "partial seeds"). Only sent: read, it is no event.
    Paused,
}

/// Why a query string is no announce. What it displays is fit to be the tracker's `failure reason`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// The query string itself is malformed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A key that must be there is not.
    #[error("the announce lacks {0}")]
    Missing(&'static str),
    /// A key stands twice.
    #[error("the announce holds {0} twice")]
    Repeated(&'static str),
    /// A value that must be 20 bytes.
    #[error("{0} must be 20 bytes")]
    NotTwentyBytes(&'static str),
    /// A value that must be a decimal number.
    #[error("{0} must be a number from 0 to 2^64 - 1")]
    NotNumber(&'static str),
    /// A port that is not from 1 to 65535.
    #[error("port must be a number from 1 to 65535")]
    Port,
    /// A value that must be 0 or 1.
    #[error("{0} must be 0 or 1")]
    NotFlag(&'static str),
    /// An event other than those of BEP 3 and `paused` of BEP 21.
    #[error("event must be started, completed or stopped")]
    Event,
    /// A `key` of more than 100 bytes.
    #[error("key has more than {MAX_KEY} bytes")]
    Key,
}

impl AnnounceRequest {
    /// Reads a query string, what follows the `?`. Keys not known here are passed over.
    ///
    /// # Errors
    /// Any [`AnnounceError`].
    pub fn parse(query: &str) -> Result<Self, AnnounceError> {
        let mut values = Values::default();
        for pair in query::pairs(query)? {
            let (key, value) = pair?;
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
            compact: values.flag("compact")?.unwrap_or(true),
            no_peer_id: values.flag("no_peer_id")?.unwrap_or(false),
            key: values.key()?,
            pieceful: values.flag("pieceful")?.unwrap_or(false),
        })
    }

    /// The query string that says this, without the `?`.
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

    /// The URL to fetch, given the tracker's announce URL, which may hold a query of its own, and the `tracker id` that it
    /// named last.
    pub fn url(&self, announce: &str, tracker_id: Option<&[u8]>) -> String {
        let joint = if announce.contains('?') { '&' } else { '?' };
        let mut url = format!("{announce}{joint}{}", self.to_query());
        if let Some(id) = tracker_id {
            url.push_str("&trackerid=");
            escape_into(id, &mut url);
        }
        url
    }
}

impl Event {
    const ALL: [Self; 3] = [Self::Started, Self::Completed, Self::Stopped];

    fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
        }
    }
}

/// The keys that are read, in the order of [`Values::slots`].
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
        match slot {
            Some((known, Some(_))) => Err(AnnounceError::Repeated(known)),
            Some((_, slot)) => {
                *slot = Some(value);
                Ok(())
            }
            None => Ok(()),
        }
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

    fn number(&self, key: &'static str) -> Result<Option<u64>, AnnounceError> {
        self.value(key)
            .map(|value| digits(value).ok_or(AnnounceError::NotNumber(key)))
            .transpose()
    }

    fn port(&self) -> Result<NonZeroU16, AnnounceError> {
        let value = self.value("port").ok_or(AnnounceError::Missing("port"))?;
        let port = digits(value).and_then(|port| u16::try_from(port).ok());
        port.and_then(NonZeroU16::new).ok_or(AnnounceError::Port)
    }

    fn event(&self) -> Result<Option<Event>, AnnounceError> {
        match self.value("event") {
            None | Some("" | "empty" | "paused") => Ok(None),
            Some(word) => {
                let event = Event::ALL.into_iter().find(|event| event.word() == word);
                event.map(Some).ok_or(AnnounceError::Event)
            }
        }
    }

    /// A negative number leaves it to the tracker, as clients that send -1 mean it; a huge one is cut.
    fn num_want(&self) -> Result<Option<u32>, AnnounceError> {
        let Some(value) = self.value("numwant") else {
            return Ok(None);
        };
        let amount = value.strip_prefix('-').unwrap_or(value);
        if amount.is_empty() || !amount.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AnnounceError::NotNumber("numwant"));
        }
        Ok((amount == value).then(|| {
            let amount = amount.parse().unwrap_or(MAX_NUM_WANT);
            amount.min(MAX_NUM_WANT)
        }))
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, AnnounceError> {
        match self.value(key) {
            None => Ok(None),
            Some("0") => Ok(Some(false)),
            Some("1") => Ok(Some(true)),
            Some(_) => Err(AnnounceError::NotFlag(key)),
        }
    }

    fn key(&self) -> Result<Option<Vec<u8>>, AnnounceError> {
        let Some(value) = self.value("key") else {
            return Ok(None);
        };
        let key: Vec<u8> = query::unescaped(value).take(MAX_KEY + 1).collect();
        if key.len() > MAX_KEY {
            return Err(AnnounceError::Key);
        }
        Ok(Some(key))
    }
}

/// A number of digits alone: no sign, no blank.
fn digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
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

    /// Requests and the query each is written as and read from.
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
                    event: Some(Event::Started),
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
                    event: Some(Event::Completed),
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
                    event: Some(Event::Stopped),
                    ..request()
                },
                format!("{start}&port=6881&uploaded=0&downloaded=0&left=0&compact=1&event=stopped"),
            ),
        ]
    }

    #[test]
    fn each_request_is_written_and_read_back() {
        for (request, query) in table() {
            assert_eq!(request.to_query(), query);
            assert_eq!(AnnounceRequest::parse(&query), Ok(request), "{query}");
        }
        let url = request().url("http://[::1]:5000/announce?user=1", Some(b"a&\xff"));
        assert!(url.starts_with("http://[::1]:5000/announce?user=1&info_hash=aaaa"));
        assert!(url.ends_with("&compact=1&trackerid=a%26%FF"), "{url}");
    }

    #[test]
    fn what_other_clients_write_is_read() {
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
        assert_eq!(
            read("&left=0&ip=8.8.8.8&ip=%00&supportcrypto=1&&"),
            request()
        );
    }

    #[test]
    fn each_bad_query_gets_its_own_error() {
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
            (format!("{good}&unknown=%"), QueryError::Escape.into()),
            (format!("{good}&left"), QueryError::NoValue.into()),
            (format!("{good}&{HASH}"), Repeated("info_hash")),
            (format!("{good}&port=6881"), Repeated("port")),
            (format!("{good}&left=1&left=1"), Repeated("left")),
            (format!("{HASH}&{ID}&port=0"), Port),
            (format!("{HASH}&{ID}&port=65536"), Port),
            (format!("{HASH}&{ID}&port=-1"), Port),
            (format!("{HASH}&{ID}&port="), Port),
            (format!("{HASH}&{ID}&port=+80"), Port),
            (format!("{good}&left=all"), NotNumber("left")),
            (format!("{good}&left="), NotNumber("left")),
            (format!("{good}&left=-1"), NotNumber("left")),
            (
                format!("{good}&left=18446744073709551616"),
                NotNumber("left"),
            ),
            (format!("{good}&uploaded=1.5"), NotNumber("uploaded")),
            (format!("{good}&downloaded=0x1"), NotNumber("downloaded")),
            (format!("{good}&numwant="), NotNumber("numwant")),
            (format!("{good}&numwant=-"), NotNumber("numwant")),
            (format!("{good}&numwant=many"), NotNumber("numwant")),
            (format!("{good}&compact=2"), NotFlag("compact")),
            (format!("{good}&no_peer_id=yes"), NotFlag("no_peer_id")),
            (format!("{good}&event=exploded"), Event),
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
            Some(Event::Started),
            Some(Event::Completed),
            Some(Event::Stopped),
        ]);
        let key = prop::option::of(prop::collection::vec(any::<u8>(), 0..=MAX_KEY));
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
        fn what_is_written_is_read_back(request in any_request()) {
            prop_assert_eq!(AnnounceRequest::parse(&request.to_query()), Ok(request));
        }

        #[test]
        fn any_text_gives_a_request_or_an_error(query in "[a-f_=&%0-9+\u{80}-\u{ff}]{0,80}") {
            let _ = AnnounceRequest::parse(&query);
        }
    }
}
