//! The command `send`: it hashes a file or folder, writes its `.torrent` file and shares it in an
//! open swarm.

use crate::peer::{OpenFiles, Peer, PeerError, Transfer, TransferPlan, announce, read_torrent};
use crate::storage::{CreateOptions, FileLayout, RecordKind, Store, create_stamped};
use crate::torrent::{InfoHash, Metainfo};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of `send`.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The name of the share.
    pub name: String,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// The `.torrent` file that was written.
    pub torrent: PathBuf,
    /// The length of the share in bytes.
    pub length: u64,
    /// The number of pieces of the share.
    pub pieces: u32,
}

impl Peer {
    /// Hashes a file or folder, writes its `.torrent` file, records it and shares it. `progress` is
    /// called with the bytes done and all bytes. An existing file that is not the same torrent is
    /// left unchanged.
    ///
    /// # Errors
    /// When no tracker is known, something cannot be read or written, or the peer is stopping.
    pub fn send(
        &self,
        path: &Path,
        torrent: &Path,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Sent, PeerError> {
        let announcer = &self.services.announcer;
        let trackers = announce::read_tracker_info(&announcer.tracker_info);
        let trackers = trackers.map_err(PeerError::NoTracker)?.addresses;
        // An existing file that is no torrent is refused now, because hashing may take long. Whether
        // it is the same torrent is known only after the hashing.
        if torrent.symlink_metadata().is_ok() {
            read_torrent(torrent)?;
        }
        let path = std::path::absolute(path).map_err(PeerError::file(path))?;
        let options = CreateOptions {
            piece_length: None,
            private: false,
            file_sha1: false,
            ssl_cert: None,
        };
        let (info, stamps) =
            create_stamped(&path, &options, progress, self.services.command.flag())?;
        let tiers = trackers
            .iter()
            .map(|tracker| vec![announce::url_of(&tracker.to_string())])
            .collect();
        let metainfo = Metainfo::new(info, tiers);
        let info = metainfo.info();
        let sent = Sent {
            name: info.name().to_string(),
            info_hash: info.info_hash(),
            torrent: torrent.to_owned(),
            length: info.lengths().total(),
            pieces: info.lengths().pieces(),
        };
        let store = Store::open(FileLayout::all(Arc::new(info.clone())), &path)?;
        store.seal(&stamps);
        let plan = TransferPlan::new(metainfo, RecordKind::Share(path.clone()));
        let transfer = self.new_transfer(plan)?;
        let save = |transfer: &Transfer| {
            write_torrent(torrent, &transfer.plan.metainfo)?;
            Ok(transfer.create_record()?)
        };
        let started = self.start_transfer(transfer, OpenFiles::Whole(Arc::new(store)), save);
        // The same path is shared already: that transfer goes on unchanged.
        if let Err(PeerError::Already { path: other, .. }) = &started
            && *other == path
            && let Some(other) = self.transfers.transfer(sent.info_hash)
        {
            write_torrent(torrent, &other.plan.metainfo)?;
            return Ok(sent);
        }
        started.map(|()| sent)
    }
}

/// Writes a `.torrent` file completely or not at all. It replaces the same torrent, but no other
/// file.
fn write_torrent(path: &Path, metainfo: &Metainfo) -> Result<(), PeerError> {
    let file = PeerError::file(path);
    if path.symlink_metadata().is_ok() {
        let same = read_torrent(path)
            .is_ok_and(|other| other.info().info_hash() == metainfo.info().info_hash());
        if !same {
            let taken = "another file with this name exists; name another file for the torrent";
            return Err(file(io::Error::new(io::ErrorKind::AlreadyExists, taken)));
        }
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    // Only the kind of the error is kept, because its text names the temporary file.
    let temporary = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
        .map_err(|error| file(error.kind().into()))?;
    io::Write::write_all(&mut temporary.as_file(), &metainfo.encode()).map_err(file)?;
    // Other users may read a torrent. The temporary file was readable by its owner only.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    temporary
        .as_file()
        .set_permissions(readable)
        .map_err(file)?;
    temporary.persist(path).map_err(|error| file(error.error))?;
    Ok(())
}
