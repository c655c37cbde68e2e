//! What a list of holders shows of the registry: which swarms a name means, and who a holder is.

use super::{Found, Label, Login, LoginRow, MachineName, Refusal, Registry, RowId, Share};
use crate::torrent::InfoHash;
use crate::wire::machine::SubjectLabel;
use std::collections::BTreeMap;
use std::time::Duration;

/// A version of a share, for a list of holders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionView {
    /// Its swarm.
    pub info_hash: InfoHash,
    /// The name that means exactly this version.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// Its length in bytes.
    pub length: u64,
}

/// Who a holder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderView {
    /// The user or the machine.
    pub user: SubjectLabel,
    /// The name of the host where the login began, if it is known.
    pub host: Option<MachineName>,
}

impl Registry {
    /// The id of the holder that a login belongs to. A machine is one holder, although it has a new
    /// login after each start. The logins of a user are different holders.
    pub fn holder_of(&self, login: &Login) -> RowId {
        match self.machine(login.account) {
            Some(_) => login.account,
            None => LoginRow::id_of(login.account, login.id),
        }
    }

    /// The swarms of the listed versions that `name` means in a group: of a share all its versions,
    /// otherwise the one that is named. Without a name: of all shares. Each with the row of its
    /// version: if several versions have the same swarm, that of the newest.
    ///
    /// # Errors
    /// [`Refusal::UnknownShare`].
    pub fn named_swarms(
        &self,
        group: RowId,
        label: &Label,
        name: Option<&str>,
    ) -> Result<BTreeMap<InfoHash, RowId>, Refusal> {
        let catalogue = &self.index.catalogue;
        let rows: Vec<RowId> = match name {
            None => catalogue.version_page(group, None, usize::MAX).0,
            Some(name) => match self.found_in(group, label, name)? {
                Found::Version(id) => vec![id],
                Found::Share(share) => catalogue.versions(&share).collect(),
            },
        };
        let shares = rows.into_iter().filter_map(|id| self.share_row(id));
        Ok(shares.map(|share| (share.info_hash, share.id)).collect())
    }

    /// The version that a name means in a group: of a share, its newest version.
    ///
    /// # Errors
    /// [`Refusal::UnknownShare`].
    pub fn named_version(
        &self,
        group: RowId,
        label: &Label,
        name: &str,
    ) -> Result<VersionView, Refusal> {
        let found = self.found_in(group, label, name)?;
        let newest = self.newest_of(&found).and_then(|id| self.version_view(id));
        newest.ok_or_else(|| Refusal::unknown_share(label, name))
    }

    /// The version with this row.
    pub fn version_view(&self, row: RowId) -> Option<VersionView> {
        let share: &Share = self.share_row(row)?;
        let name = self.version_name(share);
        Some(VersionView {
            info_hash: share.info_hash,
            name: name.unwrap_or_else(|| self.share_name(share)),
            number: share.edition.value.number,
            length: share.length,
        })
    }

    /// Who the holder of `account` with this id is. `None` if it may not take part in the group any
    /// more, or if its login has ended.
    pub fn holder_view(
        &self,
        group: RowId,
        (account, id): (RowId, RowId),
        now: Duration,
    ) -> Option<HolderView> {
        self.role_of(group, account)?;
        let row = self.login_row_of(id);
        if let Some(row) = row {
            let credential = self.account(account)?.credential();
            if !self.is_listed(row, credential, now) {
                return None;
            }
        }
        Some(HolderView {
            user: self.subject_label(account)?,
            host: row.and_then(|row| row.begun.host.clone()),
        })
    }
}
