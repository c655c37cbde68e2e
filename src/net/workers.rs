//! Threads that start when they are needed, up to a bound, and end when they have been idle for a
//! while.

use crate::system::{lock, recover};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Time that an idle thread waits for its next task before it ends.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// A queue of tasks and the threads that take from it.
#[derive(Debug)]
pub(super) struct Workers<T> {
    name: String,
    stack_bytes: usize,
    max_threads: usize,
    queue: Mutex<Queue<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    tasks: VecDeque<T>,
    threads: usize,
    idle_threads: usize,
    is_closed: bool,
}

impl<T: Send + 'static> Workers<T> {
    /// Creates the queue, without threads. Later threads are named `name`.
    pub(super) fn new(name: &str, stack_bytes: usize, max_threads: usize) -> Self {
        Self {
            name: name.to_owned(),
            stack_bytes,
            max_threads,
            queue: Mutex::new(Queue {
                tasks: VecDeque::new(),
                threads: 0,
                idle_threads: 0,
                is_closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Queues a task. Starts a thread if more tasks wait than threads are idle, and fewer than
    /// `max_threads` run. A new thread calls `make`, and runs its tasks with the returned function.
    ///
    /// # Errors
    /// The system cannot start a thread, and none is running. The error has the tasks that waited.
    pub(super) fn submit<R: FnMut(T) + 'static>(
        self: &Arc<Self>,
        task: T,
        make: impl FnOnce() -> R + Send + 'static,
    ) -> Result<(), (io::Error, VecDeque<T>)> {
        let needs_thread = {
            let mut queue = self.queue();
            queue.tasks.push_back(task);
            let needs_thread =
                queue.tasks.len() > queue.idle_threads && queue.threads < self.max_threads;
            queue.threads += usize::from(needs_thread);
            needs_thread
        };
        self.changed.notify_one();
        if !needs_thread {
            return Ok(());
        }
        let workers = Arc::clone(self);
        let thread = thread::Builder::new()
            .name(self.name.clone())
            .stack_size(self.stack_bytes)
            .spawn(move || {
                let mut run = make();
                while let Some(task) = workers.next() {
                    run(task);
                }
            });
        let Err(error) = thread else { return Ok(()) };
        let mut queue = self.queue();
        queue.threads -= 1;
        match queue.threads {
            0 => Err((error, std::mem::take(&mut queue.tasks))),
            _ => Ok(()),
        }
    }

    /// Ends idle threads now, and the others when no task is left.
    pub(super) fn close(&self) {
        self.queue().is_closed = true;
        self.changed.notify_all();
    }

    /// The next task. `None` if the calling thread must end.
    fn next(&self) -> Option<T> {
        let mut queue = self.queue();
        loop {
            if let Some(task) = queue.tasks.pop_front() {
                return Some(task);
            }
            if queue.is_closed {
                queue.threads -= 1;
                return None;
            }
            queue.idle_threads += 1;
            let (woken, timeout) = recover(self.changed.wait_timeout(queue, IDLE_LIMIT));
            queue = woken;
            queue.idle_threads -= 1;
            if timeout.timed_out() && queue.tasks.is_empty() {
                queue.threads -= 1;
                return None;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        lock(&self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_task_waits_while_all_threads_are_busy() {
        let workers = Arc::new(Workers::new("some", 64 << 10, 2));
        let (started, starts) = channel();
        let gates: Vec<_> = (0..3).map(|number| (number, channel::<()>())).collect();
        let mut closed_gates = Vec::new();
        for (number, (gate, wait)) in gates {
            closed_gates.push(gate);
            let started = started.clone();
            let task = Box::new(move || {
                started.send(number).unwrap();
                let _ = wait.recv();
            }) as Box<dyn FnOnce() + Send>;
            let submitted = workers.submit(task, || |task: Box<dyn FnOnce() + Send>| task());
            assert!(submitted.is_ok());
        }
        assert_eq!(workers.queue().threads, 2);
        let mut first = [starts.recv().unwrap(), starts.recv().unwrap()];
        first.sort_unstable();
        assert_eq!(first, [0, 1]);
        assert!(starts.try_recv().is_err(), "there are two threads only");
        drop(closed_gates);
        assert_eq!(starts.recv().unwrap(), 2);
        workers.close();
    }
}
