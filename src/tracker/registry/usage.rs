//! Quotas: limits on what each account uses.
//!
//! Quotas bind only new writes at this tracker. Rows of other trackers are merged in any case. So
//! an account can exceed a quota if it writes at two trackers while they cannot reach each other.

use super::{Refusal, Registry, RowId, Usage, responsible};
use crate::torrent::InfoHash;
use std::collections::HashMap;

/// The limits on what one account uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountQuotas {
    /// See [`Usage::shares`].
    pub shares: u64,
    /// See [`Usage::groups`].
    pub groups: u64,
    /// See [`Usage::metadata_bytes`].
    pub metadata_bytes: u64,
}

impl Default for AccountQuotas {
    fn default() -> Self {
        Self {
            shares: 50_000,
            groups: 1_000,
            metadata_bytes: 256 << 20,
        }
    }
}

impl Registry {
    /// Sets the length of an info dictionary that is stored beside the registry. The length is 0
    /// if the dictionary is no longer stored.
    pub fn set_metadata_length(&mut self, info_hash: InfoHash, length: u32) {
        self.index.usage.set_length(info_hash, length);
    }

    /// What an account or a machine uses.
    pub fn usage_of(&self, account: RowId) -> Usage {
        let usage = self.index.usage.accounts.get(&account);
        usage.copied().unwrap_or_default()
    }

    /// Each account that uses anything, together with what it and its machines use. The accounts
    /// come in any order. What a machine uses counts for the machine while its token is not known.
    pub fn usage(&self) -> impl Iterator<Item = (RowId, Usage)> {
        let mut accounts: HashMap<RowId, Usage> = HashMap::new();
        for (subject, usage) in &self.index.usage.accounts {
            let account = self.account_of(*subject);
            accounts.entry(account).or_default().add(usage);
        }
        accounts.into_iter()
    }

    /// What an account and its machines use together. A dictionary that several of them published
    /// counts for each.
    fn usage_with_machines(&self, account: RowId) -> Usage {
        let mut usage = self.usage_of(account);
        for machine in self.index.machines.made_machines(account) {
            usage.add(&self.usage_of(machine));
        }
        usage
    }

    /// The account that is responsible for a subject. While the token of a machine is not known:
    /// the machine.
    pub(super) fn account_of(&self, subject: RowId) -> RowId {
        responsible(|id| self.row(id), subject).unwrap_or(subject)
    }

    /// Checks that an account may create one more group.
    ///
    /// # Errors
    /// [`Refusal::GroupQuota`].
    pub fn check_group_quota(&self, account: RowId, quotas: &AccountQuotas) -> Result<(), Refusal> {
        match self.usage_of(account).groups < quotas.groups {
            true => Ok(()),
            false => Err(Refusal::GroupQuota(quotas.groups)),
        }
    }

    /// Checks that an account or a machine may publish one more share. `length` is the length of
    /// its info dictionary. A maker and his machines share one quota.
    ///
    /// # Errors
    /// [`Refusal::ShareQuota`], [`Refusal::MetadataQuota`].
    pub fn check_share_quota(
        &self,
        subject: RowId,
        info_hash: InfoHash,
        length: u64,
        quotas: &AccountQuotas,
    ) -> Result<(), Refusal> {
        let usage = self.usage_with_machines(self.account_of(subject));
        if usage.shares >= quotas.shares {
            return Err(Refusal::ShareQuota(quotas.shares));
        }
        let added = match self.index.usage.is_publisher(subject, info_hash) {
            true => 0,
            false => length,
        };
        if usage.metadata_bytes.saturating_add(added) > quotas.metadata_bytes {
            return Err(Refusal::MetadataQuota {
                used: usage.metadata_bytes,
                added,
                most: quotas.metadata_bytes,
            });
        }
        Ok(())
    }
}
