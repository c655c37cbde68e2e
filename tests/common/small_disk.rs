//! A small file system in memory. Only the processes that a test starts on it have it at its path.

use super::odd_disk::report_skipped;
use super::peer::{Peer, quoted};
use super::process::{BINARY, KilledOnDrop, Process, prepared};
use super::sandbox::Sandbox;
use std::fs;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file system. It exists until this is dropped and the processes on it have ended.
pub(crate) struct SmallDisk {
    /// A process that does nothing in the mount namespace of the disk.
    holder: KilledOnDrop,
    /// The folder of the disk, as this process sees it.
    pub(crate) seen: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk at `folder`. `size` is, for example, `80m`. `None`, and a report, if no file
    /// system can be mounted here.
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
        let seen = root.join(folder.strip_prefix("/").unwrap());
        Some(Self { holder, seen })
    }

    /// A command that runs the binary on the disk, with `home` as its home. All paths must be
    /// absolute.
    pub(crate) fn command(&self, home: &Path, arguments: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.0.id()));
        enter.arg(BINARY);
        prepared(enter, home, arguments)
    }

    /// Starts the peer called `name` on the disk. Its log is at level `debug`.
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

    /// Starts any process of the binary on the disk.
    pub(crate) fn process(&self, home: &Path, arguments: &[&str]) -> Process {
        Process::spawn(self.command(home, arguments))
    }

    /// Fills the disk until `free` bytes are left.
    pub(crate) fn fill(&self, free: u64) {
        let system = nix::sys::statvfs::statvfs(&self.seen).unwrap();
        let available = system.blocks_available() * system.fragment_size();
        let mut filler = BufWriter::new(fs::File::create(self.seen.join("filler")).unwrap());
        let pages = (available - free) >> 12;
        let written = (0..pages)
            .try_for_each(|_| filler.write_all(&[1; 4096]))
            .and_then(|()| filler.flush());
        // Another process may have taken the last page meanwhile.
        assert!(written.is_ok() || free == 0, "{written:?}");
    }

    /// Frees some bytes of what [`SmallDisk::fill`] has written.
    pub(crate) fn free(&self, bytes: u64) {
        let filler = fs::File::options()
            .write(true)
            .open(self.seen.join("filler"));
        let filler = filler.unwrap();
        let length = filler.metadata().unwrap().len();
        filler.set_len(length - bytes).unwrap();
    }

    /// Removes what [`SmallDisk::fill`] has written.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.seen.join("filler")).unwrap();
    }
}
