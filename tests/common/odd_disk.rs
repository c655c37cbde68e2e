//! A folder on which system calls fail as on file systems that lack them: a small library in C is
//! loaded before the C library. Without gcc, tests that need this library are skipped.

use super::peer::Peer;
use super::process::{Output, Process, command, run_command};
use super::sandbox::Sandbox;
use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/odd_disk.c");

/// The folder, and the library that makes it odd.
pub(crate) struct OddDisk {
    pub(crate) folder: PathBuf,
    library: PathBuf,
    /// A file. Its length is added to every inode number.
    inodes: PathBuf,
}

impl OddDisk {
    /// Makes the folder `name` odd. If there is no gcc here, reports that the test is skipped and
    /// returns None.
    pub(crate) fn new(sandbox: &Sandbox, name: &str) -> Option<Self> {
        let library = sandbox.path("odd_disk.so");
        let mut gcc = Command::new("gcc");
        gcc.args(["-shared", "-fPIC", "-o"]).arg(&library);
        gcc.args([SOURCE, "-ldl"]);
        let Ok(built) = gcc.output() else {
            report_skipped("no gcc here");
            return None;
        };
        assert!(built.status.success(), "{built:?}");
        let inodes = sandbox.path("inodes");
        fs::write(&inodes, "").unwrap();
        Some(Self {
            folder: sandbox.folder(name),
            library,
            inodes,
        })
    }

    /// Gives every file another inode number from now on.
    pub(crate) fn renumber(&self) {
        let mut file = fs::File::options().append(true).open(&self.inodes).unwrap();
        file.write_all(&[b'x'; 1000]).unwrap();
    }

    /// A command that runs the binary. The system calls in `calls` fail for it. Commas separate
    /// the entries. An entry is `CALL=ERRNO`, or has another form that `odd_disk.c` describes.
    pub(crate) fn command(&self, folder: &Path, arguments: &[&str], calls: &str) -> Command {
        let mut command = command(folder, arguments);
        command
            .env("LD_PRELOAD", &self.library)
            .env("ODD_DISK", &self.folder)
            .env("ODD_INODES", &self.inodes)
            .env("ODD_CALLS", calls);
        command
    }

    /// Runs the command that [`Self::command`] returns, to its end.
    pub(crate) fn run(&self, folder: &Path, arguments: &[&str], calls: &str) -> Output {
        run_command(self.command(folder, arguments, calls))
    }

    /// Starts a peer that logs at level `debug`. The system calls in `calls` fail for it.
    pub(crate) fn peer(&self, sandbox: &Sandbox, name: &str, calls: &str) -> Peer {
        let (info, state) = (sandbox.tracker_info(), sandbox.state(name));
        let mut arguments = vec!["peer", "127.0.0.1:0", info.to_str().unwrap(), "--json"];
        arguments.extend(["--log", "debug", "--dir", state.to_str().unwrap()]);
        Peer {
            process: Process::spawn(self.command(&sandbox.folder(name), &arguments, calls)),
            log: sandbox.log(name),
        }
    }
}

/// Reports that a test is skipped. The message is shown although cargo captures the test's output.
pub(crate) fn report_skipped(why: &str) {
    let test = thread::current().name().unwrap_or_default().to_owned();
    let report = format!("{test}: skipped: {why}\n");
    stderr().write_all(report.as_bytes()).unwrap();
}
