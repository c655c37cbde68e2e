//! Answers which shares of a group members have withdrawn. Mirrors remove only these.

use super::from_refusal;
use crate::system::since_1970;
use crate::torrent::InfoHash;
use crate::tracker::registry::{Label, RowId};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{AccessAnswer, AccessRefusal, GroupId, Withdrawal, Withdrawals};

/// Those of these versions that members have withdrawn from the group. Only members may ask.
pub(super) fn withdrawals(
    store: &RegistryStore,
    account: RowId,
    group: &Label,
    versions: &[InfoHash],
) -> Result<AccessAnswer, AccessRefusal> {
    let found = store.read(|registry| registry.withdrawals(account, group, versions));
    let (group, withdrawn) = found.map_err(from_refusal)?;
    let now_ms = u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX);
    let withdrawn = withdrawn.into_iter().map(|(info_hash, at_ms)| Withdrawal {
        info_hash,
        age_ms: now_ms.saturating_sub(at_ms),
    });
    Ok(AccessAnswer::Withdrawals(Withdrawals {
        group: GroupId(group.0),
        withdrawn: withdrawn.collect(),
    }))
}
