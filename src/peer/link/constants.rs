//! The constants of a link, and our side of the extension protocol (BEP 10).

use crate::peer::Context;
use crate::wire::extension::ExtensionHandshake;

/// The stack size of threads that do network I/O, in bytes.
pub(crate) const IO_STACK: usize = 256 << 10;
/// The maximum number of our open requests over one link. Their blocks add up to 64 MiB, which is
/// twice the bandwidth-delay product of 125 MB/s and 250 ms.
pub(crate) const MAX_WINDOW: u32 = 4_096;
/// The number of open requests that our extension handshake allows the remote peer.
pub(super) const REQUEST_QUEUE: u32 = MAX_WINDOW;
/// The maximum number of open requests of a remote peer that ignores [`REQUEST_QUEUE`]. One more
/// closes the link.
pub(super) const MAX_REQUEST_QUEUE: usize = 5_120;
/// The extension id of `ut_metadata` messages to us (BEP 9).
pub(crate) const METADATA_ID: u8 = 2;
/// The extension id of `ut_pex` messages to us (BEP 11).
pub(crate) const PEX_ID: u8 = 3;

/// The extension id of messages to us that contain modification times.
pub(crate) const TIMES_ID: u8 = 4;

/// Our extension handshake without the fields that depend on the share. Of the extension messages,
/// it offers only those for metadata.
pub(crate) fn extension_handshake(context: &Context, upload_only: bool) -> ExtensionHandshake {
    let identity = &context.identity;
    ExtensionHandshake {
        client: Some(concat!("pieceful ", env!("CARGO_PKG_VERSION")).to_owned()),
        name: Some(identity.name.clone()).filter(|name| !name.is_empty()),
        request_queue: Some(REQUEST_QUEUE),
        port: Some(identity.address.port()),
        upload_only: upload_only.then_some(true),
        metadata: Some(METADATA_ID),
        metadata_size: None,
        pex: None,
        times: None,
    }
}
