//! The role of a member in a group: what the member may do there.

use super::words::words;

/// The role of a member in a group. Each role may do everything that a smaller role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Lists, downloads and serves shares.
    Reader,
    /// Also publishes shares, and withdraws its own ones.
    Publisher,
    /// Also accepts, rejects and removes members, sets roles, renames the group and withdraws any
    /// share.
    Owner,
}

words!(Role { Reader => "reader", Publisher => "publisher", Owner => "owner" });
