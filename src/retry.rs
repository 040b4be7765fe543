//! Calls that are made again after a failure.

use std::io::{self, ErrorKind};
use std::thread;
use std::time::Duration;

use crate::event::{Event, Observer};

/// The first pause after a failed accept or receive. It is too short to be noticed.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause after a failed accept or receive: service resumes at most this long after a
/// shortage has ended.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Makes a system call, and makes it again each time a signal has interrupted it. That happens to a
/// socket with a timeout when the process is stopped (Ctrl-Z) and continued.
pub(crate) fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Makes `call`, which accepts or receives, until it succeeds.
///
/// If a signal or a single peer caused the failure, the next try follows at once. Otherwise (for
/// example when there are no more descriptors) it is reported and followed by a pause: 5 ms at
/// first, then twice the pause before, at most 1 s.
pub(crate) fn retry_with_backoff<T>(
    observer: &Observer,
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
            // On Windows, `recv_from` returns ConnectionReset when an earlier answer went to a
            // client that had closed its port.
            ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {}
            _ => {
                observer.report(Event::CannotServe { error });
                thread::sleep(pause);
                pause = LONGEST_PAUSE.min(2 * pause);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, OutOfMemory};
    use std::sync::mpsc::channel;

    /// Makes calls that fail with these kinds, one after the other, and then succeed. Returns how
    /// many failures were reported.
    fn reports(failures: &[ErrorKind]) -> usize {
        let (sender, events) = channel();
        let observer = Observer::new(move |event| drop(sender.send(event)));
        let mut failures = failures.iter();
        retry_with_backoff(&observer, || match failures.next() {
            Some(&kind) => Err(kind.into()),
            None => Ok(()),
        });
        events.try_iter().count()
    }

    #[test]
    fn a_failure_of_one_peer_is_not_reported() {
        assert_eq!(reports(&[]), 0);
        assert_eq!(
            reports(&[Interrupted, ConnectionAborted, ConnectionReset]),
            0
        );
        assert_eq!(reports(&[OutOfMemory, ConnectionAborted, OutOfMemory]), 2);
    }
}
