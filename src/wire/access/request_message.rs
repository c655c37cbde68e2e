//! A request with its number and its token, and its bytes.

use super::catalogue_request;
use super::fields::{self, Token};
use super::request::{AccessRequest, PROTOCOL};
use crate::bencode::Item;
use crate::wire::control::{self, ControlError, MessageFields};

/// A request of a peer, with its number and its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequestMessage {
    /// The number that the reply repeats.
    pub id: u32,
    /// The token of the login. `None` if the user is not logged in.
    pub token: Option<Token>,
    /// Whether the peer asks for hints on this connection from now on: see [`super::Hint`]. If the
    /// token is valid, the tracker sends the first hint before the reply.
    pub watch: bool,
    /// The kind of request and its parameters.
    pub ask: AccessRequest,
}

impl AccessRequestMessage {
    /// Encodes the message as the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = self.common_entries();
        match &self.ask {
            AccessRequest::CreateUser {
                password, invite, ..
            } => {
                entries.push(("password", password.expose().into()));
                entries.extend(invite.iter().map(|code| ("invite", code.as_str().into())));
            }
            AccessRequest::Login {
                attempt,
                password,
                host,
                ..
            } => {
                entries.push(("attempt", Item::from(&attempt.0[..])));
                entries.push(("password", password.expose().into()));
                entries.extend(host.as_ref().map(|host| ("host", host.as_str().into())));
            }
            AccessRequest::ChangePassword { old, new, .. } => {
                entries.push(("new", new.expose().into()));
                entries.push(("old", old.expose().into()));
            }
            AccessRequest::LeaveGroup { end, .. } => entries.push(("end", u32::from(*end).into())),
            AccessRequest::ListDecisions {
                seen,
                with_requests,
                after,
            } => {
                entries.push(("seen", Item::from(seen.as_bytes())));
                entries.extend(with_requests.then_some(("requests", 1u32.into())));
                entries.extend(fields::after_entry(after));
            }
            AccessRequest::Certify { request, .. } => {
                entries.push(("key", Item::from(&request.0[..])))
            }
            AccessRequest::SetRole { role, .. } => entries.push(("role", role.as_str().into())),
            AccessRequest::Announce(announces) => announces.put(&mut entries),
            AccessRequest::ChangedShares { changed, .. } => {
                entries.push(("changed", fields::info_hashes_item(changed)))
            }
            AccessRequest::ListGroups { after }
            | AccessRequest::OwnGroups { after }
            | AccessRequest::ListMembers { after, .. }
            | AccessRequest::ListRequests { after, .. } => {
                entries.extend(fields::after_entry(after))
            }
            AccessRequest::CheckPort { port } => {
                entries.push(("port", u32::from(port.get()).into()))
            }
            AccessRequest::Logins(request) => request.put(&mut entries),
            AccessRequest::Machine(request) => request.put(&mut entries),
            AccessRequest::Holders(request) => request.put(&mut entries),
            AccessRequest::Publish { .. }
            | AccessRequest::ListFiles { .. }
            | AccessRequest::Metainfo { .. }
            | AccessRequest::Withdraw { .. }
            | AccessRequest::Withdrawals { .. } => catalogue_request::put(&self.ask, &mut entries),
            AccessRequest::Logout { .. }
            | AccessRequest::RenameGroup { .. }
            | AccessRequest::Cluster
            | AccessRequest::CreateGroup { .. }
            | AccessRequest::JoinGroup { .. }
            | AccessRequest::AcceptRequest { .. }
            | AccessRequest::RejectRequest { .. }
            | AccessRequest::FindVersion { .. }
            | AccessRequest::RemoveMember { .. } => {}
        }
        Item::dictionary(entries).encode()
    }

    /// The entries that several kinds have.
    fn common_entries(&self) -> Vec<(&'static str, Item<'_>)> {
        let mut entries = vec![
            ("id", Item::from(self.id)),
            ("protocol", PROTOCOL.into()),
            ("type", self.ask.kind().into()),
        ];
        let token = self.token.as_ref();
        entries.extend(token.map(|token| ("token", Item::from(token.as_bytes()))));
        entries.extend(self.watch.then_some(("watch", 1u32.into())));
        let write = self.ask.write_id();
        entries.extend(write.map(|write| ("write", write.0.to_vec().into())));
        let (group, user) = self.ask.group_and_user();
        entries.extend(group.map(|group| ("group", group.into())));
        entries.extend(user.map(|user| ("user", user.into())));
        entries.extend(self.ask.name().map(|name| ("name", name.into())));
        entries
    }

    /// Reads the body of a frame from a peer.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = control::parse(body)?;
        let mut fields = MessageFields::new(&value)?;
        fields.check_protocol(PROTOCOL)?;
        let (kind, id) = (fields.text("type")?, fields.number("id")?);
        let token = fields.optional("token", fields::read_token)?;
        let watch = fields.optional_flag("watch")?;
        let known = match AccessRequest::read_account_or_group(kind, &mut fields)? {
            None => catalogue_request::read(kind, &mut fields)?,
            known => known,
        };
        let ask = match known {
            Some(ask) => ask,
            None => AccessRequest::read_other(kind, &mut fields)?,
        };
        fields.check_all_read(ask.kind())?;
        Ok(Self {
            id,
            token,
            watch,
            ask,
        })
    }
}
