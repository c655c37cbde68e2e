//! What a user asks trackers about groups: create, join, leave, members, requests, news.

use super::{Account, AccountError, new_write_id};
use crate::storage::StoredLogin;
use crate::system::lock;
use crate::wire::access::{
    AccessAnswer, AccessRequest, DecisionEntry, GroupEntry, MemberEntry, OwnGroup, RequestEntry,
    SeenDecisions,
};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::{GroupName, Label};
use crate::wire::role::Role;

impl Account {
    /// Creates a group, which the user owns.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn create_group(&self, group: GroupName) -> Result<(), AccountError> {
        let write = new_write_id()?;
        self.ask_done(&AccessRequest::CreateGroup { write, group })
    }

    /// Asks to join a group. The owner has to accept the request.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn join_group(&self, group: Label) -> Result<(), AccountError> {
        let write = new_write_id()?;
        self.ask_done(&AccessRequest::JoinGroup { write, group })
    }

    /// Leaves a group. The last member can leave only with `end`, which ends the group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub(crate) fn leave_group(&self, group: Label, end: bool) -> Result<(), AccountError> {
        let write = new_write_id()?;
        self.ask_done(&AccessRequest::LeaveGroup { write, group, end })
    }

    /// Accepts a user's request to join.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn accept_request(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = new_write_id()?;
        self.ask_done(&AccessRequest::AcceptRequest { write, group, user })
    }

    /// Rejects a user's request to join.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn reject_request(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = new_write_id()?;
        self.ask_done(&AccessRequest::RejectRequest { write, group, user })
    }

    /// Removes a member from a group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn remove_member(&self, group: Label, user: Label) -> Result<(), AccountError> {
        let write = new_write_id()?;
        self.ask_done(&AccessRequest::RemoveMember { write, group, user })
    }

    /// Gives a member or a machine of a group a role.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn set_role(
        &self,
        group: Label,
        user: SubjectLabel,
        role: Role,
    ) -> Result<(), AccountError> {
        let write = new_write_id()?;
        self.ask_done(&AccessRequest::SetRole {
            write,
            group,
            user,
            role,
        })
    }

    /// Renames a group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn rename_group(&self, group: Label, name: GroupName) -> Result<(), AccountError> {
        let write = new_write_id()?;
        self.ask_done(&AccessRequest::RenameGroup { write, group, name })
    }

    /// All groups, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn groups(&self) -> Result<Vec<GroupEntry>, AccountError> {
        self.pages(
            |after| AccessRequest::ListGroups { after },
            |answer| match answer {
                AccessAnswer::Groups(page) => Some(page),
                _ => None,
            },
        )
    }

    /// The groups in which the user or machine is a member, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub(crate) fn own_groups(&self) -> Result<Vec<OwnGroup>, AccountError> {
        self.pages(
            |after| AccessRequest::OwnGroups { after },
            |answer| match answer {
                AccessAnswer::OwnGroups(page) => Some(page),
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
            |after| AccessRequest::ListMembers {
                group: group.clone(),
                after,
            },
            |answer| match answer {
                AccessAnswer::Members(page) => Some(page),
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
            |after| AccessRequest::ListRequests {
                group: group.clone(),
                after,
            },
            |answer| match answer {
                AccessAnswer::Requests(page) => Some(page),
                _ => None,
            },
        )
    }

    /// The decisions of others about the user, and the requests to join groups that the user owns.
    /// News that this peer has returned before is left out.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn news(&self) -> Result<Vec<DecisionEntry>, AccountError> {
        let seen_before = lock(&self.login).as_ref().map(|login| login.seen.clone());
        let seen_before = seen_before.unwrap_or_default();
        let (news, now_seen) = self.news_pages(&seen_before)?;
        for entry in &news {
            let user = entry.user.as_ref().map(|user| format!(" {user}"));
            let (group, outcome) = (&entry.group, entry.outcome.as_str());
            log::info!("news of {group}: {outcome}{}", user.unwrap_or_default());
        }
        let mut stored = lock(&self.login);
        if let (Some(login), Some(seen)) = (stored.as_mut(), now_seen)
            && login.seen == seen_before
            && seen != seen_before
        {
            *login = StoredLogin {
                seen,
                ..login.clone()
            };
            // If the file cannot be written, the news is returned now, and again after a restart.
            if let Err(error) = self.store(login) {
                log::warn!(
                    "cannot record which news was shown: {error}; it is shown again after a restart"
                );
            }
        }
        Ok(news)
    }

    /// All pages of the news that is not in `seen_before`, and the value of `seen_before` for the
    /// next call.
    fn news_pages(
        &self,
        seen_before: &SeenDecisions,
    ) -> Result<(Vec<DecisionEntry>, Option<SeenDecisions>), AccountError> {
        // Only the `seen` of the first page is stored. So a decision made between two pages is
        // returned next time.
        let mut now_seen: Option<SeenDecisions> = None;
        let news = self.pages(
            |after| AccessRequest::ListDecisions {
                seen: seen_before.clone(),
                with_requests: true,
                after,
            },
            |answer| match answer {
                AccessAnswer::Decisions { page, seen } => {
                    now_seen.get_or_insert(seen);
                    Some(page)
                }
                _ => None,
            },
        )?;
        Ok((news, now_seen))
    }
}
