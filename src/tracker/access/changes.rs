//! Writing once: a change carries the id that its asker drew, so that asking again changes nothing more.

use super::{Asker, IdempotencyKey, RECEIPT, shown, unwritten};
use crate::torrent::Info;
use crate::tracker::registry::{Refusal, Registry, Update};
use crate::tracker::store::{RegistryStore, Written};
use crate::wire::access::{Answer, Refused};
use std::sync::Arc;
use std::time::Duration;

/// Writes in the name of those who ask.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    store: Arc<RegistryStore>,
}

impl Changes {
    pub(super) fn new(store: Arc<RegistryStore>) -> Self {
        Self { store }
    }

    /// Carries out an operation in the asker's name, once; `what` is what the log says of it.
    pub(super) fn change(
        &self,
        asker: &Asker<'_>,
        key: &IdempotencyKey,
        what: &str,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Answer, Refused> {
        self.change_with(asker, key, what, None, operation)
    }

    /// The same for an operation whose rows name an info dictionary.
    pub(super) fn change_with(
        &self,
        asker: &Asker<'_>,
        key: &IdempotencyKey,
        what: &str,
        info: Option<&Info>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Answer, Refused> {
        let session = asker.session;
        let name = shown(&self.store, session.account);
        let what = format!("{name} at {} {what}", asker.from);
        // Checked again with the write itself: the session may have been ended meanwhile.
        let written = self.write_once(key, &what, info, |registry, now| {
            registry.check_session(session.account, session.session, session.credential)?;
            operation(registry, now)
        })?;
        asker.note(written);
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
            registry.unmade(receipt)?;
            let update = operation(registry, now)?;
            registry.receipted(update, receipt, now + RECEIPT, now)
        });
        match written {
            Ok(written) => {
                log::info!("{what}");
                Ok(written)
            }
            Err(error) => match self.before(key, || what.to_owned())? {
                Some(written) => Ok(written),
                None => Err(unwritten(error)),
            },
        }
    }

    /// Whether a write has been made already, and where it is durable then.
    pub(super) fn before(
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
        // What another tracker told of is on its disk and, key this request is answered, on ours. Of what was made here
        // others may not know yet: key they know the receipt anew, they do.
        if !is_ours {
            return Ok(Some(Written::Safe));
        }
        let written = self
            .store
            .write(|registry, now| registry.confirm(receipt, now + RECEIPT, now));
        written.map(Some).map_err(unwritten)
    }
}
