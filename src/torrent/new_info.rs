//! Makes a new `info` dictionary (BEP 3; BEP 47 for `attr` and `sha1`).

use super::metainfo_error::MetainfoError;
use super::{Attributes, FileName, FilePath, Info, Layout, Sha1};
use crate::bencode::Item;

/// The content of a new info dictionary.
#[derive(Clone, Debug)]
pub struct NewInfo {
    /// The name of the file or folder of the share.
    pub name: FileName,
    /// One file or a folder.
    pub layout: Layout,
    /// The files, in the order of their contents in the share; exactly one for [`Layout::File`].
    pub files: Vec<NewFile>,
    /// The length of a piece in bytes.
    pub piece_length: u32,
    /// The hash of each piece.
    pub pieces: Vec<Sha1>,
    /// Whether the torrent is private (BEP 27).
    pub private: bool,
    /// The certificate of an authority, as PEM text. Only members that the authority certified may
    /// join the swarm.
    pub ssl_cert: Option<String>,
}

/// One file of a [`NewInfo`].
#[derive(Clone, Debug)]
pub struct NewFile {
    /// The path in the folder of the share; not used for [`Layout::File`].
    pub path: FilePath,
    /// The length in bytes.
    pub length: u64,
    /// SHA-1 of the content, if the torrent is to have it.
    pub sha1: Option<Sha1>,
    /// Whether the file is executable, or is padding.
    pub attributes: Attributes,
}

impl NewInfo {
    /// Encodes the dictionary and reads it back with the strict reader. So this program never makes
    /// a torrent that it would refuse.
    ///
    /// # Errors
    /// When the dictionary would not be valid: for example, two files have one path, there are no
    /// files, or `pieces` does not have one hash for each piece.
    pub fn build(&self) -> Result<Info, MetainfoError> {
        let mut info = vec![
            ("name", Item::from(self.name.as_str())),
            ("piece length", self.piece_length.into()),
            (
                "pieces",
                self.pieces
                    .iter()
                    .flat_map(|hash| hash.0)
                    .collect::<Vec<u8>>()
                    .into(),
            ),
        ];
        if self.private {
            info.push(("private", Item::Integer(1)));
        }
        let ssl_cert = self.ssl_cert.as_deref();
        info.extend(ssl_cert.map(|pem| ("ssl-cert", Item::from(pem))));
        match (self.layout, self.files.as_slice()) {
            (Layout::File, [file]) => info.extend(file.entries()),
            (Layout::File, _) => return Err(MetainfoError::LengthOrFiles),
            (Layout::Folder, files) => {
                let files = files.iter().map(|file| {
                    let path = file.path.components().iter();
                    let path = Item::List(path.map(|name| name.as_str().into()).collect());
                    Item::dictionary(file.entries().chain([("path", path)]))
                });
                info.push(("files", Item::List(files.collect())));
            }
        }
        Info::parse(&Item::dictionary(info).encode())
    }
}

impl NewFile {
    /// The keys `length`, `attr` and `sha1` of the file, with their values.
    fn entries<'a>(&'a self) -> impl Iterator<Item = (&'a str, Item<'a>)> {
        let letters = match self.attributes {
            Attributes { padding: true, .. } => Some("p"),
            Attributes { executable, .. } => executable.then_some("x"),
        };
        let attributes = letters.map(|letters| ("attr", Item::from(letters)));
        let sha1 = self
            .sha1
            .as_ref()
            .map(|hash| ("sha1", Item::from(&hash.0[..])));
        [("length", Item::from(self.length))]
            .into_iter()
            .chain(attributes)
            .chain(sha1)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn path(text: &str) -> FilePath {
        FilePath::new(
            text.split('/')
                .map(|name| FileName::new(name).unwrap())
                .collect(),
        )
        .unwrap()
    }

    pub(in crate::torrent) fn folder() -> NewInfo {
        let file = |name: &str, length, sha1| NewFile {
            path: path(name),
            length,
            sha1,
            attributes: Attributes::default(),
        };
        NewInfo {
            name: FileName::new("set").unwrap(),
            layout: Layout::Folder,
            files: vec![
                file("a", 0, None),
                file("sub/b", 70_000, Some(Sha1::of(b"b"))),
                file("sub/c", 1, None),
            ],
            piece_length: 65_536,
            pieces: vec![Sha1::of(b"1"), Sha1::of(b"2")],
            private: true,
            ssl_cert: Some("pem".to_owned()),
        }
    }

    #[test]
    fn a_torrent_may_have_a_hundred_thousand_files() {
        let mut info = folder();
        info.files = (0..100_000)
            .map(|number| NewFile {
                path: path(&format!("d{}/f{number}", number % 100)),
                length: 0,
                sha1: None,
                attributes: Attributes {
                    executable: true,
                    padding: false,
                },
            })
            .collect();
        info.pieces.clear();
        assert_eq!(info.build().unwrap().files().len(), 100_000);
    }
}
