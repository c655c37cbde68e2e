//! Hashes and checks passwords on threads of their own, so that many log-ins at once do not delay
//! anything else.
//!
//! The algorithm is Argon2id (RFC 9106) with 19 MiB, two passes and one lane. That is the minimum
//! that OWASP's "Password Storage Cheat Sheet" recommends. It takes about 20 ms on one core. A
//! worker keeps its 19 MiB for the next password. If the queue is full, the hasher refuses a
//! password at once.

use super::phc::PhcHash;
use crate::system::{lock, processors};
use crate::tracker::Threads;
use crate::tracker::registry::PasswordHash;
use crate::wire::password::Password;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use crossbeam::channel::{Receiver, Sender, bounded};
use ring::rand::{SecureRandom, SystemRandom};
use std::io;
use std::sync::Mutex;
use std::thread::Builder;
use std::time::Duration;

/// The maximum number of passwords that wait for a worker.
const MAX_QUEUED: usize = 64;
/// The maximum time that a caller waits for the result.
const MAX_WAIT: Duration = Duration::from_secs(10);
const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// Why a password was neither hashed nor checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HashingError {
    /// The queue is full, or the result took too long.
    #[error("the tracker is busy with log-ins; try again in a few seconds")]
    Busy,
    /// The tracker is stopping.
    #[error("the tracker is stopping; use another one, or try again later")]
    Stopped,
    /// The system has no random numbers or no memory.
    #[error(
        "the tracker cannot hash passwords, because its system has no random numbers or no memory; tell its operator"
    )]
    Unable,
}

/// The threads that hash passwords.
#[derive(Debug)]
pub(super) struct PasswordHasher {
    queue: Mutex<Option<Sender<Job>>>,
    workers: Threads,
    max_wait: Duration,
}

struct Job {
    password: Password,
    task: Task,
}

enum Task {
    Hash(Sender<Result<PasswordHash, HashingError>>),
    /// Check against the hash of an account; `None` if the account does not exist.
    Verify(Option<PasswordHash>, Sender<Result<bool, HashingError>>),
}

impl PasswordHasher {
    /// Starts one worker for each core.
    ///
    /// # Errors
    /// The system cannot start another thread.
    pub(super) fn start() -> io::Result<Self> {
        Self::start_with(processors(), MAX_QUEUED, MAX_WAIT)
    }

    fn start_with(workers: usize, max_queued: usize, max_wait: Duration) -> io::Result<Self> {
        let (queue, jobs) = bounded(max_queued);
        let hasher = Self {
            queue: Mutex::new(Some(queue)),
            workers: Threads::default(),
            max_wait,
        };
        for number in 1..=workers {
            let jobs = jobs.clone();
            let worker = Builder::new().name(format!("password-{number}"));
            hasher.workers.start(worker, move || work(&jobs))?;
        }
        Ok(hasher)
    }

    /// The hash of a password with a new salt. Blocks for up to 10 s.
    ///
    /// # Errors
    /// See [`HashingError`].
    pub(super) fn hash(&self, password: Password) -> Result<PasswordHash, HashingError> {
        self.run(password, Task::Hash)
    }

    /// Whether the password has this hash. The costs (memory, passes and lanes) are those in the
    /// hash. For an account that does not exist the caller passes `None`. Then the result is
    /// `false`, and computing it takes as long as for an existing account. Blocks for up to 10 s.
    ///
    /// # Errors
    /// See [`HashingError`].
    pub(super) fn verify(
        &self,
        password: Password,
        hash: Option<&PasswordHash>,
    ) -> Result<bool, HashingError> {
        let hash = hash.cloned();
        self.run(password, |answer| Task::Verify(hash, answer))
    }

    /// Accepts no more passwords, finishes the queue and ends the workers.
    pub(super) fn stop(&self) {
        drop(lock(&self.queue).take());
        self.workers.wait();
    }

    fn run<T>(
        &self,
        password: Password,
        task: impl FnOnce(Sender<Result<T, HashingError>>) -> Task,
    ) -> Result<T, HashingError> {
        let (sender, receiver) = bounded(1);
        let job = Job {
            password,
            task: task(sender),
        };
        let sent = match lock(&self.queue).as_ref() {
            Some(queue) => queue.try_send(job),
            None => return Err(HashingError::Stopped),
        };
        sent.map_err(|_| HashingError::Busy)?;
        let answer = receiver.recv_timeout(self.max_wait);
        answer.unwrap_or(Err(HashingError::Busy))
    }
}

impl Drop for PasswordHasher {
    fn drop(&mut self) {
        self.stop();
    }
}

fn work(jobs: &Receiver<Job>) {
    let mut memory = Vec::new();
    for Job { password, task } in jobs {
        // The caller may have given up.
        let _ = match task {
            Task::Hash(answer) => answer.send(hash(&password, &mut memory)).is_ok(),
            Task::Verify(hash, answer) => {
                let verified = verify(&password, hash.as_ref(), &mut memory);
                answer.send(verified).is_ok()
            }
        };
    }
}

fn hash(password: &Password, memory: &mut Vec<Block>) -> Result<PasswordHash, HashingError> {
    let mut phc = PhcHash {
        params: Params::DEFAULT,
        salt: vec![0; SALT_BYTES],
        output: vec![0; OUTPUT_BYTES],
    };
    let random = SystemRandom::new();
    let filled = random.fill(&mut phc.salt);
    filled.map_err(|_| HashingError::Unable)?;
    phc.output = derive(password, &phc, memory)?;
    PasswordHash::new(phc.to_text()).map_err(|_| HashingError::Unable)
}

fn verify(
    password: &Password,
    hash: Option<&PasswordHash>,
    memory: &mut Vec<Block>,
) -> Result<bool, HashingError> {
    let stored = hash.and_then(|hash| PhcHash::from_text(hash.expose()));
    let exists = stored.is_some();
    let phc = stored.unwrap_or_else(|| PhcHash {
        params: Params::DEFAULT,
        salt: vec![0; SALT_BYTES],
        output: vec![0; OUTPUT_BYTES],
    });
    let output = derive(password, &phc, memory)?;
    // The comparison does not stop at the first difference, so that its duration does not show how
    // many bytes are equal.
    let pairs = output.iter().zip(&phc.output);
    let difference = pairs.fold(0, |difference, (a, b)| difference | (a ^ b));
    Ok(exists && output.len() == phc.output.len() && difference == 0)
}

/// Hashes a password with the costs and the salt of `phc`.
fn derive(
    password: &Password,
    phc: &PhcHash,
    memory: &mut Vec<Block>,
) -> Result<Vec<u8>, HashingError> {
    let blocks = phc.params.block_count();
    if memory.len() < blocks {
        let more = blocks.saturating_sub(memory.len());
        let room = memory.try_reserve_exact(more);
        room.map_err(|_| HashingError::Unable)?;
        memory.resize(blocks, Block::default());
    }
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, phc.params.clone());
    let mut output = vec![0; phc.output.len()];
    let password = password.expose().as_bytes();
    let result = argon2.hash_password_into_with_memory(
        password,
        &phc.salt,
        &mut output,
        memory.as_mut_slice(),
    );
    memory.truncate(Params::DEFAULT.block_count());
    memory.shrink_to_fit();
    result.map_err(|_| HashingError::Unable)?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    fn stored_hash(text: &str) -> PasswordHash {
        PasswordHash::new(text).unwrap()
    }

    #[test]
    fn a_password_verifies_only_against_its_own_hash() {
        let hasher = PasswordHasher::start().unwrap();
        let hash = hasher.hash(password("correct horse")).unwrap();
        let again = hasher.hash(password("correct horse")).unwrap();
        assert_ne!(hash, again);
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let verify = |text, hash| hasher.verify(password(text), hash).unwrap();
        assert!(verify("correct horse", Some(&hash)));
        assert!(verify("correct horse", Some(&again)));
        assert!(!verify("correct horsf", Some(&hash)));
        assert!(!verify("correct horse", None));
        assert!(!verify(
            "correct horse",
            Some(&stored_hash("$argon2id$damaged"))
        ));
    }

    #[test]
    fn hashes_with_other_costs_verify() {
        // From the test vectors of the reference implementation, version 0x13 (19).
        let hasher = PasswordHasher::start().unwrap();
        for text in [
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        ] {
            let hash = stored_hash(text);
            let good = hasher.verify(password("password"), Some(&hash));
            assert_eq!(good, Ok(true), "{text}");
            let bad = hasher.verify(password("Password"), Some(&hash));
            assert_eq!(bad, Ok(false), "{text}");
        }
    }

    #[test]
    fn an_unknown_user_takes_as_long_as_a_wrong_password() {
        let hasher = PasswordHasher::start_with(1, 1, MAX_WAIT).unwrap();
        let hash = hasher.hash(password("x")).unwrap();
        let time = |hash: Option<&PasswordHash>| {
            let start = Instant::now();
            assert_eq!(hasher.verify(password("y"), hash), Ok(false));
            start.elapsed()
        };
        // The fastest of several alternating runs counts, so that other load on the machine does
        // not matter.
        let (mut wrong_password, mut unknown_user) = (Duration::MAX, Duration::MAX);
        for _ in 0..30 {
            wrong_password = wrong_password.min(time(Some(&hash)));
            unknown_user = unknown_user.min(time(None));
        }
        let ratio = unknown_user.as_secs_f64() / wrong_password.as_secs_f64();
        assert!(
            (0.5..2.0).contains(&ratio),
            "{wrong_password:?} {unknown_user:?}"
        );
    }

    #[test]
    fn a_full_queue_refuses_at_once_and_waiting_is_bounded() {
        let short = Duration::from_millis(1);
        let without_workers = PasswordHasher::start_with(0, 1, short).unwrap();
        let timed_out = without_workers.hash(password("x"));
        assert_eq!(timed_out, Err(HashingError::Busy));
        // The first job still has the only place in the queue.
        let full = PasswordHasher {
            queue: Mutex::new(lock(&without_workers.queue).take()),
            workers: Threads::default(),
            max_wait: Duration::from_secs(3600),
        };
        assert_eq!(full.hash(password("x")), Err(HashingError::Busy));
        full.stop();
        let stopped = full.verify(password("x"), None);
        assert_eq!(stopped, Err(HashingError::Stopped));
    }

    #[test]
    fn many_log_ins_at_once_are_checked_or_refused() {
        let hasher = PasswordHasher::start_with(2, 4, MAX_WAIT).unwrap();
        let answers: Vec<_> = std::thread::scope(|scope| {
            let start_one = || scope.spawn(|| hasher.verify(password("x"), None));
            let threads: Vec<_> = (0..40).map(|_| start_one()).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(answers.contains(&Ok(false)));
        let allowed = [Ok(false), Err(HashingError::Busy)];
        assert!(answers.iter().all(|answer| allowed.contains(answer)));
    }
}
