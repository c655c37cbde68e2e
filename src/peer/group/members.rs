//! Links to former members.

use super::Groups;
use crate::peer::Transfers;
use crate::system::since_1970;

/// Ends links to users who are no longer members, and links whose certificate has expired.
pub(crate) fn close_links_of_former_members(transfers: &Transfers, groups: &Groups) {
    let now = since_1970();
    for transfer in transfers.of_groups() {
        let Some(membership) = transfer.membership() else {
            continue;
        };
        let group = groups.of(&membership);
        for link in transfer.links() {
            let Some(member) = link.member() else {
                continue;
            };
            if group.is_barred(transfer.authority(), member) {
                link.close(format!(
                    "{} is no longer a member of the group",
                    member.user
                ));
            } else if member.validity.not_after.since_1970() <= now {
                link.close(format!("the certificate of {} has expired", member.user));
            }
        }
    }
}
