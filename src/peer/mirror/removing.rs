//! How the thread of the mirrors removes shares.

use super::follow::{Followed, Follower};
use super::mirrored::Pass;
use crate::peer::{PeerError, Removed, now_ms};
use crate::storage::{MirrorOwner, MirroredShare};
use crate::torrent::InfoHash;
use crate::wire::access::Withdrawal;

impl Follower {
    /// Asks a tracker which of the missing shares were withdrawn.
    ///
    /// # Errors
    /// Why no tracker has answered.
    pub(super) fn ask(&self, of: &Followed<'_>, pass: &Pass) -> Result<(), String> {
        if pass.ask.is_empty() {
            return Ok(());
        }
        let answer = self.withdrawals(of, pass, &pass.ask)?;
        log::debug!(
            "mirror of {}: {} of {} missing shares were withdrawn",
            pass.group,
            answer.len(),
            pass.ask.len()
        );
        let now = self.services.context.now();
        self.update(of, |mirror| mirror.on_answer(&answer, now_ms(), now));
        Ok(())
    }

    /// Removes withdrawn shares, if a tracker still reports them as withdrawn.
    ///
    /// # Errors
    /// Why no tracker has answered. Then nothing is removed.
    pub(super) fn prune(
        &self,
        of: &Followed<'_>,
        pass: &Pass,
        shares: &[InfoHash],
    ) -> Result<(), String> {
        if shares.is_empty() {
            return Ok(());
        }
        let answer = self.withdrawals(of, pass, shares)?;
        let is_withdrawn =
            |share: &InfoHash| answer.iter().any(|withdrawn| withdrawn.info_hash == *share);
        let (withdrawn, others): (Vec<InfoHash>, Vec<_>) =
            shares.iter().copied().partition(is_withdrawn);
        self.update(of, |mirror| mirror.on_not_withdrawn(&others));
        for share in withdrawn {
            self.store(of, |mirror| mirror.on_pruning(share, now_ms()));
            self.remove(of, share);
        }
        Ok(())
    }

    fn withdrawals(
        &self,
        of: &Followed<'_>,
        pass: &Pass,
        shares: &[InfoHash],
    ) -> Result<Vec<Withdrawal>, String> {
        let account = &self.services.account;
        let answer = account.withdrawals(of.id, &pass.group, shares);
        match self.services.context.stop.is_stopped() {
            true => Err(PeerError::Stopping.to_string()),
            false => answer.map_err(|error| error.to_string()),
        }
    }

    /// Ends a share that the mirror has fetched, and removes its files.
    pub(super) fn remove(&self, of: &Followed<'_>, info_hash: InfoHash) {
        // A person may have asked for it since the plan was made.
        let share = self.share(of, info_hash);
        let Some(share) = share.filter(|share| share.owner == MirrorOwner::Mirror) else {
            return;
        };
        let transfer = self.services.transfers.transfer(info_hash);
        let transfer = transfer
            .filter(|transfer| transfer.plan.is_download() && transfer.plan.path() == share.path);
        let Some(transfer) = transfer else {
            return self.store(of, |mirror| mirror.stored.set_share(info_hash, None));
        };
        if let Some(other) = self.other_user(of, &share) {
            log::info!(
                "mirror: {} stays: {other} uses it too",
                share.path.display()
            );
            let owner = MirrorOwner::Person;
            let share = MirroredShare { owner, ..share };
            return self.store(of, |mirror| {
                mirror.stored.set_share(info_hash, Some(share.clone()))
            });
        }
        match self.services.remove_one(&transfer) {
            Ok(Removed::All) => {
                log::info!("mirror: removed {}", share.path.display());
                self.store(of, |mirror| mirror.stored.set_share(info_hash, None));
            }
            Ok(Removed::Some) => {
                log::warn!(
                    "mirror: {} stays: files in it were changed or added here",
                    share.path.display()
                );
                let owner = MirrorOwner::Changed;
                let share = MirroredShare { owner, ..share };
                self.store(of, |mirror| {
                    mirror.stored.set_share(info_hash, Some(share.clone()))
                });
            }
            Err(error) => {
                log::warn!("mirror: cannot remove {}: {error}", share.path.display());
                let (now, reason) = (self.services.context.now(), error.to_string());
                self.update(of, |mirror| mirror.on_not_removed(&share, &reason, now));
            }
        }
    }
}
