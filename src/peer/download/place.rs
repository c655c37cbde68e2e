//! The place of a download, and reading the `.torrent` files that people name.

use crate::peer::{PeerError, Transfer, Transfers, WantedPlace};
use crate::storage::{Destination, RecordKind, RecordState, StoreError};
use crate::swarm::Phase;
use crate::torrent::{Info, InfoHash, Layout, MAX_METAINFO, Metainfo, NamedSources};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The result of a command that starts a download: the download, or the share that was here before.
#[derive(Clone, Debug)]
pub struct Started {
    /// The name of the share.
    pub name: String,
    /// The info-hash of its swarm.
    pub info_hash: InfoHash,
    /// Its path when it is complete.
    pub path: PathBuf,
    /// Whether the share was here before, so that nothing was started.
    pub already: bool,
    /// What the share that was here before takes over from the torrent or link.
    pub taken_over: TakenOver,
    /// The number of the version of a share of a group.
    pub version: Option<u32>,
    /// The number of the version in whose place it goes, if there is one.
    pub replaces: Option<u32>,
}

/// The trackers, web seeds and peers that a share takes over from another torrent or
/// link of the same share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TakenOver {
    /// None: there are no new ones.
    #[default]
    Nothing,
    /// These.
    Added(NamedSources),
    /// None, although there are new ones: a private torrent has its own trackers only (BEP 27).
    RefusedAsPrivate,
}

impl Started {
    pub(crate) fn new(info: &Info, path: PathBuf) -> Self {
        let (name, info_hash) = (info.name().to_string(), info.info_hash());
        Self {
            name,
            info_hash,
            path,
            already: false,
            taken_over: TakenOver::Nothing,
            version: None,
            replaces: None,
        }
    }
}

/// The place for a share. If the destination is a folder, the share is put into it. Otherwise the
/// destination is the path of the share. If this share is a download already, there are two
/// exceptions, so that the command that started it can be repeated:
/// - The destination is the path of the download. This path is meant, even if a folder is there
///   now.
/// - The destination is the folder that contained the download, and does not exist any more. The
///   share is put into this folder again.
///
/// # Errors
/// - The destination cannot be used.
/// - This peer has had the complete share there, and nothing is there now. Its disk may not be
///   mounted, so the download does not begin again.
/// - This peer downloads the share to this place, and something else is there now.
pub(crate) fn place_of(
    transfers: &Transfers,
    metainfo: &Metainfo,
    destination: &WantedPlace,
) -> Result<Destination, PeerError> {
    let Some(transfer) = transfers.transfer(metainfo.info().info_hash()) else {
        return wanted_place(metainfo, destination);
    };
    let named = destination.named.as_deref();
    let place = match named.and_then(|named| recorded_place(&transfer, named)) {
        Some(recorded) => recorded,
        None => wanted_place(metainfo, destination)?,
    };
    if place.path() == transfer.plan.path() {
        check_path(&transfer)?;
    }
    Ok(place)
}

/// The place of `transfer` if it is a download and the destination means that place.
fn recorded_place(transfer: &Transfer, destination: &Path) -> Option<Destination> {
    let RecordKind::Download(place) = &transfer.plan.kind else {
        return None;
    };
    let named = std::path::absolute(destination).ok()?;
    let names_missing_folder = || named == place.folder && named.symlink_metadata().is_err();
    (named == place.path() || names_missing_folder()).then(|| place.clone())
}

/// Fails if the share was complete and nothing is at its path, or if it is being downloaded and
/// something else is there.
fn check_path(transfer: &Transfer) -> Result<(), PeerError> {
    let (path, phase) = (transfer.plan.path(), transfer.phase());
    let was_complete = match &phase {
        // The files have not been looked for yet, but the record says whether it was complete.
        Phase::Checking => {
            let record = transfer.context.records.find(transfer.info_hash());
            record.is_some_and(|record| matches!(record.state, RecordState::Complete { .. }))
        }
        phase => phase.was_complete(),
    };
    match (was_complete, path.symlink_metadata().is_ok()) {
        (true, false) => Err(PeerError::FilesMissing(
            transfer.reason_of_loss(&StoreError::Missing(path)),
        )),
        // The caller checks whether these files belong to the new download.
        (false, true) if transfer.has_ended() || phase == Phase::Finishing => Ok(()),
        (false, true) => Ok(transfer.check_final_name()?),
        (true, true) | (false, false) => Ok(()),
    }
}

fn wanted_place(metainfo: &Metainfo, destination: &WantedPlace) -> Result<Destination, PeerError> {
    match destination.is_exact {
        true => exact_place(destination.path()),
        false => place(metainfo, destination.path()),
    }
}

/// The place that a destination means: a folder that will contain the share, or the share's own
/// path.
pub(crate) fn place(metainfo: &Metainfo, destination: &Path) -> Result<Destination, PeerError> {
    let name = metainfo.info().name().as_str();
    let ends_as_folder = destination.as_os_str().as_encoded_bytes().ends_with(b"/");
    let absolute = std::path::absolute(destination).map_err(PeerError::file(destination))?;
    if ends_as_folder || absolute.is_dir() {
        return Ok(Destination {
            folder: absolute,
            name: name.to_owned(),
        });
    }
    exact_place(destination)
}

/// The place of a share whose file or folder has this path.
fn exact_place(path: &Path) -> Result<Destination, PeerError> {
    let file_error = PeerError::file(path);
    let absolute = std::path::absolute(path).map_err(file_error)?;
    let unusable = || {
        file_error(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a valid name of a file or folder",
        ))
    };
    let folder = absolute.parent().ok_or_else(unusable)?.to_owned();
    let name = absolute
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(unusable)?;
    Ok(Destination {
        folder,
        name: name.to_owned(),
    })
}

/// Reads a `.torrent` file.
pub(crate) fn read_torrent(path: &Path) -> Result<Metainfo, PeerError> {
    let file_error = PeerError::file(path);
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).map_err(file_error)?;
    // Reads one byte more than the limit, so that the parser rejects a longer file.
    opened
        .take(MAX_METAINFO as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(file_error)?;
    Metainfo::parse(&bytes).map_err(|source| PeerError::Torrent {
        path: path.to_owned(),
        source,
    })
}

/// Checks that the share can replace what is at `path`: a file replaces a file, a folder a folder.
pub(crate) fn check_same_kind(info: &Info, path: &Path) -> Result<(), PeerError> {
    let found = path.symlink_metadata().map_err(PeerError::file(path))?;
    let kind = found.file_type();
    let found = match (kind.is_file(), kind.is_dir(), kind.is_symlink()) {
        (true, ..) => "a file",
        (_, true, _) => "a folder",
        (_, _, true) => "a symbolic link",
        _ => "neither file nor folder",
    };
    let share = match info.layout() {
        Layout::File => "a file",
        Layout::Folder => "a folder",
    };
    if found == share {
        return Ok(());
    }
    Err(PeerError::OtherKind {
        path: path.to_owned(),
        found,
        share,
    })
}

/// The absolute path of the destination, because the peer may be started in another working
/// directory next time. Fails if the folder that will contain the share does not exist.
pub(crate) fn absolute_destination(destination: &Path) -> Result<PathBuf, PeerError> {
    let file_error = PeerError::file(destination);
    let absolute = std::path::absolute(destination).map_err(file_error)?;
    // The slash shows that the destination is a folder, even if its disk is not mounted at a later
    // start.
    let absolute = match absolute.is_dir() {
        true => absolute.join(""),
        false => absolute,
    };
    let folder = match absolute.parent() {
        Some(parent) if !absolute.is_dir() => parent,
        _ => &absolute,
    };
    if !folder.metadata().map_err(file_error)?.is_dir() {
        return Err(file_error(std::io::ErrorKind::NotADirectory.into()));
    }
    Ok(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_folder_as_destination_gets_a_final_slash() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("mnt");
        std::fs::create_dir(&folder).unwrap();
        let ends_as_folder = |path: &Path| {
            let destination = absolute_destination(path).unwrap();
            destination.as_os_str().as_encoded_bytes().ends_with(b"/")
        };
        assert!(ends_as_folder(&folder) && !ends_as_folder(&folder.join("new")));
        let missing = absolute_destination(&temporary.path().join("gone/new"));
        assert!(matches!(missing, Err(PeerError::File { .. })));
    }
}
