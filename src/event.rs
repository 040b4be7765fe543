//! What servers report, and how they wait while the system is short of something.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// Something that a server's observer may want to tell.
///
/// Its `Display` is one line, without the server's own address.
#[derive(Debug)]
pub enum Event<'a> {
    /// UDP: a datagram from this source was answered; the sizes of both in bytes.
    Answered(SocketAddr, usize, usize),
    /// UDP: a datagram got no answer, because its source may be another server or no single host.
    Ignored(SocketAddr),
    /// UDP: an answer could not be sent, for instance because it has outgrown a datagram.
    Unsent(SocketAddr, &'a io::Error),
    /// TCP: the listener, which is the welcoming socket, gave out this connection socket to this client.
    Connected(&'a TcpStream, SocketAddr),
    /// TCP: a connection ended; bytes in and out, and why, where it was not the client's half-close.
    Closed(SocketAddr, u64, u64, Option<&'a io::Error>),
    /// A thread cannot receive or accept at the moment; reported at each try, as long as it lasts at least once a second.
    Failing(&'a io::Error),
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Answered(peer, received, sent) => {
                write!(
                    f,
                    "datagram from {peer}: {received} bytes in, {sent} bytes out"
                )
            }
            Self::Ignored(peer) => write!(
                f,
                "datagram from {peer}: ignored, its source may be another server"
            ),
            Self::Unsent(peer, error) => {
                write!(f, "datagram from {peer}: cannot send the answer: {error}")
            }
            Self::Connected(stream, peer) => match stream.local_addr() {
                Ok(local) => write!(f, "accepted, connection socket {local} to {peer}"),
                Err(error) => write!(f, "accepted, connection socket to {peer}: {error}"),
            },
            Self::Closed(peer, received, sent, error) => {
                write!(f, "closed, {peer}: {received} bytes in, {sent} bytes out")?;
                match error {
                    Some(error) if timed_out(error) => write!(f, ": idle for too long"),
                    Some(error) => write!(f, ": {error}"),
                    None => Ok(()),
                }
            }
            Self::Failing(error) => write!(f, "cannot receive for the moment: {error}"),
        }
    }
}

/// Whether a socket's own time limit has struck: systems differ in which of the two they report.
pub(crate) fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// One thread's pause between failures to receive or accept, doubled up to a second and reset by a success.
#[derive(Default)]
pub(crate) struct Backoff(Option<Duration>);

/// Short enough not to be noticed after a single failure.
const SHORTEST: Duration = Duration::from_millis(5);

/// Long enough that hundreds of waiting threads use next to no CPU, short enough for service to resume soon.
const LONGEST: Duration = Duration::from_secs(1);

impl Backoff {
    /// Passes a success on; reports a failure and pauses after it, unless it is only one peer's.
    pub(crate) fn check<T>(
        &mut self,
        result: io::Result<T>,
        observer: &impl Fn(Event),
    ) -> Option<T> {
        use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        match result {
            Ok(value) => {
                self.0 = None;
                Some(value)
            }
            // Windows reports an earlier send's fate as a reset of the next receive.
            Err(error)
                if matches!(
                    error.kind(),
                    Interrupted | ConnectionAborted | ConnectionReset
                ) =>
            {
                None
            }
            Err(error) => {
                observer(Event::Failing(&error));
                let pause = self.0.map_or(SHORTEST, |pause| LONGEST.min(pause * 2));
                self.0 = Some(pause);
                thread::sleep(pause);
                None
            }
        }
    }
}
