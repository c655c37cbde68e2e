//! A backup of a tracker: the cluster's key, and the database with its rows, its version vector and
//! its blobs, all as of one moment. Checksums protect both parts.
//!
//! In scope: writing and reading the format. Out of scope: where the bytes are sent, and what they
//! mean.
//!
//! A part begins with a line that names its format. Records follow. A record is a letter, the
//! length of its content in 4 bytes (big-endian), and the content. The letters are `c` (the
//! cluster's certificate and key as PEM), `v` (the version vector), `r` (an id and its row), `b`
//! (an info-hash and its blob) and `e` (the last record of a part: the SHA-256 of all earlier
//! bytes of this part).
//!
//! The operator's command writes the part with the key, and the tracker sends the part with the
//! database. The first version of backups has no part with the key.

use super::{Batch, FileError};
use ring::digest::{Context, Digest, SHA256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The first line of the part with the database.
const DATABASE: &[u8; 18] = b"pieceful backup 5\n";
/// The same in backups of earlier versions, which know fewer kinds of rows and fields. They cannot
/// read the rows of this version, so they must refuse its first line.
const EARLIER_DATABASES: [&[u8; 18]; 3] = [
    b"pieceful backup 1\n",
    b"pieceful backup 3\n",
    b"pieceful backup 4\n",
];
/// The first line of the part with the key.
const CLUSTER: &[u8; 18] = b"pieceful backup 2\n";
const FIRST_LINES: [&[u8; 18]; 5] = {
    let [first, third, fourth] = EARLIER_DATABASES;
    [DATABASE, first, third, fourth, CLUSTER]
};
/// The maximum content of a record in bytes: a blob of 16 MiB, its info-hash, and some room.
const MAX_RECORD_LENGTH: usize = (16 << 20) + 1024;

/// A backup that was read.
#[derive(Debug)]
pub struct Backup {
    /// The cluster's certificate and key as PEM. `None` in a backup of the first version.
    pub(super) cluster: Option<Vec<u8>>,
    /// The contents of the database.
    pub(super) batch: Batch,
}

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is not a backup, or has another format version.
    #[error(
        "{} is not a tracker's backup, or was made by another version of this program",
        .0.display()
    )]
    Foreign(PathBuf),
    /// The file was cut off or changed.
    #[error("{} is damaged or was cut off: make another backup", .0.display())]
    Damaged(PathBuf),
    /// A backup would replace something else.
    #[error("{} exists and is no backup; name another file", .0.display())]
    Taken(PathBuf),
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Writes one part of a backup, record by record.
pub(super) struct BackupWriter<'a> {
    out: &'a mut dyn Write,
    sum: Context,
}

impl<'a> BackupWriter<'a> {
    /// Begins the part with the database.
    pub(super) fn begin(out: &'a mut dyn Write) -> io::Result<Self> {
        Self::begin_part(out, DATABASE)
    }

    fn begin_part(out: &'a mut dyn Write, first_line: &[u8]) -> io::Result<Self> {
        let mut writer = Self {
            out,
            sum: Context::new(&SHA256),
        };
        writer.write(first_line)?;
        Ok(writer)
    }

    pub(super) fn write_versions(&mut self, versions: &[u8]) -> io::Result<()> {
        self.write_record(b'v', &[versions])
    }

    pub(super) fn write_row(&mut self, id: &[u8; 16], row: &[u8]) -> io::Result<()> {
        self.write_record(b'r', &[id, row])
    }

    pub(super) fn write_blob(&mut self, info_hash: &[u8; 20], blob: &[u8]) -> io::Result<()> {
        self.write_record(b'b', &[info_hash, blob])
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        let sum = self.sum.clone().finish();
        self.write_record(b'e', &[sum.as_ref()])?;
        self.out.flush()
    }

    fn write_record(&mut self, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length).map_err(io::Error::other)?;
        self.write(&[kind])?;
        self.write(&length.to_be_bytes())?;
        parts.iter().try_for_each(|part| self.write(part))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }
}

/// Writes the part with the cluster's key. The part with the database must follow.
///
/// # Errors
/// The error of `out`.
pub fn write_cluster(out: &mut dyn Write, pem: &str) -> io::Result<()> {
    let mut writer = BackupWriter::begin_part(out, CLUSTER)?;
    writer.write_record(b'c', &[pem.as_bytes()])?;
    writer.finish()
}

/// Checks that a backup may have this name: the name is free, or is that of an earlier backup. Any
/// file with the first line of a backup counts as a backup, also if the rest is damaged.
///
/// # Errors
/// [`BackupError::Taken`], or the existing file cannot be read.
pub fn check_backup_name(path: &Path) -> Result<(), BackupError> {
    let read_error = FileError::at("read", path);
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(read_error)?,
    };
    let taken = || BackupError::Taken(path.to_owned());
    // Opening a pipe would block.
    if !path.is_file() {
        return Err(taken());
    }
    let mut first_line = [0; DATABASE.len()];
    let mut file = File::open(path).map_err(read_error)?;
    match file.read_exact(&mut first_line) {
        Ok(()) if FIRST_LINES.contains(&&first_line) => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(read_error(error).into()),
        Ok(()) | Err(_) => Err(taken()),
    }
}

/// Reads a whole backup. Returns `None` if the file has another format. A file that ends within the
/// first line counts as a backup that was cut off, and is an error.
pub(super) fn read(from: &mut dyn Read) -> io::Result<Option<Backup>> {
    let mut beginning = Vec::new();
    let length = u64::try_from(DATABASE.len()).unwrap_or(u64::MAX);
    (&mut *from).take(length).read_to_end(&mut beginning)?;
    if !FIRST_LINES.iter().any(|line| line.starts_with(&beginning)) {
        return Ok(None);
    }
    let from = &mut beginning.chain(from);
    let mut first_line = [0; DATABASE.len()];
    let mut reader = BackupReader::begin(from, &mut first_line)?;
    if is_database(&first_line) {
        let batch = reader.read_database()?;
        let cluster = None;
        return Ok(Some(Backup { cluster, batch }));
    }
    if first_line != *CLUSTER {
        return Ok(None);
    }
    let cluster = Some(reader.read_cluster()?);
    let mut reader = BackupReader::begin(from, &mut first_line)?;
    if !is_database(&first_line) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let batch = reader.read_database()?;
    Ok(Some(Backup { cluster, batch }))
}

fn is_database(first_line: &[u8; 18]) -> bool {
    first_line == DATABASE || EARLIER_DATABASES.contains(&first_line)
}

fn split<const N: usize>(bytes: &[u8]) -> io::Result<([u8; N], &[u8])> {
    let (first, rest) = bytes
        .split_first_chunk()
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok((*first, rest))
}

/// Reads one part.
struct BackupReader<'a> {
    from: &'a mut dyn Read,
    sum: Context,
}

impl<'a> BackupReader<'a> {
    /// Begins to read a part, and reads its first line into `first_line`.
    fn begin(from: &'a mut dyn Read, first_line: &mut [u8]) -> io::Result<Self> {
        let sum = Context::new(&SHA256);
        let mut reader = Self { from, sum };
        reader.fill(first_line)?;
        Ok(reader)
    }

    fn read_cluster(&mut self) -> io::Result<Vec<u8>> {
        let (kind, pem) = self.read_record()?;
        let sum = self.sum();
        let (last_kind, read_sum) = self.read_record()?;
        match kind {
            b'c' if last_kind == b'e' && read_sum == sum.as_ref() => Ok(pem),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn read_database(&mut self) -> io::Result<Batch> {
        let mut batch = Batch::new();
        loop {
            let sum = self.sum();
            let (kind, bytes) = self.read_record()?;
            match kind {
                b'v' => batch.put_versions(bytes),
                b'r' => {
                    let (id, row) = split(&bytes)?;
                    batch.put_row(id, row.to_vec());
                }
                b'b' => {
                    let (info_hash, blob) = split(&bytes)?;
                    batch.put_blob(info_hash, blob.to_vec());
                }
                b'e' if bytes == sum.as_ref() && self.is_at_end()? => return Ok(batch),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// The letter and the content of the next record.
    fn read_record(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_RECORD_LENGTH {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((kind, self.take(length)?))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(bytes)?;
        self.sum.update(bytes);
        Ok(())
    }

    /// Reads `length` bytes. Allocates only for bytes that have arrived, so that a wrong length
    /// costs no memory.
    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        self.from.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }

    /// The SHA-256 of all bytes of the part that have been read.
    fn sum(&self) -> Digest {
        self.sum.clone().finish()
    }

    fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.from.read(&mut [0])? == 0)
    }
}

/// The fuzz function of the reader. Reads the input as it is. Then reads a backup with right
/// checksums: its first part has the bytes before the first line end as records, its second part
/// has the others.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(input: &[u8]) {
    let _ = read(&mut &*input);
    let at = input.iter().position(|byte| *byte == b'\n');
    let (first, second) = input.split_at(at.unwrap_or(0));
    let part = |first_line: &[u8], records: &[u8]| {
        let part = [first_line, records].concat();
        let sum = ring::digest::digest(&SHA256, &part);
        [&part, &b"e\0\0\0\x20"[..], sum.as_ref()].concat()
    };
    let whole = [part(CLUSTER, first), part(DATABASE, second)].concat();
    if let Ok(Some(_)) = read(&mut &*whole) {
        let cut = whole.get(..whole.len() - 1).unwrap_or_default();
        assert!(read(&mut &*cut).is_err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part with the database. A backup of the first version is only this part.
    fn database_part() -> Vec<u8> {
        let mut out = Vec::new();
        write_content(BackupWriter::begin(&mut out).unwrap());
        out
    }

    fn database_part_of(first_line: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_content(BackupWriter::begin_part(&mut out, first_line).unwrap());
        out
    }

    fn write_content(mut writer: BackupWriter<'_>) {
        writer.write_versions(b"v1").unwrap();
        writer.write_row(&[1; 16], b"one").unwrap();
        writer.write_row(&[2; 16], b"").unwrap();
        writer.write_blob(&[3; 20], &[7; 1000]).unwrap();
        writer.finish().unwrap();
    }

    fn backup() -> Vec<u8> {
        let mut out = Vec::new();
        write_cluster(&mut out, "key").unwrap();
        [out, database_part()].concat()
    }

    #[test]
    fn a_read_backup_has_the_contents_that_were_written() {
        let mut expected = Batch::new();
        expected.put_versions(b"v1".to_vec());
        expected.put_row([1; 16], b"one".to_vec());
        expected.put_row([2; 16], Vec::new());
        expected.put_blob([3; 20], vec![7; 1000]);
        let mut cluster = Vec::new();
        write_cluster(&mut cluster, "key").unwrap();
        let [first, third, fourth] = EARLIER_DATABASES.map(|line| database_part_of(line));
        let second_version = [cluster.clone(), first.clone()].concat();
        let third_version = [cluster.clone(), third].concat();
        let fourth_version = [cluster, fourth].concat();
        let key = Some(b"key".to_vec());
        for (bytes, key) in [
            (backup(), key.clone()),
            (database_part(), None),
            (fourth_version, key.clone()),
            (third_version, key.clone()),
            (second_version, key),
            (first, None),
        ] {
            let read = read(&mut bytes.as_slice()).unwrap().unwrap();
            assert!(read.batch == expected);
            assert_eq!(read.cluster, key);
        }
    }

    #[test]
    fn a_backup_may_have_only_a_free_name_or_that_of_an_earlier_backup() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        check_backup_name(&path).unwrap();
        let damaged = database_part()[..30].to_vec();
        for earlier in [backup(), database_part(), damaged] {
            std::fs::write(&path, earlier).unwrap();
            check_backup_name(&path).unwrap();
        }
        for other in ["", "my thesis", "pieceful backup 1", "pieceful backup x\n"] {
            std::fs::write(&path, other).unwrap();
            let taken = check_backup_name(&path);
            assert!(matches!(taken, Err(BackupError::Taken(_))), "{other:?}");
        }
        let nowhere = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &nowhere).unwrap();
        for other in [&nowhere, Path::new("/dev/null"), folder.path()] {
            let taken = check_backup_name(other);
            assert!(matches!(taken, Err(BackupError::Taken(_))), "{other:?}");
        }
    }

    #[test]
    fn a_file_of_another_format_is_no_backup_and_a_cut_off_first_line_is_a_damaged_backup() {
        for other in ["my thesis", "a thesis of many words", "pieceful backup 6\n"] {
            let read = read(&mut other.as_bytes()).unwrap();
            assert!(read.is_none(), "{other:?}");
        }
        // Earlier versions refuse this first line.
        assert!(database_part().starts_with(b"pieceful backup 5\n"));
        for cut in [0, 1, DATABASE.len() - 1, DATABASE.len()] {
            let error = read(&mut &DATABASE[..cut]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut}");
        }
    }

    #[test]
    fn a_record_that_is_too_long_is_refused_when_its_length_arrives() {
        let length = u32::try_from(MAX_RECORD_LENGTH + 1).unwrap().to_be_bytes();
        let whole = [DATABASE.as_slice(), b"b", &length].concat();
        let error = read(&mut whole.as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_detected() {
        for whole in [backup(), database_part()] {
            for at in 0..whole.len() {
                assert!(
                    !matches!(read(&mut &whole[..at]), Ok(Some(_))),
                    "cut at {at}"
                );
                let mut changed = whole.clone();
                changed[at] ^= 4;
                let read = read(&mut changed.as_slice());
                assert!(!matches!(read, Ok(Some(_))), "changed at {at}");
            }
            let longer = [whole, vec![0]].concat();
            assert!(read(&mut longer.as_slice()).is_err());
        }
    }
}
