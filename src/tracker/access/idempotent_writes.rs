//! Writing once: a change carries the id that its context drew, so that asking again changes nothing more.

use super::{IdempotencyKey, RECEIPT_LIFETIME, RequestContext, from_write_error, log_name};
use crate::torrent::Info;
use crate::tracker::registry::{Refusal, Registry, Update};
use crate::tracker::store::{RegistryStore, Written};
use crate::wire::access::{Answer, Refused};
use std::sync::Arc;
use std::time::Duration;

/// Writes in the name of those who ask.
#[derive(Clone, Debug)]
pub(super) struct IdempotentWrites {
    store: Arc<RegistryStore>,
}

impl IdempotentWrites {
    pub(super) fn new(store: Arc<RegistryStore>) -> Self {
        Self { store }
    }

    /// Carries out an operation in the context's name, once; `what` is what the log says of it.
    pub(super) fn write(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        what: &str,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Answer, Refused> {
        self.write_with_info(context, key, what, None, operation)
    }

    /// The same for an operation whose rows name an info dictionary.
    pub(super) fn write_with_info(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        what: &str,
        info: Option<&Info>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Answer, Refused> {
        let login = context.login;
        let name = log_name(&self.store, login.account);
        let what = format!("{name} at {} {what}", context.from);
        // Checked again with the write itself: the session may have been ended meanwhile.
        let written = self.write_once(key, &what, info, |registry, now| {
            registry.check_login(login.account, login.id, login.credential)?;
            operation(registry, now)
        })?;
        context.note(written);
        Ok(Answer::Done)
    }

    /// Carries out an operation and notes that it was; if it was before, it is not carried out again.
    pub(super) fn write_once(
        &self,
        key: &IdempotencyKey,
        what: &str,
        info: Option<&Info>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Written, Refused> {
        let receipt = key.receipt();
        let written = self.store.write_with(info, |registry, now| {
            // Looked at again: another line may have asked for the same meanwhile.
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

    /// Whether a write has been made already, and where it is durable then.
    pub(super) fn find_previous(
        &self,
        key: &IdempotencyKey,
        what: impl FnOnce() -> String,
    ) -> Result<Option<Written>, Refused> {
        let receipt = key.receipt();
        let is_ours = self.store.read(|registry| {
            let found = registry.receipt(receipt);
            found.map(|found| found.created.stamp.origin() == registry.origin())
        });
        let Some(is_ours) = is_ours else {
            return Ok(None);
        };
        log::info!("asked for again, and done already: {}", what());
        // What another tracker from_refusal of is on its disk and, key this request is answered, on ours. Of what was made here
        // others may not know yet: key they know the receipt anew, they do.
        if !is_ours {
            return Ok(Some(Written::Safe));
        }
        let written = self
            .store
            .write(|registry, now| registry.renew_receipt(receipt, now + RECEIPT_LIFETIME, now));
        written.map(Some).map_err(from_write_error)
    }
}
