//! What both sides of a connection share: a socket that reports what it moves.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::event::{Event, Observer};

/// A connected socket. It is closed when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    /// Kept here, because the socket cannot say it after a reset.
    peer: SocketAddr,
    observer: Observer,
}

impl Connection {
    /// Makes a connection from a socket. Each read and each write waits at most for `timeout`.
    pub(super) fn new(
        socket: TcpStream,
        peer: SocketAddr,
        timeout: Duration,
        observer: Observer,
    ) -> io::Result<Self> {
        // Without Nagle's algorithm, which may hold a small write back until the peer has
        // acknowledged the one before.
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        Ok(Self {
            socket,
            peer,
            observer,
        })
    }

    /// For a pipe, in which only reads measure time: a read waits at most for `tick`, and a write
    /// without limit.
    pub(super) fn set_tick(&self, tick: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(tick))?;
        self.socket.set_write_timeout(None)
    }

    /// Tells the peer that no more will come. It can still send.
    pub(super) fn half_close(&self) {
        let peer = self.peer;
        self.observer.report(Event::HalfClose { peer });
        // It fails if the connection has ended already. Reading finds that out.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Ends both directions. A read or write that waits in another thread returns.
    pub(super) fn shutdown(&self) {
        // It fails if the connection has been reset: then there is nothing to end.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

// std implements `Read` and `Write` also for `&TcpStream`, so that one thread can read while
// another one writes. The same is done here for `&Connection`.
impl Read for &Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = (&self.socket).read(buffer).map_err(as_timed_out)?;
        let peer = self.peer;
        self.observer.report(match size {
            0 => Event::EndOfStream { peer },
            _ => Event::Received { size, peer },
        });
        Ok(size)
    }
}

impl Write for &Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = bytes.len();
        let peer = self.peer;
        // Before the call: otherwise another thread may report the answer first.
        self.observer.report(Event::Sending { size, peer });
        (&self.socket).write(bytes).map_err(as_timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a TcpStream has no buffer of its own
    }
}

/// Unix reports the end of a socket's timeout as `WouldBlock`, Windows as `TimedOut`. This makes it
/// always `TimedOut`.
fn as_timed_out(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock {
        return ErrorKind::TimedOut.into();
    }
    error
}

/// Whether an error means that the peer has ended the connection.
pub(super) fn says_connection_ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}
