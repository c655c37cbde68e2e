//! Writes that take effect only once. A peer sends a random write id with each command that writes,
//! and sends the same id when it repeats the command. The tracker derives the idempotency key from
//! that id (see `idempotency`), so that a repeated command does not write again.

use super::{IdempotencyKey, RECEIPT_LIFETIME, RequestContext, from_write_error, log_name};
use crate::base::AddressPrefix;
use crate::torrent::Info;
use crate::tracker::registry::{Author, Refusal, Registry, Update};
use crate::tracker::store::{Durability, RegistryStore, WriteError};
use crate::wire::access::{AccessAnswer, AccessRefusal};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Executes a request unless an earlier attempt of it was carried out: `previous` returns the
/// answer to such an attempt.
///
/// The same request may have arrived over another connection and be carried out meanwhile. Then a
/// refusal may be an effect of the request itself: it has taken the name that it asks for, or has
/// ended its own login. So `previous` is called again after a refusal.
pub(super) fn once<T>(
    previous: impl Fn() -> Result<Option<T>, AccessRefusal>,
    execute: impl FnOnce() -> Result<T, AccessRefusal>,
) -> Result<T, AccessRefusal> {
    if let Some(done) = previous()? {
        return Ok(done);
    }
    execute().or_else(|refused| match previous() {
        Ok(Some(done)) => Ok(done),
        Ok(None) => Err(refused),
        // `previous` found the receipt, then failed. So the change was perhaps made. The message of
        // `NotSaved` asks the user to check that.
        Err(_) => Err(from_write_error(WriteError::NotSaved)),
    })
}

/// Executes the writes of users, each of them only once.
#[derive(Clone, Debug)]
pub(super) struct IdempotentWrites {
    store: Arc<RegistryStore>,
}

impl IdempotentWrites {
    pub(super) fn new(store: Arc<RegistryStore>) -> Self {
        Self { store }
    }

    /// Executes an operation for the user of the request, only once. `what` describes it in
    /// the log.
    pub(super) fn write(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        what: &str,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        self.write_with_info(context, key, what, None, operation)
    }

    /// Like [`IdempotentWrites::write`], but the new rows may refer to the info dictionary `info`.
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
        let durability = self.write_once(key, context.from, &what, info, |registry, now| {
            registry.check_login(login.account, login.id, login.credential)?;
            operation(registry, now)
        })?;
        context.record_write(durability);
        Ok(AccessAnswer::Done)
    }

    /// Executes an operation and stores its receipt, and its entry in the audit log. Refuses if the
    /// receipt already exists. `what` is the line for the log.
    pub(super) fn write_once(
        &self,
        key: &IdempotencyKey,
        from: IpAddr,
        what: &str,
        info: Option<&Info>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Durability, AccessRefusal> {
        let receipt = key.receipt();
        let result = self.store.write_with(info, |registry, now| {
            // `once` has looked for the receipt. It is checked again in the same step as the write,
            // because the same command may have arrived over another connection meanwhile.
            registry.check_not_yet_written(receipt)?;
            let update = operation(registry, now)?;
            let author = Author {
                account: Some(key.author()),
                from: Some(from),
            };
            let update = registry.with_audit(update, key.audit(), author, now);
            registry.with_receipt(update, receipt, now + RECEIPT_LIFETIME, now)
        });
        let durability = result.map_err(from_write_error)?;
        let source = AddressPrefix::of(from);
        log::info!(source:%; "{what}");
        Ok(durability)
    }

    /// How durable the write is, if it was made before; otherwise `None`. `what` describes the
    /// command in the log.
    pub(super) fn confirm_previous(
        &self,
        key: &IdempotencyKey,
        what: impl FnOnce() -> String,
    ) -> Result<Option<Durability>, AccessRefusal> {
        let receipt = key.receipt();
        if self.store.read(|it| it.receipt(receipt).is_none()) {
            return Ok(None);
        }
        log::info!("repeated command, already executed: {}", what());
        // Perhaps only this tracker has the write: it made the write itself, perhaps under an
        // earlier origin, or the tracker that made it has lost its disk. The renewed receipt is a
        // new write. No other tracker gets it without the write that it confirms.
        let renewed = self
            .store
            .write(|registry, now| registry.renew_receipt(receipt, now + RECEIPT_LIFETIME, now));
        renewed.map(Some).map_err(from_write_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::access::refused;
    use crate::wire::access::AccessErrorKind;
    use std::cell::Cell;

    fn refusal(kind: AccessErrorKind) -> AccessRefusal {
        refused(kind, "why")
    }

    #[test]
    fn after_a_refusal_a_receipt_of_the_same_request_decides_about_the_answer() {
        // Each case: what `previous` returns after the refusal, and the answer to the request.
        // Before the refusal, `previous` returns `None`.
        let busy = || Err(refusal(AccessErrorKind::Busy));
        let not_saved = from_write_error(WriteError::NotSaved);
        let cases = [
            (Ok(Some("done")), Ok("done")),
            (Ok(None), Err(refusal(AccessErrorKind::NameTaken))),
            (busy(), Err(not_saved)),
        ];
        for (found, expected) in cases {
            let is_refused = Cell::new(false);
            let previous = || match is_refused.get() {
                true => found.clone(),
                false => Ok(None),
            };
            let execute = || {
                is_refused.set(true);
                Err(refusal(AccessErrorKind::NameTaken))
            };
            assert_eq!(once(previous, execute), expected);
        }
    }

    #[test]
    fn a_request_that_was_carried_out_before_is_not_executed_again() {
        let executed = || -> Result<&str, AccessRefusal> { panic!("executed twice") };
        assert_eq!(once(|| Ok(Some("done")), executed), Ok("done"));
        assert_eq!(once(|| Ok(None), || Ok("now")), Ok("now"));
    }
}
