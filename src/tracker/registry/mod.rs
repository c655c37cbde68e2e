//! The registry: accounts, groups and who is in them, right for any number of trackers that write at the same time.
//!
//! In scope: the rows, the rules of every operation, how the rows of two trackers become the same, what follows from
//! them, and their encoding. Out of scope: files, sockets, threads and clocks; hashing of passwords and signing of tokens.
//! Random ids, hashes and the time (since 1970) are handed in.
//!
//! # How a write goes
//! An operation looks at the registry and gives an [`Update`] or a [`Refusal`]; it changes nothing. Whoever runs it makes
//! the update's rows and version vector durable in one commit, hands it to [`Registry::apply`], pushes its [`Change`] to
//! the other trackers and then answers. What others push or send goes the same way through [`Registry::merge`]. To commit
//! several writes at once, apply each in turn, commit them together, and only then push and answer; if that commit fails,
//! what is in memory is ahead of the disk and must be thrown away.
//!
//! # How rows become the same
//! Rows stand under ids that are random, or follow from what a peer drew. A row's kind and facts never change; each of its fields is a
//! [`Register`] with the [`Version`] that wrote it, and two states of a row merge field by field, so that merging is
//! commutative, associative and idempotent. Whoever asks for a write again, having got no answer, hands in the same ids: where
//! the first tracker has told of it, its [`Receipt`] says that it is done; else the row that each of them made is one row,
//! and its later creation counts. Everything else (who holds a name, who is a member, who owns a group, whether
//! it exists) is no row but follows from the set of rows, so that two registries with the same rows cannot disagree about it.
//!
//! A [`VersionVector`] says up to which write of each [`Origin`] a registry knows all that still stands;
//! [`Registry::since`] gives what another one lacks, in bounded batches.
//!
//! # Conflicts
//! "Earlier" and "later" are by [`Stamp`]: what was done in knowledge of something is later than it, whatever the clocks say.
//!
//! | on one side | on the other | outcome |
//! |---|---|---|
//! | a user or group name is given | the same name is given | the earlier claim holds the name; the other row is kept, stands under `NAME~TAG`, and may take another name (only then may a name be changed) |
//! | a name is changed | it is changed | the later change stays |
//! | password changed | password changed | the later one stays; sessions made under any other one end |
//! | password changed, or all sessions ended | log-in, or renewal of a token | a token is bound to the credential it was made under: it ends |
//! | log-out | renewal of the token | the session has ended, with all its tokens |
//! | a request is accepted | it is accepted | the earlier acceptance counts for standing |
//! | a request is accepted | it is rejected | rejected |
//! | a member does something | that member is removed | what was done stays; the member is out |
//! | a member leaves, or is removed | a request of the same user made **earlier** is accepted | out: an end overtakes every request made before it, whichever row it is in |
//! | a member leaves, or is removed | the same user asks anew, **later** | the request stands |
//! | two requests of one user for one group | either is accepted | one membership; the other request lapses |
//! | a member leaves | the same member is removed | out; the later reason is told |
//! | the owner leaves | the member who would own the group leaves | the group is the next one's who has been a member longest |
//! | the owner leaves and another takes over | the old owner accepts, rejects or removes | what was done stays |
//! | the last member leaves: the group ends | somebody is accepted into it | the group goes on, and belongs to that member |
//! | a group ends, and its name is given anew | somebody is accepted into the ended one | both go on; the older claim holds the name |
//! | a share is published | one of the same name is | the earlier one holds the name; the other stands as `NAME~TAG` |
//! | a share is published | the group ends | the share is out of reach with its group, and back if the group goes on |
//! | a share is withdrawn | it is withdrawn | withdrawn |
//! | an invite is redeemed | it is redeemed | both accounts are kept; the earlier one stands as its user |
//! | something is made, and not answered | the peer asks again, and it is made | one row, as of the later making: a group keeps the later key; the earlier acceptance, as ever |
//! | anything else is done, and not answered | the peer asks again, and it is done | once, by the rule of its field |
//!
//! # What is dropped
//! Memberships that ended are kept: they are what keeps a removed member out, against an old backup too. Log-outs,
//! invites and receipts past their time say nothing any more and may be dropped once every tracker has them ([`Registry::droppable`]).

mod accounts;
mod catalogue;
mod change;
mod compare;
mod dump;
mod encoding;
mod groups;
mod id;
mod index;
mod members;
mod names;
mod queries;
mod receipts;
mod refusal;
mod register;
mod row;
mod secret;
mod shares;
mod stamp;
mod state;
#[cfg(test)]
pub(super) mod tests;
mod update;

pub use crate::wire::access::{Outcome, Standing};
pub use crate::wire::name::{GroupName, Label, LabelError, MAX_NAME, NameError, UserName};
pub use accounts::NewAccount;
pub use catalogue::{SharePlace, SharePlaceError};
pub use change::{Change, Span, VersionVector};
pub use compare::{Difference, Differing};
pub use dump::Dump;
pub use encoding::DecodeError;
pub use groups::{Leaving, NewGroup};
pub use id::{IdError, Origin, RowId, Sequence};
pub use queries::{
    Answer, Cursor, CursorError, GroupView, MAX_PAGE, MemberView, Page, RequestView,
};
pub use refusal::Refusal;
pub use register::Register;
pub use row::{
    Account, Contradiction, End, EndReason, Group, Invite, Membership, Receipt, Revocation, Row,
    Share,
};
pub use secret::{
    CodeHash, GroupKey, GroupKeyError, MAX_GROUP_KEY, MAX_PASSWORD_HASH, PasswordHash,
    PasswordHashError,
};
pub use shares::{NewShare, ShareView};
pub use stamp::{Clock, Drift, MAX_DRIFT, MAX_WALL, Stamp, Version};
pub use state::Registry;
pub use update::{LoadError, MergeError, Stale, Update};

use crate::wire::name;
use catalogue::Catalogue;
use index::Index;
use members::{GroupMembers, Place, live, membership};
use names::Names;
use register::merge;
use row::Rows;
use stamp::millis;
