//! All reasons for which a tracker refuses a request.

/// Defines the kinds of refusal: for each the variant, its word on the wire and its meaning.
macro_rules! error_kinds {
    ($($kind:ident $word:literal $meaning:literal,)*) => {
        /// Every kind of refusal with its meaning, sorted. A later version may have more kinds. The
        /// meaning of a kind never changes.
        pub const ERROR_KINDS: &[(&str, &str)] = &[$(($word, $meaning)),*];

        /// One of [`ERROR_KINDS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum AccessErrorKind {
            $(#[doc = concat!("`", $word, "`: ", $meaning, ".")] $kind,)*
        }

        impl AccessErrorKind {
            const ALL: &[Self] = &[$(Self::$kind),*];

            /// The word of this kind on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }
    };
}

error_kinds! {
    AccountGone "account-gone" "the account of the login does not exist",
    AlreadyAMember "already-a-member" "the user is a member of the group already",
    AlreadyRequested "already-requested" "the user has an open request to join already",
    BadRequest "bad-request" "the tracker cannot read the request",
    Busy "busy" "the tracker is overloaded; try again shortly",
    DiskFull "disk-full" "the disk of the tracker is almost full; its operator must make room",
    Full "full" "the tracker has no place for another connection; try again later",
    IdInUse "id-in-use" "a random number was drawn twice; try again",
    InviteExpired "invite-expired" "the invite code is too old",
    InviteNeeded "invite-needed" "a new account needs an invite code",
    InviteUsed "invite-used" "the invite code has been used",
    LastMember "last-member" "the group ends if its last member leaves; confirm with --yes",
    LastOwner "last-owner" "the group would have no owner",
    LoginRefused "login-refused" "the user name or the password is wrong",
    MachineRevoked "machine-revoked" "the machine was revoked; it needs a new key and a token to enrol again",
    MachineSuspended "machine-suspended" "copies of the machine's files are in use; its maker or an owner of a group must allow it",
    NameKept "name-kept" "the name cannot be changed",
    NameTaken "name-taken" "the name is taken, or could mean a version of a share",
    NoRequest "no-request" "that user has no open request",
    NotAMember "not-a-member" "only members of the group may do this",
    NotAPublisher "not-a-publisher" "only publishers and owners of the group may do this",
    NotInCatalogue "not-in-catalogue" "no group of the user has this share (any more)",
    NotLoggedIn "not-logged-in" "log in first",
    NotSaved "not-saved" "the tracker cannot write its database",
    NotServing "not-serving" "the tracker must not serve the data that it has; try another tracker",
    NotSuspended "not-suspended" "the machine is not suspended",
    NotTheOwner "not-the-owner" "only an owner of the group may do this",
    NotThePublisher "not-the-publisher" "only a publisher of the share or an owner of the group may do this",
    OnlyUsers "only-users" "machines cannot do this, only users",
    OtherVersion "other-version" "the name means another share or version than the peer has seen",
    OwnLogin "own-login" "this is the login of this peer; logout ends it",
    OwnRemoval "own-removal" "users cannot remove themselves from a group",
    Quota "quota" "the user or the address has reached a limit of the tracker",
    SessionEnded "session-ended" "the login has ended; log in again",
    ShareExists "share-exists" "the group has a share of that name already",
    SlowDown "slow-down" "too many failed attempts; wait",
    Starting "starting" "the tracker is starting; try again in a moment",
    TokenEnded "token-ended" "the token was revoked or is too old, or its maker has left its groups",
    TokenSpent "token-spent" "all machines of the token have enrolled",
    UnknownGroup "unknown-group" "there is no such group",
    UnknownInvite "unknown-invite" "there is no such invite code",
    UnknownLogin "unknown-login" "the user has no such login (any more)",
    UnknownMachine "unknown-machine" "there is no such machine",
    UnknownMember "unknown-member" "that user is not a member of the group",
    UnknownShare "unknown-share" "the group has no such share",
    UnknownToken "unknown-token" "there is no such token",
    UnknownUser "unknown-user" "there is no such user",
}

impl AccessErrorKind {
    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// Whether the tracker refuses not only this request, but all requests of this peer, for now or
    /// permanently. The request was not carried out.
    pub fn refuses_all_requests(self) -> bool {
        matches!(self, Self::Full | Self::NotServing | Self::Starting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_kinds_is_sorted_and_each_kind_is_parsed_from_its_word() {
        assert!(ERROR_KINDS.is_sorted_by(|a, b| a.0 < b.0));
        for kind in AccessErrorKind::ALL {
            assert_eq!(AccessErrorKind::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(AccessErrorKind::parse("no-such-kind"), None);
    }
}
