//! What the two threads of [`pipe`](super::pipe) share.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::count::Count;

/// What the sender tells the receiver.
#[derive(Default)]
pub(super) struct Sending {
    /// All that has been sent, and the chunk that is being sent. A chunk is counted before it is
    /// written, so that no answer can come to something that has not been counted.
    pub(super) sent: Count,
    /// Since when the network has been waited for: the beginning of the current chunk, the last
    /// time that the network took a part of it, or the end of sending. `None` while the sender
    /// waits for input.
    pub(super) waiting_since: Option<Instant>,
    /// How sending ended. `None` while it goes on.
    pub(super) end: Option<SendingEnd>,
}

pub(super) enum SendingEnd {
    InputEnded,
    InputFailed(io::Error),
    NetworkFailed(io::Error),
}

/// [`Sending`], for two threads.
#[derive(Default)]
pub(super) struct SharedSending {
    sending: Mutex<Sending>,
    /// Wakes the receiver when it waits for a change.
    changed: Condvar,
}

impl SharedSending {
    pub(super) fn lock(&self) -> MutexGuard<'_, Sending> {
        // The lock would be poisoned if a thread had panicked while it held the lock. No code under
        // the lock can panic.
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as `condition` is true, but at most for `longest_wait`. The sender can take
    /// the lock meanwhile.
    pub(super) fn wait_while(
        &self,
        condition: impl FnMut(&mut Sending) -> bool,
        longest_wait: Duration,
    ) -> MutexGuard<'_, Sending> {
        let result = self
            .changed
            .wait_timeout_while(self.lock(), longest_wait, condition);
        let (sending, _has_timed_out) = result.unwrap_or_else(PoisonError::into_inner);
        sending
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Sending)) {
        let mut sending = self.lock();
        change(&mut sending);
        drop(sending);
        self.changed.notify_one();
    }
}
