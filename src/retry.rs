//! Retries: which failed calls are made again, after which pause, and at which address.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::Event;

/// The first pause after a failed accept or receive. It is too short to be noticed by a person.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause after a failed accept or receive. It is long enough that hundreds of threads
/// can pause and try in turn with little processor time, and short enough that service resumes soon
/// after the trouble.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The shortest timeout that [`time_left`] gives to a socket. std refuses a timeout of zero,
/// because to the system it means "forever".
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);

/// The longest timeout of a client. A longer one could make a sum of times overflow.
pub(crate) const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Makes a system call, and makes it again each time a signal has interrupted it.
///
/// A signal can make a call return early, with the error `Interrupted`. This happens to a socket
/// with a timeout when the process is stopped (Ctrl-Z) and continued. std's `write_all` repeats
/// such a call, but `read`, `write`, `send` and `recv_from` do not.
pub(crate) fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Like [`retry_interrupted`], for a call of a socket with a timeout. `timeout` must already be set
/// on the socket. When it is over, the error is `TimedOut` on every system; Unix itself says
/// `WouldBlock`.
///
/// When a call is made again, the system starts its timeout anew. So the time is measured here,
/// too: a process that is stopped and continued again and again must not wait forever. If the
/// timeout is over, the call is made one last time, because what it waits for may have come while
/// the process was stopped.
pub(crate) fn call_with_timeout<T>(
    timeout: Duration,
    mut call: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let start = Instant::now();
    loop {
        let is_time_over = start.elapsed() >= timeout;
        match call() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(ErrorKind::TimedOut.into());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                if is_time_over {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            result => return result,
        }
    }
}

/// Makes `call`, which accepts or receives, again and again until it succeeds.
///
/// If a signal or a single peer caused the failure, the next try follows at once. Otherwise, for
/// example when there are no more descriptors, the observer is told, and there is a pause before
/// the next try. Each pause is twice as long as the one before, up to 1 s.
pub(crate) fn retry_with_backoff<T>(
    observer: &impl Fn(Event),
    mut call: impl FnMut() -> io::Result<T>,
) -> T {
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match call() {
            Ok(value) => return value,
            Err(error) => error,
        };
        match error.kind() {
            // `accept` returns ConnectionAborted when a client has left before it was accepted.
            // On Windows, `recv_from` returns ConnectionReset when an earlier answer found its port
            // closed.
            ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {}
            _ => {
                observer(Event::Stalled(&error));
                thread::sleep(pause);
                pause = LONGEST_PAUSE.min(2 * pause);
            }
        }
    }
}

/// Calls `attempt` for one address after the other, and returns the first success.
///
/// Each address gets an equal share of the time that is left before `deadline`: `attempt` is given
/// the address and its own deadline. If some fail early, time is left at the end. Then those that
/// timed out are tried again.
///
/// If all fail, the most telling error is returned:
///
/// 1. a timeout, because somebody may be there and be slow;
/// 2. an error of this machine, such as "too many open files";
/// 3. an error that says that nobody is there.
///
/// Of two equal errors the first is returned, because the system lists first the addresses that it
/// can reach.
pub(crate) fn try_each_address<T>(
    addresses: &[SocketAddr],
    deadline: Instant,
    mut attempt: impl FnMut(SocketAddr, Instant) -> io::Result<T>,
) -> io::Result<T> {
    let mut failure: Option<io::Error> = None;
    let mut round = addresses.to_vec();
    loop {
        let mut next_round = Vec::new();
        let mut addresses_left = round.len() as u32; // a Duration can be divided by a u32
        for address in round {
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / addresses_left;
            addresses_left -= 1;
            let error = match attempt(address, now + share) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::TimedOut {
                next_round.push(address);
            }
            let tells_more = match &failure {
                None => true,
                Some(earlier) => rank(&error) > rank(earlier),
            };
            if tells_more {
                failure = Some(error);
            }
        }
        if next_round.is_empty() || Instant::now() >= deadline {
            break;
        }
        round = next_round;
    }
    Err(failure.unwrap_or_else(|| io::Error::new(ErrorKind::NotFound, "there is no address")))
}

/// How telling an error is: see [`try_each_address`].
fn rank(error: &io::Error) -> u8 {
    if error.kind() == ErrorKind::TimedOut {
        3
    } else if says_nobody_is_there(error) {
        1
    } else {
        2
    }
}

/// Returns whether an error means that there is no server at an address, so that a second try is
/// useless.
pub(crate) fn says_nobody_is_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            // How Windows reports a closed UDP port.
            | ErrorKind::ConnectionReset
            // This machine has no address from which it could reach the other.
            | ErrorKind::AddrNotAvailable
    )
}

/// Returns the time that is left before `deadline`, as a timeout for a socket: at least 1 ms.
pub(crate) fn time_left(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(Instant::now())
        .max(SHORTEST_TIMEOUT)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;
    use ErrorKind::{
        AddrNotAvailable, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        Interrupted, NetworkUnreachable, NotFound, OutOfMemory, PermissionDenied, TimedOut,
        WouldBlock,
    };

    /// Makes calls that fail with these kinds, one after the other, and then succeed. Returns how
    /// often the observer was told.
    fn times_told(failures: &[ErrorKind]) -> usize {
        // An `Fn` may not change a plain variable. A `Cell` can be changed through a shared
        // reference.
        let told = std::cell::Cell::new(0);
        let mut failures = failures.iter();
        let observer = |_: Event| told.set(told.get() + 1);
        retry_with_backoff(&observer, || match failures.next() {
            Some(&kind) => Err(kind.into()),
            None => Ok(()),
        });
        told.get()
    }

    #[test]
    fn a_failure_of_one_peer_is_not_told() {
        assert_eq!(times_told(&[]), 0);
        assert_eq!(
            times_told(&[Interrupted, ConnectionAborted, ConnectionReset]),
            0
        );
        assert_eq!(
            times_told(&[OutOfMemory, ConnectionAborted, OutOfMemory]),
            2
        );
    }

    /// Tries one address after the other. They fail in these ways.
    #[track_caller]
    fn check_failure(failures: &[ErrorKind], expected: ErrorKind) {
        let address = SocketAddr::from(([127, 0, 0, 1], 12000));
        let mut kinds = failures.iter();
        let result = try_each_address(&vec![address; failures.len()], Instant::now(), |_, _| {
            io::Result::<()>::Err((*kinds.next().unwrap()).into())
        });
        assert_eq!(result.unwrap_err().kind(), expected, "{failures:?}");
    }

    #[test]
    fn the_most_telling_failure_is_returned() {
        check_failure(&[], NotFound);
        check_failure(&[ConnectionRefused, TimedOut], TimedOut);
        check_failure(&[TimedOut, ConnectionRefused], TimedOut);
        check_failure(&[OutOfMemory, TimedOut], TimedOut);
        check_failure(&[TimedOut, OutOfMemory], TimedOut);
        check_failure(&[PermissionDenied, OutOfMemory], PermissionDenied);
        // Each of these says that nobody is there.
        for nobody in [
            ConnectionRefused,
            ConnectionReset,
            HostUnreachable,
            NetworkUnreachable,
            AddrNotAvailable,
        ] {
            check_failure(&[nobody, OutOfMemory], OutOfMemory);
            check_failure(&[OutOfMemory, nobody], OutOfMemory);
            check_failure(&[nobody, ConnectionRefused], nobody);
        }
    }

    #[test]
    fn the_time_that_one_address_leaves_is_used_for_another() {
        let slow = SocketAddr::from(([127, 0, 0, 1], 1));
        let closed = SocketAddr::from(([127, 0, 0, 1], 2));
        let deadline = Instant::now() + Duration::from_millis(40);
        let result = try_each_address(&[slow, closed], deadline, |address, its_deadline| {
            if address == closed {
                return Err(ConnectionRefused.into());
            }
            thread::sleep(time_left(its_deadline));
            io::Result::<()>::Err(TimedOut.into())
        });
        assert_eq!(result.unwrap_err().kind(), TimedOut);
        assert!(Instant::now() >= deadline);
    }

    #[test]
    fn interruptions_do_not_prolong_a_timeout() {
        let start = Instant::now();
        let timeout = Duration::from_millis(50);
        let mut calls = 0;
        let result = call_with_timeout(timeout, || {
            calls += 1;
            assert!(calls <= 6, "it does not end");
            thread::sleep(Duration::from_millis(10));
            io::Result::<()>::Err(Interrupted.into())
        });
        assert_eq!(result.unwrap_err().kind(), TimedOut);
        assert!(start.elapsed() >= timeout);
    }

    #[test]
    fn what_came_during_a_long_interruption_is_taken() {
        let mut calls = 0;
        let result = call_with_timeout(Duration::from_millis(10), || {
            calls += 1;
            if calls > 1 {
                return Ok("it has come");
            }
            thread::sleep(Duration::from_millis(20));
            Err(Interrupted.into())
        });
        assert_eq!(result.unwrap(), "it has come");
    }

    #[test]
    fn a_timeout_has_one_kind_on_every_system() {
        for (kind, expected) in [
            (WouldBlock, TimedOut),
            (TimedOut, TimedOut),
            (NotFound, NotFound),
        ] {
            // The first call is interrupted, the second fails with `kind`.
            let mut interrupted = false;
            let result = call_with_timeout(Duration::from_secs(9), || {
                interrupted = !interrupted;
                let kind = if interrupted { Interrupted } else { kind };
                io::Result::<()>::Err(kind.into())
            });
            assert_eq!(result.unwrap_err().kind(), expected);
        }
    }
}
