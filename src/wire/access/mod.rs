//! Messages of a control connection about accounts, groups and their shares: the requests of a
//! peer, and the answers and hints of a tracker.
//!
//! In scope: the messages and their exact encoding. Each message is the body of one frame (see
//! [`crate::wire::frame`]) of at most [`MAX_FRAME`] bytes. It is one bencoded dictionary in
//! canonical form. Its keys are `type`, which names its kind; `protocol` ([`PROTOCOL`]), except in
//! a [`Hint`]; and exactly the keys of that kind.
//!
//! An [`AccessRequestMessage`] carries a number that the peer chooses, and its
//! [`AccessReplyMessage`] repeats the number. A request that needs a login carries its token. The
//! only state that a tracker keeps for a connection is which hints the peer gets, so any request
//! may go to any tracker. A request that changes the registry carries a [`WriteId`]: if a peer
//! sends the same request again with the same id, to any tracker, it is carried out only once. Long
//! lists come in pages of at most [`MAX_PAGE`] entries.
//!
//! Out of scope: who may send which request, and what it does (see `tracker`). The messages of a
//! closed run are in [`crate::wire::control`].

mod announce;
mod bar;
mod catalogue_request;
#[cfg(test)]
mod catalogue_tests;
mod cluster;
mod entry;
mod error;
mod fields;
mod group_state;
mod hint;
mod holder;
mod holder_request;
#[cfg(test)]
mod holder_tests;
mod login_request;
#[cfg(test)]
mod login_tests;
mod machine;
mod machine_request;
#[cfg(test)]
mod machine_tests;
mod meant_version;
mod metainfo_assembly;
mod metainfo_part;
mod port_check;
mod private_addresses;
mod refused;
mod rendezvous;
mod reply;
mod request;
mod request_kinds;
mod request_message;
#[cfg(test)]
mod tests;
mod withdrawals;

pub use super::control::{MAX_FRAME, MAX_PAGE, SAME_VERSION};
pub use announce::{
    AnnounceBatch, AnnounceBatchAnswer, GroupAnnounceEvent, MAX_ANNOUNCES, NamedGroup, Placement,
    SwarmAnnounce,
};
pub use bar::{BAR_LIFE, Bar, BarTime, BarsDigest, MAX_BARS};
pub use cluster::{ClusterView, ReplicaView};
pub use entry::{
    DecisionEntry, DecisionOutcome, FileEntry, GroupEntry, GroupRole, MemberEntry, RequestEntry,
};
pub use error::{AccessErrorKind, ERROR_KINDS};
pub use fields::{
    IssuedToken, KEY_REQUEST_LENGTH, KeyRequest, MAX_SEEN_DECISIONS, MAX_TOKEN, SeenDecisions,
    ShortText, Token, WriteId,
};
pub use group_state::{GroupId, GroupState, OwnGroup};
pub use hint::{GroupNumbers, Hint, MAX_HINTED, MAX_NEW_PEERS, NewPeers};
#[cfg(test)]
pub(crate) use holder::samples as holder_samples;
pub use holder::{HolderEntry, HolderId, HolderName, MirrorEntry, NamedVersion};
pub use holder_request::HolderRequest;
pub use login_request::{LoginEntry, LoginRequest};
pub use machine::{
    MAX_TOKEN_GROUPS, MAX_TOKENS_IN_PAGE, MachineEntry, MachineState, TokenEntry, TokenGroup,
    TokenState,
};
pub use machine_request::{MAX_MACHINES_OF_TOKEN, MachineRequest};
pub use meant_version::MeantVersion;
pub use metainfo_assembly::{MetainfoAssembly, MetainfoError};
pub use metainfo_part::MetainfoPart;
pub use port_check::{PortCheck, PortState};
pub use private_addresses::{
    FoundPeers, MAX_PRIVATE_ADDRESSES, MAX_PRIVATE_IN_ANSWER, PrivateAddresses, is_private,
};
pub use refused::{AccessRefusal, only_reads};
pub use rendezvous::{TRACKERS_OF_GROUP, preferred_trackers};
pub use reply::{AccessAnswer, AccessReplyMessage, ListPage};
pub use request::{AccessRequest, MAX_FIRST_FRAME, PROTOCOL};
pub use request_kinds::REQUEST_KINDS;
pub use request_message::AccessRequestMessage;
pub use withdrawals::{MAX_WITHDRAWALS, Withdrawal, Withdrawals};

/// The fuzz function of the messages: each has one encoding.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(body: &[u8]) {
    if let Ok(message) = AccessRequestMessage::decode(body) {
        assert_eq!(message.encode(), body);
    }
    if let Ok(reply) = AccessReplyMessage::decode(body) {
        assert_eq!(reply.encode(), body);
    }
    if let Ok(Some(hint)) = Hint::decode(body) {
        assert_eq!(hint.encode(), body);
    }
}
