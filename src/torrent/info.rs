//! The `info` dictionary of a torrent (BEP 3), read strictly.
//!
//! What is read here needs no further check: names are safe to create, lengths add up, every piece
//! has its hash. Unknown keys stay in the raw bytes, over which the info-hash is taken. Older
//! programs write `name.utf-8` and `path.utf-8` (in no BEP) beside a name in another encoding; then
//! the UTF-8 name counts. The v1 part of a hybrid torrent (BEP 52) is read. A torrent with only a
//! v2 part is an error.
//!
//! Out of scope: files on disk (see `storage`).

use super::metainfo_error::{MetainfoError, integer, text};
use super::path::NameError;
use super::{FileName, FilePath, InfoHash, Lengths, PieceIndex, Sha1};
use crate::bencode::{Dictionary, KeyOrder, Value};

/// The `info` dictionary: names, lengths and hashes of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    raw: Vec<u8>,
    info_hash: InfoHash,
    name: FileName,
    lengths: Lengths,
    hashes: Vec<[u8; 20]>,
    layout: Layout,
    files: Vec<FileEntry>,
    private: bool,
    ssl_cert: Option<String>,
}

/// Whether a share is one file or a folder of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One file, with the name of the share.
    File,
    /// Files in a folder with the name of the share.
    Folder,
}

/// One file of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// The path in the folder of the share; the name of the share for [`Layout::File`].
    pub path: FilePath,
    /// The length in bytes.
    pub length: u64,
    /// Offset of the first byte from the start of the share.
    pub offset: u64,
    /// SHA-1 of the content, if the torrent has it (BEP 47 `sha1`).
    pub sha1: Option<Sha1>,
    /// BEP 47's `attr`.
    pub attributes: Attributes,
}

/// The attributes of BEP 47's `attr` that this program uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `x`: executable.
    pub executable: bool,
    /// `p`: zeros between files, never stored.
    pub padding: bool,
}

impl Info {
    /// Reads a bare info dictionary.
    ///
    /// # Errors
    /// See [`MetainfoError`].
    pub fn parse(raw: &[u8]) -> Result<Self, MetainfoError> {
        Self::from_value(&Value::parse(raw, KeyOrder::Any)?)
    }

    pub(super) fn from_value(value: &Value<'_>) -> Result<Self, MetainfoError> {
        let info = value.dictionary().ok_or(MetainfoError::WrongType("info"))?;
        if info.value("total length").is_some() {
            return Err(MetainfoError::TotalLength);
        }
        let name = info.value("name.utf-8").or(info.value("name"));
        let name = file_name(name.ok_or(MetainfoError::Missing("name"))?, "name")?;
        let (layout, files) = match (info.value("length"), info.value("files")) {
            (Some(_), None) => (Layout::File, vec![single_file(info, &name)?]),
            (None, Some(files)) => (Layout::Folder, folder_files(files)?),
            (None, None) if info.value("file tree").is_some() => return Err(MetainfoError::V2Only),
            _ => return Err(MetainfoError::LengthOrFiles),
        };
        let total = files.last().map_or(0, |file| file.offset + file.length);
        let piece_length =
            integer(info, "piece length")?.ok_or(MetainfoError::Missing("piece length"))?;
        let lengths = Lengths::new(total, piece_length)?;
        let pieces = info
            .value("pieces")
            .ok_or(MetainfoError::Missing("pieces"))?;
        let pieces = pieces.bytes().ok_or(MetainfoError::WrongType("pieces"))?;
        let (hashes, remainder) = pieces.as_chunks::<20>();
        if !remainder.is_empty() || hashes.len() != lengths.pieces() as usize {
            let expected = lengths.pieces() as usize * 20;
            return Err(MetainfoError::Pieces {
                found: pieces.len(),
                expected,
            });
        }
        Ok(Self {
            raw: value.raw().to_vec(),
            info_hash: InfoHash(Sha1::of(value.raw()).0),
            name,
            lengths,
            hashes: hashes.to_vec(),
            layout,
            files,
            private: integer(info, "private")?.is_some_and(|private| private != 0),
            ssl_cert: ssl_cert(info)?,
        })
    }

    /// The bytes as they were read.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// SHA-1 over [`Info::raw`].
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The name of the share: that of its file or folder.
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// The lengths of the share and its pieces.
    pub fn lengths(&self) -> &Lengths {
        &self.lengths
    }

    /// The expected hash of a piece.
    pub fn piece_hash(&self, piece: PieceIndex) -> Sha1 {
        // A `PieceIndex` of these lengths always has its hash. An index beyond them gets a hash of
        // zeros, which matches no content.
        Sha1(self.hashes.get(piece.index()).copied().unwrap_or_default())
    }

    /// One file or a folder.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The files, in the order of their bytes.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The pieces that contain bytes of the file with this index. An empty file has no pieces.
    pub fn pieces_of_file(&self, file: usize) -> impl DoubleEndedIterator<Item = PieceIndex> {
        let piece_length = u64::from(self.lengths.piece_length());
        let file = self.files.get(file).filter(|file| file.length > 0);
        let numbers = file.map_or(0..0, |file| {
            let end = file.offset + file.length;
            file.offset / piece_length..end.div_ceil(piece_length)
        });
        numbers.filter_map(|number| self.lengths.piece(u32::try_from(number).ok()?))
    }

    /// Whether both shares have the same name and layout, and their files the same paths and
    /// lengths.
    pub fn has_same_files(&self, other: &Self) -> bool {
        let of = |file: &FileEntry| (file.path.clone(), file.length);
        self.name == other.name
            && self.layout == other.layout
            && self.files.len() == other.files.len()
            && self.files.iter().map(of).eq(other.files.iter().map(of))
    }

    /// Whether only the trackers of the torrent may name peers (BEP 27). Any number but 0 in
    /// `private` means yes, as in other programs.
    pub fn private(&self) -> bool {
        self.private
    }

    /// The certificate of an authority, as PEM text. Only members that the authority certified may
    /// join the swarm (libtorrent manual, "SSL torrents"). `None` for an open swarm.
    pub fn ssl_cert(&self) -> Option<&str> {
        self.ssl_cert.as_deref()
    }
}

fn ssl_cert(info: &Dictionary<'_>) -> Result<Option<String>, MetainfoError> {
    let Some(value) = info.value("ssl-cert") else {
        return Ok(None);
    };
    let text = value.text().ok_or(MetainfoError::WrongType("ssl-cert"))?;
    Ok(Some(text.to_owned()))
}

fn single_file(info: &Dictionary<'_>, name: &FileName) -> Result<FileEntry, MetainfoError> {
    file_entry(info, FilePath::new(vec![name.clone()])?, 0)
}

fn file_name(value: &Value<'_>, key: &'static str) -> Result<FileName, MetainfoError> {
    let bytes = value.bytes().ok_or(MetainfoError::WrongType(key))?;
    let name = std::str::from_utf8(bytes).map_err(|_| NameError::NotText)?;
    Ok(FileName::new(name)?)
}

fn folder_files(files: &Value<'_>) -> Result<Vec<FileEntry>, MetainfoError> {
    let list = files.list().ok_or(MetainfoError::WrongType("files"))?;
    let mut offset = 0u64;
    let mut entries = Vec::with_capacity(list.len());
    for file in list {
        let file = file.dictionary().ok_or(MetainfoError::WrongType("files"))?;
        let path = file.value("path.utf-8").or(file.value("path"));
        let path = path.ok_or(MetainfoError::Missing("path"))?;
        let path = path.list().ok_or(MetainfoError::WrongType("path"))?;
        let names = path.iter().map(|name| file_name(name, "path"));
        let path = FilePath::new(names.collect::<Result<_, MetainfoError>>()?)?;
        let entry = file_entry(file, path, offset)?;
        offset = end_of(&entry)?;
        entries.push(entry);
    }
    if entries.is_empty() {
        return Err(MetainfoError::NoFiles);
    }
    check_conflicts(&entries)?;
    Ok(entries)
}

fn file_entry(
    file: &Dictionary<'_>,
    path: FilePath,
    offset: u64,
) -> Result<FileEntry, MetainfoError> {
    let length = integer(file, "length")?.ok_or(MetainfoError::Missing("length"))?;
    let length = u64::try_from(length).map_err(|_| MetainfoError::NegativeLength(length))?;
    let attributes = text(file, "attr")?.unwrap_or_default();
    if attributes.contains('l') || file.value("symlink path").is_some() {
        return Err(MetainfoError::Symlink(path.to_string()));
    }
    let attributes = Attributes {
        executable: attributes.contains('x'),
        padding: attributes.contains('p'),
    };
    let sha1 = match file.value("sha1") {
        None => None,
        Some(value) => {
            let hash = value.bytes().and_then(|bytes| bytes.try_into().ok());
            Some(Sha1(hash.ok_or(MetainfoError::WrongType("sha1"))?))
        }
    };
    let entry = FileEntry {
        path,
        length,
        offset,
        sha1,
        attributes,
    };
    end_of(&entry)?;
    Ok(entry)
}

fn end_of(file: &FileEntry) -> Result<u64, MetainfoError> {
    let end = file.offset.checked_add(file.length);
    end.filter(|end| i64::try_from(*end).is_ok())
        .ok_or(MetainfoError::LengthOverflow)
}

/// Checks that no path is equal to another path or below another path. Padding files do not count.
/// In sorted order, all paths below a path follow directly after it.
fn check_conflicts(files: &[FileEntry]) -> Result<(), MetainfoError> {
    let stored = files.iter().filter(|file| !file.attributes.padding);
    let mut paths: Vec<&FilePath> = stored.map(|file| &file.path).collect();
    paths.sort_unstable();
    for pair in paths.windows(2) {
        if let [first, second] = pair
            && second.components().starts_with(first.components())
        {
            return Err(MetainfoError::Conflict(
                first.to_string(),
                second.to_string(),
            ));
        }
    }
    Ok(())
}

/// The fuzz function of the reader: the files lie one after the other, and the pieces cover them.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(raw: &[u8]) {
    let Ok(info) = Info::parse(raw) else {
        return;
    };
    assert_eq!(info.raw(), raw);
    let mut end = 0;
    for (number, file) in info.files().iter().enumerate() {
        assert_eq!(file.offset, end);
        end += file.length;
        let mut pieces = info.pieces_of_file(number);
        let first = pieces.next();
        let last = pieces.next_back().or(first);
        let ends = [(first, file.offset), (last, end.saturating_sub(1))];
        for (piece, at) in ends {
            assert_eq!(piece.is_some(), file.length > 0);
            let holds = |piece| {
                let start = info.lengths().offset(piece);
                (start..start + u64::from(info.lengths().length(piece))).contains(&at)
            };
            assert!(piece.is_none_or(holds));
        }
    }
    assert_eq!(info.lengths().total(), end);
}

#[cfg(test)]
mod tests {
    use super::super::{LengthsError, MAX_METAINFO, Metainfo};
    use super::*;

    /// Each row has one defect in an otherwise correct info dictionary.
    #[test]
    fn each_defect_gets_its_own_error() {
        type Check = fn(&MetainfoError) -> bool;
        let hashes = "x".repeat(20);
        let one_file = |length: &str, piece: &str, name: &str, pieces: &str| {
            format!(
                "d6:length{length}4:name{}:{name}12:piece length{piece}6:pieces{}:{pieces}e",
                name.len(),
                pieces.len()
            )
        };
        let files = |files: &str| {
            format!("d5:files{files}4:name1:x12:piece lengthi16384e6:pieces20:{hashes}e")
        };
        let folder_with = |path: &str| files(&format!("ld6:lengthi1e4:pathl{path}eee"));
        let table: Vec<(String, Check)> = vec![
            (one_file("i1e", "i0e", "x", &hashes), |e| {
                matches!(e, MetainfoError::Lengths(LengthsError::PieceLength(0)))
            }),
            (one_file("i1e", "i-16384e", "x", &hashes), |e| {
                matches!(e, MetainfoError::Lengths(LengthsError::PieceLength(_)))
            }),
            (one_file("i1e", "i4294967296e", "x", &hashes), |e| {
                matches!(e, MetainfoError::Lengths(_))
            }),
            (one_file("i1e", "4:1638", "x", &hashes), |e| {
                *e == MetainfoError::WrongType("piece length")
            }),
            (one_file("i-1e", "i16384e", "x", &hashes), |e| {
                *e == MetainfoError::NegativeLength(-1)
            }),
            (one_file("i16385e", "i16384e", "x", &hashes), |e| {
                matches!(
                    e,
                    MetainfoError::Pieces {
                        found: 20,
                        expected: 40
                    }
                )
            }),
            (one_file("i0e", "i16384e", "x", &hashes), |e| {
                matches!(
                    e,
                    MetainfoError::Pieces {
                        found: 20,
                        expected: 0
                    }
                )
            }),
            (one_file("i1e", "i16384e", "x", &hashes[1..]), |e| {
                matches!(e, MetainfoError::Pieces { found: 19, .. })
            }),
            (
                one_file("i9223372036854775807e", "i16384e", "x", &hashes),
                |e| matches!(e, MetainfoError::Lengths(_)),
            ),
            (one_file("le", "i16384e", "x", &hashes), |e| {
                *e == MetainfoError::WrongType("length")
            }),
            (one_file("i1e", "i16384e", "..", &hashes), |e| {
                matches!(e, MetainfoError::Name(NameError::Dots(_)))
            }),
            (one_file("i1e", "i16384e", "", &hashes), |e| {
                *e == MetainfoError::Name(NameError::Empty)
            }),
            (one_file("i1e", "i16384e", "a/b", &hashes), |e| {
                matches!(e, MetainfoError::Name(NameError::Separator(_)))
            }),
            ("d6:lengthi1e4:name1:xe".into(), |e| {
                *e == MetainfoError::Missing("piece length")
            }),
            ("d6:lengthi1e12:piece lengthi1ee".into(), |e| {
                *e == MetainfoError::Missing("name")
            }),
            ("d6:lengthi1e4:name1:x12:piece lengthi1ee".into(), |e| {
                *e == MetainfoError::Missing("pieces")
            }),
            (
                "d6:lengthi1e4:name1:x12:piece lengthi1e6:piecesl20:xee".into(),
                |e| matches!(e, MetainfoError::Bencode(_)),
            ),
            (
                "d6:lengthi1e4:name1:x12:piece lengthi1e6:pieceslee".into(),
                |e| *e == MetainfoError::WrongType("pieces"),
            ),
            ("d4:name1:x12:piece lengthi1e6:pieces0:e".into(), |e| {
                *e == MetainfoError::LengthOrFiles
            }),
            (
                "d5:filesle6:lengthi1e4:name1:x12:piece lengthi1e6:pieces0:e".into(),
                |e| *e == MetainfoError::LengthOrFiles,
            ),
            (
                "d9:file treede4:name1:x12:piece lengthi16384ee".into(),
                |e| *e == MetainfoError::V2Only,
            ),
            ("d6:lengthi1e4:name1:x12:total lengthi1ee".into(), |e| {
                *e == MetainfoError::TotalLength
            }),
            ("le".into(), |e| *e == MetainfoError::WrongType("info")),
            (
                // The name has two bytes by its prefix, but its only character has three.
                "d6:lengthi1e4:name2:\u{fffd}e".into(),
                |e| matches!(e, MetainfoError::Bencode(_)),
            ),
            (files("le"), |e| *e == MetainfoError::NoFiles),
            (files("de"), |e| *e == MetainfoError::WrongType("files")),
            (files("ldee"), |e| *e == MetainfoError::Missing("path")),
            (files("ld4:pathl1:aeee"), |e| {
                *e == MetainfoError::Missing("length")
            }),
            (folder_with(""), |e| {
                *e == MetainfoError::Name(NameError::Empty)
            }),
            (folder_with("2:.."), |e| {
                matches!(e, MetainfoError::Name(NameError::Dots(_)))
            }),
            (folder_with("4:/etc"), |e| {
                matches!(e, MetainfoError::Name(NameError::Separator(_)))
            }),
            (folder_with("3:a\\b"), |e| {
                matches!(e, MetainfoError::Name(NameError::Separator(_)))
            }),
            (folder_with("3:a\0b"), |e| {
                matches!(e, MetainfoError::Name(NameError::Control(_)))
            }),
            (folder_with("i1e"), |e| {
                *e == MetainfoError::WrongType("path")
            }),
            (folder_with(&"1:d".repeat(102)), |e| {
                *e == MetainfoError::Name(NameError::TooDeep(102))
            }),
            (files("ld4:attr1:l6:lengthi0e4:pathl1:aeee"), |e| {
                matches!(e, MetainfoError::Symlink(_))
            }),
            (files("ld6:lengthi0e4:pathl1:ae4:sha13:abcee"), |e| {
                *e == MetainfoError::WrongType("sha1")
            }),
            (
                files("ld6:lengthi1e4:pathl1:aeed6:lengthi0e4:pathl1:aeee"),
                |e| matches!(e, MetainfoError::Conflict(..)),
            ),
            (
                files("ld6:lengthi1e4:pathl1:a1:beed6:lengthi0e4:pathl1:aeee"),
                |e| matches!(e, MetainfoError::Conflict(..)),
            ),
            (
                files("ld6:lengthi9223372036854775807e4:pathl1:aeed6:lengthi1e4:pathl1:beee"),
                |e| *e == MetainfoError::LengthOverflow,
            ),
        ];
        for (info, expected) in table {
            let error = Metainfo::parse(format!("d4:info{info}e").as_bytes()).unwrap_err();
            assert!(expected(&error), "{info}: {error}");
        }
        assert!(matches!(
            Metainfo::parse(b"de"),
            Err(MetainfoError::Missing("info"))
        ));
        assert!(matches!(
            Metainfo::parse(&vec![b'l'; MAX_METAINFO + 1]),
            Err(MetainfoError::TooLarge(_))
        ));
        let name_not_text = b"d4:infod6:lengthi1e4:name1:\xffee";
        assert_eq!(
            Metainfo::parse(name_not_text),
            Err(MetainfoError::Name(NameError::NotText))
        );
    }

    #[test]
    fn a_name_in_utf_8_is_preferred_to_one_in_another_encoding() {
        let one_file =
            b"d6:lengthi0e4:name2:\xd6\xd010:name.utf-83:\xe4\xb8\xad12:piece lengthi1e6:pieces0:e";
        assert_eq!(Info::parse(one_file).unwrap().name().as_str(), "中");
        let file = b"d6:lengthi0e4:pathl2:\xd6\xd0e10:path.utf-8l1:a3:\xe4\xb8\xadee";
        let folder = [
            &b"d5:filesl"[..],
            file,
            b"e4:name1:x12:piece lengthi1e6:pieces0:e",
        ]
        .concat();
        let info = Info::parse(&folder).unwrap();
        assert_eq!(info.files()[0].path.to_string(), "a/中");
        let unsafe_name = b"d6:lengthi0e4:name1:x10:name.utf-82:..12:piece lengthi1e6:pieces0:e";
        assert!(matches!(
            Info::parse(unsafe_name),
            Err(MetainfoError::Name(_))
        ));
    }
}
