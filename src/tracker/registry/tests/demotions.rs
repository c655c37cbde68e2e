//! Owners that demote other owners, and pairs of them that demote each other at two trackers that
//! are cut off from each other.

use super::*;
use fastrand::Rng;

/// An owner has got a smaller role from another owner.
struct Demotion {
    group: RowId,
    by: RowId,
    of: RowId,
    version: Version,
    /// The writes that the tracker knew before.
    known: VersionVector,
}

/// The demotions of one run.
#[derive(Default)]
pub(super) struct Demotions(Vec<Demotion>);

impl Demotions {
    /// Records the demotions among these rows. `registry` has written them with the versions beside
    /// them, and they are not applied to it yet.
    pub(super) fn note(&mut self, registry: &Registry, rows: &[(Version, Row)]) {
        for (version, row) in rows {
            if let Row::Membership(row) = row
                && let Some(given) = row.role.as_ref().filter(|it| it.version == *version)
                && given.value.role != Role::Owner
                && given.value.by != row.account
                && registry.role_of(row.group, row.account) == Some(Role::Owner)
            {
                self.0.push(Demotion {
                    group: row.group,
                    by: given.value.by,
                    of: row.account,
                    version: *version,
                    known: registry.version_vector().clone(),
                });
            }
        }
    }

    /// The number of pairs of owners that demoted each other without knowing it.
    pub(super) fn count_mutual(&self) -> usize {
        let is_mutual = |one: &Demotion, other: &Demotion| {
            (one.group, one.by, one.of) == (other.group, other.of, other.by)
                && !is_known(other.version, &one.known)
                && !is_known(one.version, &other.known)
        };
        let pairs = self.0.iter().enumerate().map(|(at, one)| {
            let earlier = self.0.iter().take(at);
            earlier.filter(|other| is_mutual(one, other)).count()
        });
        pairs.sum()
    }
}

fn is_known(version: Version, known: &VersionVector) -> bool {
    known.of(version.stamp.origin()) >= version.sequence
}

/// An owner of a group and the label of another member, with the other role of the two: an owner is
/// to be demoted, and another member is to be an owner. `None` if no group has two members.
pub(super) fn rivals(rng: &mut Rng, registry: &Registry) -> Option<(RowId, Label, Label, Role)> {
    let groups = registry.groups(None, None, 99).items.into_iter();
    let group = rng.choice(groups.filter(|it| it.members > 1).collect::<Vec<_>>())?;
    let owners = registry.index.members.get(&group.id)?.owners();
    let owner = rng.choice(owners.collect::<Vec<_>>())?;
    let members = registry.member_ids(group.id).into_iter();
    let other = rng.choice(members.filter(|it| *it != owner).collect::<Vec<_>>())?;
    let role = match registry.role_of(group.id, other)? {
        Role::Owner => Role::Publisher,
        _ => Role::Owner,
    };
    Some((owner, group.label, registry.account_label(other)?, role))
}
