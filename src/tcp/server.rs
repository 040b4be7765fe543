//! The server's side of TCP.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::connection::Connection;
use crate::event::{Event, Observer};
use crate::retry::retry_with_backoff;
use crate::uppercase::copy_uppercase;

/// Starts threads that serve the clients of `listener`, the textbook's welcoming socket, until the
/// process ends.
///
/// There are `connections` threads. Each accepts a connection, serves it, and then accepts the next
/// (a prethreaded server: Stevens, *UNIX Network Programming*, volume 1, 3rd edition, 30.11). So
/// this is also the limit for connections at the same time, and further ones wait in the listener's
/// backlog.
///
/// A connection is closed after the client has finished sending and everything is answered. It is
/// also closed when one read or write has waited for `idle`: the client sent nothing, or did not
/// read its answers. When an accept fails, it is tried again, with back-off.
///
/// `listener` must be blocking. `observer` is given every [`Event`], and must not panic.
///
/// # Errors
///
/// [`InvalidInput`](ErrorKind::InvalidInput) if `connections` or `idle` is zero, or an error of the
/// system if it cannot start all threads. Those that it has started serve all the same.
pub fn serve(
    listener: TcpListener,
    connections: usize,
    idle: Duration,
    observer: impl Fn(Event) + Send + Sync + 'static,
) -> io::Result<()> {
    if connections == 0 || idle.is_zero() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let server = Arc::new(Server {
        listener,
        idle,
        observer: Observer::new(observer),
        retrying: Mutex::new(()),
    });
    for _ in 0..connections {
        let server = Arc::clone(&server);
        // `thread::spawn` would panic if the thread cannot be started.
        thread::Builder::new().spawn(move || {
            loop {
                let (socket, peer) = server.accept();
                server.observer.report(Event::Accepted { peer });
                let error = server.answer_all(socket, peer).err();
                server.observer.report(Event::Closed { peer, error });
            }
        })?;
    }
    Ok(())
}

/// What the threads of a server share.
struct Server {
    listener: TcpListener,
    idle: Duration,
    observer: Observer,
    /// Locked by a thread whose accept has failed, while it tries again.
    retrying: Mutex<()>,
}

impl Server {
    /// Waits for a connection.
    fn accept(&self) -> (TcpStream, SocketAddr) {
        if let Ok(accepted) = self.listener.accept() {
            return accepted;
        }
        // Hundreds of threads may fail at once, when there are no more descriptors. Then one at a
        // time tries, reports and pauses, and the others wait for the lock. It protects no value,
        // so it does not matter if `lock` returns an error (after a panic of another thread).
        let _lock = self.retrying.lock();
        retry_with_backoff(&self.observer, || self.listener.accept())
    }

    /// Answers what the client sends until it has finished sending. Then the socket is dropped,
    /// which closes it.
    fn answer_all(&self, socket: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let connection = Connection::new(socket, peer, self.idle, self.observer.clone())?;
        copy_uppercase(&connection, &connection)
    }
}
