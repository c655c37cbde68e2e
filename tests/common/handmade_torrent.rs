//! Torrents made by hand, so that the code under test does not check itself.

use super::sandbox::{Sandbox, bytes};
use sha1::{Digest, Sha1};
use std::fs;
use std::path::{Path, PathBuf};

/// A torrent and its content.
#[derive(Clone)]
pub(crate) struct Torrent {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) piece_length: usize,
    pub(crate) info_hash: [u8; 20],
    /// The bytes of the `.torrent`.
    pub(crate) bytes: Vec<u8>,
    /// Path, start and length of each file in a folder. Empty if the torrent is a single file.
    files: Vec<(String, usize, usize)>,
}

impl Torrent {
    /// A torrent of a single file. `seed` is the random seed of its content.
    pub(crate) fn new(name: &str, length: usize, piece_length: usize, seed: u64) -> Self {
        let content = bytes(length, seed);
        let hashes: Vec<u8> = content
            .chunks(piece_length)
            .flat_map(Sha1::digest)
            .collect();
        let mut info = format!(
            "d6:lengthi{length}e4:name{}:{name}12:piece lengthi{piece_length}e6:pieces{}:",
            name.len(),
            hashes.len()
        )
        .into_bytes();
        info.extend(&hashes);
        info.push(b'e');
        let bytes = [b"d4:info", info.as_slice(), b"e"].concat();
        Self {
            name: name.to_owned(),
            content,
            piece_length,
            info_hash: Sha1::digest(&info).into(),
            bytes,
            files: Vec::new(),
        }
    }

    /// A torrent of a folder. Each file is a path, a length and its attributes (BEP 47; `p` is
    /// padding). `seed` is the random seed of the content.
    pub(crate) fn folder(
        name: &str,
        files: &[(&str, usize, &str)],
        piece_length: usize,
        seed: u64,
    ) -> Self {
        let mut content = bytes(files.iter().map(|file| file.1).sum(), seed);
        let (mut list, mut at, mut entries) = (String::new(), 0, Vec::new());
        for (path, length, attributes) in files {
            let attr = match attributes.len() {
                0 => String::new(),
                length => format!("4:attr{length}:{attributes}"),
            };
            let names = path.split('/');
            let names: String = names.map(|name| format!("{}:{name}", name.len())).collect();
            list += &format!("d{attr}6:lengthi{length}e4:pathl{names}ee");
            if attributes.contains('p') {
                content[at..at + length].fill(0);
            }
            entries.push(((*path).to_owned(), at, *length));
            at += length;
        }
        let hashes = content.chunks(piece_length).flat_map(Sha1::digest);
        let hashes: Vec<u8> = hashes.collect();
        let mut info = format!(
            "d5:filesl{list}e4:name{}:{name}12:piece lengthi{piece_length}e6:pieces{}:",
            name.len(),
            hashes.len()
        )
        .into_bytes();
        info.extend(&hashes);
        info.push(b'e');
        Self {
            name: name.to_owned(),
            content,
            piece_length,
            info_hash: Sha1::digest(&info).into(),
            bytes: [b"d4:info", info.as_slice(), b"e"].concat(),
            files: entries,
        }
    }

    /// The same torrent with `private` set to `number` (BEP 27).
    pub(crate) fn private(mut self, number: i64) -> Self {
        // The new key comes after `pieces`, which was the last key so far.
        let info = &self.bytes[7..self.bytes.len() - 2];
        let info = [info, format!("7:privatei{number}ee").as_bytes()].concat();
        self.info_hash = Sha1::digest(&info).into();
        self.bytes = [b"d4:info", info.as_slice(), b"e"].concat();
        self
    }

    /// The bytes of a file in the folder.
    pub(crate) fn file(&self, path: &str) -> &[u8] {
        let found = self.files.iter().find(|(name, ..)| name == path);
        let (_, start, length) = found.unwrap();
        &self.content[*start..start + length]
    }

    /// Reads a `.torrent` file. `content` stays empty, and `piece_length` is 0.
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        // The keys of a torrent are sorted, and `info` is the last one here.
        let at = bytes.windows(7).position(|key| key == b"4:infod").unwrap() + 6;
        let info = &bytes[at..bytes.len() - 1];
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            content: Vec::new(),
            piece_length: 0,
            info_hash: Sha1::digest(info).into(),
            bytes: bytes.clone(),
            files: Vec::new(),
        }
    }

    /// The bytes of a block.
    pub(crate) fn block(&self, index: u32, begin: u32, length: u32) -> &[u8] {
        let start = index as usize * self.piece_length + begin as usize;
        &self.content[start..start + length as usize]
    }

    /// Writes the `.torrent` and returns its path.
    pub(crate) fn write(&self, sandbox: &Sandbox, name: &str) -> PathBuf {
        let path = sandbox.path(name);
        fs::write(&path, &self.bytes).unwrap();
        path
    }
}
