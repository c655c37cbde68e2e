//! Metainfo: a `.torrent` file (BEP 3, "metainfo files"; BEP 12 for its trackers).
//!
//! In scope: reading and writing. The reader accepts keys in any order, because other programs do
//! not always sort them. The writer sorts them. The key `file mtimes` is an extension of this
//! program: the modification times of the files. Other programs ignore it.
//!
//! Out of scope: the `info` dictionary (see `info.rs`).

use super::metainfo_error::{MAX_METAINFO, MetainfoError};
use super::{Info, ModifiedTimes};
use crate::base::url;
use crate::bencode::{Dictionary, Item, KeyOrder, Value};

/// The largest number of trackers read from one `announce-list`. Further ones are ignored.
const MAX_TRACKERS: usize = 64;

/// The largest number of web seeds read from one `.torrent`. Further ones are ignored.
const MAX_WEB_SEEDS: usize = 64;

/// The key of the modification times.
const TIMES_KEY: &str = "file mtimes";

/// The content of a `.torrent`: a share, its trackers, its web seeds and the times of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    info: Info,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    times: Option<ModifiedTimes>,
}

impl Metainfo {
    /// An info dictionary with tiers of announce URLs (BEP 12). Repairs the URLs (see
    /// [`url::repaired`]).
    pub fn new(info: Info, trackers: Vec<Vec<String>>) -> Self {
        Self {
            info,
            trackers: repaired_tiers(trackers),
            web_seeds: Vec::new(),
            times: None,
        }
    }

    /// The same with other trackers, whose URLs are repaired too.
    #[must_use]
    pub fn with_trackers(self, trackers: Vec<Vec<String>>) -> Self {
        Self {
            trackers: repaired_tiers(trackers),
            ..self
        }
    }

    /// The same with the modification times of the files.
    #[must_use]
    pub fn with_times(self, times: Option<ModifiedTimes>) -> Self {
        Self { times, ..self }
    }

    /// The same with other web seeds, whose URLs are repaired too.
    #[must_use]
    pub fn with_web_seeds(self, web_seeds: Vec<String>) -> Self {
        Self {
            web_seeds: repaired(web_seeds),
            ..self
        }
    }

    /// Reads a `.torrent`. Its keys may be in any order, as other programs write them.
    ///
    /// # Errors
    /// See [`MetainfoError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoError> {
        if bytes.len() > MAX_METAINFO {
            return Err(MetainfoError::TooLarge(bytes.len()));
        }
        let value = Value::parse(bytes, KeyOrder::Any)?;
        let top = value
            .dictionary()
            .ok_or(MetainfoError::WrongType("torrent"))?;
        let info = top.value("info").ok_or(MetainfoError::Missing("info"))?;
        let info = Info::from_value(info)?;
        let times = top.value(TIMES_KEY).and_then(Value::bytes);
        let times = times.and_then(|times| ModifiedTimes::decode(times, &info));
        let metainfo = Self::new(info, trackers(top));
        Ok(metainfo.with_web_seeds(web_seeds(top)).with_times(times))
    }

    /// Encodes the `.torrent`.
    pub fn encode(&self) -> Vec<u8> {
        let mut top = vec![
            (
                "created by",
                Item::from(concat!("pieceful ", env!("CARGO_PKG_VERSION"))),
            ),
            ("info", Item::Raw(self.info.raw())),
        ];
        if let Some(first) = self.trackers.first().and_then(|tier| tier.first()) {
            top.push(("announce", first.as_str().into()));
            let tier = |urls: &'_ Vec<String>| {
                Item::List(urls.iter().map(|url| Item::from(url.clone())).collect())
            };
            top.push((
                "announce-list",
                Item::List(self.trackers.iter().map(tier).collect()),
            ));
        }
        if !self.web_seeds.is_empty() {
            let urls = self.web_seeds.iter().map(|url| url.as_str().into());
            top.push(("url-list", Item::List(urls.collect())));
        }
        let times = self.times.as_ref();
        top.extend(times.map(|times| (TIMES_KEY, times.encode().into())));
        Item::dictionary(top).encode()
    }

    /// The info dictionary of the share.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Announce URLs in tiers (BEP 12).
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.trackers
    }

    /// When the files were modified last, if the `.torrent` says so.
    pub fn times(&self) -> Option<&ModifiedTimes> {
        self.times.as_ref()
    }

    /// URLs of HTTP servers that have the share, `url-list` (BEP 19). They are repaired, but not
    /// checked.
    pub fn web_seeds(&self) -> &[String] {
        &self.web_seeds
    }
}

fn repaired_tiers(tiers: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let tiers = tiers.into_iter().map(repaired);
    tiers.filter(|tier| !tier.is_empty()).collect()
}

fn repaired(urls: Vec<String>) -> Vec<String> {
    let urls = urls.into_iter().map(url::repaired);
    urls.filter(|url| !url.is_empty()).collect()
}

/// `url-list`: one URL or a list of URLs (BEP 19, "metadata extension"). Any other value is
/// ignored.
fn web_seeds(top: &Dictionary<'_>) -> Vec<String> {
    let Some(value) = top.value("url-list") else {
        return Vec::new();
    };
    urls(items(value)).take(MAX_WEB_SEEDS).collect()
}

/// The URLs in a list, repaired. A URL in the list need not be UTF-8.
fn urls(list: &[Value<'_>]) -> impl Iterator<Item = String> {
    let urls = list.iter().filter_map(Value::bytes).map(url::repaired);
    urls.filter(|url| !url.is_empty())
}

/// The tiers of `announce-list` (BEP 12), as far as they can be read: one URL instead of a list is
/// a tier of its own, and anything else is ignored. If these tiers have no tracker that this
/// program can ask, the tier of `announce` is added.
fn trackers(top: &Dictionary<'_>) -> Vec<Vec<String>> {
    let mut trackers_left = MAX_TRACKERS;
    let mut tiers = Vec::new();
    let list = top.value("announce-list");
    for tier in list.map(items).unwrap_or_default() {
        let urls: Vec<String> = urls(items(tier)).take(trackers_left).collect();
        trackers_left -= urls.len();
        if !urls.is_empty() {
            tiers.push(urls);
        }
    }
    if !tiers.iter().flatten().any(|url| is_tracker_url(url)) {
        let announce = top.value("announce").map(std::slice::from_ref);
        tiers.push(urls(announce.unwrap_or_default()).collect());
    }
    tiers
}

/// The items of a list, or the value itself.
fn items<'a, 'b>(value: &'b Value<'a>) -> &'b [Value<'a>] {
    value.list().unwrap_or(std::slice::from_ref(value))
}

/// Whether this program can ask a tracker at a URL. The caller has [repaired](url::repaired) it.
pub fn is_tracker_url(url: &str) -> bool {
    url::scheme(url).is_some_and(|scheme| matches!(scheme, "http" | "https" | "udp"))
}

/// The fuzz function of the reader: what is written is read back.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    super::info::fuzz(bytes);
    let Ok(metainfo) = Metainfo::parse(bytes) else {
        return;
    };
    super::info::fuzz(metainfo.info().raw());
    let again = Metainfo::parse(&metainfo.encode()).expect("what was written");
    assert_eq!(again.info(), metainfo.info());
    assert_eq!(again.times(), metainfo.times());
    assert_eq!(again.web_seeds(), metainfo.web_seeds());
    let mut urls = metainfo.trackers().iter().flatten();
    if urls.any(|url| is_tracker_url(url)) {
        assert_eq!(again.trackers(), metainfo.trackers());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{InfoHash, Sha1, new_info::tests::folder};
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let info = folder().build().unwrap();
        let tiers = vec![
            vec!["http://[::1]:1/announce".to_owned()],
            vec!["b".to_owned(), "c".to_owned()],
        ];
        let metainfo = Metainfo::new(info, tiers).with_web_seeds(vec!["http://m/".to_owned()]);
        let times = ModifiedTimes::new(vec![0, -1, i64::MAX], metainfo.info());
        let metainfo = metainfo.with_times(Some(times.unwrap()));
        let bytes = metainfo.encode();
        assert_eq!(Metainfo::parse(&bytes), Ok(metainfo.clone()));
        Value::parse(&bytes, KeyOrder::Sorted).expect("canonical");
        let info = metainfo.info();
        assert_eq!(
            (info.lengths().total(), info.private(), info.files().len()),
            (70_001, true, 3)
        );
        assert_eq!(
            (info.files()[2].offset, info.files()[1].sha1),
            (70_000, Some(Sha1::of(b"b")))
        );
        assert_eq!(
            info.piece_hash(info.lengths().piece(1).unwrap()),
            Sha1::of(b"2")
        );
    }

    #[test]
    fn the_number_of_trackers_and_web_seeds_of_a_torrent_is_bounded() {
        let urls: String = (0..100).map(|at| format!("11:http://{at:03}/")).collect();
        let info = "d6:lengthi0e4:name1:x12:piece lengthi1e6:pieces0:e";
        let torrent = format!("d13:announce-listl{urls}l{urls}ee4:info{info}8:url-listl{urls}ee");
        let metainfo = Metainfo::parse(torrent.as_bytes()).unwrap();
        let trackers = metainfo.trackers().iter().flatten().count();
        assert_eq!((trackers, metainfo.web_seeds().len()), (64, 64));
    }

    #[test]
    fn web_seeds_are_one_url_or_a_list_and_other_values_are_ignored() {
        for (list, urls) in [
            ("", &[][..]),
            ("8:url-list1:a", &["a"]),
            ("8:url-listl1:a0:i1e1:be", &["a", "b"]),
            ("8:url-list0:", &[]),
            ("8:url-listi1e", &[]),
            ("8:url-listde", &[]),
        ] {
            let info = "d6:lengthi0e4:name1:x12:piece lengthi1e6:pieces0:e";
            let torrent = format!("d4:info{info}{list}e");
            let metainfo = Metainfo::parse(torrent.as_bytes()).unwrap();
            assert_eq!(metainfo.web_seeds(), urls, "{list}");
        }
    }

    #[test]
    fn times_that_do_not_fit_the_files_are_ignored() {
        let info = "d6:lengthi0e4:name1:x12:piece lengthi1e6:pieces0:e";
        let times = |value: &str| {
            let torrent = format!("d4:info{info}11:file mtimes{value}e");
            let metainfo = Metainfo::parse(torrent.as_bytes()).unwrap();
            metainfo.times().and_then(|times| times.of(0))
        };
        assert_eq!(times("8:\0\0\0\0\0\0\0\u{7}"), Some(7));
        for value in ["0:", "7:1234567", "16:1234567812345678", "i7e", "le"] {
            assert_eq!(times(value), None, "{value}");
        }
    }

    #[test]
    fn the_readable_tiers_of_an_odd_announce_list_are_read() {
        let (good, other) = ("http://a/announce", "udp://b:1");
        let string = |url: &str| format!("{}:{url}", url.len());
        let (a, b) = (string(good), string(other));
        for (list, tiers) in [
            (format!("l{a}{b}e"), &[&[good][..], &[other]][..]),
            (a.clone(), &[&[good]]),
            (format!("ll{b}el{b}{a}ee"), &[&[other], &[other, good]]),
            (format!("ll{b}e{a}i5elee"), &[&[other], &[good]]),
            (format!("d1:x{b}e"), &[&[good]]),
            ("0:".to_owned(), &[&[good]]),
            ("le".to_owned(), &[&[good]]),
            ("llel0:ee".to_owned(), &[&[good]]),
            ("i5e".to_owned(), &[&[good]]),
            (
                format!("ll{}ee", string("wss://x")),
                &[&["wss://x"], &[good]],
            ),
            (format!("ll{}ee", string(" HTTP://c/ ")), &[&["http://c/"]]),
        ] {
            let info = "d6:lengthi0e4:name1:x12:piece lengthi1e6:pieces0:e";
            let torrent = format!("d8:announce{a}13:announce-list{list}4:info{info}e");
            let metainfo = Metainfo::parse(torrent.as_bytes()).unwrap();
            assert_eq!(metainfo.trackers(), tiers, "{list}");
        }
        for (announce, tracker) in [
            (&b"le"[..], None),
            (b"i5e", None),
            (b"10:http://a/\xe9", Some("http://a/%E9")),
        ] {
            let info = b"4:infod6:lengthi0e4:name1:x12:piece lengthi1e6:pieces0:ee";
            let torrent = [b"d8:announce", announce, info].concat();
            let metainfo = Metainfo::parse(&torrent).unwrap();
            let found = metainfo.trackers().concat();
            assert_eq!(found.first().map(String::as_str), tracker);
        }
    }

    #[test]
    fn the_info_hash_is_over_the_raw_bytes() {
        let raw = b"d4:name1:x6:lengthi0e6:pieces0:12:piece lengthi1e7:unknownlee";
        let torrent = [&b"d4:info"[..], raw, b"e"].concat();
        let metainfo = Metainfo::parse(&torrent).unwrap();
        assert_eq!(metainfo.info().info_hash(), InfoHash(Sha1::of(raw).0));
        assert_eq!(metainfo.info().raw(), raw);
    }
}
