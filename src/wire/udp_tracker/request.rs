//! The requests of a client.

use super::fields::DatagramFields;
use super::ids::{ConnectionId, NO_CONNECTION, TransactionId, action};
use crate::torrent::{InfoHash, Sha1};
use crate::wire::{AnnounceEvent, AnnounceRequest, MAX_NUM_WANT, PeerId, ScrapeRequest};
use std::num::NonZeroU16;

/// The most swarms in one scrape, so that the datagram is not fragmented (BEP 15, "scrape": about
/// 74).
pub const MAX_UDP_SCRAPE: usize = 74;

/// Length in bytes of a connect request, and of the header of all requests.
const HEADER_LENGTH: usize = 16;
/// Length in bytes of an announce without options.
const ANNOUNCE_LENGTH: usize = 98;
/// The most bytes of URL data (BEP 41) that are read or sent.
const MAX_URL_DATA: usize = 1_024;

/// A request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpRequest {
    /// Requests a connection id.
    Connect {
        /// The response repeats it.
        transaction: TransactionId,
    },
    /// Announces a peer.
    Announce {
        /// Proves the address of the client.
        connection: ConnectionId,
        /// The response repeats it.
        transaction: TransactionId,
        /// The announce. After parsing, `compact` and `no_peer_id` are set, `pieceful` is not set,
        /// and `key` has 8 hex digits. Encoding replaces a `key` of another form by the first four
        /// bytes of its SHA-1.
        announce: AnnounceRequest,
        /// Path and query of the announce URL (BEP 41). Empty if the client did not send them.
        url_data: Vec<u8>,
    },
    /// Requests the counts of swarms.
    Scrape {
        /// Proves the address of the client.
        connection: ConnectionId,
        /// The response repeats it.
        transaction: TransactionId,
        /// The swarms.
        scrape: ScrapeRequest,
    },
}

/// The header of a request. It is enough to decide whether the request gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpRequestHeader {
    /// The connection id, or [`NO_CONNECTION`] in a connect request.
    pub connection: ConnectionId,
    /// The response repeats it.
    pub transaction: TransactionId,
    action: u32,
}

/// Why a datagram is not a valid request. The text is sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpRequestError {
    /// The length does not fit the action.
    #[error("a request of {0} bytes has the wrong length")]
    Length(usize),
    /// The action is not a request of BEP 15.
    #[error("action {0} is not a request of the protocol")]
    Action(u32),
    /// A connect request without the magic number ([`NO_CONNECTION`]).
    #[error("a connect request must carry the protocol's magic number")]
    Magic,
    /// An event that does not exist.
    #[error("there is no event {0}; events are 1 (completed), 2 (started) and 3 (stopped)")]
    Event(u32),
    /// Port 0.
    #[error("port must be a number from 1 to 65535")]
    Port,
    /// More than [`MAX_UDP_SCRAPE`] info-hashes.
    #[error("a scrape over UDP may name at most {MAX_UDP_SCRAPE} info-hashes")]
    TooMany,
}

impl UdpRequestHeader {
    /// Reads the header of a datagram. Returns `None` if the datagram is too short for a request.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let mut fields = DatagramFields(datagram);
        Some(Self {
            connection: ConnectionId(fields.bytes()?),
            action: fields.u32()?,
            transaction: TransactionId(fields.bytes()?),
        })
    }

    /// Whether it is the header of a connect request.
    pub fn is_connect(&self) -> bool {
        self.action == action::CONNECT && self.connection == NO_CONNECTION
    }
}

impl UdpRequest {
    /// The transaction id, which the response repeats.
    pub fn transaction(&self) -> TransactionId {
        match self {
            Self::Connect { transaction }
            | Self::Announce { transaction, .. }
            | Self::Scrape { transaction, .. } => *transaction,
        }
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// See [`UdpRequestError`].
    pub fn parse(datagram: &[u8]) -> Result<Self, UdpRequestError> {
        let wrong = UdpRequestError::Length(datagram.len());
        let head = UdpRequestHeader::parse(datagram).ok_or(wrong)?;
        let (connection, transaction) = (head.connection, head.transaction);
        let body = DatagramFields(datagram.get(HEADER_LENGTH..).unwrap_or_default());
        match head.action {
            action::CONNECT if connection != NO_CONNECTION => Err(UdpRequestError::Magic),
            action::CONNECT if datagram.len() != HEADER_LENGTH => Err(wrong),
            action::CONNECT => Ok(Self::Connect { transaction }),
            action::ANNOUNCE => {
                let mut fields = body;
                let announce = read_announce(&mut fields).ok_or(wrong)??;
                Ok(Self::Announce {
                    connection,
                    transaction,
                    announce,
                    url_data: read_url_data(fields),
                })
            }
            action::SCRAPE => {
                let (hashes, rest) = body.0.as_chunks();
                if hashes.is_empty() || !rest.is_empty() {
                    return Err(wrong);
                }
                let hashes: Vec<_> = hashes.iter().copied().map(InfoHash).collect();
                if hashes.len() > MAX_UDP_SCRAPE {
                    return Err(UdpRequestError::TooMany);
                }
                let scrape = ScrapeRequest::new(hashes).map_err(|_| UdpRequestError::TooMany)?;
                Ok(Self::Scrape {
                    connection,
                    transaction,
                    scrape,
                })
            }
            other => Err(UdpRequestError::Action(other)),
        }
    }

    /// The datagram of this request.
    pub fn encode(&self) -> Vec<u8> {
        let (connection, action) = match self {
            Self::Connect { .. } => (&NO_CONNECTION, action::CONNECT),
            Self::Announce { connection, .. } => (connection, action::ANNOUNCE),
            Self::Scrape { connection, .. } => (connection, action::SCRAPE),
        };
        let mut out = Vec::with_capacity(ANNOUNCE_LENGTH + HEADER_LENGTH);
        out.extend(connection.0);
        out.extend(action.to_be_bytes());
        out.extend(self.transaction().0);
        match self {
            Self::Connect { .. } => {}
            Self::Announce {
                announce, url_data, ..
            } => {
                encode_announce(announce, &mut out);
                encode_url_data(url_data, &mut out);
            }
            Self::Scrape { scrape, .. } => scrape
                .info_hashes()
                .iter()
                .for_each(|info_hash| out.extend(info_hash.0)),
        }
        out
    }
}

/// Reads an announce without its options. Returns `None` if the datagram is too short.
fn read_announce(
    fields: &mut DatagramFields<'_>,
) -> Option<Result<AnnounceRequest, UdpRequestError>> {
    let (info_hash, peer_id) = (InfoHash(fields.bytes()?), PeerId(fields.bytes()?));
    let (downloaded, left, uploaded) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let (event, _ip, key) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (num_want, port) = (fields.u32()?, fields.u16()?);
    let event = match event {
        event::NONE | event::PAUSED => None,
        event::COMPLETED => Some(AnnounceEvent::Completed),
        event::STARTED => Some(AnnounceEvent::Started),
        event::STOPPED => Some(AnnounceEvent::Stopped),
        other => return Some(Err(UdpRequestError::Event(other))),
    };
    let Some(port) = NonZeroU16::new(port) else {
        return Some(Err(UdpRequestError::Port));
    };
    Some(Ok(AnnounceRequest {
        info_hash,
        peer_id,
        port,
        uploaded,
        downloaded,
        left,
        event,
        // -1 leaves the number to the tracker. Other negative numbers mean the same.
        num_want: i32::try_from(num_want)
            .is_ok()
            .then(|| num_want.min(MAX_NUM_WANT)),
        compact: true,
        no_peer_id: true,
        // Over HTTP, clients send the same number in this form. So a client has one `key`, whether
        // it announces over UDP or HTTP.
        key: Some(format!("{key:08X}").into_bytes()),
        pieceful: false,
    }))
}

fn encode_announce(announce: &AnnounceRequest, out: &mut Vec<u8>) {
    out.extend(announce.info_hash.0);
    out.extend(announce.peer_id.0);
    for number in [announce.downloaded, announce.left, announce.uploaded] {
        out.extend(number.to_be_bytes());
    }
    let event = match announce.event {
        // BEP 15 has no number for `paused`.
        None | Some(AnnounceEvent::Paused) => event::NONE,
        Some(AnnounceEvent::Completed) => event::COMPLETED,
        Some(AnnounceEvent::Started) => event::STARTED,
        Some(AnnounceEvent::Stopped) => event::STOPPED,
    };
    out.extend(event.to_be_bytes());
    out.extend([0; 4]);
    out.extend(key_number(announce.key.as_deref().unwrap_or_default()).to_be_bytes());
    let num_want = announce.num_want.unwrap_or(u32::MAX);
    out.extend(num_want.to_be_bytes());
    out.extend(announce.port.get().to_be_bytes());
}

/// The 32 bits that are sent for a `key`.
fn key_number(key: &[u8]) -> u32 {
    let digits = str::from_utf8(key).ok().filter(|digits| {
        digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.unwrap_or_else(|| match Sha1::of(key).0 {
        [a, b, c, d, ..] => u32::from_be_bytes([a, b, c, d]),
    })
}

/// The numbers of the event of an announce.
mod event {
    pub(super) const NONE: u32 = 0;
    pub(super) const COMPLETED: u32 = 1;
    pub(super) const STARTED: u32 = 2;
    pub(super) const STOPPED: u32 = 3;
    /// `paused` of BEP 21. BEP 15 does not define this number, but libtorrent sends it.
    pub(super) const PAUSED: u32 = 4;
}

/// The option types of BEP 41. END and NOP are one byte. Other options have a length byte and a
/// value.
mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const URL_DATA: u8 = 2;
}

/// Reads the URL data from the options. Ignores an option that is cut off or unknown, or that would
/// make the URL data longer than [`MAX_URL_DATA`].
fn read_url_data(mut options: DatagramFields<'_>) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some([kind]) = options.bytes() {
        match kind {
            option::END => break,
            option::NOP => {}
            _ => {
                let Some([length]) = options.bytes() else {
                    break;
                };
                let Some(value) = options.slice(usize::from(length)) else {
                    break;
                };
                if kind == option::URL_DATA && data.len() + value.len() <= MAX_URL_DATA {
                    data.extend_from_slice(value);
                }
            }
        }
    }
    data
}

fn encode_url_data(data: &[u8], out: &mut Vec<u8>) {
    for part in data
        .get(..data.len().min(MAX_URL_DATA))
        .unwrap_or_default()
        .chunks(255)
    {
        out.push(option::URL_DATA);
        out.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(part);
    }
}

/// The fuzz function of the parser. Options and the IP address that a client names are not kept,
/// so only what is written is compared.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(datagram: &[u8]) {
    let header = UdpRequestHeader::parse(datagram);
    if let Ok(request) = UdpRequest::parse(datagram) {
        let transaction = header.map(|header| header.transaction);
        assert_eq!(transaction, Some(request.transaction()));
        assert_eq!(UdpRequest::parse(&request.encode()), Ok(request));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRANSACTION: TransactionId = TransactionId(*b"tran");
    const CONNECTION: ConnectionId = ConnectionId(*b"connecti");

    fn swarm() -> InfoHash {
        InfoHash([b'a'; 20])
    }

    fn announce() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: swarm(),
            peer_id: PeerId([b'b'; 20]),
            port: NonZeroU16::new(0x1ae1).unwrap(),
            uploaded: 3,
            downloaded: 1,
            left: u64::MAX,
            event: None,
            num_want: None,
            compact: true,
            no_peer_id: true,
            key: Some(b"0000BEEF".to_vec()),
            pieceful: false,
        }
    }

    fn announce_request(announce: AnnounceRequest, url_data: &[u8]) -> UdpRequest {
        UdpRequest::Announce {
            connection: CONNECTION,
            transaction: TRANSACTION,
            announce,
            url_data: url_data.to_vec(),
        }
    }

    fn scrape(hashes: Vec<InfoHash>) -> UdpRequest {
        UdpRequest::Scrape {
            connection: CONNECTION,
            transaction: TRANSACTION,
            scrape: ScrapeRequest::new(hashes).unwrap(),
        }
    }

    /// The bytes of an announce with this event. `tail` is the part after the key.
    fn bytes(event: u8, tail: &[u8]) -> Vec<u8> {
        [
            b"connecti\0\0\0\x01tran".as_slice(),
            &[b'a'; 20],
            &[b'b'; 20],
            b"\0\0\0\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\x03",
            &[0, 0, 0, event, 0, 0, 0, 0, 0, 0, 0xbe, 0xef],
            tail,
        ]
        .concat()
    }

    const TAIL: &[u8] = b"\xff\xff\xff\xff\x1a\xe1";

    /// Each kind of request, and its datagram.
    fn table() -> Vec<(UdpRequest, Vec<u8>)> {
        let transaction = TRANSACTION;
        let with = |event, num_want| AnnounceRequest {
            event,
            num_want,
            ..announce()
        };
        let long = [b'/'; 300];
        let two = [b"connecti\0\0\0\x02tran".as_slice(), &[b'a'; 20], &[0; 20]].concat();
        vec![
            (
                UdpRequest::Connect { transaction },
                b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0tran".to_vec(),
            ),
            (announce_request(announce(), b""), bytes(0, TAIL)),
            (
                announce_request(with(Some(AnnounceEvent::Completed), Some(0)), b""),
                bytes(1, b"\0\0\0\0\x1a\xe1"),
            ),
            (
                announce_request(with(Some(AnnounceEvent::Started), Some(200)), b"/a?b"),
                bytes(2, b"\0\0\0\xc8\x1a\xe1\x02\x04/a?b"),
            ),
            (
                announce_request(with(Some(AnnounceEvent::Stopped), None), &long),
                bytes(
                    3,
                    &[TAIL, b"\x02\xff", &long[..255], b"\x02\x2d", &long[..45]].concat(),
                ),
            ),
            (scrape(vec![swarm(), InfoHash([0; 20])]), two),
        ]
    }

    #[test]
    fn each_request_is_encoded_and_parsed_again() {
        for (request, datagram) in table() {
            assert_eq!(request.encode(), datagram, "{request:?}");
            assert_eq!(UdpRequest::parse(&datagram), Ok(request));
        }
    }

    #[test]
    fn announces_of_other_clients_are_accepted() {
        let read = |event, tail: &[u8]| match UdpRequest::parse(&bytes(event, tail)) {
            Ok(UdpRequest::Announce {
                announce, url_data, ..
            }) => (announce, url_data),
            other => panic!("{other:?}"),
        };
        assert_eq!(read(4, TAIL).0, announce(), "paused");
        assert_eq!(read(0, b"\x80\0\0\0\x1a\xe1").0, announce());
        let huge = read(0, b"\x7f\xff\xff\xff\x1a\xe1").0;
        assert_eq!(huge.num_want, Some(MAX_NUM_WANT));
        for (options, data) in [
            (&b"\0\x02\x01x"[..], &b""[..]),
            (b"\x01\x01\x02\x02/a\x01\x02\x01b\0\x02\x01c", b"/ab"),
            (b"\x09\x02xx\x02\x01a", b"a"),
            (b"\x02", b""),
            (b"\x02\x01a\x02\x05abcd", b"a"),
            (b"\x02\0\xff\xff", b""),
        ] {
            let tail = [TAIL, options].concat();
            assert_eq!(read(0, &tail), (announce(), data.to_vec()), "{options:?}");
        }
        let endless = [
            TAIL,
            &[b"\x02\xff".as_slice(), &[b'a'; 255]].concat().repeat(9),
        ]
        .concat();
        assert_eq!(read(0, &endless).1.len(), 1_020);
    }

    #[test]
    fn a_key_that_is_not_8_hex_digits_is_sent_as_the_start_of_its_sha1() {
        let of = |text: &str| key_number(text.as_bytes());
        assert_eq!((of("0000BEEF"), of("ffffffff")), (0xbeef, u32::MAX));
        assert_eq!(of("abc"), 0xa999_3e36, "SHA-1 of abc");
        assert_ne!(of("+000BEEF"), 0xbeef);
    }

    #[test]
    fn each_kind_of_bad_datagram_has_its_own_error() {
        use UdpRequestError::*;
        let start = |action: u8| [b"connecti\0\0\0".as_slice(), &[action], b"tran"].concat();
        let hashes = |count| [start(2), vec![0; 20 * count]].concat();
        let connect = b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0tran".as_slice();
        let mut table = vec![
            (connect[..15].to_vec(), Length(15)),
            ([connect, b"x"].concat(), Length(17)),
            (start(0), Magic),
            (start(3), Action(3)),
            (start(255), Action(255)),
            (start(2), Length(16)),
            ([hashes(1), vec![0]].concat(), Length(37)),
            (hashes(MAX_UDP_SCRAPE + 1), TooMany),
            (bytes(5, TAIL), UdpRequestError::Event(5)),
            (bytes(255, TAIL), UdpRequestError::Event(255)),
            (bytes(0, b"\xff\xff\xff\xff\0\0"), Port),
        ];
        for cut in 0..16 {
            table.push((start(1)[..cut].to_vec(), Length(cut)));
        }
        for cut in 16..ANNOUNCE_LENGTH {
            table.push((bytes(0, TAIL)[..cut].to_vec(), Length(cut)));
        }
        for (datagram, error) in table {
            assert_eq!(UdpRequest::parse(&datagram), Err(error), "{datagram:?}");
        }
        assert!(UdpRequest::parse(&hashes(MAX_UDP_SCRAPE)).is_ok());
    }

    proptest! {
        #[test]
        fn parsing_any_bytes_never_panics(action in 0u8..5, body: Vec<u8>, tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = UdpRequest::parse(&body);
            let _ = UdpRequestHeader::parse(&body);
            let _ = UdpRequest::parse(&[b"connecti\0\0\0".as_slice(), &[action], b"tran", &body].concat());
            let options = [bytes(0, TAIL), tail].concat();
            prop_assert!(UdpRequest::parse(&options).is_ok());
        }

        #[test]
        fn encoding_a_parsed_announce_restores_its_bytes(mut datagram in proptest::collection::vec(any::<u8>(), 98), event in 0u8..4, num_want in 0u8..=200) {
            datagram[8..12].copy_from_slice(&[0, 0, 0, 1]);
            datagram[80..84].copy_from_slice(&[0, 0, 0, event]);
            datagram[84..88].fill(0);
            datagram[92..96].copy_from_slice(&[0, 0, 0, num_want]);
            datagram[96] |= 1;
            let request = UdpRequest::parse(&datagram).unwrap();
            prop_assert_eq!(request.encode(), datagram);
        }
    }
}
