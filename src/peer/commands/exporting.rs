//! The command `export_torrent`: it writes what another BitTorrent client needs for a share of a
//! group, as an SSL torrent of libtorrent (libtorrent manual, "SSL torrents").

use super::export_files::ExportFiles;
use crate::certificate::{GroupCertificate, GroupIdentity, MemberKey};
use crate::peer::{AccountError, Certified, Peer, PeerError};
use crate::system::since_1970;
use crate::torrent::{InfoHash, Metainfo};
use crate::wire::name::Label;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The result of `export_torrent`.
#[derive(Clone, Debug)]
pub struct ExportedTorrent {
    /// The share's name.
    pub name: String,
    /// The share's info-hash.
    pub info_hash: InfoHash,
    /// The `.torrent` file.
    pub torrent: PathBuf,
    /// The member's certificate, as PEM.
    pub certificate: PathBuf,
    /// The private key of the certificate, as PEM.
    pub key: PathBuf,
    /// Diffie-Hellman parameters, for clients that demand them.
    pub dh: PathBuf,
    /// The last second at which the certificate is valid, in milliseconds since 1970.
    pub valid_until: u64,
    /// Where peers of the share listen. Another client cannot ask the trackers of a group.
    pub peers: Vec<SocketAddr>,
}

impl Peer {
    /// Writes the torrent of a group's share, a new key, and a certificate for it into `folder`.
    /// With these, another client can join the swarm of the share as this user, until the
    /// certificate ends. Replaces the files of an earlier export of the same share, but no others.
    ///
    /// # Errors
    /// When the user is not logged in or not a member, the catalogue does not list the share, no
    /// tracker answers, or a file exists or cannot be written. If the command is interrupted while
    /// it asks for the addresses of peers, the files are written.
    pub fn export_torrent(
        &self,
        group: &Label,
        name: &str,
        folder: &Path,
    ) -> Result<ExportedTorrent, PeerError> {
        let membership = self.membership(group)?;
        let info = self.account().metainfo(&membership.group, name)?;
        let (length, info_hash) = (info.lengths().total(), info.info_hash());
        let authority = GroupCertificate::from_pem(info.ssl_cert().unwrap_or_default().as_bytes());
        let authority = authority.map_err(unusable)?;
        let metainfo = Metainfo::new(info, Vec::new());
        let name = metainfo.info().name().to_string();
        let folder = std::path::absolute(folder).map_err(PeerError::file(folder))?;
        let files = ExportFiles::new(&folder, &name);
        // A file that must not be replaced is reported before a tracker is asked.
        files.check(&metainfo, &authority)?;
        let (identity, key) = self.certify_export(&membership.group, authority.clone())?;
        // The request took time, so the files may have changed.
        let earlier = files.check(&metainfo, &authority)?;
        files.write(&earlier, &metainfo, &identity, &key)?;
        let (client, group) = (self.services.group_client(), membership.group);
        let others = self
            .account()
            .wait_for(move || client.addresses(&group, info_hash, length))?;
        let is_here = self.transfers.transfer(info_hash).is_some();
        let end = identity.member().validity.not_after.since_1970();
        let own = is_here.then(|| local_address(self.address()));
        Ok(ExportedTorrent {
            name,
            info_hash,
            torrent: files.torrent,
            certificate: files.certificate,
            key: files.key,
            dh: files.dh,
            valid_until: u64::try_from(end.as_millis()).unwrap_or(u64::MAX),
            peers: own.into_iter().chain(others).collect(),
        })
    }

    /// A new key, and a certificate for it that the other members of a share's group accept. The
    /// share names the authority.
    fn certify_export(
        &self,
        group: &Label,
        authority: GroupCertificate,
    ) -> Result<(GroupIdentity, MemberKey), PeerError> {
        let key = MemberKey::generate().map_err(PeerError::Key)?;
        let Certified { leaf, .. } = self.account().certify(group, &key)?;
        let identity = GroupIdentity::new(authority, leaf, &key, since_1970());
        Ok((identity.map_err(unusable)?, key))
    }
}

fn unusable(error: impl std::fmt::Display) -> AccountError {
    AccountError::UnusableAnswer(error.to_string())
}

/// The address at which a program on this machine reaches a peer that listens at `address`.
fn local_address(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    match address.ip().is_unspecified() {
        true => SocketAddr::new(ip, address.port()),
        false => address,
    }
}
