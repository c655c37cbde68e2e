//! The modification times of the files of a share.
//!
//! They are not part of the info dictionary, so that equal content has one info-hash. The extension
//! message [`TimesMessage`] carries them. A peer that knows them sends them once on each link to a
//! peer that names this message in its handshake. A download sets them on its files when it is
//! complete.
//!
//! In groups, members exchange them. In public open swarms, only a peer that does not know them
//! asks for them: its download comes from a magnet link, or from a `.torrent` without times.
//! Anybody may answer there, so a time must be between 1970 and now. A private torrent has them in
//! its `.torrent` or not at all.

use super::transfer::Transfer;
use crate::peer::{TIMES_ID, now_ms};
use crate::swarm::LinkId;
use crate::wire::peer::PeerMessage;
use crate::wire::times::TimesMessage;

impl Transfer {
    /// The id of [`TimesMessage`] in our extension handshake, if this transfer asks for times.
    pub(super) fn own_times_id(&self) -> Option<u8> {
        let is_of_group = self.plan.group.is_some();
        let asks = is_of_group || self.exchanges_times() && self.files.times().is_none();
        asks.then_some(TIMES_ID)
    }

    fn exchanges_times(&self) -> bool {
        self.plan.group.is_some() || self.plan.exchanges_peers()
    }

    /// The id that the other side has given to [`TimesMessage`], if it has given one.
    pub(super) fn times_id(&self, link: LinkId) -> Option<u8> {
        self.inspect(|core| core.link(link)?.handshake().times)
    }

    /// Sends all times, if this peer knows them.
    pub(super) fn send_times(&self, link: LinkId, id: u8) {
        let times = self.files.times().filter(|_| self.exchanges_times());
        let (Some(times), Some(link)) = (times, self.link(link)) else {
            return;
        };
        let messages: Vec<Vec<u8>> = TimesMessage::all_of(times.all()).collect();
        let messages = messages
            .iter()
            .map(|payload| PeerMessage::Extended { id, payload });
        link.send(messages);
    }

    /// Takes the times of some files from another peer. A message that is not valid is ignored.
    pub(super) fn take_times(&self, payload: &[u8]) {
        if self.exchanges_times()
            && let Some(message) = TimesMessage::parse(payload)
            && let Ok(first) = usize::try_from(message.first)
            && self.trusts(&message.times)
        {
            self.files.add_times(self.info(), first, &message.times);
        }
    }

    /// Whether this transfer accepts these times. Members of a group are trusted. In an open swarm,
    /// times count only for a download that is not complete, and only if they are between 1970 and
    /// now.
    fn trusts(&self, times: &[i64]) -> bool {
        self.plan.group.is_some() || !self.phase().was_complete() && are_plausible(times, now_ms())
    }
}

/// Whether all these times, in nanoseconds since 1970, are between 1970 and now.
fn are_plausible(times: &[i64], now_ms: u64) -> bool {
    let until = i64::try_from(now_ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    times.iter().all(|time| (0..=until).contains(time))
}

#[cfg(test)]
mod tests {
    use super::are_plausible;

    #[test]
    fn times_before_1970_or_after_now_are_not_plausible() {
        assert!(are_plausible(&[0, 5_000_000], 5));
        for time in [-1, 5_000_001, i64::MIN, i64::MAX] {
            assert!(!are_plausible(&[0, time], 5), "{time}");
        }
    }
}
