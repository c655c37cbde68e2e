//! The rows of logins, and how two states of one row merge.

use super::{MachineName, Register, RowId, Stamp, Version};
use ring::digest::{Context, SHA256};
use std::net::IpAddr;

/// A login, for the list of its user. Whether a token is valid does not depend on this row: a login
/// without it works, and gets one when its token is renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRow {
    /// The id of the row: see [`LoginRow::id_of`].
    pub id: RowId,
    /// The account that is logged in.
    pub account: RowId,
    /// The id of the login.
    pub login: RowId,
    /// The write that created the row.
    pub created: Version,
    /// How the login began. Two trackers may create the row: then from the later creation.
    pub begun: LoginBegin,
    /// The latest noted use; the last writer wins.
    pub used: Register<LoginUse>,
}

/// How a login began.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoginBegin {
    /// The credential of the account: see [`Account::credential`](super::Account::credential).
    pub credential: Stamp,
    /// When it began, in milliseconds since 1970.
    pub at: u64,
    /// The name of the host where it began. `None` if the peer did not send it.
    pub host: Option<MachineName>,
}

/// A use of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoginUse {
    /// When it was used, in milliseconds since 1970.
    pub at: u64,
    /// From where.
    pub from: IpAddr,
    /// When the last token has expired that may exist before the next noted use, in milliseconds
    /// since 1970. The row expires then.
    pub until: u64,
}

impl LoginRow {
    /// The id of the row of a login. It is not the id of the login, which the row of a log-out has.
    pub fn id_of(account: RowId, login: RowId) -> RowId {
        let mut hash = Context::new(&SHA256);
        hash.update(b"pieceful login v1");
        hash.update(&account.0);
        hash.update(&login.0);
        let id = hash.finish().as_ref().first_chunk().copied();
        RowId(id.unwrap_or_default())
    }

    /// Whether both rows have the same attributes.
    pub(super) fn is_same_row(&self, other: &Self) -> bool {
        (self.account, self.login) == (other.account, other.login)
    }

    /// Merges two states of one row.
    pub(super) fn merge(self, other: Self) -> Self {
        let (created, begun) = (self.created, self.begun).max((other.created, other.begun));
        Self {
            created,
            begun,
            used: self.used.max(other.used),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Contradiction, Origin, Row, Sequence};
    use super::*;

    fn at(wall: u64) -> Version {
        let stamp = Stamp::new(wall, 0, Origin([1; 16])).unwrap();
        let sequence = Sequence::new(wall).unwrap();
        Version { stamp, sequence }
    }

    /// A row that was created at one time and used at another.
    fn row(created: u64, used: u64) -> LoginRow {
        LoginRow {
            id: RowId([1; 16]),
            account: RowId([2; 16]),
            login: RowId([3; 16]),
            created: at(created),
            begun: LoginBegin {
                credential: at(1).stamp,
                at: 9 - created,
                host: format!("gpu{created}").parse().ok(),
            },
            used: Register::new(
                at(used),
                LoginUse {
                    at: used,
                    from: IpAddr::from([10, 0, 0, 1]),
                    until: 9 - used,
                },
            ),
        }
    }

    #[test]
    fn the_later_creation_and_the_later_use_are_kept() {
        let states = [(2, 2), (2, 5), (3, 3), (3, 4), (4, 6)].map(|(a, b)| row(a, b));
        let merge = |a: &LoginRow, b: &LoginRow| a.clone().merge(b.clone());
        for a in &states {
            assert_eq!(merge(a, a), *a);
            for b in &states {
                let both = merge(a, b);
                assert_eq!(both, merge(b, a));
                let created = if a.created > b.created { a } else { b };
                assert_eq!(
                    (both.created, &both.begun),
                    (created.created, &created.begun)
                );
                assert_eq!(both.used, a.used.clone().max(b.used.clone()));
                for c in &states {
                    assert_eq!(merge(&both, c), merge(a, &merge(b, c)));
                }
            }
        }
    }

    #[test]
    fn rows_of_different_logins_contradict_each_other() {
        let one = row(2, 2);
        let (account, login) = (RowId([9; 16]), RowId([9; 16]));
        for other in [
            LoginRow {
                account,
                ..one.clone()
            },
            LoginRow {
                login,
                ..one.clone()
            },
        ] {
            let merged = Row::Login(one.clone()).merge(Row::Login(other));
            assert_eq!(merged, Err(Contradiction(one.id)));
        }
    }

    #[test]
    fn the_id_depends_on_the_account_and_the_login() {
        let [one, two] = [RowId([1; 16]), RowId([2; 16])];
        let ids = [(one, one), (one, two), (two, one)].map(|(a, b)| LoginRow::id_of(a, b));
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        // All versions of the program must derive the same id.
        assert_eq!(ids[0].to_string(), "79f2bddb652e47688ceb29b1068dd456");
    }
}
