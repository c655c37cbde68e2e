//! Counts of equal values.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// How often each value was added and not removed again.
#[derive(Debug)]
pub(super) struct Counts<K>(BTreeMap<K, usize>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Counts<K> {
    pub(super) fn add(&mut self, value: K) {
        let count = self.0.entry(value).or_default();
        *count = count.saturating_add(1);
    }

    /// Does nothing if the value is not there.
    pub(super) fn remove(&mut self, value: &K) {
        let Some(count) = self.0.get_mut(value) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.0.remove(value);
        }
    }

    pub(super) fn contains(&self, value: &K) -> bool {
        self.0.contains_key(value)
    }

    /// The smallest value in a range.
    pub(super) fn first_in(&self, range: RangeInclusive<K>) -> Option<&K> {
        self.0.range(range).map(|(value, _)| value).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_there_until_it_was_removed_as_often_as_it_was_added() {
        let mut counts = Counts::default();
        for value in [5, 3, 5] {
            counts.add(value);
        }
        counts.remove(&7);
        counts.remove(&5);
        assert!(counts.contains(&5));
        assert_eq!(counts.first_in(4..=9), Some(&5));
        counts.remove(&5);
        assert!(!counts.contains(&5));
        assert_eq!(
            (counts.first_in(4..=9), counts.first_in(0..=9)),
            (None, Some(&3))
        );
    }
}
