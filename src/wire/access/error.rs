//! The closed list of reasons for which a tracker refuses.

/// Makes the kinds of a list: each with its word on the wire, and what it means.
macro_rules! error_kinds {
    ($($kind:ident $word:literal $meaning:literal,)*) => {
        /// Every kind of refusal, sorted, and what it means. Kinds may be added; none changes its meaning.
        pub const ERROR_KINDS: &[(&str, &str)] = &[$(($word, $meaning)),*];

        /// One of [`ERROR_KINDS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind {
            $(#[doc = concat!("`", $word, "`: ", $meaning, ".")] $kind,)*
        }

        impl ErrorKind {
            const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }
    };
}

error_kinds! {
    AccountGone "account-gone" "the account of the session does not exist",
    AlreadyAMember "already-a-member" "the user is in the group already",
    AlreadyRequested "already-requested" "the user has asked already and waits",
    BadRequest "bad-request" "the tracker cannot read the request",
    Busy "busy" "the tracker has too much to do; try again shortly",
    IdInUse "id-in-use" "a random number was drawn twice; try again",
    InviteExpired "invite-expired" "the invite code is too old",
    InviteNeeded "invite-needed" "accounts are made with an invite code only",
    InviteUsed "invite-used" "the invite code has been used",
    LastMember "last-member" "leaving would end the group; --yes does it",
    LoginRefused "login-refused" "no user of that name has that password",
    NameKept "name-kept" "the name cannot be changed",
    NameTaken "name-taken" "the name belongs to somebody else",
    NoRequest "no-request" "that user has no open request",
    NotAMember "not-a-member" "for members of the group only",
    NotInCatalogue "not-in-catalogue" "no group of the user has the share (any more)",
    NotLoggedIn "not-logged-in" "log in first",
    NotSaved "not-saved" "the tracker cannot write its database",
    NotServing "not-serving" "the tracker does not serve with the data it has; another may",
    NotTheOwner "not-the-owner" "for the owner of the group only",
    NotThePublisher "not-the-publisher" "for who shared it or owns the group only",
    OwnRemoval "own-removal" "one cannot remove oneself",
    SessionEnded "session-ended" "the session is over; log in again",
    ShareExists "share-exists" "the group has a share of that name already",
    SlowDown "slow-down" "too many failed tries; wait",
    Starting "starting" "the tracker is about to serve; try again in a moment",
    UnknownGroup "unknown-group" "there is no such group",
    UnknownInvite "unknown-invite" "there is no such invite code",
    UnknownMember "unknown-member" "that user is not in the group",
    UnknownShare "unknown-share" "the group has no such share",
    UnknownUser "unknown-user" "there is no such user",
}

impl ErrorKind {
    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// Whether the tracker answers nobody, for now or altogether: nothing was done.
    pub fn is_unserved(self) -> bool {
        matches!(self, Self::NotServing | Self::Starting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_holds_the_constants() {
        assert!(ERROR_KINDS.is_sorted_by(|a, b| a.0 < b.0));
        for kind in [
            ErrorKind::AccountGone,
            ErrorKind::BadRequest,
            ErrorKind::Busy,
            ErrorKind::InviteNeeded,
            ErrorKind::LoginRefused,
            ErrorKind::NotInCatalogue,
            ErrorKind::NotLoggedIn,
            ErrorKind::NotSaved,
            ErrorKind::NotServing,
            ErrorKind::Starting,
            ErrorKind::NameTaken,
            ErrorKind::SessionEnded,
            ErrorKind::SlowDown,
            ErrorKind::UnknownInvite,
        ] {
            assert_eq!(ErrorKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ErrorKind::parse("no-such-kind"), None);
    }
}
