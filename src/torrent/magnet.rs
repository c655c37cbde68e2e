//! Magnet links (BEP 9, "magnet URI format"): an info-hash, a name, trackers, peers, web seeds, and
//! which files to download (BEP 53).

use super::file_pattern::{FilePattern, numbers_text};
use super::{InfoHash, NamedSources, ParseHashError};
use crate::base::{hex, percent::escape, url};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The longest link that is read, in bytes.
const MAX_LINK: usize = 64 << 10;
/// The text before an info-hash of BitTorrent v1, in upper or lower case (RFC 8141, section 3.1).
const BTIH: &str = "urn:btih:";
/// The largest number of trackers, of peers and of web seeds that are taken from one link. Others
/// are ignored.
const MAX_OF_EACH: usize = 64;

/// The content of a magnet link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// The info-hash.
    pub info_hash: InfoHash,
    /// `dn`: a name to show until the metainfo is known. Not checked, never used as a path.
    pub name: Option<String>,
    /// `tr`: announce URLs in their order, [repaired](url::repaired).
    pub trackers: Vec<String>,
    /// `x.pe`: peers as `HOST:PORT`. Not checked.
    pub peers: Vec<String>,
    /// `ws`: web seeds (BEP 19). Repaired, not checked.
    pub web_seeds: Vec<String>,
    /// `so`: the numbers of the files to download, from 0. Empty: all files.
    pub select_only: Vec<RangeInclusive<usize>>,
}

/// Why text is not a magnet link that this program can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// It does not start with `magnet:?`, or is too long.
    #[error("a magnet link starts with magnet:? and has at most {MAX_LINK} bytes")]
    NotMagnet,
    /// No `xt=urn:btih:`.
    #[error("the magnet link names no BitTorrent v1 swarm (xt=urn:btih:...)")]
    NoInfoHash,
    /// Two different swarms in one link.
    #[error("the magnet link names two swarms")]
    TwoInfoHashes,
    /// An info-hash that is neither 40 hex digits nor 32 base-32 digits.
    #[error("the magnet link's info-hash is neither 40 hex digits nor 32 base-32 digits")]
    InfoHash(#[source] ParseHashError),
    /// `so` is not a list of numbers.
    #[error("the magnet link selects files by {0:?}, which is not a list such as 0,2,4-6")]
    SelectOnly(String),
}

impl FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(link: &str) -> Result<Self, MagnetError> {
        let link = link.trim();
        let is_magnet = link
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case("magnet:?"));
        let query = link
            .get(8..)
            .filter(|_| is_magnet && link.len() <= MAX_LINK)
            .ok_or(MagnetError::NotMagnet)?;
        let (mut info_hash, mut name) = (None, None);
        let (mut trackers, mut peers, mut web_seeds) = (Vec::new(), Vec::new(), Vec::new());
        let mut select_only = Vec::new();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = unescape(value);
            match parameter(key).as_str() {
                "xt" => {
                    let hash = value.split_at_checked(BTIH.len());
                    let Some((_, hash)) = hash.filter(|(urn, _)| urn.eq_ignore_ascii_case(BTIH))
                    else {
                        continue;
                    };
                    let hash = parse_hash(hash)?;
                    if info_hash.is_some_and(|known| known != hash) {
                        return Err(MagnetError::TwoInfoHashes);
                    }
                    info_hash = Some(hash);
                }
                "dn" => name = Some(value),
                "tr" => add(&mut trackers, url::repaired(&value)),
                "x.pe" => add(&mut peers, value.trim().to_owned()),
                "ws" => add(&mut web_seeds, url::repaired(&value)),
                "so" => {
                    let numbers = FilePattern::parse_numbers(&value);
                    let shown = || value.chars().take(80).collect();
                    select_only.extend(numbers.ok_or_else(|| MagnetError::SelectOnly(shown()))?);
                }
                _ => {}
            }
        }
        Ok(Self {
            info_hash: info_hash.ok_or(MagnetError::NoInfoHash)?,
            name,
            trackers,
            peers,
            web_seeds,
            select_only,
        })
    }
}

/// The name of a parameter. Some web pages write `&amp;` between parameters. BEP 9 allows numbers:
/// `tr.1`, `tr.2`. Only the name `x.pe` itself contains a dot.
fn parameter(key: &str) -> String {
    let key = key.trim_start_matches("amp;").to_ascii_lowercase();
    match key.split_once('.') {
        Some((name, _)) if key != "x.pe" && !key.starts_with("x.pe.") => name.to_owned(),
        Some(_) => "x.pe".to_owned(),
        None => key,
    }
}

fn add(list: &mut Vec<String>, value: String) {
    if list.len() < MAX_OF_EACH && !value.is_empty() && !list.contains(&value) {
        list.push(value);
    }
}

impl Magnet {
    /// The trackers, web seeds and peers of the link. The trackers are one tier, because their
    /// order in a link has no meaning.
    pub fn sources(&self) -> NamedSources {
        let tiers = [self.trackers.clone()].into_iter();
        NamedSources {
            trackers: tiers.filter(|tier| !tier.is_empty()).collect(),
            web_seeds: self.web_seeds.clone(),
            peers: self.peers.clone(),
        }
    }

    /// Merges the name, trackers, web seeds and peers of `other`, a link of the same swarm, into a
    /// copy of this link. A name that this link has stays. Returns the copy and the added sources.
    /// If the result does not fit into one link, returns this link unchanged and no sources.
    pub fn merged(&self, other: &Self) -> (Self, NamedSources) {
        let mut sources = self.sources();
        let added = sources.merge(&other.sources());
        let merged = Self {
            name: self.name.clone().or_else(|| other.name.clone()),
            trackers: sources.trackers.into_iter().flatten().collect(),
            web_seeds: sources.web_seeds,
            peers: sources.peers,
            ..self.clone()
        };
        match merged.to_string().parse() == Ok(merged.clone()) {
            true => (merged, added),
            false => (self.clone(), NamedSources::default()),
        }
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        if let Some(name) = &self.name {
            write!(f, "&dn={}", escape(name))?;
        }
        let lists = [
            ("tr", &self.trackers),
            ("x.pe", &self.peers),
            ("ws", &self.web_seeds),
        ];
        for (key, values) in lists {
            values
                .iter()
                .try_for_each(|value| write!(f, "&{key}={}", escape(value)))?;
        }
        if !self.select_only.is_empty() {
            write!(f, "&so={}", numbers_text(&self.select_only))?;
        }
        Ok(())
    }
}

fn parse_hash(text: &str) -> Result<InfoHash, MagnetError> {
    if text.len() == 32 {
        // Base 32 (RFC 4648, section 6): five bits per digit.
        let mut bytes = [0u8; 20];
        let (mut buffer, mut bits, mut out) = (0u32, 0, bytes.iter_mut());
        for digit in text.bytes() {
            let value = match digit.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter - b'A',
                number @ b'2'..=b'7' => number - b'2' + 26,
                _ => return text.parse().map_err(MagnetError::InfoHash),
            };
            buffer = (buffer << 5 | u32::from(value)) & 0xffff;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                if let Some(byte) = out.next() {
                    *byte = (buffer >> bits & 0xff) as u8;
                }
            }
        }
        return Ok(InfoHash(bytes));
    }
    text.parse().map_err(MagnetError::InfoHash)
}

/// Decodes `%`-escapes, and `+` as a space. A `%` without two hex digits is kept, and bytes that
/// are not UTF-8 are replaced, because people type links and cut them off.
fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, after @ ..]) => hex::byte([*high, *low]).map(|byte| (byte, after)),
            _ => None,
        };
        rest = match escaped {
            Some((byte, after)) => {
                out.push(byte);
                after
            }
            None => {
                out.push(if *first == b'+' { b' ' } else { *first });
                after
            }
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The fuzz function of the parser: a link that is written is read back, unless it became too long.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Some(magnet) = str::from_utf8(bytes)
        .ok()
        .and_then(|link| link.parse::<Magnet>().ok())
    else {
        return;
    };
    let written = magnet.to_string();
    if written.len() <= MAX_LINK {
        assert_eq!(written.parse().as_ref(), Ok(&magnet));
    }
    let (merged, _) = magnet.merged(&magnet);
    assert_eq!(merged, magnet);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_magnet_link_is_formatted_and_parsed_again() {
        let magnet = Magnet {
            info_hash: HASH.parse().unwrap(),
            name: Some("big file ü&.iso".into()),
            trackers: vec![
                "http://127.0.0.1:5000/announce".into(),
                "http://[::1]:5001/announce?a=b".into(),
            ],
            peers: vec!["127.0.0.1:6881".into(), "[::1]:1".into()],
            web_seeds: vec!["http://mirror/a%20b/".into()],
            select_only: vec![0..=0, 2..=4],
        };
        assert_eq!(magnet.to_string().parse(), Ok(magnet));
    }

    #[test]
    fn base_32_and_numbered_parameters_are_read() {
        let link = "MAGNET:?xt.1=urn:btih:AERUKZ4JVPG66AJDIVTYTK6N54ASGRLH&tr.1=a&tr.2=b&xl=5";
        let magnet: Magnet = link.parse().unwrap();
        assert_eq!(magnet.info_hash.to_string(), HASH);
        assert_eq!(
            (magnet.name, magnet.trackers),
            (None, vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn odd_links_of_web_pages_are_read() {
        let v2 = "xt=urn:btmh:1220".to_owned() + &"ab".repeat(32);
        let hash = HASH.to_uppercase();
        for link in [
            format!("magnet:?dn=x&amp;tr=a&amp;xt=urn:btih:{hash}&amp;so=1,3-4&amp;x.pe=h:1"),
            format!("magnet:?{v2}&xt=urn:btih:{hash}&dn=x&tr=a&so=1&so=3-4&x.pe=h:1"),
            format!(
                " magnet:?tr=%20a%0D%0A&dn=x&XT=urn%3Abtih%3A{hash}&{v2}&SO=1,3-4&x.pe=+h:1+\n"
            ),
            format!("magnet:?x.pe.1=h:1&amp;amp;xt.2=urn:btih:{hash}&xt.1={v2}&dn=x&tr=a&so=1,3-4"),
        ] {
            let magnet: Magnet = link
                .parse()
                .unwrap_or_else(|error| panic!("{link}: {error}"));
            assert_eq!(magnet.info_hash.to_string(), HASH, "{link}");
            assert_eq!(magnet.name.as_deref(), Some("x"), "{link}");
            assert_eq!(
                (magnet.trackers, magnet.peers),
                (vec!["a".into()], vec!["h:1".into()])
            );
            assert_eq!(magnet.select_only, [1..=1, 3..=4], "{link}");
        }
    }

    #[test]
    fn a_magnet_link_is_parsed_even_if_its_name_is_cut_off_or_not_utf_8() {
        for (name, shown) in [
            ("100%", "100%"),
            ("100%+%4", "100% %4"),
            ("%zz%C3%BC", "%zzü"),
            ("%ff%fe", "\u{fffd}\u{fffd}"),
            ("%e4%bd", "\u{fffd}"),
        ] {
            let link = format!("magnet:?dn={name}&xt=URN:BTIH:{HASH}");
            let magnet: Magnet = link.parse().unwrap();
            assert_eq!(magnet.name.as_deref(), Some(shown), "{name}");
            assert_eq!(magnet.info_hash.to_string(), HASH);
        }
    }

    #[test]
    fn the_number_of_values_taken_from_a_link_is_bounded() {
        let mut link = format!("magnet:?xt=urn:btih:{HASH}&tr=&tr=same&tr=same");
        (0..2_000)
            .for_each(|number| link.push_str(&format!("&tr.{number}=t{number}&x.pe=p{number}")));
        let magnet: Magnet = link.parse().unwrap();
        assert_eq!((magnet.trackers.len(), magnet.peers.len()), (64, 64));
        assert_eq!(magnet.trackers[..2], ["same", "t0"]);
    }

    #[test]
    fn a_link_that_is_too_long_is_refused() {
        let of_length = |length: usize| {
            let link = format!("magnet:?xt=urn:btih:{HASH}&dn=");
            let link = format!("{link}{}", "x".repeat(length - link.len()));
            link.parse::<Magnet>()
        };
        assert!(of_length(MAX_LINK).is_ok());
        assert_eq!(of_length(MAX_LINK + 1), Err(MagnetError::NotMagnet));
    }

    #[test]
    fn each_bad_link_gets_its_own_error() {
        let other = HASH.replace('0', "1");
        let two = format!("magnet:?xt=urn:btih:{HASH}&xt=urn:btih:{other}");
        let selecting = format!("magnet:?xt=urn:btih:{HASH}&so=1-x");
        type Check = fn(&MagnetError) -> bool;
        let table: &[(&str, Check)] = &[
            ("http://x", |error| *error == MagnetError::NotMagnet),
            ("magnet:", |error| *error == MagnetError::NotMagnet),
            ("magnet:?dn=x", |error| *error == MagnetError::NoInfoHash),
            ("magnet:?xt=urn:btmh:1220", |error| {
                *error == MagnetError::NoInfoHash
            }),
            ("magnet:?xt=urn:btih:0123", |error| {
                matches!(error, MagnetError::InfoHash(_))
            }),
            (
                "magnet:?xt=urn:btih:1ERUKZ4JVPG66AJDIVTYTK6N54ASGRLH",
                |error| matches!(error, MagnetError::InfoHash(_)),
            ),
            (&two, |error| *error == MagnetError::TwoInfoHashes),
            (&selecting, |error| {
                *error == MagnetError::SelectOnly("1-x".into())
            }),
        ];
        for (link, expected) in table {
            assert!(
                link.parse::<Magnet>().is_err_and(|error| expected(&error)),
                "{link}"
            );
        }
    }

    #[test]
    fn merging_adds_what_a_link_lacks_if_the_result_fits_into_one_link() {
        let link = |more: &str| -> Magnet {
            let hash = InfoHash([7; 20]);
            format!("magnet:?xt=urn:btih:{hash}{more}").parse().unwrap()
        };
        let (merged, added) = link("&tr=http://a/&so=1-2").merged(&link(
            "&dn=x&tr=http://a/&tr=http://b/&x.pe=h:1&ws=http://w/",
        ));
        let all = "&dn=x&tr=http://a/&tr=http://b/&x.pe=h:1&ws=http://w/&so=1-2";
        assert_eq!(merged, link(all));
        assert_eq!(added.trackers, [["http://b/"]]);
        assert_eq!((added.peers.len(), added.web_seeds.len()), (1, 1));
        let trackers = |from: usize| -> String {
            (from..from + 40)
                .map(|at| format!("&tr=http://{at}/"))
                .collect()
        };
        let full = link(&trackers(0));
        let (same, added) = full.merged(&link(&trackers(40)));
        assert_eq!(same, full);
        assert!(added.is_empty());
    }
}
