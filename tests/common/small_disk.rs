//! A small file system in memory. It is mounted in a mount namespace of its own. So only processes
//! in this namespace find it at the path where it is mounted.

use super::odd_disk::report_skipped;
use super::peer::{Peer, quoted};
use super::process::{BINARY, KilledOnDrop, Process, prepared};
use super::sandbox::Sandbox;
use std::fs;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file system. It exists until this value is dropped and all processes in the namespace have
/// ended.
pub(crate) struct SmallDisk {
    /// A process that does nothing. The mount namespace of the disk exists because of this process.
    holder: KilledOnDrop,
    /// The path at which processes outside the namespace, such as the test, find the disk.
    pub(crate) outside_path: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk at `folder`. `size` is, for example, `80m`. If no file system can be mounted
    /// here, reports that the test is skipped and returns `None`.
    pub(crate) fn mount(folder: &Path, size: &str) -> Option<Self> {
        let script = format!(
            "mount -t tmpfs -o size={size} tmpfs {} && echo mounted && exec cat",
            quoted(folder)
        );
        let mut holder = Command::new("unshare");
        holder.args(["--mount", "sh", "-c", &script]);
        holder.stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawned = holder.stderr(Stdio::null()).spawn();
        let mut answer = [0; 8];
        let mounted = spawned.and_then(|mut holder| {
            let read = holder.stdout.as_mut().unwrap().read_exact(&mut answer);
            let holder = KilledOnDrop(holder);
            read.map(|()| holder)
        });
        let Ok(holder) = mounted else {
            report_skipped("no file system can be mounted here");
            return None;
        };
        let root = PathBuf::from(format!("/proc/{}/root", holder.0.id()));
        let outside_path = root.join(folder.strip_prefix("/").unwrap());
        Some(Self {
            holder,
            outside_path,
        })
    }

    /// A command that runs the binary in the namespace of the disk. `home` is the home folder. All
    /// paths must be absolute.
    pub(crate) fn command(&self, home: &Path, arguments: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.0.id()));
        enter.arg(BINARY);
        prepared(enter, home, arguments)
    }

    /// Starts the peer with this name in the namespace of the disk. Its log is at level `debug`.
    pub(crate) fn peer(&self, sandbox: &Sandbox, name: &str) -> Peer {
        self.peer_with(sandbox, name, &[])
    }

    /// Like [`SmallDisk::peer`], with more options.
    pub(crate) fn peer_with(&self, sandbox: &Sandbox, name: &str, options: &[&str]) -> Peer {
        let (home, state) = (sandbox.folder(name), sandbox.state(name));
        let info = sandbox.tracker_info();
        let arguments = [&["--log", "debug", "--name", name], options].concat();
        Peer::start_with("127.0.0.1:0", &info, &state, &arguments, |arguments| {
            self.command(&home, arguments)
        })
    }

    /// Starts the binary with any arguments in the namespace of the disk.
    pub(crate) fn process(&self, home: &Path, arguments: &[&str]) -> Process {
        Process::spawn(self.command(home, arguments))
    }

    /// Fills the disk until it has `free_bytes` free bytes.
    pub(crate) fn fill(&self, free_bytes: u64) {
        let disk = nix::sys::statvfs::statvfs(&self.outside_path).unwrap();
        let available = disk.blocks_available() * disk.fragment_size();
        let mut filler = BufWriter::new(fs::File::create(self.filler()).unwrap());
        let pages = (available - free_bytes) >> 12;
        let written = (0..pages)
            .try_for_each(|_| filler.write_all(&[1; 4096]))
            .and_then(|()| filler.flush());
        // If the disk is to be full, another process may have taken its last page meanwhile.
        assert!(written.is_ok() || free_bytes == 0, "{written:?}");
    }

    /// Removes this number of the bytes that [`SmallDisk::fill`] has written.
    pub(crate) fn free(&self, bytes: u64) {
        let filler = fs::File::options().write(true).open(self.filler()).unwrap();
        let length = filler.metadata().unwrap().len();
        filler.set_len(length - bytes).unwrap();
    }

    /// Removes all bytes that [`SmallDisk::fill`] has written.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    /// The file that fills the disk.
    fn filler(&self) -> PathBuf {
        self.outside_path.join("filler")
    }
}
