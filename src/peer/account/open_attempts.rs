//! The open attempts of a write, and the error that is reported while there are any. An attempt is
//! open if its tracker may have carried out the write, but has not said so.

use super::AccountError;
use crate::wire::HostPort;
use crate::wire::access::{AccessReplyMessage, AccessRequest};
use std::collections::HashSet;

/// The open attempts of a write. The requests that send the parts of one info dictionary are one
/// write. So the open attempts of each of these requests are passed on to the next request.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenAttempts {
    /// The trackers that received the write, and have not said since whether they carried it out.
    unanswered: HashSet<HostPort>,
    /// The refusal of a tracker that cannot write its database: the write may be saved or not.
    unsaved: Option<AccessReplyMessage>,
}

impl OpenAttempts {
    /// A tracker received the write and did not answer.
    pub(super) fn on_unanswered(&mut self, tracker: &HostPort) {
        self.unanswered.insert(tracker.clone());
    }

    /// A tracker says that it has not made the write.
    pub(super) fn on_refused(&mut self, tracker: &HostPort) {
        self.unanswered.remove(tracker);
    }

    /// A tracker cannot write its database.
    pub(super) fn on_unsaved(&mut self, tracker: &HostPort, reply: &AccessReplyMessage) {
        self.unanswered.remove(tracker);
        self.unsaved.get_or_insert_with(|| reply.clone());
    }

    /// Whether a tracker owes an answer.
    pub(super) fn is_answer_missing(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Whether the write may have been carried out.
    pub(super) fn may_be_done(&self) -> bool {
        self.is_answer_missing() || self.unsaved.is_some()
    }

    /// The refusal of a tracker that cannot write its database.
    pub(super) fn into_unsaved(self) -> Option<AccessReplyMessage> {
        self.unsaved
    }

    /// [`AccountError::UnknownOutcome`] if the write may have been carried out, otherwise `error`.
    pub(super) fn error_for(&self, ask: &AccessRequest, error: AccountError) -> AccountError {
        match error {
            AccountError::UnknownOutcome { .. } => error,
            error if self.may_be_done() => unknown_outcome(ask, error.to_string()),
            error => error,
        }
    }
}

/// Makes the error for a write with an unknown outcome.
pub(super) fn unknown_outcome(ask: &AccessRequest, troubles: String) -> AccountError {
    let advice = advice(ask);
    AccountError::UnknownOutcome { troubles, advice }
}

/// How a person finds out whether the write was made.
fn advice(ask: &AccessRequest) -> &'static str {
    match ask {
        AccessRequest::CreateUser { .. } => "if login succeeds, the account was created",
        AccessRequest::ChangePassword { .. } => {
            "if login succeeds with the new password, the password was changed"
        }
        AccessRequest::Publish { .. } => {
            "list_files shows whether it was published; run upload_file again to serve it here"
        }
        AccessRequest::Withdraw { .. } => "list_files shows whether it was done",
        AccessRequest::AcceptRequest { .. }
        | AccessRequest::RejectRequest { .. }
        | AccessRequest::RemoveMember { .. }
        | AccessRequest::SetRole { .. } => {
            "list_members and list_requests show whether it was done"
        }
        AccessRequest::Logins(_) => "list_logins shows whether it was done",
        AccessRequest::Machine(_) => "list_tokens and list_machines show whether it was done",
        _ => "list_groups shows whether it was done",
    }
}
