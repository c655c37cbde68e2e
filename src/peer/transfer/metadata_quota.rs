//! How much metadata of a share one host may have.

use crate::base::AddressPrefix;
use crate::wire::metadata::METADATA_PIECE;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// How often one host may have all metadata of a share, and how many pieces at least, in which
/// time.
const COPIES: u32 = 8;
const LEAST_PIECES: u32 = 64;
const WINDOW: Duration = Duration::from_secs(600);
/// How many hosts are given metadata in that time.
const MOST_HOSTS: usize = 1_000;

/// How many pieces of metadata of `length` bytes one host may have in the window.
pub(crate) fn most_pieces(length: usize) -> u32 {
    let total = u32::try_from(length.div_ceil(METADATA_PIECE)).unwrap_or(u32::MAX);
    total.saturating_mul(COPIES).max(LEAST_PIECES)
}

/// How much metadata of a share went to whom lately, whatever lines they had.
#[derive(Debug, Default)]
pub(crate) struct MetadataQuota {
    since: Duration,
    pieces: HashMap<IpAddr, u32>,
}

impl MetadataQuota {
    /// Whether a host may have one more piece, of `most` in the window; counts it if so.
    pub(crate) fn allows(&mut self, address: IpAddr, most: u32, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= WINDOW {
            self.since = now;
            self.pieces.clear();
        }
        let host = AddressPrefix::of(address).ip();
        if self.pieces.len() >= MOST_HOSTS && !self.pieces.contains_key(&host) {
            return false;
        }
        let pieces = self.pieces.entry(host).or_default();
        let allowed = *pieces < most;
        *pieces += u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_given_so_many_pieces_in_a_while_and_no_more() {
        let mut quota = MetadataQuota::default();
        let host: IpAddr = [192, 0, 2, 1].into();
        let count = |quota: &mut MetadataQuota, host, now| {
            (0..10).filter(|_| quota.allows(host, 3, now)).count()
        };
        assert_eq!(count(&mut quota, host, WINDOW), 3);
        assert_eq!(
            count(&mut quota, host, WINDOW * 2 - Duration::from_secs(10)),
            0
        );
        assert_eq!(count(&mut quota, [192, 0, 2, 2].into(), WINDOW), 3);
        assert_eq!(count(&mut quota, host, WINDOW * 2), 3);
        for number in 0..2 * MOST_HOSTS as u32 {
            let host = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            quota.allows(host, 3, WINDOW * 2);
        }
        assert_eq!(quota.pieces.len(), MOST_HOSTS);
    }
}
