//! Writes that take effect once: a peer sends a random write id with each command, so that a
//! repeated command does not write again.

use super::{IdempotencyKey, RECEIPT_LIFETIME, RequestContext, from_write_error, log_name};
use crate::torrent::Info;
use crate::tracker::registry::{Refusal, Registry, Update};
use crate::tracker::store::{Durability, RegistryStore};
use crate::wire::access::{AccessAnswer, AccessRefusal};
use std::sync::Arc;
use std::time::Duration;

/// Executes the writes of users, each of them once.
#[derive(Clone, Debug)]
pub(super) struct IdempotentWrites {
    store: Arc<RegistryStore>,
}

impl IdempotentWrites {
    pub(super) fn new(store: Arc<RegistryStore>) -> Self {
        Self { store }
    }

    /// Executes an operation for the user of the request, once. `what` describes it in the log.
    pub(super) fn write(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        what: &str,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        self.write_with_info(context, key, what, None, operation)
    }

    /// The same for an operation whose rows refer to an info dictionary.
    pub(super) fn write_with_info(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        what: &str,
        info: Option<&Info>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let login = context.login;
        let name = log_name(&self.store, login.account);
        let what = format!("{name} at {} {what}", context.from);
        // The login is checked again in the same step as the write, because it may have ended
        // meanwhile.
        let written = self.write_once(key, &what, info, |registry, now| {
            registry.check_login(login.account, login.id, login.credential)?;
            operation(registry, now)
        })?;
        context.record_write(written);
        Ok(AccessAnswer::Done)
    }

    /// Executes an operation and stores a receipt of it. If the receipt already exists, the
    /// operation is not executed again.
    pub(super) fn write_once(
        &self,
        key: &IdempotencyKey,
        what: &str,
        info: Option<&Info>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Durability, AccessRefusal> {
        let receipt = key.receipt();
        let written = self.store.write_with(info, |registry, now| {
            // The receipt is looked up again, because the same command may have arrived over
            // another connection meanwhile.
            registry.check_not_made(receipt)?;
            let update = operation(registry, now)?;
            registry.with_receipt(update, receipt, now + RECEIPT_LIFETIME, now)
        });
        match written {
            Ok(written) => {
                log::info!("{what}");
                Ok(written)
            }
            Err(error) => match self.find_previous(key, || what.to_owned())? {
                Some(written) => Ok(written),
                None => Err(from_write_error(error)),
            },
        }
    }

    /// Where the write is stored, if it was already made; otherwise `None`. If this tracker made
    /// the write, its receipt is renewed.
    pub(super) fn find_previous(
        &self,
        key: &IdempotencyKey,
        what: impl FnOnce() -> String,
    ) -> Result<Option<Durability>, AccessRefusal> {
        let receipt = key.receipt();
        let is_ours = self.store.read(|registry| {
            let found = registry.receipt(receipt);
            found.map(|found| found.created.stamp.origin() == registry.origin())
        });
        let Some(is_ours) = is_ours else {
            return Ok(None);
        };
        log::info!("repeated command, already executed: {}", what());
        // A receipt from another tracker is on the disk of that tracker, and on the local disk
        // before the reply is sent. A receipt that this tracker made may not have reached another
        // tracker. So this tracker renews it. A tracker that has the renewed receipt has the write.
        if !is_ours {
            return Ok(Some(Durability::Safe));
        }
        let written = self
            .store
            .write(|registry, now| registry.renew_receipt(receipt, now + RECEIPT_LIFETIME, now));
        written.map(Some).map_err(from_write_error)
    }
}
