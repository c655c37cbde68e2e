//! What this program needs of the operating system: locks, clocks, texts of errors, the name of the
//! host, the number of processors, the size of memory and the umask.
//!
//! Not for the pure layers: they get the time as an argument and hold no lock.

use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// Locks `mutex`, even if a thread has panicked while it held the lock.
///
/// In this program a panic leaves no data half changed, so the other threads can go on.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    recover(mutex.lock())
}

/// Takes the guard out of the result of a lock or of a wait, poisoned or not: see [`lock`].
pub fn recover<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// The wall clock time since 1970; zero if the clock is set before that.
pub fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// The time since the machine was started, including the time in which it slept. Never jumps.
pub fn boot_clock() -> Duration {
    let read = clock_gettime(ClockId::CLOCK_BOOTTIME);
    // Linux has had this clock since 2.6.39.
    read.map_or(Duration::ZERO, Duration::from)
}

/// The name of this host, if the system says it.
pub fn host_name() -> Option<String> {
    // Everybody may read this file of Linux.
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The text of an error for people. It leaves out the number of the error, and says what to do if
/// the disk is full.
pub fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => {
            let number = format!(" (os error {number})");
            with_advice(error.kind(), text.strip_suffix(&number).unwrap_or(&text))
        }
        None if error.get_ref().is_none() && error.kind() == io::ErrorKind::NotFound => {
            "No such file or directory".to_owned()
        }
        None => text,
    }
}

/// The reason of an error of this kind, and what to do if the disk is full.
pub fn with_advice(kind: io::ErrorKind, reason: &str) -> String {
    match is_full(kind) {
        true => format!("the disk or the quota is full ({reason}): make room and try again"),
        false => reason.to_owned(),
    }
}

/// Whether an error of this kind means that the disk or the quota is full.
pub fn is_full(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The number of threads that can compute at the same time, at least one.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The permission bits that this process does not give to the files that it makes; 0 if the
/// system does not report them.
pub fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("Umask:"));
    let mask = mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok());
    mask.unwrap_or_default()
}

/// The number of bytes of memory that this process may use: the memory of the machine, or the limit
/// of a control group of this process if that is smaller. `None` if the system does not report it.
pub fn memory() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo".as_ref()).and_then(|text| machine_memory(&text));
    let group = read("/proc/self/cgroup".as_ref()).unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::/"));
    let group = Path::new("/sys/fs/cgroup").join(group.unwrap_or_default());
    let limits = group.ancestors().filter_map(|folder| {
        let limit = read(&folder.join("memory.max"))?;
        // "max" means no limit.
        limit.trim().parse().ok()
    });
    machine.into_iter().chain(limits).min()
}

/// The size of memory in `/proc/meminfo`, in bytes.
fn machine_memory(text: &str) -> Option<u64> {
    let size = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = size.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_no_number_and_no_jargon() {
        let missing = fs::read("/no/such/file").unwrap_err();
        assert_eq!(cause(&missing), "No such file or directory");
        let missing = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(cause(&missing), "No such file or directory");
        // The text of an error that has no number of the system stays as it is.
        assert_eq!(cause(&io::Error::other("x (os error 2)")), "x (os error 2)");
        let full =
            "the disk or the quota is full (No space left on device): make room and try again";
        let error = fs::write("/dev/full", "x").unwrap_err();
        assert_eq!(cause(&error), full);
        // The advice is not repeated.
        assert_eq!(cause(&io::Error::new(error.kind(), full)), full);
    }

    #[test]
    fn the_size_of_memory_is_read_if_the_system_reports_it() {
        let text = "MemFree:  7 kB\nMemTotal:       24683520 kB\nMemAvailable: 5 kB\n";
        assert_eq!(machine_memory(text), Some(24_683_520 << 10));
        for other in ["", "MemTotal: 5", "MemTotal: x kB", "MemFree: 5 kB"] {
            assert_eq!(machine_memory(other), None, "{other}");
        }
        assert!(memory().is_none_or(|memory| memory > 1 << 20));
    }
}
