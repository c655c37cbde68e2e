//! What a tracker answers.

use super::announce::Peers;
use super::cluster::ClusterView;
use super::entry::{Entry, FileEntry, GroupEntry, MemberEntry, NewsEntry, RequestEntry};
use super::fields::{self, Place, Seen, Token};
use super::refused::Refused;
use crate::bencode::Item;
use crate::wire::control::{self, ControlError, Fields, InfoPart, Line, read_line};
use crate::wire::name::Label;

/// The most bytes of a certificate, as DER or PEM.
const MAX_CERTIFICATE: usize = 8 << 10;

/// What a tracker answers to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The number of the request.
    pub id: u32,
    /// A token to use from now on: the one that came with the request grows old.
    pub renewed: Option<Token>,
    /// Whether what was done is durable at this tracker alone, though others are listed: it is told to them when they are
    /// back.
    pub only_here: bool,
    /// The answer, or why there is none.
    pub result: Result<Answer, Refused>,
}

/// The kinds of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done, and is durable.
    Done,
    /// A session has begun.
    Session {
        /// What proves it.
        token: Token,
        /// How the account is named.
        user: Label,
        /// What the person should know, if anything.
        note: Option<Line>,
    },
    /// Groups.
    Groups(Page<GroupEntry>),
    /// Members of a group.
    Members(Page<MemberEntry>),
    /// Open requests.
    Requests(Page<RequestEntry>),
    /// A certificate for the asker's key.
    Certificate {
        /// The certificate (DER).
        leaf: Vec<u8>,
        /// The certificate of the group's authority (PEM), as it stands in the group's torrents.
        authority: Vec<u8>,
    },
    /// Shares.
    Files(Page<FileEntry>),
    /// A part of an info dictionary.
    Metainfo(InfoPart),
    /// Who else is in swarms.
    Peers(Peers),
    /// How the tracker stands with the others.
    Cluster(ClusterView),
    /// Decisions.
    News {
        /// The decisions.
        page: Page<NewsEntry>,
        /// What has been seen once all pages were read.
        seen: Seen,
    },
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where it ended; none at the end of the list.
    pub next: Option<Place>,
}

impl Reply {
    /// The body of its frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![("id", Item::from(self.id)), ("type", self.kind().into())];
        let renewed = self.renewed.as_ref();
        entries.extend(renewed.map(|token| ("renewed", Item::from(token.as_bytes()))));
        if self.only_here {
            entries.push(("copies", 1u32.into()));
        }
        match &self.result {
            Err(refused) => entries.extend(refused.entries()),
            Ok(Answer::Done) => {}
            Ok(Answer::Session { token, user, note }) => {
                entries.extend([
                    ("token", Item::from(token.as_bytes())),
                    ("user", user.to_string().into()),
                ]);
                entries.extend(note.as_ref().map(|note| ("note", note.as_str().into())));
            }
            Ok(Answer::Groups(page)) => put(page, &mut entries),
            Ok(Answer::Members(page)) => put(page, &mut entries),
            Ok(Answer::Requests(page)) => put(page, &mut entries),
            Ok(Answer::Certificate { leaf, authority }) => entries.extend([
                ("authority", Item::from(authority.as_slice())),
                ("leaf", Item::from(leaf.as_slice())),
            ]),
            Ok(Answer::Files(page)) => put(page, &mut entries),
            Ok(Answer::Metainfo(part)) => entries.extend(part.entries()),
            Ok(Answer::Peers(peers)) => peers.put(&mut entries),
            Ok(Answer::Cluster(view)) => view.put(&mut entries),
            Ok(Answer::News { page, seen }) => {
                entries.push(("seen", Item::from(seen.as_bytes())));
                put(page, &mut entries);
            }
        }
        Item::dictionary(entries).encode()
    }

    /// Reads the body of a frame that came from a tracker.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = control::parse(body)?;
        let mut fields = Fields::new(&value)?;
        let (kind, id) = (fields.text("type")?, fields.number("id")?);
        let renewed = fields.optional("renewed", fields::token)?;
        let only_here = fields.optional("copies", |value, _| match value.integer() {
            Some(1) => Ok(()),
            _ => Err(ControlError::WrongValue("copies")),
        })?;
        let only_here = only_here.is_some();
        let result = match kind {
            "error" => {
                let kind = fields.value("kind")?;
                Err(Refused::read(kind, &mut fields)?)
            }
            "done" => Ok(Answer::Done),
            "session" => Ok(Answer::Session {
                token: fields.with("token", fields::token)?,
                user: fields.parsed("user")?,
                note: fields.optional("note", read_line)?,
            }),
            GroupEntry::KIND => Ok(Answer::Groups(read(&mut fields)?)),
            MemberEntry::KIND => Ok(Answer::Members(read(&mut fields)?)),
            RequestEntry::KIND => Ok(Answer::Requests(read(&mut fields)?)),
            "certificate" => Ok(Answer::Certificate {
                leaf: fields.bytes("leaf", MAX_CERTIFICATE)?,
                authority: fields.bytes("authority", MAX_CERTIFICATE)?,
            }),
            FileEntry::KIND => Ok(Answer::Files(read(&mut fields)?)),
            "metainfo" => Ok(Answer::Metainfo(fields.info_part()?)),
            "peers" => Ok(Answer::Peers(Peers::read(&mut fields)?)),
            "cluster" => Ok(Answer::Cluster(ClusterView::read(&mut fields)?)),
            NewsEntry::KIND => Ok(Answer::News {
                seen: fields.with("seen", fields::seen)?,
                page: read(&mut fields)?,
            }),
            other => return Err(ControlError::unknown(other)),
        };
        let reply = Self {
            id,
            renewed,
            only_here,
            result,
        };
        fields.end(reply.kind())?;
        Ok(reply)
    }

    fn kind(&self) -> &'static str {
        match &self.result {
            Err(_) => "error",
            Ok(Answer::Done) => "done",
            Ok(Answer::Session { .. }) => "session",
            Ok(Answer::Groups(_)) => GroupEntry::KIND,
            Ok(Answer::Members(_)) => MemberEntry::KIND,
            Ok(Answer::Requests(_)) => RequestEntry::KIND,
            Ok(Answer::Certificate { .. }) => "certificate",
            Ok(Answer::Files(_)) => FileEntry::KIND,
            Ok(Answer::Metainfo(_)) => "metainfo",
            Ok(Answer::Peers(_)) => "peers",
            Ok(Answer::Cluster(_)) => "cluster",
            Ok(Answer::News { .. }) => NewsEntry::KIND,
        }
    }
}

fn put<'a, T: Entry>(page: &'a Page<T>, entries: &mut Vec<(&'static str, Item<'a>)>) {
    let list = page.entries.iter().map(Entry::item).collect();
    entries.push(("entries", Item::List(list)));
    let next = page.next.as_ref();
    entries.extend(next.map(|next| ("next", next.as_str().into())));
}

fn read<T: Entry>(fields: &mut Fields<'_>) -> Result<Page<T>, ControlError> {
    Ok(Page {
        entries: fields.list("entries", T::decode)?,
        next: fields.optional("next", fields::place)?,
    })
}
