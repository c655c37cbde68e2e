//! Tells the person that a login is about to end, and that it has ended. Pure.
//!
//! Trackers renew the token of a login that is used. So a login is about to end only if this peer
//! has reached no tracker for most of the life of the token.

use crate::base::command_text;
use crate::storage::TokenTimes;
use crate::wire::name::Label;
use std::time::Duration;

/// A login is about to end in this time before its end, or in the last quarter of its life if that
/// is shorter.
const NOTICE: Duration = Duration::from_secs(3 * 24 * 3600);

/// What a person should know about the end of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginEnd {
    /// The login of this user ends at this time, in milliseconds since 1970, if no tracker is
    /// reached before.
    Near(Label, u64),
    /// The login of this user has ended.
    Over(Label),
}

impl LoginEnd {
    /// What follows from the times of the token of `user` at `now`, which is counted from 1970.
    pub(in crate::peer) fn of(user: &Label, times: TokenTimes, now: Duration) -> Option<Self> {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let life = times.expires.saturating_sub(times.received);
        let notice = u64::try_from(NOTICE.as_millis()).unwrap_or(u64::MAX);
        let notice = notice.min(life / 4);
        match times.expires.saturating_sub(now) {
            0 => Some(Self::Over(user.clone())),
            left if left <= notice => Some(Self::Near(user.clone(), times.expires)),
            _ => None,
        }
    }

    /// One line for a person. `time` shows a time in milliseconds since 1970.
    pub fn text(&self, time: impl Fn(u64) -> String) -> String {
        match self {
            Self::Near(user, at) => format!(
                "the login of {user} ends at {}, because no tracker was reached for long; the peer \
                 keeps trying",
                time(*at)
            ),
            Self::Over(user) => format!(
                "the login of {user} has ended, so shares and downloads of groups are suspended; \
                 type: {}",
                command_text("login", &[&user.to_string()], &[])
            ),
        }
    }
}

/// Which ends of logins a person has been told of.
#[derive(Debug, Default)]
pub(super) struct ToldEnds(Option<LoginEnd>);

impl ToldEnds {
    /// `end`, if the person was not told of it before. `None` as `end` means that a login goes on.
    pub(super) fn on_end(&mut self, end: Option<&LoginEnd>) -> Option<LoginEnd> {
        if self.0.as_ref() == end {
            return None;
        }
        self.0 = end.cloned();
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600_000;

    #[test]
    fn the_end_is_near_in_the_last_days_without_contact() {
        let user: Label = "nik".parse().unwrap();
        let at = |received: u64, life: u64, now: u64| {
            let times = TokenTimes {
                received,
                expires: received + life,
            };
            LoginEnd::of(&user, times, Duration::from_millis(now))
        };
        let near = |end| Some(LoginEnd::Near("nik".parse().unwrap(), end));
        for (life, now, expected) in [
            (30 * DAY, 27 * DAY - 1, None),
            (30 * DAY, 27 * DAY, near(30 * DAY)),
            (30 * DAY, 30 * DAY - 1, near(30 * DAY)),
            (30 * DAY, 30 * DAY, Some(LoginEnd::Over(user.clone()))),
            (DAY, DAY * 3 / 4 - 1, None),
            (DAY, DAY * 3 / 4, near(DAY)),
        ] {
            assert_eq!(at(0, life, now), expected, "{life} {now}");
        }
    }

    #[test]
    fn a_person_is_told_once_of_each_end() {
        let user: Label = "nik".parse().unwrap();
        let (near, over) = (LoginEnd::Near(user.clone(), 5), LoginEnd::Over(user));
        let mut told = ToldEnds::default();
        assert_eq!(told.on_end(None), None);
        assert_eq!(told.on_end(Some(&near)), Some(near.clone()));
        assert_eq!(told.on_end(Some(&near)), None);
        assert_eq!(told.on_end(Some(&over)), Some(over.clone()));
        assert_eq!(told.on_end(Some(&over)), None);
        // A log-in, and the end of that login.
        assert_eq!(told.on_end(None), None);
        assert_eq!(told.on_end(Some(&over)), Some(over));
    }
}
