//! The requests of a peer to a tracker.

use super::announce::AnnounceBatch;
use super::fields::{self, KeyRequest, SeenDecisions, ShortText, WriteId};
use super::holder_request::HolderRequest;
use super::login_request::LoginRequest;
use super::machine_request::MachineRequest;
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, InfoPart, MessageFields, read_parsed};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::{GroupName, Label, MachineName, UserName};
use crate::wire::note::Note;
use crate::wire::password::Password;
use crate::wire::role::Role;
use std::num::NonZeroU16;

/// The most bytes of a frame on a connection on which no request with a valid token has arrived
/// yet. So a tracker buffers at most this for a caller that it does not know. A peer with a larger
/// request sends a small one first.
pub const MAX_FIRST_FRAME: u32 = 16 << 10;

/// The version of the requests, the replies and their meaning. Every message carries it. A peer and
/// a tracker of different versions refuse each other. Messages of any version are bencoded
/// dictionaries; from version 2 on they have the key `protocol`.
pub const PROTOCOL: u32 = 5;

/// The requests of a peer, one variant per kind. A tracker refuses a request or answers it. The
/// answer is [`super::AccessAnswer::Done`] if the variant names no other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessRequest {
    /// Creates an account.
    CreateUser {
        /// Idempotency key.
        write: WriteId,
        /// The name of the account.
        user: UserName,
        /// The password of the account.
        password: Password,
        /// The invite code as the person typed it, if accounts need one.
        invite: Option<ShortText>,
    },
    /// Logs in. The answer is [`super::AccessAnswer::LoggedIn`].
    Login {
        /// The same in all requests of one log-in, so that they begin one login.
        attempt: WriteId,
        /// The name of the account.
        user: Label,
        /// The password of the account.
        password: Password,
        /// The name of the peer's host, for the list of logins.
        host: Option<MachineName>,
    },
    /// Ends the login.
    Logout {
        /// Idempotency key.
        write: WriteId,
    },
    /// Changes the password and ends all other logins of the user. The answer is
    /// [`super::AccessAnswer::LoggedIn`].
    ChangePassword {
        /// Idempotency key.
        write: WriteId,
        /// The old password.
        old: Password,
        /// The new password.
        new: Password,
    },
    /// Creates a group that the user owns.
    CreateGroup {
        /// Idempotency key.
        write: WriteId,
        /// The name of the group.
        group: GroupName,
    },
    /// Renames a group.
    RenameGroup {
        /// Idempotency key.
        write: WriteId,
        /// The group.
        group: Label,
        /// Its new name.
        name: GroupName,
    },
    /// Asks the owners of a group for membership.
    JoinGroup {
        /// Idempotency key.
        write: WriteId,
        /// The group.
        group: Label,
    },
    /// Leaves a group.
    LeaveGroup {
        /// Idempotency key.
        write: WriteId,
        /// The group.
        group: Label,
        /// Whether the user leaves even as the last member, which ends the group.
        end: bool,
    },
    /// Lists all groups. The answer is [`super::AccessAnswer::Groups`].
    ListGroups {
        /// The position where the previous page ended.
        after: Option<ShortText>,
    },
    /// Lists the groups in which this user or machine is a member, each with the state of its
    /// catalogue. The answer is [`super::AccessAnswer::OwnGroups`].
    OwnGroups {
        /// The position where the previous page ended.
        after: Option<ShortText>,
    },
    /// Lists the members of a group. The answer is [`super::AccessAnswer::Members`].
    ListMembers {
        /// The group.
        group: Label,
        /// The position where the previous page ended.
        after: Option<ShortText>,
    },
    /// Lists the open requests to join a group. The answer is [`super::AccessAnswer::Requests`].
    ListRequests {
        /// The group.
        group: Label,
        /// The position where the previous page ended.
        after: Option<ShortText>,
    },
    /// Accepts a request to join a group.
    AcceptRequest {
        /// Idempotency key.
        write: WriteId,
        /// The group.
        group: Label,
        /// The user who asked.
        user: Label,
    },
    /// Rejects a request to join a group.
    RejectRequest {
        /// Idempotency key.
        write: WriteId,
        /// The group.
        group: Label,
        /// The user who asked.
        user: Label,
    },
    /// Removes a member from a group.
    RemoveMember {
        /// Idempotency key.
        write: WriteId,
        /// The group.
        group: Label,
        /// The member.
        user: Label,
    },
    /// Gives a member of a group a role.
    SetRole {
        /// Idempotency key.
        write: WriteId,
        /// The group.
        group: Label,
        /// The member, or a machine.
        user: SubjectLabel,
        /// The role.
        role: Role,
    },
    /// Requests a certificate of the group's authority for a key. The answer is
    /// [`super::AccessAnswer::Certificate`].
    Certify {
        /// The group.
        group: Label,
        /// The public key, with a proof that the peer has the private key (see
        /// `certificate::MemberKey`).
        request: KeyRequest,
    },
    /// Sends a part of the info dictionary of a new share, or of a new version of a share. With the
    /// last part the share or the version enters the catalogue. All parts of one dictionary carry
    /// the same `write`, `group`, `update` and `note`.
    Publish {
        /// Idempotency key.
        write: WriteId,
        /// The group.
        group: Label,
        /// The part. The parts of one dictionary are sent in order.
        part: InfoPart,
        /// Whether it may become the next version of the share that has its name.
        update: bool,
        /// The note of the publisher.
        note: Option<Note>,
    },
    /// Lists the catalogue of a group. The answer is [`super::AccessAnswer::Files`].
    ListFiles {
        /// The group.
        group: Label,
        /// Whether the list has an entry for each version, instead of one for each share.
        versions: bool,
        /// The position where the previous page ended.
        after: Option<ShortText>,
    },
    /// Requests a part of the info dictionary of a share. The answer is
    /// [`super::AccessAnswer::Metainfo`].
    Metainfo {
        /// The group.
        group: Label,
        /// The name of the share in the catalogue.
        name: ShortText,
        /// First byte of the part.
        offset: u32,
    },
    /// Asks which version a name means. The answer is [`super::AccessAnswer::Version`].
    FindVersion {
        /// The group.
        group: Label,
        /// The name of the share or of the version in the catalogue.
        name: ShortText,
    },
    /// Withdraws a share with all its versions, or one version, from the catalogue.
    Withdraw {
        /// Idempotency key.
        write: WriteId,
        /// The group.
        group: Label,
        /// The name of the share or of the version in the catalogue.
        name: ShortText,
        /// The info-hash of the version that the name meant when the peer asked for it; of a share:
        /// of its newest version. A tracker where the name means something else refuses.
        seen: InfoHash,
    },
    /// Asks which versions members have withdrawn from a group. The answer is
    /// [`super::AccessAnswer::Withdrawals`].
    Withdrawals {
        /// The group.
        group: Label,
        /// The swarms of the versions, at most [`super::MAX_WITHDRAWALS`].
        shares: Vec<InfoHash>,
    },
    /// Announces to swarms of a group. The answer is [`super::AccessAnswer::Peers`], which has a
    /// result for each announce.
    Announce(AnnounceBatch),
    /// Requests the state of the cluster. The answer is [`super::AccessAnswer::Cluster`], even if
    /// the tracker does not serve other requests.
    Cluster,
    /// Asks the tracker to connect to this port at the address that the request comes from. The
    /// answer is [`super::AccessAnswer::Port`], even if the tracker does not serve other requests.
    CheckPort {
        /// The port.
        port: NonZeroU16,
    },
    /// Reports the shares of a group that this user published and that cannot be served, because
    /// their files have changed. The answer is [`super::AccessAnswer::ChangedShares`].
    ChangedShares {
        /// The group.
        group: Label,
        /// The swarms of these shares, at most [`super::MAX_ANNOUNCES`].
        changed: Vec<InfoHash>,
    },
    /// Lists decisions of other users about this user that the peer has not received. The answer is
    /// [`super::AccessAnswer::Decisions`].
    ListDecisions {
        /// The decisions that the peer has received: the `seen` of the first answer to its previous
        /// list, or empty. All requests for pages of one list carry the same value.
        seen: SeenDecisions,
        /// Whether the peer also wants to know of new requests to join a group that the user owns.
        with_requests: bool,
        /// The position where the previous page ended.
        after: Option<ShortText>,
    },
    /// A request of a user about his own logins.
    Logins(LoginRequest),
    /// A request about machines and their tokens.
    Machine(MachineRequest),
    /// A request about who has the shares of a group, and who mirrors it.
    Holders(HolderRequest),
}

impl AccessRequest {
    /// The group, if the answer says how many peers each of its swarms has.
    pub fn group_with_peer_counts(&self) -> Option<&Label> {
        match self {
            Self::ListFiles { group, .. } | Self::Metainfo { group, .. } => Some(group),
            _ => None,
        }
    }

    /// Reads a request about accounts or groups. Returns `None` if `kind` is another kind.
    pub(super) fn read_account_or_group(
        kind: &str,
        fields: &mut MessageFields<'_>,
    ) -> Result<Option<Self>, ControlError> {
        Ok(Some(match kind {
            "create_user" => Self::CreateUser {
                write: WriteId(fields.array("write")?),
                user: fields.parsed("user")?,
                password: fields.read_by("password", fields::read_password)?,
                invite: fields.optional("invite", fields::read_short_text)?,
            },
            "login" => Self::Login {
                attempt: WriteId(fields.array("attempt")?),
                user: fields.parsed("user")?,
                password: fields.read_by("password", fields::read_password)?,
                host: fields.optional("host", read_parsed)?,
            },
            "logout" => Self::Logout {
                write: WriteId(fields.array("write")?),
            },
            "change_password" => Self::ChangePassword {
                write: WriteId(fields.array("write")?),
                old: fields.read_by("old", fields::read_password)?,
                new: fields.read_by("new", fields::read_password)?,
            },
            "create_group" => Self::CreateGroup {
                write: WriteId(fields.array("write")?),
                group: fields.parsed("group")?,
            },
            "join_group" => Self::JoinGroup {
                write: WriteId(fields.array("write")?),
                group: fields.parsed("group")?,
            },
            "leave_group" => Self::LeaveGroup {
                write: WriteId(fields.array("write")?),
                group: fields.parsed("group")?,
                end: fields.flag("end")?,
            },
            "list_groups" => Self::ListGroups {
                after: fields::read_after(fields)?,
            },
            "own_groups" => Self::OwnGroups {
                after: fields::read_after(fields)?,
            },
            "list_members" => Self::ListMembers {
                group: fields.parsed("group")?,
                after: fields::read_after(fields)?,
            },
            "list_requests" => Self::ListRequests {
                group: fields.parsed("group")?,
                after: fields::read_after(fields)?,
            },
            "accept_request" => Self::AcceptRequest {
                write: WriteId(fields.array("write")?),
                group: fields.parsed("group")?,
                user: fields.parsed("user")?,
            },
            "reject_request" => Self::RejectRequest {
                write: WriteId(fields.array("write")?),
                group: fields.parsed("group")?,
                user: fields.parsed("user")?,
            },
            "remove_member" => Self::RemoveMember {
                write: WriteId(fields.array("write")?),
                group: fields.parsed("group")?,
                user: fields.parsed("user")?,
            },
            _ => return Ok(None),
        }))
    }

    /// Reads a request about certificates, swarms, the cluster, decisions, roles or names.
    pub(super) fn read_other(
        kind: &str,
        fields: &mut MessageFields<'_>,
    ) -> Result<Self, ControlError> {
        Ok(match kind {
            "certify" => Self::Certify {
                group: fields.parsed("group")?,
                request: KeyRequest(fields.array("key")?),
            },
            "announce" => Self::Announce(AnnounceBatch::read(fields)?),
            "changed_shares" => Self::ChangedShares {
                group: fields.parsed("group")?,
                changed: fields.list("changed", fields::read_changed)?,
            },
            "cluster" => Self::Cluster,
            "check_port" => Self::CheckPort {
                port: fields.port("port")?,
            },
            "news" => Self::ListDecisions {
                seen: fields.read_by("seen", fields::read_seen)?,
                with_requests: fields.optional_flag("requests")?,
                after: fields::read_after(fields)?,
            },
            "set_role" => Self::SetRole {
                write: WriteId(fields.array("write")?),
                group: fields.parsed("group")?,
                user: fields.parsed("user")?,
                role: fields.keyword("role", Role::parse)?,
            },
            "rename_group" => Self::RenameGroup {
                write: WriteId(fields.array("write")?),
                group: fields.parsed("group")?,
                name: fields.parsed("name")?,
            },
            other => match LoginRequest::read(other, fields)? {
                Some(request) => Self::Logins(request),
                None => match HolderRequest::read(other, fields)? {
                    Some(request) => Self::Holders(request),
                    None => Self::Machine(MachineRequest::read(other, fields)?),
                },
            },
        })
    }

    /// Whether the request needs the token of a login.
    pub fn needs_login(&self) -> bool {
        match self {
            Self::CreateUser { .. }
            | Self::Login { .. }
            | Self::Cluster
            | Self::CheckPort { .. } => false,
            Self::Machine(request) => request.needs_login(),
            _ => true,
        }
    }

    /// The idempotency key, if the request changes the registry.
    pub fn write_id(&self) -> Option<WriteId> {
        match self {
            Self::CreateUser { write, .. }
            | Self::Logout { write }
            | Self::ChangePassword { write, .. }
            | Self::CreateGroup { write, .. }
            | Self::JoinGroup { write, .. }
            | Self::LeaveGroup { write, .. }
            | Self::AcceptRequest { write, .. }
            | Self::RejectRequest { write, .. }
            | Self::RemoveMember { write, .. }
            | Self::SetRole { write, .. }
            | Self::RenameGroup { write, .. }
            | Self::Publish { write, .. }
            | Self::Withdraw { write, .. } => Some(*write),
            Self::Logins(request) => request.write_id(),
            Self::Machine(request) => request.write_id(),
            Self::Login { .. }
            | Self::ListGroups { .. }
            | Self::OwnGroups { .. }
            | Self::ListMembers { .. }
            | Self::ListRequests { .. }
            | Self::Certify { .. }
            | Self::ListFiles { .. }
            | Self::Metainfo { .. }
            | Self::FindVersion { .. }
            | Self::Withdrawals { .. }
            | Self::Announce(_)
            | Self::ChangedShares { .. }
            | Self::Cluster
            | Self::CheckPort { .. }
            | Self::Holders(_)
            | Self::ListDecisions { .. } => None,
        }
    }

    /// Whether the request publishes a part of an info dictionary, and not the first part. Only a
    /// tracker that has the earlier parts can use this one.
    pub fn is_later_part(&self) -> bool {
        matches!(self, Self::Publish { part, .. } if part.offset() > 0)
    }

    /// Whether the tracker has to hash a password to answer the request.
    pub fn has_password(&self) -> bool {
        matches!(
            self,
            Self::CreateUser { .. } | Self::Login { .. } | Self::ChangePassword { .. }
        )
    }

    /// Whether the request changes the registry.
    pub fn is_write(&self) -> bool {
        self.write_id().is_some()
    }

    /// The name of a share, or the new name of a group.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Metainfo { name, .. }
            | Self::FindVersion { name, .. }
            | Self::Withdraw { name, .. } => Some(name.as_str()),
            Self::RenameGroup { name, .. } => Some(name.as_str()),
            _ => None,
        }
    }

    /// The group and the user that the request names.
    pub(super) fn group_and_user(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::CreateUser { user, .. } => (None, Some(user.to_string())),
            Self::Login { user, .. } => (None, Some(user.to_string())),
            Self::CreateGroup { group, .. } => (Some(group.to_string()), None),
            Self::JoinGroup { group, .. }
            | Self::RenameGroup { group, .. }
            | Self::LeaveGroup { group, .. }
            | Self::ListMembers { group, .. }
            | Self::ListRequests { group, .. }
            | Self::Certify { group, .. }
            | Self::Publish { group, .. }
            | Self::ListFiles { group, .. }
            | Self::ChangedShares { group, .. }
            | Self::Metainfo { group, .. }
            | Self::FindVersion { group, .. }
            | Self::Withdraw { group, .. }
            | Self::Withdrawals { group, .. } => (Some(group.to_string()), None),
            Self::AcceptRequest { group, user, .. }
            | Self::RejectRequest { group, user, .. }
            | Self::RemoveMember { group, user, .. } => {
                (Some(group.to_string()), Some(user.to_string()))
            }
            Self::SetRole { group, user, .. } => (Some(group.to_string()), Some(user.to_string())),
            Self::Logout { .. }
            | Self::ChangePassword { .. }
            | Self::ListGroups { .. }
            | Self::OwnGroups { .. }
            | Self::Announce(_)
            | Self::Cluster
            | Self::CheckPort { .. }
            | Self::Logins(_)
            | Self::Machine(_)
            | Self::Holders(_)
            | Self::ListDecisions { .. } => (None, None),
        }
    }
}
