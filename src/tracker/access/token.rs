//! Login tokens. They are signed, so that every tracker of the cluster accepts them and nobody else
//! can make them.
//!
//! A token consists of 1 byte of format, the id of the account, the id of the login, the credential
//! (a stamp: wall time, counter, origin), the times of issue and expiry, and 32 bytes of
//! HMAC-SHA256 (RFC 2104) over all of these. Numbers are big-endian. Times are in milliseconds
//! since 1970. A token does not show whether its login was ended early: the registry knows that.

use crate::certificate::Authority;
use crate::tracker::registry::{Login, LoginTimeError, Origin, RowId, Stamp};
use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use std::time::Duration;

/// The label of the key derivation. All trackers of a cluster must use the same one.
const LABEL: &str = "pieceful session token v1";
const FORMAT: u8 = 1;
const SIGNATURE_BYTES: usize = 32;
const TOKEN_BYTES: usize = 1 + 16 + 16 + 8 + 4 + 16 + 8 + 8 + SIGNATURE_BYTES;

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// The length or the format is wrong.
    #[error("the login token is malformed; log in again")]
    Malformed,
    /// This cluster did not sign it.
    #[error("the login token is of another cluster; log in again")]
    Forged,
    /// Its times do not allow its use now.
    #[error(transparent)]
    Time(#[from] LoginTimeError),
}

/// The key that signs tokens.
#[derive(Debug)]
pub(super) struct TokenKey(Key);

impl TokenKey {
    /// The key of a cluster.
    pub(super) fn of(cluster: &Authority) -> Self {
        Self(Key::new(HMAC_SHA256, &cluster.derive_key(LABEL)))
    }

    /// The token of a login: 109 bytes. Times are rounded down to milliseconds.
    pub(super) fn sign(&self, login: &Login) -> Vec<u8> {
        let mut token = Vec::with_capacity(TOKEN_BYTES);
        token.push(FORMAT);
        token.extend(login.account.0);
        token.extend(login.id.0);
        token.extend(login.credential.wall().to_be_bytes());
        token.extend(login.credential.counter().to_be_bytes());
        token.extend(login.credential.origin().0);
        token.extend(millis(login.issued).to_be_bytes());
        token.extend(millis(login.expires).to_be_bytes());
        let signature = sign(&self.0, &token);
        token.extend(signature.as_ref());
        token
    }

    /// The login in a token, if this cluster signed the token and its times allow its use at
    /// `now`.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub(super) fn read(&self, token: &[u8], now: Duration) -> Result<Login, TokenError> {
        let login = self.read_any_time(token)?;
        login.check_times(now)?;
        Ok(login)
    }

    /// The login in a token, if this cluster signed the token. For a log-out: a token that is not
    /// valid now may become valid later, or have been renewed.
    ///
    /// # Errors
    /// [`TokenError::Malformed`], [`TokenError::Forged`].
    pub(super) fn read_any_time(&self, token: &[u8]) -> Result<Login, TokenError> {
        if token.len() != TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let (content, signature) = token
            .split_last_chunk::<SIGNATURE_BYTES>()
            .ok_or(TokenError::Malformed)?;
        verify(&self.0, content, signature).map_err(|_| TokenError::Forged)?;
        parse(content).ok_or(TokenError::Malformed)
    }
}

fn parse(content: &[u8]) -> Option<Login> {
    let (format, rest) = content.split_first()?;
    let (account, rest) = rest.split_first_chunk::<16>()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (wall, rest) = rest.split_first_chunk::<8>()?;
    let (counter, rest) = rest.split_first_chunk::<4>()?;
    let (origin, rest) = rest.split_first_chunk::<16>()?;
    let (issued, rest) = rest.split_first_chunk::<8>()?;
    let (expires, rest) = rest.split_first_chunk::<8>()?;
    let (wall, counter) = (u64::from_be_bytes(*wall), u32::from_be_bytes(*counter));
    let credential = Stamp::new(wall, counter, Origin(*origin))?;
    (*format == FORMAT && rest.is_empty()).then_some(Login {
        account: RowId(*account),
        id: RowId(*id),
        credential,
        issued: Duration::from_millis(u64::from_be_bytes(*issued)),
        expires: Duration::from_millis(u64::from_be_bytes(*expires)),
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::registry::{LONGEST_TOKEN_LIFE, MAX_DRIFT, MAX_LOGIN_LIFE, RENEWAL_AGE};

    const NOW: Duration = Duration::from_millis(1_800_000_000_123);

    fn login() -> Login {
        let credential = Stamp::new(1_700_000_000_000, 3, Origin([3; 16])).unwrap();
        Login::begin(
            RowId([1; 16]),
            RowId([2; 16]),
            credential,
            NOW,
            MAX_LOGIN_LIFE,
        )
    }

    fn key() -> TokenKey {
        TokenKey::of(&Authority::generate("test").unwrap())
    }

    #[test]
    fn a_token_is_valid_at_every_tracker_of_its_cluster_until_it_expires() {
        let cluster = Authority::generate("test").unwrap();
        let copy = Authority::from_pem(cluster.to_pem().as_bytes()).unwrap();
        let (signer, reader) = (TokenKey::of(&cluster), TokenKey::of(&copy));
        let token = signer.sign(&login());
        assert_eq!(token.len(), 109);
        assert_eq!(reader.read(&token, NOW), Ok(login()));
        let last_moment = NOW + LONGEST_TOKEN_LIFE - Duration::from_millis(1);
        assert_eq!(reader.read(&token, last_moment), Ok(login()));
        let too_late = reader.read(&token, NOW + LONGEST_TOKEN_LIFE);
        assert_eq!(too_late, Err(LoginTimeError::Expired.into()));
        assert_eq!(key().read(&token, NOW), Err(TokenError::Forged));
    }

    #[test]
    fn a_token_from_the_future_or_for_too_long_is_valid_only_for_a_log_out() {
        let key = key();
        let from_future = key.sign(&login());
        let just_early = NOW.checked_sub(MAX_DRIFT).unwrap();
        assert_eq!(key.read(&from_future, just_early), Ok(login()));
        let too_early = just_early.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(
            key.read(&from_future, too_early),
            Err(LoginTimeError::FromFuture.into())
        );
        let expires = login().expires + Duration::from_millis(1);
        let long = Login { expires, ..login() };
        let too_long = key.read(&key.sign(&long), NOW);
        assert_eq!(too_long, Err(LoginTimeError::TooLong.into()));
        assert_eq!(key.read_any_time(&from_future), Ok(login()));
    }

    #[test]
    fn a_changed_or_truncated_token_is_refused() {
        let key = key();
        let token = key.sign(&login());
        for at in 0..token.len() {
            for bit in 0..8 {
                let mut changed = token.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(key.read(&changed, NOW), Err(TokenError::Forged), "{at}");
            }
            let cut = key.read(&token[..at], NOW);
            assert_eq!(cut, Err(TokenError::Malformed), "{at}");
        }
        let longer = [token.as_slice(), &[0]].concat();
        assert_eq!(key.read(&longer, NOW), Err(TokenError::Malformed));
    }

    #[test]
    fn a_login_that_is_used_once_in_its_life_never_ends() {
        let (mut login, mut now) = (login(), NOW);
        for life in [MAX_LOGIN_LIFE, RENEWAL_AGE, MAX_LOGIN_LIFE * 2] {
            let life_here = life.min(MAX_LOGIN_LIFE);
            login = login.renewed(now, life);
            assert_eq!(login.expires, now + life_here + RENEWAL_AGE);
            // The last use that does not renew the token.
            now += RENEWAL_AGE - Duration::from_millis(1);
            assert!(!login.is_renewal_due(now));
            assert_eq!(login.check_times(now + life_here), Ok(()));
            now += life_here;
            assert!(login.is_renewal_due(now));
        }
        assert_eq!(login.id, RowId([2; 16]));
    }
}
