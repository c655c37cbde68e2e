//! Sockets between processes of one machine: a name in a folder that only its owner can change.
//!
//! In scope: binding and connecting through a descriptor of the folder, so that the path of the
//! folder can have any length; who is on the other side. Out of scope: the messages.

use super::Waker;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt,
};
use nix::unistd::geteuid;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The permission bits with which other users can put their own socket into a folder. Other users
/// may read the folder: the socket itself is for its owner only.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why a folder or a process is not trusted with a local socket.
#[derive(Debug, thiserror::Error)]
pub enum LocalSocketError {
    /// Other users can change the folder.
    #[error("other users can change {} (mode {mode:o}); make it private: chmod 700 {}", .folder.display(), .folder.display())]
    NotPrivate {
        /// The folder.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The folder belongs to another user.
    #[error("{} belongs to another user", .0.display())]
    OtherOwner(PathBuf),
    /// Something that is not a socket has the name of the socket.
    #[error("{} is in the way and is not a socket; remove it", .0.display())]
    InTheWay(PathBuf),
    /// The process on the other side belongs to another user.
    #[error("the process {pid} on the other side belongs to another user ({uid})")]
    OtherUser {
        /// Its process id.
        pid: i32,
        /// Its user id.
        uid: u32,
    },
    /// The system refused.
    #[error("{}", crate::system::cause(.0))]
    Io(#[from] io::Error),
}

/// A folder that only its owner can change, by its descriptor.
#[derive(Debug)]
struct PrivateFolder {
    descriptor: File,
    owner: u32,
}

impl PrivateFolder {
    fn open(path: &Path) -> Result<Self, LocalSocketError> {
        let descriptor = File::options()
            .read(true)
            .custom_flags((OFlag::O_PATH | OFlag::O_DIRECTORY).bits())
            .open(path)?;
        let status = descriptor.metadata()?;
        let (mode, owner) = (status.mode() & 0o7777, status.uid());
        if mode & WRITABLE_BY_OTHERS != 0 {
            let folder = path.to_owned();
            return Err(LocalSocketError::NotPrivate { folder, mode });
        }
        let ours = geteuid().as_raw();
        if !may_act_for(owner, ours) && ours != 0 {
            return Err(LocalSocketError::OtherOwner(path.to_owned()));
        }
        Ok(Self { descriptor, owner })
    }

    /// A short path of an entry: the address of a socket has at most 108 bytes.
    fn entry(&self, name: &str) -> PathBuf {
        let descriptor = self.descriptor.as_raw_fd();
        format!("/proc/self/fd/{descriptor}/{name}").into()
    }
}

/// Whether a process of user `uid` may act for the user `ours`: it is the same user, or root.
fn may_act_for(uid: u32, ours: u32) -> bool {
    uid == ours || uid == 0
}

/// The process on the other side of a local socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherProcess {
    /// Its process id when it connected, or when it began to listen.
    pub pid: i32,
    /// Its user id.
    pub uid: u32,
}

/// The process on the other side of this socket.
///
/// # Errors
/// The system does not say.
pub fn other_process(stream: &impl AsFd) -> io::Result<OtherProcess> {
    let found = getsockopt(&stream.as_fd(), sockopt::PeerCredentials)?;
    Ok(OtherProcess {
        pid: found.pid(),
        uid: found.uid(),
    })
}

/// A socket that accepts connections of this user and of root. Dropping it removes its name.
#[derive(Debug)]
pub struct LocalListener {
    listener: UnixListener,
    folder: PrivateFolder,
    name: &'static str,
    /// The device and inode of the socket.
    identity: (u64, u64),
    waker: Arc<Waker>,
}

impl LocalListener {
    /// Binds the socket `name` in the folder. Replaces a socket of this name: the caller must hold
    /// the lock of the folder, so the process that made the socket has ended.
    ///
    /// # Errors
    /// See [`LocalSocketError`]. For example, the file system has no sockets.
    pub fn bind(path: &Path, name: &'static str) -> Result<Self, LocalSocketError> {
        let folder = PrivateFolder::open(path)?;
        let entry = folder.entry(name);
        match entry.symlink_metadata() {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&entry)?,
            Ok(_) => return Err(LocalSocketError::InTheWay(path.join(name))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let listener = UnixListener::bind(&entry)?;
        fs::set_permissions(&entry, Permissions::from_mode(0o600))?;
        let identity = identity(&entry)?;
        listener.set_nonblocking(true)?;
        let waker = Arc::new(Waker::new()?);
        Ok(Self {
            listener,
            folder,
            name,
            identity,
            waker,
        })
    }

    /// Wakes a thread that waits in [`accept`](Self::accept), for good.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Waits for a connection of this user or of root, and returns it. Passes other
    /// connections to `refused`. Returns `None` after [`Waker::wake`].
    ///
    /// # Errors
    /// The system has no descriptor for the connection, or the socket no longer works.
    pub fn accept(
        &self,
        mut refused: impl FnMut(UnixStream, LocalSocketError),
    ) -> io::Result<Option<UnixStream>> {
        loop {
            let waiting = &mut [
                PollFd::new(self.waker.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
            ];
            match poll(waiting, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                polled => polled?,
            };
            if waiting
                .first()
                .is_some_and(|waker| waker.any() == Some(true))
            {
                return Ok(None);
            }
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(false)?;
            let OtherProcess { pid, uid } = other_process(&stream)?;
            if may_act_for(uid, geteuid().as_raw()) {
                return Ok(Some(stream));
            }
            refused(stream, LocalSocketError::OtherUser { pid, uid });
        }
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        // If the lock of the folder was released before, another process may have its socket here.
        let entry = self.folder.entry(self.name);
        if identity(&entry).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(entry);
        }
    }
}

/// The device and inode of an entry.
fn identity(entry: &Path) -> io::Result<(u64, u64)> {
    let status = entry.symlink_metadata()?;
    Ok((status.dev(), status.ino()))
}

/// Connects to the socket `name` in the folder, without waiting.
///
/// # Errors
/// `NotFound`: there is no socket. `ConnectionRefused`: its process has ended. `WouldBlock`: too
/// many connections wait until the process accepts them. Otherwise see [`LocalSocketError`]: the
/// folder is not private, or the process belongs to neither this user nor root. Root may also
/// connect to a process of the owner of the folder.
pub fn connect_local(
    path: &Path,
    name: &str,
) -> Result<(UnixStream, OtherProcess), LocalSocketError> {
    let folder = PrivateFolder::open(path)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket: OwnedFd =
        socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(io::Error::from)?;
    let address = UnixAddr::new(&folder.entry(name)).map_err(io::Error::from)?;
    connect(socket.as_raw_fd(), &address).map_err(io::Error::from)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    let other = other_process(&stream)?;
    let ours = geteuid().as_raw();
    if may_act_for(other.uid, ours) || (ours == 0 && other.uid == folder.owner) {
        return Ok((stream, other));
    }
    let OtherProcess { pid, uid } = other;
    Err(LocalSocketError::OtherUser { pid, uid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn private_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        folder
    }

    fn kind(result: Result<(UnixStream, OtherProcess), LocalSocketError>) -> ErrorKind {
        match result {
            Err(LocalSocketError::Io(error)) => error.kind(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_sides_know_each_other_in_a_folder_with_a_long_path() {
        let outer = private_folder();
        let folder = outer.path().join("x".repeat(150));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(kind(connect_local(&folder, "s")), ErrorKind::NotFound);
        let listener = LocalListener::bind(&folder, "s").unwrap();
        let mode = folder.join("s").metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (mut client, server) = connect_local(&folder, "s").unwrap();
        let mut accepted = listener.accept(|_, _| ()).unwrap().unwrap();
        let client_seen = other_process(&accepted).unwrap();
        let own_pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!((client_seen.pid, server.pid), (own_pid, own_pid));
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        accepted.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
        listener.waker().wake();
        assert!(listener.accept(|_, _| ()).unwrap().is_none());
        drop(listener);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn a_socket_that_a_killed_process_left_is_replaced_and_nothing_else() {
        let folder = private_folder();
        let path = folder.path();
        drop(UnixListener::bind(path.join("s")).unwrap());
        assert_eq!(kind(connect_local(path, "s")), ErrorKind::ConnectionRefused);
        let listener = LocalListener::bind(path, "s").unwrap();
        connect_local(path, "s").unwrap();
        drop(listener);
        fs::write(path.join("s"), "mine").unwrap();
        let error = LocalListener::bind(path, "s").unwrap_err();
        assert!(matches!(error, LocalSocketError::InTheWay(_)), "{error}");
        assert_eq!(fs::read(path.join("s")).unwrap(), b"mine");
    }

    #[test]
    fn a_listener_removes_only_its_own_name() {
        let folder = private_folder();
        let path = folder.path();
        let first = LocalListener::bind(path, "s").unwrap();
        let second = LocalListener::bind(path, "s").unwrap();
        drop(first);
        connect_local(path, "s").unwrap();
        drop(second);
        assert_eq!(kind(connect_local(path, "s")), ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_that_other_users_can_change_is_refused_on_both_sides() {
        let folder = private_folder();
        let path = folder.path();
        let _listener = LocalListener::bind(path, "s").unwrap();
        for mode in [0o720, 0o702, 0o777, 0o775] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            for error in [
                LocalListener::bind(path, "t").unwrap_err(),
                connect_local(path, "s").unwrap_err(),
            ] {
                let text = error.to_string();
                assert!(text.contains("chmod 700"), "{mode:o}: {text}");
            }
        }
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        connect_local(path, "s").unwrap();
    }

    #[test]
    fn only_the_same_user_and_root_may_act_for_a_user() {
        assert!(may_act_for(1000, 1000) && may_act_for(0, 1000) && may_act_for(0, 0));
        assert!(!may_act_for(1001, 1000) && !may_act_for(1000, 0));
    }
}
