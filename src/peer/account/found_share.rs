//! A version of a share in a catalogue, and how one is put there.

use crate::storage::ShareVersion;
use crate::torrent::Info;
use crate::wire::access::MetainfoPart;
use crate::wire::note::Note;

/// What `upload_file` may do in the catalogue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishOptions {
    /// Whether the share may become the next version of the share that has its name.
    pub update: bool,
    /// The note of the publisher.
    pub note: Option<Note>,
    /// Whether symbolic links inside the folder are followed.
    pub follow_links: bool,
}

/// A version of a share in a catalogue.
#[derive(Clone, Debug)]
pub(crate) struct FoundShare {
    /// Its info dictionary.
    pub(crate) info: Info,
    /// The version.
    pub(crate) version: ShareVersion,
    /// The number of peers that have all or a part of it.
    peers: u64,
}

impl FoundShare {
    /// The version with this info dictionary, of which a tracker has sent the last part.
    pub(super) fn new(info: Info, last: &MetainfoPart) -> Self {
        Self {
            info,
            version: ShareVersion {
                share: last.share.as_str().to_owned(),
                number: last.version,
            },
            peers: last.peers(),
        }
    }

    /// Whether `name`, with which it was found, names this version, and not just the share.
    pub(crate) fn is_named_version(&self, name: &str) -> bool {
        name != self.version.share
    }

    /// Whether no peer has anything of it, as far as the tracker knows.
    pub(crate) fn has_no_holder(&self) -> bool {
        self.peers == 0
    }
}
