//! What is done again after a failure, and for how long.

use std::io;
use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut, WouldBlock};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::Event;

/// The first pause after a failed accept or receive: too short to be noticed.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// The longest: hundreds of waiting threads use next to no processor time, and service resumes soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The shortest share of a timeout: a socket takes no timeout of zero.
pub(crate) const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Makes a system call, and makes it again whenever a signal has interrupted it.
///
/// std leaves that to its caller. A socket with a timeout is interrupted when the process is stopped (Ctrl-Z) and
/// continued.
pub(crate) fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == Interrupted => {}
            result => return result,
        }
    }
}

/// Like [`retry_interrupted`], for a socket with a timeout: its end is `TimedOut` on every system, also where the system
/// says `WouldBlock`.
pub(crate) fn retry_socket<T>(call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    retry_interrupted(call).map_err(|error| match error.kind() {
        WouldBlock => TimedOut.into(),
        _ => error,
    })
}

/// Accepts or receives: makes `call` again until it succeeds.
///
/// After a failure that was only one peer's that happens at once, and after others, such as a shortage of descriptors,
/// when the observer has been told and a pause is over. Each pause is twice as long as the one before it.
pub(crate) fn retry_with_backoff<T>(
    observer: impl Fn(Event),
    mut call: impl FnMut() -> io::Result<T>,
) -> T {
    let mut pause = SHORTEST_PAUSE;
    loop {
        match call() {
            Ok(value) => return value,
            Err(error) => match error.kind() {
                // On Windows a receive fails with ConnectionReset if an earlier answer found its port closed.
                Interrupted | ConnectionAborted | ConnectionReset => {}
                _ => {
                    observer(Event::Stalled(&error));
                    thread::sleep(pause);
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            },
        }
    }
}

/// Tries one address after the other until `attempt` succeeds, and returns its success.
///
/// Each address has an equal share of the time that is left before `deadline`. If all fail, the first failure is
/// returned, since the system puts the addresses that it can reach in front. But one that was silent says more than one
/// that refused.
pub(crate) fn try_each_address<T>(
    addresses: &[SocketAddr],
    deadline: Instant,
    mut attempt: impl FnMut(SocketAddr, Instant) -> io::Result<T>,
) -> io::Result<T> {
    let mut failure = None;
    let mut addresses_left = addresses.len() as u32;
    for &address in addresses {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / addresses_left;
        addresses_left -= 1;
        let error = match attempt(address, now + share) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if failure.is_none() || error.kind() == TimedOut {
            failure = Some(error);
        }
    }
    Err(failure
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address")))
}

/// The time that is left before `deadline`, as a timeout for a socket.
pub(crate) fn time_left(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(Instant::now())
        .max(SHORTEST_WAIT)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;
    use io::ErrorKind::{NotFound, OutOfMemory};

    /// Makes calls that fail so, one after the other, and then succeed. Returns how often the observer was told.
    fn told(failures: &[io::ErrorKind]) -> usize {
        let told = std::cell::Cell::new(0);
        let mut failures = failures.iter();
        let observer = |_: Event| told.set(told.get() + 1);
        retry_with_backoff(observer, || match failures.next() {
            Some(&kind) => Err(kind.into()),
            None => Ok(()),
        });
        told.get()
    }

    #[test]
    fn what_was_one_peers_is_nobodys_trouble() {
        assert_eq!(told(&[]), 0);
        assert_eq!(told(&[Interrupted, ConnectionAborted, ConnectionReset]), 0);
        assert_eq!(told(&[OutOfMemory, ConnectionAborted, OutOfMemory]), 2);
    }

    #[test]
    fn a_timeout_has_one_name() {
        for (kind, expected) in [
            (WouldBlock, TimedOut),
            (TimedOut, TimedOut),
            (NotFound, NotFound),
        ] {
            let mut interrupted = false;
            let result = retry_socket(|| {
                interrupted = !interrupted;
                let kind = if interrupted { Interrupted } else { kind };
                io::Result::<()>::Err(kind.into())
            });
            assert_eq!(result.unwrap_err().kind(), expected);
        }
    }
}
