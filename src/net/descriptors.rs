//! Room for many connections: the soft limit on open files is often far below what a process may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises this process's limit on open files to what it may have. It is not an error if that fails: the caps on
/// connections then meet the system's refusals.
pub fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise_descriptor_limit();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }
}
