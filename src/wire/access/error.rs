//! The closed list of reasons for which a tracker refuses.

/// Every kind of refusal, sorted, and what it means. Kinds may be added; none changes its meaning.
pub const ERROR_KINDS: &[(&str, &str)] = &[
    ("account-gone", "the account of the session does not exist"),
    ("already-a-member", "the user is in the group already"),
    ("already-requested", "the user has asked already and waits"),
    ("bad-request", "the tracker cannot read the request"),
    ("busy", "the tracker has too much to do; try again shortly"),
    ("id-in-use", "a random number was drawn twice; try again"),
    ("invite-expired", "the invite code is too old"),
    (
        "invite-needed",
        "accounts are made with an invite code only",
    ),
    ("invite-used", "the invite code has been used"),
    ("last-member", "leaving would end the group; --yes does it"),
    ("login-refused", "no user of that name has that password"),
    ("name-kept", "the name cannot be changed"),
    ("name-taken", "the name belongs to somebody else"),
    ("no-request", "that user has no open request"),
    ("not-a-member", "for members of the group only"),
    (
        "not-in-catalogue",
        "no group of the user has the share (any more)",
    ),
    ("not-logged-in", "log in first"),
    ("not-saved", "the tracker cannot write its database"),
    (
        "not-serving",
        "the tracker does not serve with the data it has; another may",
    ),
    ("not-the-owner", "for the owner of the group only"),
    (
        "not-the-publisher",
        "for who shared it or owns the group only",
    ),
    ("own-removal", "one cannot remove oneself"),
    ("session-ended", "the session is over; log in again"),
    ("share-exists", "the group has a share of that name already"),
    ("slow-down", "too many failed tries; wait"),
    (
        "starting",
        "the tracker is about to serve; try again in a moment",
    ),
    ("unknown-group", "there is no such group"),
    ("unknown-invite", "there is no such invite code"),
    ("unknown-member", "that user is not in the group"),
    ("unknown-share", "the group has no such share"),
    ("unknown-user", "there is no such user"),
];

/// One of [`ERROR_KINDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorKind(&'static str);

impl ErrorKind {
    /// No account belongs to the session.
    pub const ACCOUNT_GONE: Self = Self("account-gone");
    /// Not a request.
    pub const BAD_REQUEST: Self = Self("bad-request");
    /// Too much to do.
    pub const BUSY: Self = Self("busy");
    /// Registration is closed.
    pub const INVITE_NEEDED: Self = Self("invite-needed");
    /// Unknown user or wrong password.
    pub const LOGIN_REFUSED: Self = Self("login-refused");
    /// The swarm is not of a group of the asker.
    pub const NOT_IN_CATALOGUE: Self = Self("not-in-catalogue");
    /// No session came with the request.
    pub const NOT_LOGGED_IN: Self = Self("not-logged-in");
    /// The database failed.
    pub const NOT_SAVED: Self = Self("not-saved");
    /// The tracker answers nobody, and will not without its operator or another tracker; nothing was done.
    pub const NOT_SERVING: Self = Self("not-serving");
    /// The tracker answers nobody yet; nothing was done.
    pub const STARTING: Self = Self("starting");
    /// The name belongs to somebody.
    pub const NAME_TAKEN: Self = Self("name-taken");
    /// The session was ended, or its time is over.
    pub const SESSION_ENDED: Self = Self("session-ended");
    /// Too many failed tries.
    pub const SLOW_DOWN: Self = Self("slow-down");
    /// The code is none that was given out.
    pub const UNKNOWN_INVITE: Self = Self("unknown-invite");

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        let found = ERROR_KINDS.iter().find(|(kind, _)| *kind == word);
        found.map(|(kind, _)| Self(kind))
    }

    /// Whether the tracker answers nobody, for now or altogether.
    pub fn is_unserved(self) -> bool {
        self == Self::NOT_SERVING || self == Self::STARTING
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_holds_the_constants() {
        assert!(ERROR_KINDS.is_sorted_by(|a, b| a.0 < b.0));
        for kind in [
            ErrorKind::ACCOUNT_GONE,
            ErrorKind::BAD_REQUEST,
            ErrorKind::BUSY,
            ErrorKind::INVITE_NEEDED,
            ErrorKind::LOGIN_REFUSED,
            ErrorKind::NOT_IN_CATALOGUE,
            ErrorKind::NOT_LOGGED_IN,
            ErrorKind::NOT_SAVED,
            ErrorKind::NOT_SERVING,
            ErrorKind::STARTING,
            ErrorKind::NAME_TAKEN,
            ErrorKind::SESSION_ENDED,
            ErrorKind::SLOW_DOWN,
            ErrorKind::UNKNOWN_INVITE,
        ] {
            assert_eq!(ErrorKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ErrorKind::parse("no-such-kind"), None);
    }
}
