//! Random uses and ends of logins, for the random runs.

use super::convergence::Operation;
use super::*;
use crate::wire::login_id::LoginId;
use fastrand::Rng;
use std::net::IpAddr;
use std::rc::Rc;

/// A random command about the logins of an account. There are few of them, so that disconnected
/// trackers often write to the same ones.
pub(super) fn random_command(rng: &mut Rng, account: RowId) -> Rc<Operation> {
    let mut id = account;
    id.0[0] ^= rng.u8(1..4);
    let from = IpAddr::from([10, 0, 0, rng.u8(..)]);
    let host: Option<MachineName> = rng.bool().then(|| "gpu".parse().unwrap());
    if rng.u8(..4) == 0 {
        let named = LoginId::of_login(&id.0, true);
        return Rc::new(move |it, _, now| it.end_login(account, RowId([9; 16]), &named, now));
    }
    Rc::new(move |it, _, now| {
        let credential = it.account(account).map(Account::credential);
        let credential = credential.ok_or(Refusal::AccountGone)?;
        let login = Login::begin(account, id, credential, now, MAX_LOGIN_LIFE);
        it.note_use(&login, host.as_ref(), from, now)
    })
}
