//! Who holds a name: of all that claim it, the one with the earliest claim.

use super::{Label, Refusal, RowId, Stamp};
use std::collections::BTreeMap;
use std::str::FromStr;

/// The claims to names of one kind, sorted by name, then id.
#[derive(Debug)]
pub(super) struct Names<N>(BTreeMap<(N, RowId), Stamp>);

impl<N> Default for Names<N> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<N: Ord + Clone> Names<N> {
    pub(super) fn claim(&mut self, name: &N, id: RowId, since: Stamp) {
        self.0.insert((name.clone(), id), since);
    }

    pub(super) fn release(&mut self, name: &N, id: RowId) {
        self.0.remove(&(name.clone(), id));
    }

    /// All that claim the name, earliest claim first: the first one holds it.
    pub(super) fn claimants(&self, name: &N) -> Vec<RowId> {
        let mut claims: Vec<_> = self.of(name).map(|(id, since)| (since, id)).collect();
        claims.sort_unstable();
        claims.into_iter().map(|(_, id)| id).collect()
    }

    pub(super) fn holder(&self, name: &N) -> Option<RowId> {
        self.of(name)
            .min_by_key(|(id, since)| (*since, *id))
            .map(|(id, _)| id)
    }

    /// Of those that claim the name the one for which that holds, if it is only one.
    pub(super) fn only(&self, name: &N, is_meant: impl Fn(RowId) -> bool) -> Option<RowId> {
        let mut meant = self.of(name).filter(|(id, _)| is_meant(*id));
        match (meant.next(), meant.next()) {
            (Some((id, _)), None) => Some(id),
            _ => None,
        }
    }

    /// All claims, sorted, from `after` on or from the start.
    pub(super) fn from<'a>(
        &'a self,
        after: Option<(N, RowId)>,
    ) -> Box<dyn Iterator<Item = (&'a N, RowId)> + 'a> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        let claims = self.0.range((start, Unbounded));
        Box::new(claims.map(|((name, id), _)| (name, *id)))
    }

    fn of(&self, name: &N) -> impl Iterator<Item = (RowId, Stamp)> {
        let (first, last) = (RowId([0; 16]), RowId([u8::MAX; 16]));
        let claims = self.0.range((name.clone(), first)..=(name.clone(), last));
        claims.map(|((_, id), since)| (*id, *since))
    }
}

impl<N: Ord + Clone + FromStr> Names<N>
where
    for<'n> Label: From<&'n N>,
{
    /// The label of a row that claims the name.
    pub(super) fn label(&self, name: &N, id: RowId) -> Label {
        let label = Label::from(name);
        if self.holder(name).is_some_and(|holder| holder != id) {
            label.tagged(tag_of(id))
        } else {
            label
        }
    }

    /// Whether nobody has that name.
    ///
    /// # Errors
    /// [`Refusal::NameTaken`].
    pub(super) fn check_free(&self, name: &N) -> Result<(), Refusal> {
        match self.holder(name) {
            None => Ok(()),
            Some(_) => Err(Refusal::NameTaken(Label::from(name))),
        }
    }

    /// Whom a label names: the holder, or of the others the one with that tag, if it is only one.
    pub(super) fn find(&self, label: &Label) -> Option<RowId> {
        let name = label.name().parse::<N>().ok()?;
        let Some(tag) = label.tag() else {
            return self.holder(&name);
        };
        self.only(&name, |id| tag_of(id) == tag)
    }
}

/// The tag of a row in a label: its first 4 bytes.
fn tag_of(id: RowId) -> [u8; 4] {
    let [a, b, c, d, ..] = id.0;
    [a, b, c, d]
}
