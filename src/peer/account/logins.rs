//! What a user asks trackers about his logins.

use super::{Account, AccountError, new_write_id};
use crate::wire::access::{AccessAnswer, AccessRequest, LoginEntry, LoginRequest};
use crate::wire::login_id::LoginId;

impl Account {
    /// The logins of the user that have not ended, with that of this peer.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn logins(&self) -> Result<Vec<LoginEntry>, AccountError> {
        self.check_is_of_a_person()?;
        self.pages(
            |after| AccessRequest::Logins(LoginRequest::List { after }),
            |answer| match answer {
                AccessAnswer::Logins(page) => Some(page),
                _ => None,
            },
        )
    }

    /// Ends a login of the user at another peer.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn end_login(&self, login: LoginId) -> Result<(), AccountError> {
        self.check_is_of_a_person()?;
        let write = new_write_id()?;
        self.ask_done(&AccessRequest::Logins(LoginRequest::End { write, login }))
    }
}
