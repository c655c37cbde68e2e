//! The list of the logins of a user.
//!
//! A login has a row, a [`LoginRow`], from its begin on. A tracker writes into the row that the
//! login is used, at most once in [`USE_PAUSE`], when it renews a token. A login that a version
//! without such rows began gets a row then.
//!
//! The row only describes the login: nobody refuses a token because its row is missing. So a login
//! works although only one tracker has its row, or none.
//!
//! The row expires when no token of the login can be valid any more: see [`LoginUse::until`]. Until
//! then it is listed, except if the registry shows that the login has ended.
//!
//! An account has at most [`MAX_LISTED_LOGINS`] rows that have not expired. If there are more, a
//! write of another login lets the row expire that was not used for the longest time, one of an
//! ended login first. That ends no login: the next use is noted again. Nor does a garbage
//! collection, which leaves at most [`MAX_LOGIN_ROWS`] rows of an account if the others have
//! expired ([`Registry::surplus_logins`]).

use super::logins::LOG_OUT_LIFETIME;
use super::machine_queries::page_of;
use super::{
    AuditAction, Cursor, Login, LoginBegin, LoginRow, LoginUse, MachineName, Page, Refusal,
    Register, Registry, Row, RowId, Stamp, Update, Version, millis,
};
use crate::wire::login_id::LoginId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Uses of a login within this time after a noted use are not noted.
pub const USE_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// The most logins of one account that are listed.
pub const MAX_LISTED_LOGINS: usize = 1000;
/// The most rows of one account, also expired ones, that a garbage collection leaves.
pub const MAX_LOGIN_ROWS: usize = 2 * MAX_LISTED_LOGINS;
/// The most rows that one write lets expire because there are too many. With two, trackers that
/// were disconnected come back to the limit.
const SURPLUS_PER_WRITE: usize = 2;

/// A login in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginView {
    /// Names it among the logins of its user.
    pub id: LoginId,
    /// How it began.
    pub begun: LoginBegin,
    /// Its latest noted use.
    pub used: LoginUse,
    /// Whether it is the login that asks for the list.
    pub is_present: bool,
}

impl Registry {
    /// Whether a use of a login is to be noted. `login` is its present token, or the one that it
    /// gets now. Logins of machines are not listed.
    pub fn is_use_due(&self, login: &Login, now: Duration) -> bool {
        match self.login_row(login) {
            Some(row) => {
                let used = &row.used.value;
                let pause = millis(USE_PAUSE);
                millis(now) >= used.at.saturating_add(pause) || millis(login.expires) > used.until
            }
            None => self.account(login.account).is_some(),
        }
    }

    /// Notes a use of a login from the address `from`. If the login has no row yet, makes one:
    /// `host` is the name of the host where it began, if it begins now.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::OnlyUsers`], [`Refusal::LoginEnded`].
    pub fn note_use(
        &self,
        login: &Login,
        host: Option<&MachineName>,
        from: IpAddr,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.acting_account(login.account)?;
        self.check_login(login.account, login.id, login.credential)?;
        let version = self.next_version(now);
        let former = self.login_row(login);
        let until = millis(login.expires.saturating_add(USE_PAUSE));
        let former_until = former.map_or(0, |row| row.used.value.until);
        let used = LoginUse {
            at: millis(now),
            from,
            until: until.max(former_until),
        };
        let used = Register::new(version, used);
        let row = match former {
            Some(row) => LoginRow {
                used,
                ..row.clone()
            },
            None => LoginRow {
                id: LoginRow::id_of(login.account, login.id),
                account: login.account,
                login: login.id,
                created: version,
                begun: LoginBegin {
                    credential: login.credential,
                    at: millis(login.issued),
                    host: host.cloned(),
                },
                used,
            },
        };
        let mut rows = self.expire_surplus(&row, version, now);
        rows.push(Row::Login(row));
        self.write(version, &[], rows)
    }

    /// A page of the logins of an account that have not ended, by host. `present` is the login that
    /// asks.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::OnlyUsers`].
    pub fn logins(
        &self,
        account: RowId,
        present: RowId,
        after: Option<&Cursor>,
        (now, limit): (Duration, usize),
    ) -> Result<Page<LoginView>, Refusal> {
        let credential = self.acting_account(account)?.credential();
        let mut sorted = BTreeSet::new();
        let mut first_digits: BTreeMap<LoginId, usize> = BTreeMap::new();
        for row in self.login_rows(account) {
            if self.is_listed(row, credential, now) {
                let host = row.begun.host.clone();
                sorted.insert((host.unwrap_or_else(|| MachineName::nearest("")), row.id));
                let short = LoginId::of_login(&row.login.0, true);
                *first_digits.entry(short).or_default() += 1;
            }
        }
        let view = |id| {
            let row = self.login_row_of(id)?;
            let short = LoginId::of_login(&row.login.0, true);
            let is_alone = first_digits.get(&short) == Some(&1);
            Some(LoginView {
                id: LoginId::of_login(&row.login.0, is_alone),
                begun: row.begun.clone(),
                used: row.used.value,
                is_present: row.login == present,
            })
        };
        Ok(page_of(&sorted, after, limit, view))
    }

    /// The host where a login began, if its row says it.
    pub fn host_of(&self, login: &Login) -> Option<MachineName> {
        self.login_row(login)?.begun.host.clone()
    }

    /// Rows of accounts that have more than [`MAX_LOGIN_ROWS`] of them: those that have expired at
    /// `now`, the earliest first. They can be dropped at once, even if another tracker cannot be
    /// reached, because nothing depends on them.
    pub fn surplus_logins(&self, now: Duration) -> Vec<RowId> {
        let accounts = self.index.usage.logins.beyond(MAX_LOGIN_ROWS);
        let surplus = accounts.flat_map(|account| {
            let count = self.index.usage.logins.count(account);
            let rows = self.login_rows(account);
            let expired = rows.filter(|row| row.used.value.until <= millis(now));
            let mut expired: Vec<_> = expired.map(|row| (row.used.value.until, row.id)).collect();
            expired.sort_unstable();
            expired.truncate(count.saturating_sub(MAX_LOGIN_ROWS));
            expired.into_iter().map(|(_, id)| id)
        });
        surplus.collect()
    }

    /// Ends the login of an account that `id` names, like a log-out. `present` is the login that
    /// asks.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::OnlyUsers`]; [`Refusal::UnknownLogin`] if no listed
    /// login has this id, or several have it; [`Refusal::OwnLogin`] if it is `present`.
    pub fn end_login(
        &self,
        account: RowId,
        present: RowId,
        id: &LoginId,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let credential = self.acting_account(account)?.credential();
        let mut named = self
            .login_rows(account)
            .filter(|row| id.is_of(&row.login.0) && self.is_listed(row, credential, now));
        let (Some(row), None) = (named.next(), named.next()) else {
            return Err(Refusal::UnknownLogin(id.clone()));
        };
        if row.login == present {
            return Err(Refusal::OwnLogin);
        }
        let used = Duration::from_millis(row.used.value.at);
        let expires = now.max(used).saturating_add(LOG_OUT_LIFETIME);
        let ended = self.log_out(account, row.login, expires, now)?;
        Ok(match self.has_too_many_log_outs(account, now) {
            // All logins of the account end.
            true => ended,
            false => ended.of_action((AuditAction::EndedLogin, Some(account), None)),
        })
    }

    /// Whether the tokens of a login may be valid. `credential` is the present one of its account.
    pub(super) fn is_listed(&self, row: &LoginRow, credential: Stamp, now: Duration) -> bool {
        let is_logged_out = matches!(self.row(row.login), Some(Row::Revocation(_)));
        let is_of_account = row.begun.credential == credential;
        is_of_account && !is_logged_out && row.used.value.until > millis(now)
    }

    /// The rows of the account of `new` that expire now, so that it and the others are not too
    /// many.
    fn expire_surplus(&self, new: &LoginRow, version: Version, now: Duration) -> Vec<Row> {
        if self.index.usage.logins.count(new.account) < MAX_LISTED_LOGINS {
            return Vec::new();
        }
        let others = self.login_rows(new.account).filter(|row| row.id != new.id);
        let mut kept: Vec<_> = others
            .filter(|row| row.used.value.until > millis(now))
            .map(|row| {
                let is_living = self.is_listed(row, new.begun.credential, now);
                (is_living, row.used.value.at, row.id)
            })
            .collect();
        let surplus = (kept.len() + 1).saturating_sub(MAX_LISTED_LOGINS);
        kept.sort_unstable();
        kept.truncate(surplus.min(SURPLUS_PER_WRITE));
        let rows = kept.into_iter();
        let rows = rows.filter_map(|(_, _, id)| self.login_row_of(id));
        rows.map(|row| {
            let used = LoginUse {
                until: millis(now),
                ..row.used.value
            };
            Row::Login(LoginRow {
                used: Register::new(version, used),
                ..row.clone()
            })
        })
        .collect()
    }

    fn login_row(&self, login: &Login) -> Option<&LoginRow> {
        self.login_row_of(LoginRow::id_of(login.account, login.id))
    }

    pub(super) fn login_row_of(&self, id: RowId) -> Option<&LoginRow> {
        match self.row(id) {
            Some(Row::Login(row)) => Some(row),
            _ => None,
        }
    }

    fn login_rows(&self, account: RowId) -> impl Iterator<Item = &LoginRow> {
        let ids = self.index.usage.logins.of(account);
        ids.filter_map(|id| self.login_row_of(id))
    }
}
