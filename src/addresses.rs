//! A server's addresses: a name may have several, and not all of them need to answer.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The shortest time for one address. std refuses a timeout of zero.
const SHORTEST_SHARE: Duration = Duration::from_millis(1);

/// Calls `attempt` for one address after the other, and returns the first success. `attempt` is
/// given the address and an equal share of the time that is left of `timeout`.
///
/// If all fail, it returns the first error that says more than "nobody is there", or else the first
/// error.
pub(crate) fn try_each<T>(
    addresses: &[SocketAddr],
    timeout: Duration,
    mut attempt: impl FnMut(SocketAddr, Duration) -> io::Result<T>,
) -> io::Result<T> {
    let start = Instant::now();
    let mut failure = io::Error::new(ErrorKind::AddrNotAvailable, "the server has no address");
    for (position, &address) in addresses.iter().enumerate() {
        let addresses_left = (addresses.len() - position) as u32;
        let time_left = timeout.saturating_sub(start.elapsed());
        let share = SHORTEST_SHARE.max(time_left / addresses_left);
        let error = match attempt(address, share) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let says_more = says_nobody_is_there(&failure) && !says_nobody_is_there(&error);
        if position == 0 || says_more {
            failure = error;
        }
    }
    Err(failure)
}

/// Whether an error means that no server is at an address, so that a second try is useless.
pub(crate) fn says_nobody_is_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            // This machine has no address from which it could reach the other.
            | ErrorKind::AddrNotAvailable
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, OutOfMemory,
        PermissionDenied, TimedOut,
    };
    use std::thread;

    const ADDRESS: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    /// Tries as many addresses as there are failures.
    #[track_caller]
    fn check(failures: &[ErrorKind], expected: ErrorKind) {
        let mut kinds = failures.iter();
        let result = try_each(
            &vec![ADDRESS; failures.len()],
            Duration::from_secs(1),
            |_, _| {
                let kind = kinds.next().expect("a failure for each address");
                io::Result::<()>::Err((*kind).into())
            },
        );
        assert_eq!(
            result.map_err(|error| error.kind()),
            Err(expected),
            "{failures:?}"
        );
    }

    #[test]
    fn the_first_failure_that_says_more_than_nobody_is_there() {
        check(&[], AddrNotAvailable);
        check(&[TimedOut, OutOfMemory], TimedOut);
        check(&[PermissionDenied, TimedOut], PermissionDenied);
        for nobody in [
            AddrNotAvailable,
            ConnectionRefused,
            HostUnreachable,
            NetworkUnreachable,
        ] {
            check(&[nobody, TimedOut, OutOfMemory], TimedOut);
            check(&[TimedOut, nobody], TimedOut);
            check(&[nobody, ConnectionRefused], nobody);
        }
    }

    #[test]
    fn equal_shares_of_the_time_that_is_left() {
        let mut shares = Vec::new();
        let timeout = Duration::from_millis(60);
        let result = try_each(&[ADDRESS; 3], timeout, |_, share| {
            shares.push(share);
            // The second one fails at once, and leaves its share to the third.
            if shares.len() != 2 {
                thread::sleep(share);
            }
            io::Result::<()>::Err(TimedOut.into())
        });
        assert!(result.is_err());
        assert!(
            shares[0] <= timeout / 3 && shares[1] <= timeout / 3,
            "{shares:?}"
        );
        assert!(shares[1] < shares[2], "{shares:?}");
    }
}
