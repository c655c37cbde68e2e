//! What a user asks about groups: making, joining, leaving, members, requests, news.

use super::{Account, AccountError, draw};
use crate::storage::StoredSession;
use crate::system::lock;
use crate::wire::access::{Answer, Ask, GroupEntry, MemberEntry, NewsEntry, RequestEntry, Seen};
use crate::wire::name::{GroupName, Label};

impl Account {
    /// Makes a group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn create_group(&self, group: GroupName) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::CreateGroup { write, group })
    }

    /// Asks to be let into a group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn join_group(&self, group: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::JoinGroup { write, group })
    }

    /// Leaves a group; as its last member only if `end` says so, which ends the group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub(crate) fn leave_group(&self, group: Label, end: bool) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::LeaveGroup { write, group, end })
    }

    /// Lets somebody in who has asked.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn accept_request(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::AcceptRequest { write, group, user })
    }

    /// Turns somebody away who has asked.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn reject_request(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::RejectRequest { write, group, user })
    }

    /// Puts a member out of a group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn remove_member(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::RemoveMember { write, group, user })
    }

    /// All groups, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn groups(&self) -> Result<Vec<GroupEntry>, AccountError> {
        self.pages(
            |after| Ask::ListGroups { after },
            |answer| match answer {
                Answer::Groups(page) => Some(page),
                _ => None,
            },
        )
    }

    /// The members of a group, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn members(&self, group: &Label) -> Result<Vec<MemberEntry>, AccountError> {
        self.pages(
            |after| Ask::ListMembers {
                group: group.clone(),
                after,
            },
            |answer| match answer {
                Answer::Members(page) => Some(page),
                _ => None,
            },
        )
    }

    /// Who waits to be let into a group, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn requests(&self, group: &Label) -> Result<Vec<RequestEntry>, AccountError> {
        self.pages(
            |after| Ask::ListRequests {
                group: group.clone(),
                after,
            },
            |answer| match answer {
                Answer::Requests(page) => Some(page),
                _ => None,
            },
        )
    }

    /// What others decided about the user that it has not been told here; each is given once.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn news(&self) -> Result<Vec<NewsEntry>, AccountError> {
        let before = lock(&self.session)
            .as_ref()
            .map(|session| session.seen.clone());
        let before = before.unwrap_or_default();
        // What held when the first page was read has been seen once the last was.
        let mut now_seen: Option<Seen> = None;
        let news = self.pages(
            |after| Ask::News {
                seen: before.clone(),
                after,
            },
            |answer| match answer {
                Answer::News { page, seen } => {
                    now_seen.get_or_insert(seen);
                    Some(page)
                }
                _ => None,
            },
        )?;
        let mut stored = lock(&self.session);
        if let (Some(session), Some(seen)) = (stored.as_mut(), now_seen)
            && session.seen == before
            && seen != before
        {
            *session = StoredSession {
                seen,
                ..session.clone()
            };
            // What is news has to be told all the same; after a restart it is told once more.
            if let Err(error) = self.file.store(session) {
                log::warn!("what was told as new is not kept: {error}");
            }
        }
        Ok(news)
    }
}
