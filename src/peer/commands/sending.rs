//! The command `send`: it hashes a file or folder, writes its `.torrent` file and shares it in an
//! open swarm.

use super::new_share::{HashedShare, NewShare};
use crate::peer::{
    OpenFiles, Peer, PeerError, Transfer, TransferPlan, announce, read_torrent,
    refuse_if_being_replaced,
};
use crate::storage::{
    CreateOptions, RecordKind, ShareDraft, SharedPath, check_output, reserve_output, write_output,
};
use crate::torrent::{Info, Metainfo};
use std::io;
use std::path::{Path, PathBuf};

/// The result of `send`.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The share.
    pub share: NewShare,
    /// The `.torrent` file that was written.
    pub torrent: PathBuf,
}

impl Peer {
    /// Hashes a file or folder, writes its `.torrent` file to `torrent`, records the share and
    /// starts it. With `follows_links`, symbolic links inside the folder are followed. `progress`
    /// is called with the number of bytes hashed so far and of all bytes.
    ///
    /// # Errors
    /// No tracker is known; `torrent` exists and is not a `.torrent` file of this share (it stays
    /// unchanged); this peer already shares or downloads the same content at another path; a file
    /// cannot be read or written; the peer is stopping.
    pub fn send(
        &self,
        path: &Path,
        torrent: &Path,
        follows_links: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Sent, PeerError> {
        let announcer = &self.services.announcer;
        let trackers = announce::read_tracker_info(announcer.tracker_info.path());
        let trackers = trackers
            .map_err(|error| PeerError::NoTracker(error.to_string()))?
            .addresses;
        // Hashing may take long. So errors of the output are found before it.
        check_output(torrent).map_err(PeerError::file(torrent))?;
        let path = std::path::absolute(path).map_err(PeerError::file(path))?;
        refuse_if_being_replaced(&self.transfers, &path)?;
        let urls = trackers
            .iter()
            .map(|tracker| announce::url_of(&tracker.to_string()));
        let tiers: Vec<Vec<String>> = urls.map(|url| vec![url]).collect();
        let options = CreateOptions {
            trackers: &tiers,
            output: Some(torrent),
            follows_links,
            ..CreateOptions::default()
        };
        let draft = ShareDraft::new(&path, &options)?;
        check_replaceable(torrent, |other| other.has_same_files(draft.info()))?;
        let length = draft.torrent_length();
        let reserved = (
            reserve_output(torrent, length).map_err(PeerError::file(torrent))?,
            self.context.records.reserve(length)?,
        );
        let command = self.services.commands.current();
        let HashedShare {
            share,
            metainfo,
            store,
        } = HashedShare::hash(draft, &path, progress, command.flag())?;
        drop(reserved);
        let sent = Sent {
            share,
            torrent: torrent.to_owned(),
        };
        let shared = SharedPath {
            path: path.clone(),
            follows_links,
        };
        let plan = TransferPlan::new(metainfo, RecordKind::Share(shared));
        let transfer = self.new_transfer(plan)?;
        let save = |transfer: &Transfer| {
            write_torrent(torrent, &transfer.plan.metainfo)?;
            transfer.create_record()?;
            Ok(())
        };
        let started = self.start_transfer(transfer, OpenFiles::Whole(store), save);
        // If the share is shared already from this path, the existing transfer goes on unchanged.
        // The `.torrent` file is written from its metainfo.
        if let Err(PeerError::Already { path: other, .. }) = &started
            && *other == path
            && let Some(other) = self.transfers.transfer(sent.share.info_hash)
        {
            write_torrent(torrent, &other.plan.metainfo)?;
            return Ok(sent);
        }
        started.map(|()| sent)
    }
}

/// Refuses a path at which something exists, unless it is a torrent for which `is_same` is true.
fn check_replaceable(path: &Path, is_same: impl Fn(&Info) -> bool) -> Result<(), PeerError> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let no_torrent = "it exists and is no torrent; name another file for the torrent";
    let other = "another file with this name exists; name another file for the torrent";
    // Opening a pipe would block.
    let taken = match path.is_file().then(|| read_torrent(path)) {
        Some(Ok(found)) if is_same(found.info()) => return Ok(()),
        Some(Ok(_)) => other,
        Some(Err(PeerError::Torrent { .. })) | None => no_torrent,
        Some(Err(error)) => return Err(error),
    };
    let error = io::Error::new(io::ErrorKind::AlreadyExists, taken);
    Err(PeerError::file(path)(error))
}

/// Writes a `.torrent` file completely or not at all. Replaces a `.torrent` file with the same
/// info-hash, but no other file.
fn write_torrent(path: &Path, metainfo: &Metainfo) -> Result<(), PeerError> {
    let info_hash = metainfo.info().info_hash();
    check_replaceable(path, |other| other.info_hash() == info_hash)?;
    write_output(path, &metainfo.encode(), true).map_err(PeerError::file(path))
}
