//! The files of a share at a web seed (BEP 19): the URL of each file, and the parts of files in a
//! range of the share.

use super::{Info, Layout};
use crate::base::percent::escape;

/// A range of bytes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// Index of the file in [`Info::files`].
    pub index: usize,
    /// Offset in the file at which the range begins.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
}

/// The URL of a file at a web seed. `None` if `web_seed` is not an HTTP URL, or if the share has no
/// file `index`.
///
/// `web_seed` is one of [`Metainfo::web_seeds`](super::Metainfo::web_seeds). If it ends in `/`, it
/// is the URL of the folder that contains the share. If it does not end in `/` and the share is a
/// single file, it is the URL of this file. If it does not end in `/` and the share is a folder, it
/// is the URL of the folder that contains the share, and only the final `/` is missing.
pub fn web_seed_url(info: &Info, web_seed: &str, index: usize) -> Option<String> {
    let (scheme, after_scheme) = web_seed.split_once("://")?;
    let is_http = ["http", "https"]
        .iter()
        .any(|http| scheme.eq_ignore_ascii_case(http));
    if !is_http || after_scheme.is_empty() {
        return None;
    }
    let file = info.files().get(index)?;
    let ends_with_slash = web_seed.ends_with('/');
    if info.layout() == Layout::File && !ends_with_slash {
        return Some(web_seed.to_owned());
    }
    let mut url = web_seed.to_owned();
    if !ends_with_slash {
        url.push('/');
    }
    url.push_str(&escape(info.name().as_str()));
    if info.layout() == Layout::Folder {
        for name in file.path.components() {
            url.push('/');
            url.push_str(&escape(name.as_str()));
        }
    }
    Some(url)
}

/// The parts of files in the `length` bytes from `offset` of the share, in order.
pub fn file_parts(info: &Info, offset: u64, length: u64) -> impl Iterator<Item = FilePart> {
    let end = offset.saturating_add(length);
    let files = info.files();
    let first = files.partition_point(|file| file.offset + file.length <= offset);
    let files = files.iter().enumerate().skip(first);
    let parts = files.take_while(move |(_, file)| file.offset < end);
    let parts = parts.map(move |(index, file)| {
        let from = offset.max(file.offset);
        FilePart {
            index,
            offset: from - file.offset,
            length: end.min(file.offset + file.length).saturating_sub(from),
        }
    });
    parts.filter(|part| part.length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Info {
        let raw = b"d6:lengthi3e4:name5:a b#c12:piece lengthi1e6:pieces60:";
        Info::parse(&[&raw[..], &[b'x'; 60], b"e"].concat()).unwrap()
    }

    fn folder() -> Info {
        let files =
            "ld6:lengthi2e4:pathl1:aeed6:lengthi0e4:pathl1:beed6:lengthi3e4:pathl1:d3:\u{fc}?eee";
        let raw = format!(
            "d5:files{files}4:name3:set12:piece lengthi8e6:pieces20:{}e",
            "x".repeat(20)
        );
        Info::parse(raw.as_bytes()).unwrap()
    }

    #[test]
    fn each_file_has_its_url() {
        let (file, folder) = (file(), folder());
        for (info, base, index, url) in [
            (&file, "http://h/x.iso", 0, Some("http://h/x.iso")),
            (&file, "http://h/x.iso?a=b", 0, Some("http://h/x.iso?a=b")),
            (&file, "HTTPS://h/d/", 0, Some("HTTPS://h/d/a%20b%23c")),
            (&folder, "http://h/d/", 0, Some("http://h/d/set/a")),
            (&folder, "http://h/d", 2, Some("http://h/d/set/d/%C3%BC%3F")),
            (&folder, "http://h/", 3, None),
            (&file, "ftp://h/x", 0, None),
            (&file, "http://", 0, None),
            (&file, "x", 0, None),
        ] {
            assert_eq!(web_seed_url(info, base, index).as_deref(), url, "{base}");
        }
    }

    #[test]
    fn a_range_of_the_share_is_split_into_parts_of_files() {
        let part = |index, offset, length| FilePart {
            index,
            offset,
            length,
        };
        let folder = folder();
        let parts = |offset, length| super::file_parts(&folder, offset, length).collect::<Vec<_>>();
        assert_eq!(parts(0, 5), [part(0, 0, 2), part(2, 0, 3)]);
        assert_eq!(parts(1, 2), [part(0, 1, 1), part(2, 0, 1)]);
        assert_eq!(parts(3, 1), [part(2, 1, 1)]);
        assert_eq!(parts(5, 9), []);
        assert_eq!(parts(2, 0), []);
    }
}
