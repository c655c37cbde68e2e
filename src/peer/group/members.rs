//! Links with those who are members no longer.

use super::Groups;
use crate::peer::Transfers;
use crate::system::since_1970;

/// Ends links whose other side is no member any more, or whose certificate has ended.
pub(crate) fn look_at_links(transfers: &Transfers, groups: &Groups) {
    let now = since_1970();
    for transfer in transfers.transfers() {
        let Some(membership) = &transfer.plan.group else {
            continue;
        };
        let group = groups.of(membership);
        for link in transfer.links() {
            let Some(member) = link.member() else {
                continue;
            };
            if group.is_barred(&member.user) {
                link.close(format!("{} is no member any more", member.user));
            } else if member.validity.not_after.since_1970() <= now {
                link.close(format!("the certificate of {} has ended", member.user));
            }
        }
    }
}
