//! Writes that take effect once. A peer sends a random write id with each command that writes, and
//! sends the same id when it repeats the command. The tracker derives the idempotency key from it
//! (see `idempotency`), so that a repeated command does not write again.

use super::{IdempotencyKey, RECEIPT_LIFETIME, RequestContext, from_write_error, log_name};
use crate::torrent::Info;
use crate::tracker::registry::{Refusal, Registry, Update};
use crate::tracker::store::{Durability, RegistryStore, WriteError};
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
        let durability = self.write_once(key, &what, info, |registry, now| {
            registry.check_login(login.account, login.id, login.credential)?;
            operation(registry, now)
        })?;
        context.record_write(durability);
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
        let result = self.store.write_with(info, |registry, now| {
            // The caller has looked for the receipt. It is checked again in the same step as the
            // write, because the same command may have arrived over another connection meanwhile.
            registry.check_not_yet_written(receipt)?;
            let update = operation(registry, now)?;
            registry.with_receipt(update, receipt, now + RECEIPT_LIFETIME, now)
        });
        match result {
            Ok(durability) => {
                log::info!("{what}");
                Ok(durability)
            }
            Err(error) => match self.confirm_previous(key, || what.to_owned()) {
                Ok(Some(durability)) => Ok(durability),
                Ok(None) => Err(from_write_error(error)),
                // The receipt is here, so the write may be saved.
                Err(_) => Err(from_write_error(WriteError::NotSaved)),
            },
        }
    }

    /// How durable the write is, if it was made before; otherwise `None`. If this tracker made the
    /// write, this also renews the receipt.
    pub(super) fn confirm_previous(
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
        if !is_ours {
            // The receipt is on the disk of the tracker that made it, and on the local disk before
            // the reply is sent.
            return Ok(Some(Durability::Safe));
        }
        // Our own write may not have reached another tracker. The renewed receipt is a new write,
        // whose durability this returns. A tracker that has the new write has the old one too,
        // because trackers receive the writes of one origin in order.
        let renewed = self
            .store
            .write(|registry, now| registry.renew_receipt(receipt, now + RECEIPT_LIFETIME, now));
        renewed.map(Some).map_err(from_write_error)
    }
}
