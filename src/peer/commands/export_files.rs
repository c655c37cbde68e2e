//! The files that `export_torrent` writes. They take the place of those of an earlier export of the
//! same share, but never of other files: a private key has no copy.

use crate::certificate::{GroupCertificate, GroupIdentity, MemberKey};
use crate::peer::{PeerError, read_torrent};
use crate::storage::{PreparedOutput, Readers};
use crate::torrent::Metainfo;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The group ffdhe2048 (RFC 7919, appendix A.1). Some clients demand Diffie-Hellman parameters for
/// an SSL torrent, although TLS 1.3 needs none.
const DH_PARAMETERS: &str = "-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
";
/// The longest certificate, key or text with parameters that an earlier export can have written, in
/// bytes.
const MAX_TEXT: u64 = 64 << 10;

/// The paths of the files.
#[derive(Debug)]
pub(super) struct ExportFiles {
    pub(super) torrent: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) dh: PathBuf,
}

/// Which files of an earlier export exist.
#[derive(Debug)]
pub(super) struct Earlier {
    torrent: bool,
    certificate: bool,
    key: bool,
    dh: bool,
}

impl ExportFiles {
    /// The files for the share `name` in a folder.
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        let at = |kind: &str| folder.join(format!("{name}.{kind}"));
        Self {
            torrent: at("torrent"),
            certificate: at("crt"),
            key: at("key"),
            dh: at("dh"),
        }
    }

    /// Checks that each file is absent, or was written by an earlier export of the share, whose
    /// group has this authority.
    pub(super) fn check(
        &self,
        metainfo: &Metainfo,
        authority: &GroupCertificate,
    ) -> Result<Earlier, PeerError> {
        let certificate = read_text(&self.certificate)?;
        let key = read_text(&self.key)?;
        let dh = read_text(&self.dh)?;
        let torrent = exists(&self.torrent)?;
        // The torrent is written first, so without it no other file is of an export.
        let is_own = torrent && is_torrent_of(&self.torrent, metainfo);
        let is_own_pair = |certificate: &Vec<u8>| authority.has_issued(certificate, key.as_deref());
        let foreign = [
            (&self.torrent, torrent && !is_own),
            (
                &self.certificate,
                certificate
                    .as_ref()
                    .is_some_and(|text| !is_own || !authority.has_issued(text, None)),
            ),
            (
                &self.key,
                key.is_some() && !(is_own && certificate.as_ref().is_some_and(is_own_pair)),
            ),
            (
                &self.dh,
                dh.as_ref()
                    .is_some_and(|text| !is_own || text != DH_PARAMETERS.as_bytes()),
            ),
        ];
        match foreign.into_iter().find(|(_, is_foreign)| *is_foreign) {
            Some((path, _)) => Err(foreign_file(path)),
            None => Ok(Earlier {
                torrent,
                certificate: certificate.is_some(),
                key: key.is_some(),
                dh: dh.is_some(),
            }),
        }
    }

    /// Writes the files. After a failure at any step, [`ExportFiles::check`] still accepts what is
    /// there: a certificate may lack its key, but never has another one.
    pub(super) fn write(
        &self,
        earlier: &Earlier,
        metainfo: &Metainfo,
        identity: &GroupIdentity,
        member_key: &MemberKey,
    ) -> Result<(), PeerError> {
        let prepare = |readers, path: &Path, bytes: &[u8]| {
            let prepared = PreparedOutput::new(readers, path, bytes);
            prepared.map_err(PeerError::file(path))
        };
        // What can fail because a disk is full fails before anything has changed.
        let torrent = prepare(Readers::Anybody, &self.torrent, &metainfo.encode())?;
        let leaf = identity.leaf_pem();
        let certificate = prepare(Readers::Anybody, &self.certificate, leaf.as_bytes())?;
        let key = prepare(Readers::Owner, &self.key, member_key.to_pem().as_bytes())?;
        let dh = prepare(Readers::Anybody, &self.dh, DH_PARAMETERS.as_bytes())?;
        let place = |prepared: PreparedOutput, path: &Path, replaces| {
            prepared.place(replaces).map_err(PeerError::file(path))
        };
        place(torrent, &self.torrent, earlier.torrent)?;
        if earlier.key {
            match fs::remove_file(&self.key) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(PeerError::file(&self.key)(error));
                }
                _ => {}
            }
        }
        place(certificate, &self.certificate, earlier.certificate)?;
        place(key, &self.key, false)?;
        place(dh, &self.dh, earlier.dh)
    }
}

fn foreign_file(path: &Path) -> PeerError {
    let what = "it exists and is of no earlier export of this share; name another folder";
    let error = io::Error::new(io::ErrorKind::AlreadyExists, what);
    PeerError::file(path)(error)
}

/// Whether a file exists. Fails if the path has something else: opening a pipe would block.
fn exists(path: &Path) -> Result<bool, PeerError> {
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(foreign_file(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(PeerError::file(path)(error)),
    }
}

/// The content of a file that an earlier export may have written. `None` if it does not exist.
fn read_text(path: &Path) -> Result<Option<Vec<u8>>, PeerError> {
    if !exists(path)? {
        return Ok(None);
    }
    let length = path.metadata().map_err(PeerError::file(path))?.len();
    if length > MAX_TEXT {
        return Err(foreign_file(path));
    }
    fs::read(path).map(Some).map_err(PeerError::file(path))
}

fn is_torrent_of(path: &Path, metainfo: &Metainfo) -> bool {
    let info_hash = metainfo.info().info_hash();
    read_torrent(path).is_ok_and(|found| found.info().info_hash() == info_hash)
}
