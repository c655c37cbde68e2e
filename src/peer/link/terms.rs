//! The bounds of a link, and our side of the extension protocol (BEP 10).

use crate::peer::Context;
use crate::wire::extension::ExtensionHandshake;

/// The stack of a link's threads, in bytes.
pub(crate) const IO_STACK: usize = 256 << 10;
/// The most blocks asked of one link at a time: 64 MiB, which is twice what is on its way at 125
/// MB/s with a round trip of 250 ms.
pub(crate) const MAX_WINDOW: u32 = 4_096;
/// How many requests of another are kept, as the extension handshake says.
pub(super) const REQUEST_QUEUE: u32 = MAX_WINDOW;
/// How many requests are kept of one that does not heed that.
pub(super) const MAX_REQUEST_QUEUE: usize = 5_120;
/// The id of `ut_metadata` messages to us (BEP 9).
pub(crate) const METADATA_ID: u8 = 2;
/// The id of `ut_pex` messages to us (BEP 11).
pub(crate) const PEX_ID: u8 = 3;

/// What we say of ourselves on any link. It offers to take messages about metadata, and no others.
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
    }
}
