//! The registry: accounts, groups, memberships and shares. Any number of trackers can write to it
//! at the same time.
//!
//! In scope: the rows, the rules of each operation, the merging of rows, what is derived from the
//! rows, and their encoding. Out of scope: files, sockets, threads and clocks; hashing passwords
//! and signing tokens. The caller passes in random ids, hashes and the time since 1970.
//!
//! # How a write works
//! An operation reads the registry and returns an [`Update`] or a [`Refusal`]. It changes nothing.
//! The caller then does the following, in this order:
//!
//! 1. It passes the update to [`Registry::apply`].
//! 2. It commits the rows and the version vector of the update to the disk, in one transaction.
//! 3. It pushes the [`Change`] of the update to the other trackers.
//! 4. It replies to the peer.
//!
//! A change from another tracker is handled in the same way, with an update from
//! [`Registry::merge`]. The caller may apply several updates one by one and commit them together.
//! It pushes and replies only after the commit. If the commit fails, the memory is ahead of the
//! disk: the caller must load the registry again.
//!
//! # How rows merge
//! Each row has an id, which is random or derived from the random id of a write. The kind and the
//! attributes of a row never change (note 12 has an exception). Each field of a row is a
//! [`Register`]: a value and the [`Version`] of the write that set it. Two states of one row merge
//! field by field. The first writer wins for the acceptance of a request, for the use of an
//! invite and for the name of a machine; the starts of a machine ([`Starts`]) and the edition of a
//! version of a share ([`Share`]) have rules of their own; the last writer wins for all other
//! fields. Merging is commutative, associative and idempotent.
//!
//! A peer that receives no answer sends its command again, perhaps to another tracker, with the
//! same write id. If that tracker has the [`Receipt`] of the write, the write was already made. If
//! it has no receipt, it makes the write again, under the same row ids. Both trackers have then
//! made the same row, and the rows merge.
//!
//! The registry does not store who holds a name, who is a member, who owns a group and whether a
//! group exists. It derives these facts from the set of rows, so two registries with the same rows
//! always agree about them.
//!
//! A [`VersionVector`] contains, for each [`Origin`], the last write up to which the registry is
//! complete. [`Registry::since`] returns what another registry lacks, in bounded batches.
//!
//! # Conflicts
//! Trackers accept writes while they cannot reach each other. When they reconnect, these rules
//! decide. "Earlier" and "later" compare [`Stamp`]s: a write that was made with knowledge of
//! another one is always later than it, even if the clocks are wrong. "Both" means that the two
//! writes do not exclude each other. Members are numbered in the order of their acceptance. The
//! tests in `tests/conflicts.rs` follow this table. Those of some rows are in `roles.rs`,
//! `removal.rs`, `usage.rs`, `catalogue.rs`, `versions.rs`, `audit.rs`, `machines.rs` and
//! `receipts.rs` there.
//!
//! | at one tracker | at another tracker | what wins |
//! |---|---|---|
//! | a user or group gets a name | another one gets the same name | the earlier claim (note 1) |
//! | a user or group gets a name | another one gets it in other letter case | both (note 2) |
//! | a name is changed | the same name is changed | the later change |
//! | a password is changed | the same password is changed | the later change (note 3) |
//! | a password changes, or all logins end | a log-in or token renewal | the logins end (note 3) |
//! | a log-out | a renewal of the token | the log-out: the login and all its tokens end (note 4) |
//! | a login is ended from another one | it is used | the end, as a log-out |
//! | a use of a login is noted | another use of it is noted | the later use |
//! | a login without a row is used | it is used | both: one row, begun as the later one says |
//! | a request is accepted | it is accepted | both: member since the earlier acceptance |
//! | a request is accepted | it is rejected | the rejection, even if it is earlier |
//! | a member writes anything | that member is removed | both: the write is kept |
//! | an account is removed | it or its machine writes anything | the removal (note 5) |
//! | an account is removed | a group accepts it | the removal (note 5) |
//! | an account is removed | its password or name changes, or it logs in | the removal (note 5) |
//! | an account is removed | another account gets its name | both: the name is free again |
//! | a user stays within a quota | the same user does too | both, even beyond the quota (`usage`) |
//! | a member gets a role | the same member gets a role | the later role |
//! | a member gets a role | that member leaves or is removed | the end: the role ends too |
//! | a member gets a role | it leaves and is accepted again | a publisher: the role ended |
//! | an owner demotes another owner | that one demotes the first | both (note 6) |
//! | the only owner leaves | that owner makes a member owner | both: that member owns the group |
//! | a member gets a smaller role | that member writes anything | both: the write is kept |
//! | a membership ends | a request from **before** the end gets accepted | the end (note 7) |
//! | a membership ends | the same user asks **after** the end | the request |
//! | a user asks to join | the same user asks to join | both: the two requests count as one |
//! | a member leaves | that member is removed | the later reason; the member is out |
//! | the owner (1st member) leaves | the 2nd member leaves | both: the 3rd member owns the group |
//! | the owner leaves | the owner accepts, rejects or removes | both: these decisions are kept |
//! | the last member leaves | a user is accepted | the acceptance: that user owns the group |
//! | a group ends, its name is reused | the group accepts a user | both groups exist (note 1) |
//! | a share is published | another of the same name is published | the earlier share (note 1) |
//! | a share is published | the group ends | the end (note 8) |
//! | a share is withdrawn | it is withdrawn | both: it is withdrawn |
//! | a version is published | a version of the same share is | both: the later is newer (note 13) |
//! | a version is published | its share, or another version, is withdrawn | both (note 13) |
//! | an invite is redeemed | it is redeemed | both: the two accounts are kept (note 9) |
//! | a change is made, with its entry in the audit log | any other change | both entries are kept |
//! | a machine enrols | the same token and key enrol | both: one machine, the earlier name |
//! | a machine enrols | another machine enrols with the token | both, even beyond the limit |
//! | a machine starts | a copy of it starts with the same counter | it is suspended (note 10) |
//! | a machine starts | a copy starts with a smaller counter | the larger counter (note 10) |
//! | a machine starts | the same start again, the reply was lost | both: one start |
//! | a machine is suspended | an earlier suspension is answered | the later of the two writes |
//! | a token or machine is revoked | its machine enrols, starts or is allowed | the revocation |
//! | an owner makes a token | that owner leaves, is removed or demoted | both (note 11) |
//! | a machine gets a role | the same machine gets a role | the later role |
//! | a row is created, the reply is lost | it is created again | both: one row (note 12) |
//! | a field is written, the reply is lost | it is written again | the rule of the field decides |
//!
//! Notes:
//!
//! 1. The row with the earlier claim holds the name. The other row is kept and is shown as
//!    `NAME~TAG`. Only a user that does not hold its name can be renamed; an owner can rename any
//!    group. A new name is a new claim. When the holder gives up the name, the row with the next
//!    claim holds it.
//! 2. A tracker refuses a new name that differs only in case from a name that it knows. Two such
//!    names can exist nevertheless: disconnected trackers may accept them, and earlier versions
//!    of this program accepted both. Each of them is then the name of one row, so neither row needs
//!    a tag.
//! 3. A token is bound to the credential that its account had when the token was issued. The
//!    credential is a stamp, not a secret. It changes when the password is changed or all logins
//!    are ended; then the login ends.
//! 4. Every tracker keeps the row of the log-out until the last token that it may have made has
//!    expired by its own clock (see `logins`). Of two expiry times the later one wins.
//! 5. A removed account has no name, is in no group, cannot log in, and its shares are not listed:
//!    all this follows from its row alone, whatever other rows say. So the order in which a tracker
//!    learns of writes does not matter. Other writes of the account are kept: members whom it has
//!    accepted stay.
//! 6. If no member of a group has the role of an owner, then the member who was accepted first and
//!    is no reader owns the group. If all members are readers, then the reader who was accepted
//!    first owns it (see `roles`).
//! 7. An end cancels all earlier requests of the same user for the same group, accepted or not, in
//!    any row. A request counts from the time when it was made, not when it was accepted.
//! 8. A share of a group that has ended is not listed and cannot be fetched. If another tracker has
//!    accepted a user, the group has a member, and the share is listed again.
//! 9. The invite records the earlier account as its user.
//! 10. A tracker that merges two starts with one counter and different nonces suspends the machine,
//!     with a write of its own. Of two starts with different counters, the one with the larger
//!     counter is kept, and the login of the other one ends. The next start of that copy has a
//!     counter that is not larger than the known one. This suspends the machine.
//! 11. A token is valid in a group only while its maker is a member, without a break since before
//!     the token was made. Its machines never have a greater role than the maker has now. All this
//!     is derived at each request from the rows of the token, of the machine and of the membership.
//! 12. Some attributes come from the later creation: its version, the key of a group and an expiry
//!     time. The fields merge as always: a membership keeps the earlier acceptance, and a version
//!     stays in the share that one tracker knew.
//! 13. Two versions may get one number. The newest version has the greatest number, and of several
//!     it is the one that was published last. `NAME@N` means the one that was published first. A
//!     withdrawal of a share ends the versions that the tracker knew. A share claims its name since
//!     its first version, while a version of it is listed.
//!
//! # What is dropped
//! Ended memberships, tokens and machines are kept forever: they keep a removed member or a revoked
//! machine out, even after the restore of an old backup. Log-outs, rows of logins, invites,
//! receipts and entries of the audit log expire. An expired one can be dropped when all trackers
//! have it, and this one has all that they have ([`Registry::droppable`]).

mod account_rows;
mod accounts;
mod audit;
mod audit_detail;
mod audit_index;
mod catalogue;
mod change;
mod changes;
mod compare;
mod counts;
mod dump;
mod encoding;
mod given_role;
mod group_catalogue;
mod groups;
mod holder_queries;
mod id;
mod index;
mod login_list;
mod login_rows;
mod logins;
mod machine_index;
mod machine_queries;
mod machine_rows;
mod machines;
mod members;
#[cfg(test)]
pub(super) mod mutation;
mod names;
mod operator;
mod queries;
mod receipts;
mod refusal;
mod register;
mod roles;
mod row;
mod secret;
mod share_cursor;
mod share_rows;
mod shares;
mod stamp;
mod state;
#[cfg(test)]
pub(super) mod tests;
mod update;
mod usage;
mod usage_index;
mod version_text;
mod versions;
mod withdrawals;

pub use crate::wire::access::{DecisionOutcome, GroupRole};
pub use crate::wire::name::{
    GroupName, Label, LabelError, MAX_NAME, MachineName, NameError, UserName,
};
pub use crate::wire::role::Role;
pub use accounts::NewAccount;
pub use audit::{AUDIT_LIFETIME, AuditView, Author};
pub use audit_detail::AuditDetail;
pub use audit_index::MAX_AUDIT;
pub use change::{Change, Span, VersionVector};
pub use changes::{ChangeNumbers, Changed};
pub use compare::{Difference, DifferenceDetail};
pub use dump::Dump;
pub use encoding::DecodeError;
pub use given_role::GivenRole;
pub use groups::{IfLastMember, NewGroup};
pub use holder_queries::{HolderView, VersionView};
pub use id::{IdError, Origin, RowId, Sequence};
pub use login_list::{LoginView, MAX_LISTED_LOGINS, MAX_LOGIN_ROWS, USE_PAUSE};
pub use login_rows::{LoginBegin, LoginRow, LoginUse};
pub use logins::{
    LOG_OUT_LIFETIME, LONGEST_TOKEN_LIFE, Login, LoginTimeError, MAX_LOG_OUTS, MAX_LOGIN_LIFE,
    RENEWAL_AGE,
};
pub use machine_queries::{MachineView, TokenView};
pub use machine_rows::{KeyHash, Machine, MachineToken, Starts};
pub use machines::{
    MAX_MACHINES_OF_ACCOUNT, MAX_TOKENS_OF_ACCOUNT, NewToken, REFUSAL_NOTE_PAUSE, StartResult,
};
pub use operator::removal_step;
pub use queries::{Cursor, CursorError, GroupView, MAX_PAGE, MemberView, News, Page, RequestView};
pub use refusal::Refusal;
pub use register::Register;
pub use row::{
    Account, AuditAction, AuditEntry, Contradiction, Done, End, EndReason, Group, Invite,
    Membership, Receipt, Revocation, Row,
};
pub use secret::{
    CodeHash, GroupKey, GroupKeyError, MAX_GROUP_KEY, MAX_PASSWORD_HASH, PasswordHash,
    PasswordHashError,
};
pub use share_cursor::{ShareCursor, ShareCursorError};
pub use share_rows::{Edition, Share};
pub use shares::{FormerMember, NewShare, ShareView};
pub use stamp::{Clock, Drift, MAX_DRIFT, MAX_WALL, Stamp, Version};
pub use state::Registry;
pub use update::{LoadError, MergeError, Stale, Update};
pub use usage::AccountQuotas;
pub use usage_index::Usage;
pub use versions::{MAX_VERSIONS_OF_SHARE, MAX_WITHDRAWN_TOGETHER};

use crate::wire::name;
use account_rows::AccountRows;
use audit::suspension_entry;
use audit_index::AuditIndex;
use catalogue::{Catalogue, Found};
use changes::Changes;
use counts::Counts;
use group_catalogue::{GroupCatalogue, VersionPlace};
use index::Index;
use machine_index::MachineIndex;
use members::{GroupMembers, MembershipState, first_accepted, live_rows, membership};
use names::{NameClaims, tag_of};
use register::merge_optional;
use row::{OPERATOR, Rows, removal, responsible};
use share_rows::ShareKey;
use stamp::millis;
use usage_index::UsageIndex;
use version_text::VersionText;

#[cfg(any(test, fuzzing))]
pub(crate) use encoding::fuzz;
