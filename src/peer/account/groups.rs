//! What a user asks trackers about groups: create, join, leave, members, requests, news.

use super::{Account, AccountError, draw};
use crate::storage::StoredSession;
use crate::system::lock;
use crate::wire::access::{Answer, Ask, GroupEntry, MemberEntry, NewsEntry, RequestEntry, Seen};
use crate::wire::name::{GroupName, Label};

impl Account {
    /// Creates a group, which the user owns.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn create_group(&self, group: GroupName) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::CreateGroup { write, group })
    }

    /// Asks to join a group. A member has to accept the request.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn join_group(&self, group: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::JoinGroup { write, group })
    }

    /// Leaves a group. The last member leaves only with `end`, which ends the group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub(crate) fn leave_group(&self, group: Label, end: bool) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::LeaveGroup { write, group, end })
    }

    /// Accepts a user's request to join.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn accept_request(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::AcceptRequest { write, group, user })
    }

    /// Rejects a user's request to join.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn reject_request(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = draw()?;
        self.ask_done(&Ask::RejectRequest { write, group, user })
    }

    /// Removes a member from a group.
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

    /// The users who asked to join a group, sorted by name.
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

    /// Decisions of others about the user that this peer has not returned yet.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn news(&self) -> Result<Vec<NewsEntry>, AccountError> {
        let before = lock(&self.login).as_ref().map(|login| login.seen.clone());
        let before = before.unwrap_or_default();
        // The position at the first page counts: what was decided since comes next time.
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
        let mut stored = lock(&self.login);
        if let (Some(login), Some(seen)) = (stored.as_mut(), now_seen)
            && login.seen == before
            && seen != before
        {
            *login = StoredSession {
                seen,
                ..login.clone()
            };
            // The news is returned all the same, and once more after a restart.
            if let Err(error) = self.file.store(login) {
                log::warn!(
                    "cannot record which news was shown: {error}; it is shown again after a restart"
                );
            }
        }
        Ok(news)
    }
}
