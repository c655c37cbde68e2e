//! An announce for the tests of announcing over HTTP and over UDP.

use crate::torrent::InfoHash;
use crate::wire::{AnnounceRequest, PeerId};
use std::num::NonZeroU16;

pub(super) fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
        port: NonZeroU16::MIN,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: None,
        num_want: None,
        compact: true,
        no_peer_id: true,
        key: None,
        pieceful: true,
    }
}
