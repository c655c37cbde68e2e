//! Logins: when their tokens are valid, and how a log-out ends them for good.
//!
//! A login begins with a token. Each renewal makes another token of the same login. A token is
//! valid for the life of logins at the tracker that made it, and for [`RENEWAL_AGE`] longer: a
//! tracker renews a token only when it is that old. So a login that is used at least once in its
//! life never ends. The trackers of a cluster may have different lives, but none is longer than
//! [`MAX_LOGIN_LIFE`]. So a tracker knows how long a token of any other one is valid at most
//! ([`LONGEST_TOKEN_LIFE`]).
//!
//! A log-out adds one row, a [`Revocation`], which ends all tokens of the login at every tracker
//! that has the row. So the row must exist at a tracker as long as this tracker would accept any
//! token of the login:
//!
//! - A tracker refuses tokens that were issued more than [`MAX_DRIFT`] in its future. So all tokens
//!   that it can accept or make now expire within [`MAX_DRIFT`] and [`LONGEST_TOKEN_LIFE`].
//! - A tracker that learns of a log-out may have renewed the login a moment before, because it
//!   could not reach the others. If the row expires too early for that, by the clock of this
//!   tracker, the tracker writes a later expiry, in the same step ([`Registry::merge`]).
//! - A tracker drops the row only when all trackers have it, and it has all that they have
//!   ([`Registry::droppable`]): so also each later expiry.
//! - Some tokens are of a time when a clock was ahead. A log-out with such a token is accepted
//!   although the token is not, and its row lives until that token has expired.
//! - [`LOG_OUT_LIFETIME`] is much longer than any token is valid, because a clock can be wrong when
//!   the row is written, and when it is dropped; and because a tracker that merges the row much
//!   later would otherwise have to write a later expiry.

#[cfg(test)]
use super::mutation::FORGETS_LOG_OUTS;
use super::{
    Account, Change, MAX_DRIFT, Refusal, Registry, Revocation, Row, RowId, Stamp, Update, Version,
    VersionVector, millis,
};
use std::time::Duration;

/// The longest life of logins that a tracker may have: how long a login goes on without being used.
pub const MAX_LOGIN_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// A tracker renews a token that is this old.
pub const RENEWAL_AGE: Duration = Duration::from_secs(3 * 3600);
/// A token of any tracker is valid at most this long.
pub const LONGEST_TOKEN_LIFE: Duration = MAX_LOGIN_LIFE.saturating_add(RENEWAL_AGE);
/// If a token was issued at most this far in the future, the clock of this tracker may be the wrong
/// one.
const FAR_FUTURE: Duration = Duration::from_secs(12 * 3600);
/// How long the row of a log-out is kept at least.
pub const LOG_OUT_LIFETIME: Duration = Duration::from_secs(180 * 24 * 3600);
/// The log-outs of one account that count (see [`Registry::has_too_many_log_outs`]). The next
/// log-out ends all its logins instead.
pub const MAX_LOG_OUTS: usize = 50_000;

/// The content of a token. Times are since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// The account or machine that is logged in.
    pub account: RowId,
    /// The id of the login. Renewals keep it.
    pub id: RowId,
    /// The credential of the account at the time of the log-in: a stamp that changes when the
    /// password changes or all logins of the account are ended (see [`Account::credential`]).
    pub credential: Stamp,
    /// When this token was issued.
    pub issued: Duration,
    /// When this token expires.
    pub expires: Duration,
}

/// Why a token is not valid now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginTimeError {
    /// It has expired.
    #[error("the login has expired; log in again")]
    Expired,
    /// It was issued more than [`MAX_DRIFT`] in the future, but at most 12 hours. The
    /// clock of this tracker may be the wrong one, so another tracker, or this one later, may
    /// accept it.
    #[error(
        "the login is of a time in the future, so the clock of a tracker is or was wrong; tell the \
         operator"
    )]
    FromFuture,
    /// It was issued more than 12 hours in the future.
    #[error(
        "the login is of a time far in the future, so the clock of a tracker is or was wrong; log \
         in again"
    )]
    FromFarFuture,
    /// It is valid for longer than [`LONGEST_TOKEN_LIFE`].
    #[error("the login is valid for longer than logins are; log in again")]
    TooLong,
}

impl Login {
    /// A login that ends if it is not used for `life` from `now` on. A new login needs a random id.
    pub fn begin(
        account: RowId,
        id: RowId,
        credential: Stamp,
        now: Duration,
        life: Duration,
    ) -> Self {
        Self {
            account,
            id,
            credential,
            issued: now,
            expires: now.saturating_add(life.min(MAX_LOGIN_LIFE) + RENEWAL_AGE),
        }
    }

    /// The same login for another `life`.
    #[must_use]
    pub fn renewed(&self, now: Duration, life: Duration) -> Self {
        Self::begin(self.account, self.id, self.credential, now, life)
    }

    /// Whether the token should be renewed, because it is [`RENEWAL_AGE`] old.
    pub fn is_renewal_due(&self, now: Duration) -> bool {
        now >= self.issued.saturating_add(RENEWAL_AGE)
    }

    /// Whether the times of the token allow its use at `now`. Does not check whether the login was
    /// ended early: [`Registry::check_login`] does.
    ///
    /// # Errors
    /// See [`LoginTimeError`].
    pub fn check_times(&self, now: Duration) -> Result<(), LoginTimeError> {
        if now >= self.expires {
            return Err(LoginTimeError::Expired);
        }
        if self.issued > now.saturating_add(FAR_FUTURE) {
            return Err(LoginTimeError::FromFarFuture);
        }
        if self.issued > now.saturating_add(MAX_DRIFT) {
            return Err(LoginTimeError::FromFuture);
        }
        if self.expires.saturating_sub(self.issued) > LONGEST_TOKEN_LIFE {
            return Err(LoginTimeError::TooLong);
        }
        Ok(())
    }

    /// When the row of a log-out that is made with this token at `now` expires.
    pub fn log_out_expiry(&self, now: Duration) -> Duration {
        now.max(self.issued).saturating_add(LOG_OUT_LIFETIME)
    }
}

impl Registry {
    /// Ends one login of an account, or all its logins if it [has too many
    /// log-outs](Self::has_too_many_log_outs). The row expires at `expires` (since 1970, see
    /// [`Login::log_out_expiry`]).
    ///
    /// # Errors
    /// [`Refusal::AccountGone`]; [`Refusal::LoginEnded`] if the login has already ended.
    pub fn log_out(
        &self,
        account: RowId,
        login: RowId,
        expires: Duration,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.acting_account(account)?;
        if matches!(self.row(login), Some(Row::Revocation(_))) {
            return Err(Refusal::LoginEnded);
        }
        if self.has_too_many_log_outs(account, now) {
            return self.end_all_logins(account, now);
        }
        let version = self.next_version(now);
        let revocation = Revocation {
            id: login,
            account,
            created: version,
            expires: millis(expires),
        };
        self.write(version, &[login], [Row::Revocation(revocation)])
    }

    /// Whether an account has [`MAX_LOG_OUTS`] log-outs. Those that have expired do not count, nor
    /// those of before the last end of all its logins: no token of such a login is valid.
    pub fn has_too_many_log_outs(&self, account: RowId, now: Duration) -> bool {
        let kept = &self.index.usage.log_outs;
        // In the usual case no row is looked at.
        if kept.count(account) < MAX_LOG_OUTS {
            return false;
        }
        let credential = self.account(account).map(Account::credential);
        let is_counted = |id: &RowId| {
            matches!(self.row(*id), Some(Row::Revocation(row))
                if row.expires > millis(now) && Some(row.created.stamp) > credential)
        };
        kept.of(account).filter(is_counted).count() >= MAX_LOG_OUTS
    }

    /// Checks that nothing has ended a login that began under `credential` (see
    /// [`Account::credential`]). Does not check whether the token of the login has expired. The
    /// login of a machine ends when the machine starts again.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::LoginEnded`]; of a machine also
    /// [`Refusal::MachineRevoked`], [`Refusal::MachineSuspended`], [`Refusal::TokenEnded`].
    pub fn check_login(
        &self,
        account: RowId,
        login: RowId,
        credential: Stamp,
    ) -> Result<(), Refusal> {
        self.acting_subject(account)?;
        let present = match self.machine(account) {
            Some(machine) => machine.credential(),
            None => self.account(account).map(Account::credential),
        };
        let ended = matches!(self.row(login), Some(Row::Revocation(_)));
        match ended || present != Some(credential) {
            true => Err(Refusal::LoginEnded),
            false => Ok(()),
        }
    }

    /// Whether the change has log-outs that are new here and that this tracker must keep longer. A
    /// merge then makes own writes.
    pub(super) fn must_keep_log_outs_longer(&self, change: &Change, now: Duration) -> bool {
        change.rows().any(|row| self.is_new_and_short(row, now))
    }

    /// Gives a later expiry to the log-outs among the merged rows that are new here and expire too
    /// early. Each is a write of its own, which other trackers learn of when they next catch up.
    pub(super) fn keep_log_outs_longer(
        &self,
        merged: &mut [Row],
        versions: &mut VersionVector,
        now: Duration,
    ) {
        #[cfg(test)]
        if FORGETS_LOG_OUTS.get() {
            return;
        }
        let mut clock = self.clock_after(merged);
        for row in merged {
            if !self.is_new_and_short(row, now) {
                continue;
            }
            if let Row::Revocation(row) = row {
                let origin = self.origin();
                let sequence = versions.of(origin).next();
                let stamp = clock.next(now);
                clock.witness(&stamp);
                versions.note(origin, sequence);
                row.created = Version { stamp, sequence };
                row.expires = millis(now.saturating_add(LONGEST_TOKEN_LIFE + 2 * MAX_DRIFT));
            }
        }
    }

    /// Whether a row is a log-out that is not here yet, and that may expire before a token that
    /// this tracker has made or accepted.
    fn is_new_and_short(&self, row: &Row, now: Duration) -> bool {
        let needed = millis(now.saturating_add(LONGEST_TOKEN_LIFE + MAX_DRIFT));
        matches!(row, Row::Revocation(row) if row.expires < needed && self.row(row.id).is_none())
    }
}
