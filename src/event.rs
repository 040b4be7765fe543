//! What servers and clients report while they work.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// What happens at a socket. `peer` is the address of the other side, `size` is a number of bytes.
/// As text, an event is what `--verbose` prints.
///
/// An observer, the function that is given every event, must not panic, because that ends the
/// thread that calls it. `println!` panics when stdout is closed; `writeln!` returns an error
/// instead.
#[derive(Debug)]
#[allow(
    missing_docs,
    reason = "the fields have the same meaning everywhere: see above"
)]
pub enum Event {
    /// A client has connected a socket, which has this port. (Over UDP that sends nothing.)
    Connected { port: u16, peer: SocketAddr },
    /// A welcoming socket has accepted a client, which now has a connection socket of its own.
    Accepted { peer: SocketAddr },
    /// A datagram, or a part of a stream, has come.
    Received { size: usize, peer: SocketAddr },
    /// A datagram, or a part of a stream, is about to be sent.
    Sending { size: usize, peer: SocketAddr },
    /// A server could not send its answer.
    NotSent { peer: SocketAddr, error: io::Error },
    /// A server does not answer this source: see [`udp::serve`](crate::udp::serve).
    Ignored { peer: SocketAddr },
    /// The peer has finished sending.
    EndOfStream { peer: SocketAddr },
    /// This side finishes sending, and still receives.
    HalfClose { peer: SocketAddr },
    /// A server has closed a connection. `error` is the reason if something has failed.
    Closed {
        peer: SocketAddr,
        error: Option<io::Error>,
    },
    /// A server cannot accept or receive. It tries again after a pause.
    CannotServe { error: io::Error },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Connected { port, peer } => write!(f, "connected from port {port} to {peer}"),
            Self::Accepted { peer } => {
                write!(
                    f,
                    "the welcoming socket accepted {peer}: a new connection socket"
                )
            }
            Self::Received { size, peer } => write!(f, "received {} from {peer}", bytes(*size)),
            Self::Sending { size, peer } => write!(f, "sending {} to {peer}", bytes(*size)),
            Self::NotSent { peer, error } => write!(f, "cannot send to {peer}: {error}"),
            Self::Ignored { peer } => write!(
                f,
                "no answer to {peer}: it is not a client's address and port"
            ),
            Self::EndOfStream { peer } => write!(f, "end of the stream from {peer}"),
            Self::HalfClose { peer } => write!(f, "half-close: no more goes to {peer}"),
            Self::Closed { peer, error: None } => write!(f, "closed the connection to {peer}"),
            Self::Closed {
                peer,
                error: Some(error),
            } => write!(f, "closed the connection to {peer}: {error}"),
            Self::CannotServe { error } => write!(f, "cannot serve now: {error}"),
        }
    }
}

/// A size for people: `1 byte`, `5 bytes`.
pub(crate) fn bytes(size: usize) -> String {
    let unit = if size == 1 { "byte" } else { "bytes" };
    format!("{size} {unit}")
}

/// The observer of a server or client, shared by its threads.
#[derive(Clone)]
pub(crate) struct Observer(Arc<dyn Fn(Event) + Send + Sync>);

impl Observer {
    pub(crate) fn new(function: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) fn report(&self, event: Event) {
        (self.0)(event);
    }
}

/// A function has no `Debug`, and the public clients, which hold one, need it.
impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Observer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of the other events are shown by a run of the programs in `tests/usage.rs`.
    #[test]
    fn lines_that_are_rare() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 7));
        let error = || io::Error::other("too bad");
        let lines = [
            Event::Ignored { peer },
            Event::NotSent {
                peer,
                error: error(),
            },
            Event::Closed {
                peer,
                error: Some(error()),
            },
            Event::Received { size: 1, peer },
        ]
        .map(|event| event.to_string());
        let expected = [
            "no answer to 127.0.0.1:7: it is not a client's address and port",
            "cannot send to 127.0.0.1:7: too bad",
            "closed the connection to 127.0.0.1:7: too bad",
            "received 1 byte from 127.0.0.1:7",
        ];
        assert_eq!(lines, expected);
    }
}
