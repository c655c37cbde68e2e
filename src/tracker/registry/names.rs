//! Claims to names. The row with the earliest claim to a name holds it.

use super::{Label, Refusal, RowId, Stamp};
use std::collections::BTreeMap;
use std::str::FromStr;

/// All claims to the names of users, of groups, or of the shares of one group. They are sorted by
/// name, then id.
#[derive(Debug)]
pub(super) struct NameClaims<N>(BTreeMap<(N, RowId), Stamp>);

impl<N> Default for NameClaims<N> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<N: Ord + Clone> NameClaims<N> {
    pub(super) fn claim(&mut self, name: &N, id: RowId, since: Stamp) {
        self.0.insert((name.clone(), id), since);
    }

    pub(super) fn release(&mut self, name: &N, id: RowId) {
        self.0.remove(&(name.clone(), id));
    }

    /// The number of claims.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// All claimants of a name, earliest claim first. The first one holds the name.
    pub(super) fn claimants(&self, name: &N) -> Vec<RowId> {
        let mut claims: Vec<_> = self
            .claims_to(name)
            .map(|(id, since)| (since, id))
            .collect();
        claims.sort_unstable();
        claims.into_iter().map(|(_, id)| id).collect()
    }

    pub(super) fn holder(&self, name: &N) -> Option<RowId> {
        self.claims_to(name)
            .min_by_key(|(id, since)| (*since, *id))
            .map(|(id, _)| id)
    }

    /// Of the claimants of a name, the one that `is_match` accepts; `None` if it accepts none or
    /// more than one.
    pub(super) fn only_match(&self, name: &N, is_match: impl Fn(RowId) -> bool) -> Option<RowId> {
        let mut matching = self.claims_to(name).filter(|(id, _)| is_match(*id));
        match (matching.next(), matching.next()) {
            (Some((id, _)), None) => Some(id),
            _ => None,
        }
    }

    /// The claims after `after`, or all claims if it is `None`, sorted.
    pub(super) fn entries_after<'a>(
        &'a self,
        after: Option<(N, RowId)>,
    ) -> Box<dyn Iterator<Item = (&'a N, RowId)> + 'a> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        let claims = self.0.range((start, Unbounded));
        Box::new(claims.map(|((name, id), _)| (name, *id)))
    }

    fn claims_to(&self, name: &N) -> impl Iterator<Item = (RowId, Stamp)> {
        let (first, last) = (RowId([0; 16]), RowId([u8::MAX; 16]));
        let claims = self.0.range((name.clone(), first)..=(name.clone(), last));
        claims.map(|((_, id), since)| (*id, *since))
    }
}

impl<N: Ord + Clone + FromStr> NameClaims<N>
where
    for<'n> Label: From<&'n N>,
{
    /// The label of a claimant: the name, with a tag if another claimant holds the name.
    pub(super) fn label(&self, name: &N, id: RowId) -> Label {
        let label = Label::from(name);
        if self.holder(name).is_some_and(|holder| holder != id) {
            label.tagged(tag_of(id))
        } else {
            label
        }
    }

    /// Checks that no row claims this name, or a name that differs from it only in case.
    ///
    /// # Errors
    /// [`Refusal::NameTaken`].
    pub(super) fn check_free(&self, name: &N) -> Result<(), Refusal> {
        self.check_free_except(None, name)
    }

    /// Like [`Self::check_free`], but the present name of the row `id` counts as free.
    ///
    /// # Errors
    /// [`Refusal::NameTaken`].
    pub(super) fn check_free_for(&self, id: RowId, name: &N) -> Result<(), Refusal> {
        self.check_free_except(Some(id), name)
    }

    fn check_free_except(&self, except: Option<RowId>, name: &N) -> Result<(), Refusal> {
        match self.equal_ignoring_case(except, name) {
            None => Ok(()),
            Some(taken) => Err(Refusal::NameTaken(Label::from(taken))),
        }
    }

    /// A name that another row than `except` claims, and that is the given one or differs from it
    /// only in case. Names are sorted without regard to case first, then by case. So all names that
    /// differ only in case are one range: it begins with the name in upper case and ends with the
    /// name in lower case.
    fn equal_ignoring_case(&self, except: Option<RowId>, name: &N) -> Option<&N> {
        let label = Label::from(name);
        let first = label.name().to_ascii_uppercase().parse().ok()?;
        let last = label.name().to_ascii_lowercase().parse().ok()?;
        let ids = (RowId([0; 16]), RowId([u8::MAX; 16]));
        let mut claims = self.0.range((first, ids.0)..=(last, ids.1));
        let other = claims.find(|((_, id), _)| Some(*id) != except);
        other.map(|((name, _), _)| name)
    }

    /// The claimant that a label means. Without a tag it is the holder; with a tag it is the
    /// claimant with that tag, if there is exactly one.
    pub(super) fn find(&self, label: &Label) -> Option<RowId> {
        let name = label.name().parse::<N>().ok()?;
        let Some(tag) = label.tag() else {
            return self.holder(&name);
        };
        self.only_match(&name, |id| tag_of(id) == tag)
    }
}

/// The tag of a row in a label: the first 4 bytes of its id.
pub(super) fn tag_of(id: RowId) -> [u8; 4] {
    let [a, b, c, d, ..] = id.0;
    [a, b, c, d]
}
