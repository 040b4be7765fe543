//! What the sender of [`pipe`](super::pipe) lets the receiver know.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::count::Count;

/// What the sender is doing.
#[derive(Default)]
pub(super) struct SenderState {
    /// All that has been sent, and the chunk that is being sent. A chunk is counted before it is
    /// written, so that no answer can come to something that has not been counted.
    pub(super) sent: Count,
    /// When sending last made progress: a chunk began, the network took a part of it, or sending
    /// ended (from then on, the last answers are awaited). `None` while the sender waits for input.
    pub(super) last_progress: Option<Instant>,
    /// How sending has ended. `None` while it goes on.
    pub(super) end: Option<SenderEnd>,
}

pub(super) enum SenderEnd {
    InputEnded,
    InputFailed(io::Error),
    NetworkFailed(io::Error),
}

/// [`SenderState`], shared by the two threads.
#[derive(Default)]
pub(super) struct SharedSenderState {
    state: Mutex<SenderState>,
    /// A condition variable: with it, the receiver can sleep until the sender has changed the
    /// state.
    changed: Condvar,
}

impl SharedSenderState {
    /// Locks the state, to look at it.
    pub(super) fn lock(&self) -> MutexGuard<'_, SenderState> {
        // Nothing panics here while it holds the lock, so this is never an error. (After a panic
        // the lock would count as poisoned. The error has the guard inside, and `into_inner` takes
        // it out.)
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the receiver if it sleeps in
    /// [`wait_for_input`](Self::wait_for_input).
    pub(super) fn update(&self, change: impl FnOnce(&mut SenderState)) {
        let mut state = self.lock();
        change(&mut state);
        drop(state);
        self.changed.notify_one();
    }

    /// Sleeps until sending has ended or the input has brought more than `sent_by_now`, but at most
    /// for `longest_wait`. Returns the state, locked. While it sleeps, the state is not locked.
    pub(super) fn wait_for_input(
        &self,
        sent_by_now: Count,
        longest_wait: Duration,
    ) -> MutexGuard<'_, SenderState> {
        let state = self.lock();
        let nothing_new =
            |state: &mut SenderState| state.end.is_none() && state.sent == sent_by_now;
        // This unlocks the state, sleeps until `notify_one`, locks it again, and does so as long as
        // `nothing_new` is true and time is left.
        let result = self
            .changed
            .wait_timeout_while(state, longest_wait, nothing_new);
        // Poisoned: as in `lock`.
        let (state, _is_time_over) = result.unwrap_or_else(PoisonError::into_inner);
        state
    }
}
