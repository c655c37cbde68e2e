//! The list of a user's logins, and the end of one of them.
//!
//! A tracker writes down when a login begins and, now and then, that it is used. The token is valid
//! at every tracker, whether or not that one has the row (see `registry::login_list`). So a log-in
//! succeeds, and says nothing of copies, if only this tracker has the row. A request that renews a
//! token does not even wait for other trackers: it may be a read, for which peers have little
//! patience.

use super::{
    IdempotencyKey, IdempotentWrites, PAGE_LENGTH, RequestContext, from_write_error, lists,
    not_of_this_kind, views,
};
use crate::system::since_1970;
use crate::tracker::registry::{Cursor, Login, MachineName, Registry};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{AccessAnswer, AccessRefusal, LoginRequest};
use std::net::IpAddr;

/// Notes that a login begins at the address `from`. `host` is the name of the host.
pub(super) fn note_begin(
    store: &RegistryStore,
    login: &Login,
    host: Option<&MachineName>,
    from: IpAddr,
) -> Result<(), AccessRefusal> {
    if !is_due(store, login) {
        return Ok(());
    }
    let written = store.write(|registry, now| registry.note_use(login, host, from, now));
    written.map(drop).map_err(from_write_error)
}

/// Notes that a login goes on at the address `from`. It does, whether or not this succeeds.
pub(super) fn note_renewal(store: &RegistryStore, login: &Login, from: IpAddr) {
    if !is_due(store, login) {
        return;
    }
    let written = store.write_unawaited(|it, now| it.note_use(login, None, from, now));
    if let Err(error) = written {
        let user = views::log_name(store, login.account);
        log::warn!("cannot note that {user} at {from} uses a login: {error}");
    }
}

/// Whether a use is to be noted now. A disk that has little space is left to what must be written.
fn is_due(store: &RegistryStore, login: &Login) -> bool {
    !store.has_little_space() && store.read(|registry| registry.is_use_due(login, since_1970()))
}

/// Answers a request for the list. The login of the request is in it, also if an earlier version
/// began that login.
pub(super) fn answer_read(
    store: &RegistryStore,
    context: &RequestContext<'_>,
    request: LoginRequest,
) -> Result<AccessAnswer, AccessRefusal> {
    let LoginRequest::List { after } = request else {
        return Err(not_of_this_kind());
    };
    let login = context.login;
    note_renewal(store, login, context.from);
    let query = |it: &Registry, after: Option<&Cursor>| {
        let limits = (since_1970(), PAGE_LENGTH);
        it.logins(login.account, login.id, after, limits)
    };
    lists::list(store, after, views::login, query).map(AccessAnswer::Logins)
}

/// Ends a login.
pub(super) fn answer_write(
    writes: &IdempotentWrites,
    context: &RequestContext<'_>,
    key: &IdempotencyKey,
    request: &LoginRequest,
) -> Result<AccessAnswer, AccessRefusal> {
    let LoginRequest::End { login: id, .. } = request else {
        return Err(not_of_this_kind());
    };
    let login = context.login;
    writes.write(context, key, &format!("ends the login {id}"), |it, now| {
        it.end_login(login.account, login.id, id, now)
    })
}
