//! Scrapes (BEP 48): the number of seeds and leeches of swarms.
//!
//! In scope: query string to request and back, response to bytes and back. Out of scope: a scrape
//! without info-hashes, which asks for all swarms. Strangers must not learn which swarms a tracker
//! has, so such a scrape is refused.

use super::ResponseError;
use super::announce_response::{number, parse_response};
use super::query::{self, QueryError};
use crate::base::percent::escape_into;
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use std::collections::BTreeMap;

/// The most swarms in one scrape.
pub const MAX_SCRAPE: usize = 128;

/// A scrape of 1 to [`MAX_SCRAPE`] swarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeRequest {
    info_hashes: Vec<InfoHash>,
}

/// Why a query string is not a scrape. The text is sent to the client as `failure reason`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// The query string is malformed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// An info-hash that is not 20 bytes.
    #[error("info_hash must be 20 bytes")]
    NotTwentyBytes,
    /// No info-hash.
    #[error("a scrape must name an info_hash")]
    Missing,
    /// Too many info-hashes.
    #[error("a scrape may name at most {MAX_SCRAPE} info-hashes")]
    TooMany,
}

impl ScrapeRequest {
    /// A scrape of these swarms.
    ///
    /// # Errors
    /// [`ScrapeError::Missing`] and [`ScrapeError::TooMany`].
    pub fn new(info_hashes: Vec<InfoHash>) -> Result<Self, ScrapeError> {
        match info_hashes.len() {
            0 => Err(ScrapeError::Missing),
            1..=MAX_SCRAPE => Ok(Self { info_hashes }),
            _ => Err(ScrapeError::TooMany),
        }
    }

    /// Reads a query string, without the `?`. Keys other than `info_hash` are ignored.
    ///
    /// # Errors
    /// See [`ScrapeError`].
    pub fn parse(query: &str) -> Result<Self, ScrapeError> {
        let mut info_hashes = Vec::new();
        for pair in query::pairs(query) {
            if let ("info_hash", value) = pair {
                query::check_escapes(value)?;
                if info_hashes.len() == MAX_SCRAPE {
                    return Err(ScrapeError::TooMany);
                }
                let bytes = query::twenty_bytes(value).ok_or(ScrapeError::NotTwentyBytes)?;
                info_hashes.push(InfoHash(bytes));
            }
        }
        Self::new(info_hashes)
    }

    /// The query string of this request, without the `?`.
    pub fn to_query(&self) -> String {
        let mut out = String::new();
        for info_hash in &self.info_hashes {
            out.push_str(if out.is_empty() {
                "info_hash="
            } else {
                "&info_hash="
            });
            escape_into(&info_hash.0, &mut out);
        }
        out
    }

    /// The swarms of the scrape, at least one, in the order of the query.
    pub fn info_hashes(&self) -> &[InfoHash] {
        &self.info_hashes
    }
}

/// The response to a scrape. It has only the swarms that the tracker knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeResponse {
    /// The counts of each swarm.
    pub files: BTreeMap<InfoHash, SwarmCounts>,
}

/// The counts of a swarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmCounts {
    /// The number of seeds.
    pub complete: u32,
    /// The number of completed downloads so far.
    pub downloaded: u32,
    /// The number of peers that are not seeds.
    pub incomplete: u32,
}

impl ScrapeResponse {
    /// The bencoded response.
    pub fn encode(&self) -> Vec<u8> {
        // `Item` does not support keys that are not text, so the dictionary is written here. The
        // map has the info-hashes in the order that bencode requires.
        let mut files = vec![b'd'];
        for (info_hash, counts) in &self.files {
            Item::from(info_hash.0.as_slice()).encode_into(&mut files);
            let counts = [
                ("complete", counts.complete.into()),
                ("downloaded", counts.downloaded.into()),
                ("incomplete", counts.incomplete.into()),
            ];
            Item::dictionary(counts).encode_into(&mut files);
        }
        files.push(b'e');
        Item::dictionary([("files", Item::Raw(&files))]).encode()
    }

    /// Reads a response. Counts that are missing, malformed or outside the range of `u32` are 0.
    ///
    /// # Errors
    /// See [`ResponseError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ResponseError> {
        let value = parse_response(bytes)?;
        let dictionary = value.dictionary().ok_or(ResponseError::NotDictionary)?;
        let files = dictionary.value("files").and_then(Value::dictionary);
        let mut response = Self::default();
        for (key, counts) in files.ok_or(ResponseError::Malformed("files"))?.entries() {
            let info_hash = key
                .try_into()
                .map_err(|_| ResponseError::Malformed("files"))?;
            let counts = counts
                .dictionary()
                .ok_or(ResponseError::Malformed("files"))?;
            let count = |key| number(counts, key).map_or(0, |n| u32::try_from(n).unwrap_or(0));
            let counts = SwarmCounts {
                complete: count("complete"),
                downloaded: count("downloaded"),
                incomplete: count("incomplete"),
            };
            response.files.insert(InfoHash(info_hash), counts);
        }
        Ok(response)
    }
}

/// The fuzz function of the queries of announces and scrapes.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_query(query: &str) {
    super::announce::fuzz(query);
    if let Ok(request) = ScrapeRequest::parse(query) {
        assert_eq!(ScrapeRequest::parse(&request.to_query()), Ok(request));
    }
}

/// The fuzz function of the answers of HTTP trackers.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    super::announce_response::fuzz(bytes);
    if let Ok(response) = ScrapeResponse::parse(bytes) {
        assert_eq!(ScrapeResponse::parse(&response.encode()), Ok(response));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Refusal;

    #[test]
    fn each_request_is_encoded_and_parsed_again() {
        let (a, b) = (InfoHash([b'a'; 20]), InfoHash([0xff; 20]));
        let escaped = "%FF".repeat(20);
        for (hashes, query) in [
            (vec![a], "info_hash=aaaaaaaaaaaaaaaaaaaa".to_string()),
            (
                vec![b, a],
                format!("info_hash={escaped}&info_hash=aaaaaaaaaaaaaaaaaaaa"),
            ),
        ] {
            let request = ScrapeRequest::new(hashes).unwrap();
            assert_eq!(request.to_query(), query);
            assert_eq!(ScrapeRequest::parse(&query), Ok(request));
        }
    }

    #[test]
    fn each_kind_of_bad_request_has_its_own_error() {
        let hash = "info_hash=aaaaaaaaaaaaaaaaaaaa&";
        for (query, error) in [
            (String::new(), ScrapeError::Missing),
            ("a=b".into(), ScrapeError::Missing),
            ("info_hash=a".into(), ScrapeError::NotTwentyBytes),
            (
                "info_hash=%a".into(),
                ScrapeError::Query(QueryError::Escape),
            ),
            ("info_hash".into(), ScrapeError::NotTwentyBytes),
            (hash.repeat(MAX_SCRAPE + 1), ScrapeError::TooMany),
        ] {
            assert_eq!(ScrapeRequest::parse(&query), Err(error), "{query}");
        }
        assert!(ScrapeRequest::parse(&hash.repeat(MAX_SCRAPE)).is_ok());
    }

    #[test]
    fn each_response_is_encoded_and_parsed_again() {
        let counts = SwarmCounts {
            complete: 1,
            downloaded: 22,
            incomplete: 3,
        };
        let two = [
            (InfoHash([b'b'; 20]), SwarmCounts::default()),
            (InfoHash([b'a'; 20]), counts),
        ];
        let two = ScrapeResponse { files: two.into() };
        for (response, bytes) in [
            (ScrapeResponse::default(), "d5:filesdee"),
            (
                two,
                "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi22e10:incompletei3ee\
                 20:bbbbbbbbbbbbbbbbbbbbd8:completei0e10:downloadedi0e10:incompletei0eeee",
            ),
        ] {
            assert_eq!(response.encode(), bytes.as_bytes());
            assert_eq!(ScrapeResponse::parse(bytes.as_bytes()), Ok(response));
        }
    }

    #[test]
    fn each_kind_of_bad_response_has_its_own_error() {
        for (bytes, error) in [
            ("le", ResponseError::NotDictionary),
            ("de", ResponseError::Malformed("files")),
            ("d5:filesd1:adeee", ResponseError::Malformed("files")),
            (
                "d5:filesd20:aaaaaaaaaaaaaaaaaaaai1eee",
                ResponseError::Malformed("files"),
            ),
            (
                "d14:failure reason2:noe",
                ResponseError::Refused(Refusal {
                    reason: "no".into(),
                    retry: None,
                }),
            ),
        ] {
            assert_eq!(
                ScrapeResponse::parse(bytes.as_bytes()),
                Err(error),
                "{bytes}"
            );
        }
    }
}
