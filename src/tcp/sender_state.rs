//! What the sender of [`pipe`](super::pipe) lets the receiver know.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::count::Count;

/// The pause between two looks at the state in [`SharedSenderState::wait_for_news`]. It is too
/// short to be noticed.
const PAUSE: Duration = Duration::from_millis(10);

/// What the sender is doing.
#[derive(Default)]
pub(super) struct SenderState {
    /// All that has been sent, and the chunk that is being sent. A chunk is counted before it is
    /// written, so that no answer can come to something that has not been counted.
    pub(super) sent: Count,
    /// When sending last made progress: a chunk began, a part of it was taken, or sending ended
    /// (from then on, the last answers are awaited). `None` while the sender waits for input.
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
pub(super) struct SharedSenderState(Mutex<SenderState>);

impl SharedSenderState {
    /// Locks the state, to look at it.
    pub(super) fn lock(&self) -> MutexGuard<'_, SenderState> {
        // Nothing panics here while it holds the lock, so this is never an error. (After a panic
        // the lock would count as poisoned. The error has the guard inside, and `into_inner` takes
        // it out.)
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state.
    pub(super) fn update(&self, change: impl FnOnce(&mut SenderState)) {
        change(&mut self.lock());
    }

    /// Waits until sending has ended or the input has brought more than `sent_by_now`, but at most
    /// for `longest_wait`. Returns the state, locked.
    pub(super) fn wait_for_news(
        &self,
        sent_by_now: Count,
        longest_wait: Duration,
    ) -> MutexGuard<'_, SenderState> {
        // The pauses are counted, because a clock would go on while the process is stopped
        // (Ctrl-Z).
        let mut pauses_left = longest_wait.as_millis() / PAUSE.as_millis();
        loop {
            let state = self.lock();
            let has_news = state.end.is_some() || state.sent != sent_by_now;
            if has_news || pauses_left == 0 {
                return state;
            }
            drop(state); // unlocks it: the sender needs it
            thread::sleep(PAUSE);
            pauses_left -= 1;
        }
    }
}
