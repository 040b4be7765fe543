//! What is done again, and for how long.

use std::io;
use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut, WouldBlock};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::Event;

/// Does `call` again as long as a signal interrupts it, which std leaves to the caller for sockets with a timeout.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == Interrupted => {}
            result => return result,
        }
    }
}

/// Receives or accepts, again until it succeeds: after a pause, unless the failure was only one peer's.
pub(crate) fn persist<T>(observer: impl Fn(Event), mut call: impl FnMut() -> io::Result<T>) -> T {
    // Not noticed after a single failure.
    let mut pause = Duration::from_millis(5);
    loop {
        match call() {
            Ok(value) => return value,
            // Windows reports an earlier send's fate as a reset of the next receive.
            Err(e) if matches!(e.kind(), Interrupted | ConnectionAborted | ConnectionReset) => {}
            Err(error) => {
                observer(Err(&error));
                thread::sleep(pause);
                // Hundreds of waiting threads use next to no CPU so, and service resumes soon.
                pause = Duration::from_secs(1).min(pause * 2);
            }
        }
    }
}

/// Returns the first success of `attempt`; each address has an equal share of what is left of `timeout`.
pub(crate) fn try_each<T>(
    addresses: &[SocketAddr],
    timeout: Duration,
    mut attempt: impl FnMut(SocketAddr, Duration) -> io::Result<T>,
) -> io::Result<T> {
    let deadline = Instant::now() + timeout;
    let mut failure = None;
    for (&address, left) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match attempt(address, share.max(Duration::from_millis(1))) {
            // The system puts the addresses that it can reach in front; and silence says more than a refusal.
            Err(error) if failure.is_none() || error.kind() == TimedOut => failure = Some(error),
            Err(_) => {}
            success => return success,
        }
    }
    Err(failure.unwrap_or(io::ErrorKind::NotFound.into()))
}

/// Whether a socket's own time limit has struck, where systems differ in which of two they report, or a signal.
pub(crate) fn nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
