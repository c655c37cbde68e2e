//! How much metadata of one share each host may fetch. Addresses with the same [`AddressPrefix`]
//! count as one host.

use crate::base::AddressPrefix;
use crate::wire::metadata::METADATA_PIECE_LENGTH;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// In one window, a host may fetch the whole metadata [`COPIES`] times, or [`MIN_PIECES`] pieces if
/// that is more.
const COPIES: u32 = 8;
const MIN_PIECES: u32 = 64;
const WINDOW: Duration = Duration::from_secs(600);
/// The number of hosts that may fetch metadata in one window.
const MAX_HOSTS: usize = 1_000;

/// The number of metadata pieces that one host may fetch in one window, for metadata of `length`
/// bytes.
pub(crate) fn max_pieces(length: usize) -> u32 {
    let total = u32::try_from(length.div_ceil(METADATA_PIECE_LENGTH)).unwrap_or(u32::MAX);
    total.saturating_mul(COPIES).max(MIN_PIECES)
}

/// The number of metadata pieces of one share that each host has fetched in the current window,
/// over all its connections.
#[derive(Debug, Default)]
pub(crate) struct MetadataQuota {
    window_start: Duration,
    pieces: HashMap<IpAddr, u32>,
}

impl MetadataQuota {
    /// Counts one more piece for a host, if it has fetched fewer than `limit` and there are not too
    /// many hosts. Returns whether it may have the piece.
    pub(crate) fn try_take(&mut self, address: IpAddr, limit: u32, now: Duration) -> bool {
        if now.saturating_sub(self.window_start) >= WINDOW {
            self.window_start = now;
            self.pieces.clear();
        }
        let host = AddressPrefix::of(address).ip();
        if self.pieces.len() >= MAX_HOSTS && !self.pieces.contains_key(&host) {
            return false;
        }
        let pieces = self.pieces.entry(host).or_default();
        let allowed = *pieces < limit;
        *pieces += u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_gets_a_fixed_number_of_pieces_per_window() {
        let mut quota = MetadataQuota::default();
        let host: IpAddr = [192, 0, 2, 1].into();
        let count = |quota: &mut MetadataQuota, host, now| {
            (0..10).filter(|_| quota.try_take(host, 3, now)).count()
        };
        assert_eq!(count(&mut quota, host, WINDOW), 3);
        assert_eq!(
            count(&mut quota, host, WINDOW * 2 - Duration::from_secs(10)),
            0
        );
        assert_eq!(count(&mut quota, [192, 0, 2, 2].into(), WINDOW), 3);
        assert_eq!(count(&mut quota, host, WINDOW * 2), 3);
        for number in 0..2 * MAX_HOSTS as u32 {
            let host = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            quota.try_take(host, 3, WINDOW * 2);
        }
        assert_eq!(quota.pieces.len(), MAX_HOSTS);
    }
}
