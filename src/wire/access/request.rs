//! What a peer asks of a tracker.

use super::announce::Announces;
use super::fields::{self, KeyRequest, Place, Seen, Token, WriteId};
use crate::bencode::Item;
use crate::wire::control::{self, ControlError, Fields, InfoPart};
use crate::wire::name::{GroupName, Label, UserName};
use crate::wire::password::Password;

/// The most bytes that a frame may have before a request on its line has shown a session that holds: a tracker keeps no
/// more for strangers. A peer that has more to say asks for something small first.
pub const MAX_FIRST_FRAME: u32 = 16 << 10;

/// What a peer asks of a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number that the reply repeats.
    pub id: u32,
    /// The session in whose name it is asked; none before a log-in.
    pub token: Option<Token>,
    /// What is asked.
    pub ask: Ask,
}

/// The kinds of a [`Request`]. Each is answered by [`super::Answer::Done`] unless it says otherwise, or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Make an account.
    CreateUser {
        /// The write.
        write: WriteId,
        /// Its name.
        user: UserName,
        /// Its password.
        password: Password,
        /// An invite code, where accounts need one; as the person typed it.
        invite: Option<Place>,
    },
    /// Begin a session; answered by [`super::Answer::Session`].
    Login {
        /// Who.
        user: Label,
        /// The account's password.
        password: Password,
    },
    /// End the session.
    Logout {
        /// The write.
        write: WriteId,
    },
    /// Change the password, which ends all other sessions; answered by [`super::Answer::Session`].
    ChangePassword {
        /// The write.
        write: WriteId,
        /// The one so far.
        old: Password,
        /// The one from now on.
        new: Password,
    },
    /// Make a group, which the asker owns.
    CreateGroup {
        /// The write.
        write: WriteId,
        /// Its name.
        group: GroupName,
    },
    /// Ask the owner of a group to be let in.
    JoinGroup {
        /// The write.
        write: WriteId,
        /// The group.
        group: Label,
    },
    /// Leave a group.
    LeaveGroup {
        /// The write.
        write: WriteId,
        /// The group.
        group: Label,
        /// Whether to leave as its last member too, which ends the group.
        end: bool,
    },
    /// All groups; answered by [`super::Answer::Groups`].
    ListGroups {
        /// Where the page before ended.
        after: Option<Place>,
    },
    /// The members of a group; answered by [`super::Answer::Members`].
    ListMembers {
        /// The group.
        group: Label,
        /// Where the page before ended.
        after: Option<Place>,
    },
    /// Who waits to be let in; answered by [`super::Answer::Requests`].
    ListRequests {
        /// The group.
        group: Label,
        /// Where the page before ended.
        after: Option<Place>,
    },
    /// Let somebody in who has asked.
    AcceptRequest {
        /// The write.
        write: WriteId,
        /// The group.
        group: Label,
        /// Who.
        user: Label,
    },
    /// Turn somebody away who has asked.
    RejectRequest {
        /// The write.
        write: WriteId,
        /// The group.
        group: Label,
        /// Who.
        user: Label,
    },
    /// Put a member out.
    RemoveMember {
        /// The write.
        write: WriteId,
        /// The group.
        group: Label,
        /// Who.
        user: Label,
    },
    /// A certificate of a group's authority for the asker's key; answered by [`super::Answer::Certificate`].
    Certify {
        /// The group.
        group: Label,
        /// The public key, with a proof that the asker has the private one (see `certificate::MemberKey`).
        request: KeyRequest,
    },
    /// Part of the info dictionary of a new share; with the last one the share is in the catalogue.
    Publish {
        /// The write.
        write: WriteId,
        /// The group.
        group: Label,
        /// The part; the parts of one dictionary follow one another.
        part: InfoPart,
    },
    /// The catalogue of a group; answered by [`super::Answer::Files`].
    ListFiles {
        /// The group.
        group: Label,
        /// Where the page before ended.
        after: Option<Place>,
    },
    /// Part of the info dictionary of a share; answered by [`super::Answer::Metainfo`].
    Metainfo {
        /// The group.
        group: Label,
        /// The share's name, as the catalogue shows it.
        name: Place,
        /// First byte of the part.
        offset: u32,
    },
    /// Take a share off the catalogue.
    Withdraw {
        /// The write.
        write: WriteId,
        /// The group.
        group: Label,
        /// The share's name, as the catalogue shows it.
        name: Place,
    },
    /// Take part in swarms of a group, or leave them; answered by [`super::Answer::Peers`], which says for each whether it is taken.
    Announce(Announces),
    /// How the tracker stands with the others of its cluster; answered by [`super::Answer::Cluster`], whether it serves or not.
    Cluster,
    /// What others decided about the asker that it has not seen; answered by [`super::Answer::News`].
    News {
        /// What it has seen: what the last answer said.
        seen: Seen,
        /// Where the page before ended.
        after: Option<Place>,
    },
}

impl Request {
    /// The body of its frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![
            ("id", Item::from(self.id)),
            ("type", self.ask.kind().into()),
        ];
        if let Some(token) = &self.token {
            entries.push(("token", Item::from(token.as_bytes())));
        }
        let write = self.ask.write();
        entries.extend(write.map(|write| ("write", write.0.to_vec().into())));
        let (group, user) = self.ask.names();
        entries.extend(group.map(|group| ("group", group.into())));
        entries.extend(user.map(|user| ("user", user.into())));
        match &self.ask {
            Ask::CreateUser {
                password, invite, ..
            } => {
                entries.push(("password", password.expose().into()));
                entries.extend(invite.iter().map(|code| ("invite", code.as_str().into())));
            }
            Ask::Login { password, .. } => entries.push(("password", password.expose().into())),
            Ask::ChangePassword { old, new, .. } => entries.extend([
                ("new", Item::from(new.expose())),
                ("old", old.expose().into()),
            ]),
            Ask::LeaveGroup { end, .. } => entries.push(("end", u32::from(*end).into())),
            Ask::News { seen, after } => {
                entries.push(("seen", Item::from(seen.as_bytes())));
                entries.extend(fields::after(after));
            }
            Ask::Certify { request, .. } => entries.push(("key", Item::from(&request.0[..]))),
            Ask::Publish { part, .. } => entries.extend(part.entries()),
            Ask::Metainfo { name, offset, .. } => entries.extend([
                ("name", Item::from(name.as_str())),
                ("offset", (*offset).into()),
            ]),
            Ask::Withdraw { name, .. } => entries.push(("name", name.as_str().into())),
            Ask::Announce(announces) => announces.put(&mut entries),
            Ask::ListFiles { after, .. }
            | Ask::ListGroups { after }
            | Ask::ListMembers { after, .. }
            | Ask::ListRequests { after, .. } => entries.extend(fields::after(after)),
            Ask::Logout { .. }
            | Ask::Cluster
            | Ask::CreateGroup { .. }
            | Ask::JoinGroup { .. }
            | Ask::AcceptRequest { .. }
            | Ask::RejectRequest { .. }
            | Ask::RemoveMember { .. } => {}
        }
        Item::dictionary(entries).encode()
    }

    /// Reads the body of a frame that came from a peer.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = control::parse(body)?;
        let mut fields = Fields::new(&value)?;
        let (kind, id) = (fields.text("type")?, fields.number("id")?);
        let token = fields.optional("token", fields::token)?;
        let ask = match Ask::read_account(kind, &mut fields)? {
            Some(ask) => ask,
            None => Ask::read_share(kind, &mut fields)?,
        };
        fields.end(ask.kind())?;
        Ok(Self { id, token, ask })
    }
}

impl Ask {
    /// The name of its kind on the wire: what the person types, where there is such a command.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CreateUser { .. } => "create_user",
            Self::Login { .. } => "login",
            Self::Logout { .. } => "logout",
            Self::ChangePassword { .. } => "change_password",
            Self::CreateGroup { .. } => "create_group",
            Self::JoinGroup { .. } => "join_group",
            Self::LeaveGroup { .. } => "leave_group",
            Self::ListGroups { .. } => "list_groups",
            Self::ListMembers { .. } => "list_members",
            Self::ListRequests { .. } => "list_requests",
            Self::AcceptRequest { .. } => "accept_request",
            Self::RejectRequest { .. } => "reject_request",
            Self::RemoveMember { .. } => "remove_member",
            Self::Certify { .. } => "certify",
            Self::Publish { .. } => "publish",
            Self::ListFiles { .. } => "list_files",
            Self::Metainfo { .. } => "metainfo",
            Self::Withdraw { .. } => "withdraw",
            Self::Announce(_) => "announce",
            Self::Cluster => "cluster",
            Self::News { .. } => "news",
        }
    }

    /// A request about accounts, if `kind` is one.
    fn read_account(kind: &str, fields: &mut Fields<'_>) -> Result<Option<Self>, ControlError> {
        Ok(Some(match kind {
            "create_user" => Self::CreateUser {
                write: WriteId(fields.array("write")?),
                user: fields.parsed("user")?,
                password: fields.with("password", fields::password)?,
                invite: fields.optional("invite", fields::place)?,
            },
            "login" => Self::Login {
                user: fields.parsed("user")?,
                password: fields.with("password", fields::password)?,
            },
            "logout" => Self::Logout {
                write: WriteId(fields.array("write")?),
            },
            "change_password" => Self::ChangePassword {
                write: WriteId(fields.array("write")?),
                old: fields.with("old", fields::password)?,
                new: fields.with("new", fields::password)?,
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

    /// A request about what a group shares, if `kind` is one.
    fn read_share(kind: &str, fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        Ok(match kind {
            "certify" => Self::Certify {
                group: fields.parsed("group")?,
                request: KeyRequest(fields.array("key")?),
            },
            "publish" => Self::Publish {
                write: WriteId(fields.array("write")?),
                group: fields.parsed("group")?,
                part: fields.info_part()?,
            },
            "list_files" => Self::ListFiles {
                group: fields.parsed("group")?,
                after: fields::read_after(fields)?,
            },
            "metainfo" => Self::Metainfo {
                group: fields.parsed("group")?,
                name: fields.with("name", fields::place)?,
                offset: fields.number("offset")?,
            },
            "withdraw" => Self::Withdraw {
                write: WriteId(fields.array("write")?),
                group: fields.parsed("group")?,
                name: fields.with("name", fields::place)?,
            },
            "announce" => Self::Announce(Announces::read(fields)?),
            "cluster" => Self::Cluster,
            "news" => Self::News {
                seen: fields.with("seen", fields::seen)?,
                after: fields::read_after(fields)?,
            },
            other => return Err(ControlError::unknown(other)),
        })
    }

    /// Whether it is asked in the name of a session.
    pub fn needs_session(&self) -> bool {
        !matches!(
            self,
            Self::CreateUser { .. } | Self::Login { .. } | Self::Cluster
        )
    }

    /// Which write it asks for, if it changes what the trackers keep.
    pub fn write(&self) -> Option<WriteId> {
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
            | Self::Publish { write, .. }
            | Self::Withdraw { write, .. } => Some(*write),
            Self::Login { .. }
            | Self::ListGroups { .. }
            | Self::ListMembers { .. }
            | Self::ListRequests { .. }
            | Self::Certify { .. }
            | Self::ListFiles { .. }
            | Self::Metainfo { .. }
            | Self::Announce(_)
            | Self::Cluster
            | Self::News { .. } => None,
        }
    }

    /// Whether it changes what the trackers keep.
    pub fn is_write(&self) -> bool {
        self.write().is_some()
    }

    /// What it names as group and as user.
    fn names(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::CreateUser { user, .. } => (None, Some(user.to_string())),
            Self::Login { user, .. } => (None, Some(user.to_string())),
            Self::CreateGroup { group, .. } => (Some(group.to_string()), None),
            Self::JoinGroup { group, .. }
            | Self::LeaveGroup { group, .. }
            | Self::ListMembers { group, .. }
            | Self::ListRequests { group, .. }
            | Self::Certify { group, .. }
            | Self::Publish { group, .. }
            | Self::ListFiles { group, .. }
            | Self::Metainfo { group, .. }
            | Self::Withdraw { group, .. } => (Some(group.to_string()), None),
            Self::AcceptRequest { group, user, .. }
            | Self::RejectRequest { group, user, .. }
            | Self::RemoveMember { group, user, .. } => {
                (Some(group.to_string()), Some(user.to_string()))
            }
            Self::Logout { .. }
            | Self::ChangePassword { .. }
            | Self::ListGroups { .. }
            | Self::Announce(_)
            | Self::Cluster
            | Self::News { .. } => (None, None),
        }
    }
}
