//! The command `export_torrent`: it writes what another BitTorrent client needs for a share of a
//! group, as an SSL torrent of libtorrent (libtorrent manual, "SSL torrents").

use crate::certificate::{GroupCertificate, GroupIdentity, MemberKey};
use crate::peer::{AccountError, Certified, Peer, PeerError, read_torrent};
use crate::storage::{Readers, write_output_for};
use crate::system::since_1970;
use crate::torrent::{Info, InfoHash, Metainfo};
use crate::wire::name::Label;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The group ffdhe2048 (RFC 7919, appendix A.1). Some clients demand Diffie-Hellman parameters for
/// an SSL torrent, although TLS 1.3 needs none.
const DH_PARAMETERS: &str = "-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
";

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
    /// tracker answers, or a file exists or cannot be written.
    pub fn export_torrent(
        &self,
        group: &Label,
        name: &str,
        folder: &Path,
    ) -> Result<ExportedTorrent, PeerError> {
        let membership = self.membership(group)?;
        let info = self.account().metainfo(&membership.group, name)?;
        let length = info.lengths().total();
        let metainfo = Metainfo::new(info, Vec::new());
        let info = metainfo.info();
        let folder = std::path::absolute(folder).map_err(PeerError::file(folder))?;
        let at = |kind: &str| folder.join(format!("{}.{kind}", info.name()));
        let [torrent, certificate, key, dh] = ["torrent", "crt", "key", "dh"].map(at);
        // Everything is checked before anything is written.
        let is_exported = is_torrent_of(&torrent, info)?;
        if !is_exported {
            let others = [&certificate, &key, &dh].into_iter();
            others.map(PathBuf::as_path).try_for_each(check_absent)?;
        }
        let (identity, member_key) = self.certify_export(&membership.group, info)?;
        let write = |readers, path: &Path, bytes: &[u8]| {
            let written = write_output_for(readers, path, bytes, is_exported);
            written.map_err(PeerError::file(path))
        };
        // The torrent comes first: it shows that the others are of an export.
        write(Readers::Anybody, &torrent, &metainfo.encode())?;
        write(Readers::Owner, &key, member_key.to_pem().as_bytes())?;
        let leaf = identity.leaf_pem();
        write(Readers::Anybody, &certificate, leaf.as_bytes())?;
        write(Readers::Anybody, &dh, DH_PARAMETERS.as_bytes())?;
        let group_client = self.services.group_client();
        let others = group_client.addresses(&membership.group, info.info_hash(), length);
        let is_here = self.transfers.transfer(info.info_hash()).is_some();
        let end = identity.member().validity.not_after.since_1970();
        let own = is_here.then(|| local_address(self.address()));
        Ok(ExportedTorrent {
            name: info.name().to_string(),
            info_hash: info.info_hash(),
            torrent,
            certificate,
            key,
            dh,
            valid_until: u64::try_from(end.as_millis()).unwrap_or(u64::MAX),
            peers: own.into_iter().chain(others).collect(),
        })
    }

    /// A new key, and a certificate for it that the other members of the share's group accept.
    fn certify_export(
        &self,
        group: &Label,
        info: &Info,
    ) -> Result<(GroupIdentity, MemberKey), PeerError> {
        let key = MemberKey::generate().map_err(PeerError::Key)?;
        let Certified { leaf, .. } = self.account().certify(group, &key)?;
        let unusable = |what: String| AccountError::UnusableAnswer(what);
        let authority = GroupCertificate::from_pem(info.ssl_cert().unwrap_or_default().as_bytes());
        let authority = authority.map_err(|error| unusable(error.to_string()))?;
        let identity = GroupIdentity::new(authority, leaf, &key, since_1970());
        let identity = identity.map_err(|error| unusable(error.to_string()))?;
        Ok((identity, key))
    }
}

/// Whether an earlier export wrote this torrent. Fails if something else has its path.
fn is_torrent_of(path: &Path, info: &Info) -> Result<bool, PeerError> {
    // Opening a pipe would block.
    let found = path.is_file().then(|| read_torrent(path));
    match found {
        Some(Ok(found)) if found.info().info_hash() == info.info_hash() => Ok(true),
        _ => check_absent(path).map(|()| false),
    }
}

fn check_absent(path: &Path) -> Result<(), PeerError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(PeerError::file(path)(error)),
        Ok(_) => {
            let what = "it exists and is of no earlier export of this share; name another folder";
            let error = io::Error::new(io::ErrorKind::AlreadyExists, what);
            Err(PeerError::file(path)(error))
        }
    }
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
