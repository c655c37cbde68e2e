//! The record of a magnet search: a download of which only the magnet link is known. The record is
//! the file `magnets/INFOHASH` in the state folder.
//!
//! The format is that of all records, see `record_codec`. When the metadata has been fetched, a
//! [`super::Record`] replaces the record of the search. The new record is written before the old
//! one is removed. If both exist, the new one is used.

use super::RecordError;
use super::record_codec::{decode_record, encode_record, path_item, read_path, read_texts, texts};
use crate::bencode::Dictionary;
use crate::torrent::Magnet;
use std::path::{Path, PathBuf};

/// A download by magnet link whose metadata is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MagnetRecord {
    /// The link as the user wrote it.
    pub link: String,
    /// The parsed link.
    pub magnet: Magnet,
    /// The folder to put the download in, or the path of the new file or folder. Absolute.
    pub destination: PathBuf,
    /// Patterns of the wanted files. Empty: all files.
    pub only: Vec<String>,
    /// Whether to fetch the pieces in order.
    pub sequential: bool,
    /// Whether the download may replace a file or folder at the destination.
    pub force: bool,
    /// When it was added, in milliseconds since 1970.
    pub added_ms: u64,
}

impl MagnetRecord {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode_record([
            ("magnet", self.link.as_str().into()),
            ("destination", path_item(&self.destination)),
            ("only", texts(&self.only)),
            ("sequential", u32::from(self.sequential).into()),
            ("force", u32::from(self.force).into()),
            ("added", self.added_ms.into()),
        ])
    }

    /// Reads the bytes that [`MagnetRecord::encode`] wrote. `path` is for errors.
    pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<Self, RecordError> {
        decode_record(bytes, path, read)
    }
}

fn read(fields: &Dictionary<'_>) -> Option<MagnetRecord> {
    let link = fields.value("magnet")?.text()?;
    Some(MagnetRecord {
        link: link.to_owned(),
        magnet: link.parse().ok()?,
        destination: read_path(fields.value("destination")?)?,
        only: read_texts(fields.value("only")?)?,
        sequential: fields.value("sequential")?.integer()? != 0,
        force: fields.value("force")?.integer()? != 0,
        added_ms: u64::try_from(fields.value("added")?.integer()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Records, StateFolder};
    use super::*;
    use crate::torrent::{InfoHash, Sha1};
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    fn record() -> MagnetRecord {
        let link = format!("MAGNET:?dn=a+set&xt=urn:btih:{}", InfoHash([7; 20]));
        MagnetRecord {
            magnet: link.parse().unwrap(),
            link,
            only: vec!["*.txt".into(), "a/**".into()],
            sequential: true,
            force: true,
            destination: PathBuf::from(OsStr::from_bytes(b"/not \xff text")),
            added_ms: 5,
        }
    }

    #[test]
    fn a_saved_record_is_loaded_until_it_is_removed() {
        let folder = StateFolder::temporary().unwrap();
        let record = record();
        Records::open(&folder)
            .unwrap()
            .save_magnet(&record)
            .unwrap();
        let records = Records::open(&folder).unwrap();
        let loaded = records.load_magnets().pop().unwrap().unwrap();
        assert_eq!(loaded, record);
        records.remove_magnet(record.magnet.info_hash).unwrap();
        records.remove_magnet(record.magnet.info_hash).unwrap();
        assert!(records.load_magnets().is_empty());
    }

    #[test]
    fn a_damaged_or_misnamed_record_is_reported() {
        let folder = StateFolder::temporary().unwrap();
        let records = Records::open(&folder).unwrap();
        records.save_magnet(&record()).unwrap();
        let magnets = folder.path().join("magnets");
        let path = magnets.join(record().magnet.info_hash.to_string());
        let sound = fs::read(&path).unwrap();
        let load = || records.load_magnets().remove(0);
        for length in 0..sound.len() {
            fs::write(&path, &sound[..length]).unwrap();
            assert!(matches!(load(), Err(RecordError::Damaged { .. })));
        }
        let mut flipped = sound.clone();
        for bit in 0..sound.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            assert!(matches!(load(), Err(RecordError::Damaged { .. })), "{bit}");
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        let with_checksum = |body: &[u8]| [body, &Sha1::of(body).0].concat();
        fs::write(&path, with_checksum(b"d7:versioni2ee")).unwrap();
        assert!(matches!(
            load(),
            Err(RecordError::Version { version: 2, .. })
        ));
        fs::write(&path, with_checksum(b"d7:versioni1ee")).unwrap();
        assert!(matches!(load(), Err(RecordError::Damaged { .. })));
        fs::remove_file(&path).unwrap();
        fs::write(magnets.join("00".repeat(20)), &sound).unwrap();
        assert!(matches!(load(), Err(RecordError::Mismatch(_))));
    }
}
