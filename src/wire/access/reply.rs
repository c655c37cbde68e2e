//! The replies of a tracker.

use super::announce::AnnounceBatchAnswer;
use super::bar::{Bar, bars_item, read_bars};
use super::cluster::ClusterView;
use super::entry::{DecisionEntry, FileEntry, GroupEntry, ListEntry, MemberEntry, RequestEntry};
use super::fields::{self, IssuedToken, SeenDecisions, ShortText, Token};
use super::group_state::{GroupState, OwnGroup};
use super::holder::{HolderEntry, MirrorEntry, NamedVersion};
use super::login_request::LoginEntry;
use super::machine::{self, MachineEntry, TokenEntry, TokenGroup};
use super::meant_version::MeantVersion;
use super::metainfo_part::MetainfoPart;
use super::port_check::PortCheck;
use super::refused::AccessRefusal;
use super::request::PROTOCOL;
use super::withdrawals::Withdrawals;
use crate::bencode::Item;
use crate::certificate::AccountId;
use crate::torrent::InfoHash;
use crate::wire::control::{self, ControlError, MessageFields, TextLine, read_text_line};
use crate::wire::machine::MachineLabel;
use crate::wire::name::Label;
use crate::wire::role::Role;

/// The most bytes of a certificate, as DER or PEM.
const MAX_CERTIFICATE: usize = 8 << 10;

/// The reply of a tracker to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessReplyMessage {
    /// The number of the request.
    pub id: u32,
    /// A new token that replaces the token of the request. The tracker sends one if the old one is
    /// some hours old, and the request does not end the login.
    pub renewed: Option<IssuedToken>,
    /// Whether only this tracker has the write on disk, although TRACKER_INFO lists other trackers.
    /// The others receive the write when they are reachable again. On the wire: the key
    /// `copies` with the value 1, or no such key.
    pub only_here: bool,
    /// The answer, or the refusal.
    pub result: Result<AccessAnswer, AccessRefusal>,
}

/// The answers of a tracker, one variant per kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessAnswer {
    /// The request was carried out, and the result is durable.
    Done,
    /// The user is logged in.
    LoggedIn {
        /// The token that proves the login.
        token: Token,
        /// When the token expires, by the clock of the tracker, in milliseconds since 1970.
        expires: u64,
        /// The name of the account.
        user: Label,
        /// A notice for the person, if there is one.
        note: Option<TextLine>,
    },
    /// A page of the list of groups.
    Groups(ListPage<GroupEntry>),
    /// A page of the list of the groups of the user or machine.
    OwnGroups(ListPage<OwnGroup>),
    /// A page of the members of a group.
    Members(ListPage<MemberEntry>),
    /// A page of the open requests to join a group.
    Requests(ListPage<RequestEntry>),
    /// A certificate for the public key in the request.
    Certificate {
        /// The leaf certificate (DER).
        leaf: Vec<u8>,
        /// The certificate of the group's authority (PEM), the same as in the torrents of the
        /// group.
        authority: Vec<u8>,
        /// The bars of the group, as in [`AnnounceBatchAnswer`]. So a peer that can have links
        /// knows whom it must refuse.
        barred: Vec<Bar>,
        /// The role of the user in the group.
        role: Role,
    },
    /// A page of the catalogue of a group.
    Files {
        /// The shares.
        page: ListPage<FileEntry>,
        /// The state of the whole catalogue when the tracker made this page.
        state: GroupState,
    },
    /// A part of the info dictionary of a version of a share.
    Metainfo(MetainfoPart),
    /// The version that a name means.
    Version(MeantVersion),
    /// Which versions members have withdrawn.
    Withdrawals(Withdrawals),
    /// The other peers of the announced swarms.
    Peers(AnnounceBatchAnswer),
    /// The swarms of those shares of the group whose files have changed, according to the reports
    /// of their publishers. At most [`MAX_PAGE`](crate::wire::control::MAX_PAGE).
    ChangedShares(Vec<InfoHash>),
    /// The cluster as the tracker sees it.
    Cluster(ClusterView),
    /// How the tracker sees the peer.
    Port(PortCheck),
    /// A page of the decisions about the user.
    Decisions {
        /// The decisions.
        page: ListPage<DecisionEntry>,
        /// All decisions that the tracker knew when it made this page. After the peer has read all
        /// pages, it stores the value of the first page. It sends the stored value when it lists
        /// decisions the next time, so that it does not receive the same decisions again. The value
        /// of a later page may contain a decision that was made meanwhile and that is in none of
        /// the pages. If the peer stored that value, it would never receive that decision.
        seen: SeenDecisions,
    },
    /// A machine has enrolled.
    Enrolled {
        /// The id of the machine. Its certificates name this id, and it logs in by it.
        machine: AccountId,
        /// The name of the machine.
        label: MachineLabel,
        /// The groups of the machine, with its role in each.
        groups: Vec<TokenGroup>,
    },
    /// A machine is logged in.
    MachineLoggedIn {
        /// The token that proves the login. It is renewed like that of a user. The login ends when
        /// the machine starts again.
        token: Token,
        /// The name of the machine.
        label: MachineLabel,
        /// The groups of the machine, with its role in each. At least one.
        groups: Vec<TokenGroup>,
    },
    /// A page of the list of the user's logins.
    Logins(ListPage<LoginEntry>),
    /// A page of a list of tokens.
    Tokens(ListPage<TokenEntry>),
    /// A page of a list of machines.
    Machines(ListPage<MachineEntry>),
    /// A page of the holders that this tracker knows.
    Holders {
        /// The holders, each with its version.
        page: ListPage<HolderEntry>,
        /// What the name in the request means now: of a share, its newest version. `None` if the
        /// request has no name.
        named: Option<NamedVersion>,
    },
    /// A page of those who have reported to this tracker whether they mirror the group.
    Mirrors(ListPage<MirrorEntry>),
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// The position where this page ended. The request for the next page carries it as `after`.
    /// `None` at the end of the list.
    pub next: Option<ShortText>,
}

impl AccessReplyMessage {
    /// Encodes the message as the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = self.entries();
        entries.push(("protocol", PROTOCOL.into()));
        Item::dictionary(entries).encode()
    }

    /// Encodes a refusal for a peer that speaks version `theirs` of the protocol. A peer of version
    /// 1 does not know the key `protocol`; it shows the message of the refusal to the person. Peers
    /// of later versions read the key `protocol` first.
    pub fn encode_for(&self, theirs: u32) -> Vec<u8> {
        match theirs {
            1 => Item::dictionary(self.entries()).encode(),
            _ => self.encode(),
        }
    }

    /// All entries except the version of the protocol.
    fn entries(&self) -> Vec<(&'static str, Item<'_>)> {
        let mut entries = vec![("id", Item::from(self.id)), ("type", self.kind().into())];
        entries.extend(self.renewed.iter().flat_map(renewed_entries));
        entries.extend(self.only_here.then_some(("copies", 1u32.into())));
        match &self.result {
            Err(refused) => entries.extend(refused.entries()),
            Ok(AccessAnswer::Done) => {}
            Ok(AccessAnswer::LoggedIn {
                token,
                expires,
                user,
                note,
            }) => {
                entries.extend(issued(token, *expires, user));
                entries.extend(note.as_ref().map(|note| ("note", note.as_str().into())));
            }
            Ok(AccessAnswer::Groups(page)) => put_page(page, &mut entries),
            Ok(AccessAnswer::OwnGroups(page)) => put_page(page, &mut entries),
            Ok(AccessAnswer::Members(page)) => put_page(page, &mut entries),
            Ok(AccessAnswer::Requests(page)) => put_page(page, &mut entries),
            Ok(AccessAnswer::Certificate {
                leaf,
                authority,
                barred,
                role,
            }) => entries.extend(certificate(leaf, authority, barred, *role)),
            Ok(AccessAnswer::Files { page, state }) => {
                put_page(page, &mut entries);
                entries.push(("state", state.item()));
            }
            Ok(AccessAnswer::Metainfo(part)) => part.put(&mut entries),
            Ok(AccessAnswer::Version(version)) => version.put(&mut entries),
            Ok(AccessAnswer::Withdrawals(answer)) => answer.put(&mut entries),
            Ok(AccessAnswer::Peers(peers)) => peers.put(&mut entries),
            Ok(AccessAnswer::ChangedShares(changed)) => {
                entries.push(("changed", fields::info_hashes_item(changed)))
            }
            Ok(AccessAnswer::Cluster(view)) => view.put(&mut entries),
            Ok(AccessAnswer::Port(check)) => check.put(&mut entries),
            Ok(AccessAnswer::Decisions { page, seen }) => {
                entries.push(("seen", Item::from(seen.as_bytes())));
                put_page(page, &mut entries);
            }
            Ok(AccessAnswer::Enrolled {
                machine,
                label,
                groups,
            }) => {
                entries.push(("machine", Item::from(&machine.0[..])));
                entries.extend(machine::label_and_groups(label, groups));
            }
            Ok(AccessAnswer::MachineLoggedIn {
                token,
                label,
                groups,
            }) => {
                entries.push(("token", Item::from(token.as_bytes())));
                entries.extend(machine::label_and_groups(label, groups));
            }
            Ok(AccessAnswer::Logins(page)) => put_page(page, &mut entries),
            Ok(AccessAnswer::Tokens(page)) => put_page(page, &mut entries),
            Ok(AccessAnswer::Machines(page)) => put_page(page, &mut entries),
            Ok(AccessAnswer::Holders { page, named }) => {
                put_holders(page, named.as_ref(), &mut entries)
            }
            Ok(AccessAnswer::Mirrors(page)) => put_page(page, &mut entries),
        }
        entries
    }

    /// Reads the body of a frame from a tracker.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = control::parse(body)?;
        let mut fields = MessageFields::new(&value)?;
        fields.check_protocol(PROTOCOL)?;
        let (kind, id) = (fields.text("type")?, fields.number("id")?);
        let renewed = read_renewed(&mut fields)?;
        let only_here = fields.optional_flag("copies")?;
        let result = match kind {
            "error" => {
                let kind = fields.value("kind")?;
                Err(AccessRefusal::read(kind, &mut fields)?)
            }
            "done" => Ok(AccessAnswer::Done),
            "session" => Ok(AccessAnswer::LoggedIn {
                token: fields.read_by("token", fields::read_token)?,
                expires: fields.u63("expires")?,
                user: fields.parsed("user")?,
                note: fields.optional("note", read_text_line)?,
            }),
            GroupEntry::KIND => Ok(AccessAnswer::Groups(read_page(&mut fields)?)),
            OwnGroup::KIND => Ok(AccessAnswer::OwnGroups(read_page(&mut fields)?)),
            MemberEntry::KIND => Ok(AccessAnswer::Members(read_page(&mut fields)?)),
            RequestEntry::KIND => Ok(AccessAnswer::Requests(read_page(&mut fields)?)),
            "certificate" => Ok(AccessAnswer::Certificate {
                leaf: fields.bytes("leaf", MAX_CERTIFICATE)?,
                authority: fields.bytes("authority", MAX_CERTIFICATE)?,
                barred: fields.read_by("barred", read_bars)?,
                role: fields.read_by("role", fields::read_role)?,
            }),
            FileEntry::KIND => Ok(AccessAnswer::Files {
                page: read_page(&mut fields)?,
                state: fields.read_by("state", GroupState::read)?,
            }),
            "metainfo" => Ok(AccessAnswer::Metainfo(MetainfoPart::read(&mut fields)?)),
            "version" => Ok(AccessAnswer::Version(MeantVersion::read(&mut fields)?)),
            "withdrawals" => Ok(AccessAnswer::Withdrawals(Withdrawals::read(&mut fields)?)),
            "peers" => Ok(AccessAnswer::Peers(AnnounceBatchAnswer::read(&mut fields)?)),
            "changed-shares" => Ok(AccessAnswer::ChangedShares(
                fields.list("changed", fields::read_changed)?,
            )),
            "cluster" => Ok(AccessAnswer::Cluster(ClusterView::read(&mut fields)?)),
            "port" => Ok(AccessAnswer::Port(PortCheck::read(&mut fields)?)),
            DecisionEntry::KIND => Ok(AccessAnswer::Decisions {
                seen: fields.read_by("seen", fields::read_seen)?,
                page: read_page(&mut fields)?,
            }),
            "enrolled" => Ok(read_enrolled(&mut fields)?),
            "machine-session" => Ok(AccessAnswer::MachineLoggedIn {
                token: fields.read_by("token", fields::read_token)?,
                label: fields.parsed("label")?,
                groups: machine::read_groups(&mut fields)?,
            }),
            LoginEntry::KIND => Ok(AccessAnswer::Logins(read_page(&mut fields)?)),
            TokenEntry::KIND => Ok(AccessAnswer::Tokens(read_page(&mut fields)?)),
            MachineEntry::KIND => Ok(AccessAnswer::Machines(read_page(&mut fields)?)),
            HolderEntry::KIND => Ok(read_holders(&mut fields)?),
            MirrorEntry::KIND => Ok(AccessAnswer::Mirrors(read_page(&mut fields)?)),
            other => return Err(ControlError::unknown(other)),
        };
        let reply = Self {
            id,
            renewed,
            only_here,
            result,
        };
        fields.check_all_read(reply.kind())?;
        Ok(reply)
    }

    fn kind(&self) -> &'static str {
        match &self.result {
            Err(_) => "error",
            Ok(AccessAnswer::Done) => "done",
            Ok(AccessAnswer::LoggedIn { .. }) => "session",
            Ok(AccessAnswer::Groups(_)) => GroupEntry::KIND,
            Ok(AccessAnswer::OwnGroups(_)) => OwnGroup::KIND,
            Ok(AccessAnswer::Members(_)) => MemberEntry::KIND,
            Ok(AccessAnswer::Requests(_)) => RequestEntry::KIND,
            Ok(AccessAnswer::Certificate { .. }) => "certificate",
            Ok(AccessAnswer::Files { .. }) => FileEntry::KIND,
            Ok(AccessAnswer::Metainfo(_)) => "metainfo",
            Ok(AccessAnswer::Version(_)) => "version",
            Ok(AccessAnswer::Withdrawals(_)) => "withdrawals",
            Ok(AccessAnswer::Peers(_)) => "peers",
            Ok(AccessAnswer::ChangedShares(_)) => "changed-shares",
            Ok(AccessAnswer::Cluster(_)) => "cluster",
            Ok(AccessAnswer::Port(_)) => "port",
            Ok(AccessAnswer::Decisions { .. }) => DecisionEntry::KIND,
            Ok(AccessAnswer::Enrolled { .. }) => "enrolled",
            Ok(AccessAnswer::MachineLoggedIn { .. }) => "machine-session",
            Ok(AccessAnswer::Logins(_)) => LoginEntry::KIND,
            Ok(AccessAnswer::Tokens(_)) => TokenEntry::KIND,
            Ok(AccessAnswer::Machines(_)) => MachineEntry::KIND,
            Ok(AccessAnswer::Holders { .. }) => HolderEntry::KIND,
            Ok(AccessAnswer::Mirrors(_)) => MirrorEntry::KIND,
        }
    }
}

fn renewed_entries(renewed: &IssuedToken) -> [(&'static str, Item<'_>); 2] {
    let token = Item::from(renewed.token.as_bytes());
    [("renewed", token), ("until", renewed.expires.into())]
}

fn read_enrolled(fields: &mut MessageFields<'_>) -> Result<AccessAnswer, ControlError> {
    Ok(AccessAnswer::Enrolled {
        machine: AccountId(fields.array("machine")?),
        label: fields.parsed("label")?,
        groups: machine::read_groups(fields)?,
    })
}

fn read_renewed(fields: &mut MessageFields<'_>) -> Result<Option<IssuedToken>, ControlError> {
    let token = fields.optional("renewed", fields::read_token)?;
    let token = token.map(|token| {
        let expires = fields.u63("until")?;
        Ok(IssuedToken { token, expires })
    });
    token.transpose()
}

fn put_holders<'a>(
    page: &'a ListPage<HolderEntry>,
    named: Option<&NamedVersion>,
    entries: &mut Vec<(&'static str, Item<'a>)>,
) {
    put_page(page, entries);
    entries.extend(named.map(|named| ("named", named.item())));
}

fn read_holders(fields: &mut MessageFields<'_>) -> Result<AccessAnswer, ControlError> {
    Ok(AccessAnswer::Holders {
        page: read_page(fields)?,
        named: fields.optional("named", NamedVersion::decode)?,
    })
}

/// A new token of a user.
fn issued<'a>(token: &'a Token, expires: u64, user: &Label) -> [(&'static str, Item<'a>); 3] {
    [
        ("expires", expires.into()),
        ("token", Item::from(token.as_bytes())),
        ("user", user.to_string().into()),
    ]
}

fn certificate<'a>(
    leaf: &'a [u8],
    authority: &'a [u8],
    barred: &'a [Bar],
    role: Role,
) -> [(&'static str, Item<'a>); 4] {
    [
        ("authority", Item::from(authority)),
        ("barred", bars_item(barred)),
        ("leaf", Item::from(leaf)),
        ("role", role.as_str().into()),
    ]
}

fn put_page<'a, T: ListEntry>(page: &'a ListPage<T>, entries: &mut Vec<(&'static str, Item<'a>)>) {
    let list = page.entries.iter().map(ListEntry::item).collect();
    entries.push(("entries", Item::List(list)));
    let next = page.next.as_ref();
    entries.extend(next.map(|next| ("next", next.as_str().into())));
}

fn read_page<T: ListEntry>(fields: &mut MessageFields<'_>) -> Result<ListPage<T>, ControlError> {
    Ok(ListPage {
        entries: fields.list("entries", T::decode)?,
        next: fields.optional("next", fields::read_short_text)?,
    })
}
