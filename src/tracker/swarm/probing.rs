//! Linear probing in tables with open addressing: what the tables of a swarm share.
//!
//! A search begins at the *home* of an entry and goes on position by position. After the last
//! position comes the first one. No position between the home of an entry and the entry is free.

/// Searches from `start` on. Returns the first position whose entry passes `fits`. The search ends
/// with `None` at the first free position (its entry is `empty`), unless that entry passes.
pub(super) fn search(
    entries: &[u32],
    empty: u32,
    start: usize,
    fits: impl Fn(u32) -> bool,
) -> Option<usize> {
    for at in (start..entries.len()).chain(0..start) {
        let entry = *entries.get(at)?;
        if fits(entry) {
            return Some(at);
        }
        if entry == empty {
            return None;
        }
    }
    None
}

/// Frees a position. Then moves entries from later positions into the gap, so that searches still
/// find them. An entry without a home stays where it is.
pub(super) fn free(
    entries: &mut [u32],
    empty: u32,
    position: usize,
    home: impl Fn(u32) -> Option<usize>,
) {
    let length = entries.len();
    let (mut gap, mut at) = (position, position);
    put(entries, gap, empty);
    for _ in 1..length {
        at = (at + 1) % length;
        let entry = entries.get(at).copied().unwrap_or(empty);
        if entry == empty {
            return;
        }
        let Some(home) = home(entry) else {
            continue;
        };
        // An entry fills the gap unless the search for it begins after the gap.
        let distance = |from: usize| (at + length - from) % length;
        if distance(home) >= distance(gap) {
            put(entries, gap, entry);
            put(entries, at, empty);
            gap = at;
        }
    }
}

pub(super) fn put(entries: &mut [u32], at: usize, entry: u32) {
    if let Some(place) = entries.get_mut(at) {
        *place = entry;
    }
}
