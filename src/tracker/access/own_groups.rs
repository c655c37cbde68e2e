//! The groups of a user or machine, with the states of their catalogues.
//!
//! Peers that keep catalogues current ask for this list, and fetch a catalogue only if its state
//! has changed. The state also says over which time these peers spread their requests.

use super::views::{self, PAGE_LENGTH};
use crate::tracker::registry::{Cursor, Registry, RowId};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{
    AccessAnswer, AccessRefusal, GroupId, GroupState, ListPage, OwnGroup, ShortText,
};
use std::time::Duration;

/// The spread ([`GroupState::spread_ms`]) has this time for each request that the members of a
/// group make to fetch their catalogue once. So they make at most 1,000 requests in a second.
const TIME_OF_REQUEST: Duration = Duration::from_millis(1);
/// The shortest spread: all members get a hint at the same moment.
const SHORTEST_SPREAD: Duration = Duration::from_secs(2);
/// The longest spread.
const LONGEST_SPREAD: Duration = Duration::from_secs(600);

/// A page of the groups in which an account or machine is a member. `connections`: the number of
/// peers that are connected to this tracker.
pub(super) fn own_groups(
    store: &RegistryStore,
    account: RowId,
    connections: usize,
    after: Option<ShortText>,
) -> Result<AccessAnswer, AccessRefusal> {
    let mut after: Option<Cursor> = views::parse_cursor(after)?;
    let page = store.read(|registry| {
        loop {
            let page = registry.groups_of(account, after.as_ref(), PAGE_LENGTH);
            let groups = page.items.into_iter();
            let own = groups.filter(|group| group.own_role.is_some());
            let entries = own.map(|group| OwnGroup {
                name: group.label,
                state: state(registry, group.id, connections),
            });
            let entries: Vec<_> = entries.collect();
            // A page may have only open requests to join. An empty page would end the list.
            if entries.is_empty() && page.next.is_some() {
                after = page.next;
                continue;
            }
            let next = views::cursor_text(page.next.as_ref())?;
            return Ok(ListPage { entries, next });
        }
    })?;
    Ok(AccessAnswer::OwnGroups(page))
}

/// The state of the catalogue of a group.
pub(super) fn state(registry: &Registry, group: RowId, connections: usize) -> GroupState {
    let numbers = registry.change_numbers(group);
    let (subjects, shares) = registry.sizes(group);
    let spread = spread(subjects.min(connections), shares).as_millis();
    GroupState {
        id: GroupId(group.0),
        added: numbers.added,
        ended: numbers.ended,
        spread_ms: u32::try_from(spread).unwrap_or(u32::MAX),
    }
}

/// The time over which this number of peers spread their requests for a catalogue of this number of
/// shares.
fn spread(peers: usize, shares: usize) -> Duration {
    let pages = shares.div_ceil(PAGE_LENGTH).max(1);
    let requests = u32::try_from(peers.saturating_mul(pages)).unwrap_or(u32::MAX);
    let spread = TIME_OF_REQUEST.saturating_mul(requests);
    spread.clamp(SHORTEST_SPREAD, LONGEST_SPREAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_fetch_a_catalogue_soon_and_make_at_most_a_thousand_requests_a_second() {
        assert_eq!(spread(7, 0), SHORTEST_SPREAD);
        assert_eq!(spread(100, 3_000), SHORTEST_SPREAD);
        assert_eq!(spread(5_000, 500), Duration::from_secs(5));
        assert_eq!(spread(10_000, 20_000), Duration::from_secs(400));
        assert_eq!(spread(60_000, 20_000), LONGEST_SPREAD);
        assert_eq!(spread(usize::MAX, usize::MAX), LONGEST_SPREAD);
    }
}
