//! The modification times of the files of a group's share.
//!
//! They are not part of the info dictionary, so that equal content has one info-hash. A member that
//! knows them sends them once on each link to a member that understands the message. A download
//! sets them on its files when it is complete. In open swarms only the `.torrent` has the times:
//! anybody may take part there.

use super::transfer::Transfer;
use crate::peer::TIMES_ID;
use crate::swarm::LinkId;
use crate::wire::peer::PeerMessage;
use crate::wire::times::TimesMessage;

impl Transfer {
    /// The id of the message in our extension handshake, if this transfer uses it.
    pub(super) fn own_times_id(&self) -> Option<u8> {
        self.plan.group.is_some().then_some(TIMES_ID)
    }

    /// The id that the other side has given to the message, if it has given one.
    pub(super) fn times_id(&self, link: LinkId) -> Option<u8> {
        self.inspect(|core| core.link(link)?.handshake().times)
    }

    /// Sends all times, if this peer knows them.
    pub(super) fn send_times(&self, link: LinkId, id: u8) {
        let times = self.files.times().filter(|_| self.plan.group.is_some());
        let (Some(times), Some(link)) = (times, self.link(link)) else {
            return;
        };
        let messages: Vec<Vec<u8>> = TimesMessage::all_of(times.all()).collect();
        let messages = messages
            .iter()
            .map(|payload| PeerMessage::Extended { id, payload });
        link.send(messages);
    }

    /// Takes the times of some files from another member. A message that is not valid is ignored.
    pub(super) fn take_times(&self, payload: &[u8]) {
        if self.plan.group.is_some()
            && let Some(message) = TimesMessage::parse(payload)
            && let Ok(first) = usize::try_from(message.first)
        {
            self.files.add_times(self.info(), first, &message.times);
        }
    }
}
