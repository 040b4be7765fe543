//! TCP: a stream of bytes, answered as they come, until the client's half-close.
//!
//! # The book's programs
//!
//! The server of Kurose & Ross, 2.7.2, with std. It waits at its welcoming socket, which is bound
//! to port 12000: `TcpListener::bind("0.0.0.0:12000")`. Each client gets a connection socket.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpListener;
//!
//! fn serve(welcoming_socket: &TcpListener) -> std::io::Result<()> {
//!     loop {
//!         let (mut connection_socket, _client_address) = welcoming_socket.accept()?;
//!         let mut bytes = [0; 1024];
//!         let size = connection_socket.read(&mut bytes)?;
//!         let sentence = std::str::from_utf8(&bytes[..size]).expect("UTF-8"); // Python's decode
//!         connection_socket.write_all(sentence.to_uppercase().as_bytes())?;
//!     } // the connection socket is dropped: that closes it
//! }
//!
//! # let welcoming_socket = TcpListener::bind("127.0.0.1:0")?;
//! # let server_address = welcoming_socket.local_addr()?;
//! # std::thread::spawn(move || serve(&welcoming_socket));
//! # let timeout = std::time::Duration::from_secs(5);
//! # let mut client = uppercase_echo::tcp::Client::connect(&[server_address], timeout, |_| {})?;
//! # assert_eq!(client.ask(b"hello", |_| {})?, b"HELLO");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The client:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{SocketAddr, TcpStream};
//!
//! /// `server_address` is the book's ('servername', 12000).
//! fn ask(server_address: SocketAddr) -> std::io::Result<()> {
//!     let mut client_socket = TcpStream::connect(server_address)?;
//!     client_socket.write_all(b"hello")?;
//!     let mut bytes = [0; 1024];
//!     let size = client_socket.read(&mut bytes)?;
//!     assert_eq!(&bytes[..size], b"HELLO");
//!     Ok(())
//! }
//! # let welcoming_socket = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let server_address = welcoming_socket.local_addr()?;
//! # let timeout = std::time::Duration::from_secs(5);
//! # uppercase_echo::tcp::serve(welcoming_socket, std::num::NonZero::<usize>::MIN, timeout, |_| {})?;
//! # ask(server_address)?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # Where they hang, lose data or crash, and what this module does
//!
//! - **One read is taken for one sentence.** TCP carries bytes, not sentences: a read returns what
//!   has arrived, which may be half a sentence, two, or half of a character. [`serve`] answers what
//!   has arrived and holds back only an unfinished character. [`Client::ask`] needs to know where
//!   an answer ends, so it sends a line and reads up to the newline of the answer.
//! - **The server has one client at a time.** If that one is silent, all others wait. [`serve`] has
//!   many threads, and closes a connection that is idle for too long.
//! - **A client is connected before anybody has accepted it.** The system completes the handshake
//!   by itself, so that a client need not wait for a busy program. It keeps the connection in a
//!   queue, the backlog. So a client whose `connect` succeeded may still wait for an answer
//!   forever. [`Client`] has a timeout.
//! - **The server answers once and closes.** [`serve`] answers until the client's half-close:
//!   `shutdown(Write)` tells the other side that no more will come, while the other direction stays
//!   open. Only [`Client::pipe`] does that. At a terminal another line may always follow, so
//!   [`Client::ask`] cannot.
//! - **The client would hang with much text**, if it sent all of it and only then read the answers:
//!   see [`Client::pipe`], which does both at once.
//! - **The book's Python server cannot be restarted at once.** The side that closes a connection
//!   first keeps its port for a minute (TIME-WAIT), so that late segments of this connection are
//!   not taken for those of another. `SO_REUSEADDR` permits a new server on that port, if the old
//!   one had set it, too. [`TcpListener::bind`] sets it, except on Windows, which does not need it.
//!
//! # Limits
//!
//! - std's listen backlog is 128. When more than N + 128 clients (N is the number of threads) come
//!   in one instant, some wait a second for their system to try again. On Linux, a few are reset or
//!   end without an answer: it defends a full queue with *SYN cookies*, and may then forget a
//!   connection that its client takes for open.
//! - On Linux a thread that waits in `accept` holds a descriptor already. So a server on two
//!   addresses needs more than 2 N descriptors (`ulimit -n`). With fewer, the threads of one
//!   address may hold all of them, and the other address is never served.
//! - A host name that stands for both `0.0.0.0` and `::` would need the same port twice, because on
//!   most systems `::` takes IPv4's, too. The server does not start.
//! - A client that sends one byte per idle timeout keeps its connection, and one client may hold
//!   all N.
//! - A server that reads very slowly, and answers nothing meanwhile, looks to its client like one
//!   that reads nothing: the receive window opens only in large steps (on loopback about 64 KB).
//!   The client's timeout must be longer than the server takes to read so much.
//! - A client that never reads ties up the system's buffers, several megabytes for each connection.
//! - If the last line has no newline, a client cannot see that its answer was cut (unless less than
//!   half of it came).
//! - The same holds if the client's own system gives the connection up. Linux does so after about
//!   15 minutes without an acknowledgement.
//! - The book's server in the Java edition ends every answer with a newline, also when the input's
//!   last line has none. That is more than was asked, and [`Client::pipe`] returns an error.
//! - Where nothing is listening, the system may connect a client's socket to itself. [`Client`]
//!   closes it, but its port then stays in use for a minute (TIME-WAIT), and no server can take it.
//!   It can only happen with a port that the system gives to clients.
//! - Urgent data (TCP's `URG`) is not part of the stream.
//! - Windows makes no promise about a connection after a timed-out send, and does not say how much
//!   was sent. Under Wine the connection goes on working, but the client gives up on a server that
//!   reads slowly.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZero;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::retry::{call_with_timeout, retry_with_backoff};
use crate::uppercase::Copier;
use crate::{Bytes, Event, tell};

mod client;
mod count;
mod error;
mod pipe;
mod sender_state;

pub use client::Client;
pub use error::{AskError, PipeError};

/// The size of a server thread's stack. Its buffers are on the heap, and a debug build uses less
/// than a quarter of this.
const STACK_SIZE: usize = 128 * 1024;

/// Starts threads that serve the clients of `listener`, the textbook's welcoming socket. Returns as
/// soon as all run.
///
/// There are `connections` threads. Each accepts a connection, serves it, and then accepts the next
/// (a prethreaded server: Stevens, *UNIX Network Programming*, volume 1, 3rd edition, 30.11). So
/// this is also the limit for connections at the same time, and further ones wait in the listener's
/// backlog.
///
/// A connection is closed after the client has finished sending and everything is answered. It is
/// also closed when its thread has waited for `idle`: because the client sent nothing, or because
/// it did not read its answers. When an accept fails, the thread tries again: at once if a client
/// was the cause, and otherwise after a pause of 5 ms or, if that goes on, up to 1 s. `observer` is
/// told of everything that happens. The threads run until the process ends.
///
/// # Errors
///
/// An error of the system if it cannot start all threads, and
/// [`InvalidInput`](ErrorKind::InvalidInput) if `idle` is zero. Then nobody is served.
pub fn serve(
    listener: TcpListener,
    connections: NonZero<usize>,
    idle: Duration,
    observer: impl Fn(Event) + Send + Sync + 'static,
) -> io::Result<()> {
    if idle.is_zero() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let server = Arc::new(Server {
        listener,
        idle,
        observer,
    });
    // Either all threads serve, or none. A `sync_channel(0)` has no room for a message, so each
    // thread waits in its `send` until the `recv` below takes the message. That happens when all
    // threads have been started. If one cannot be started, `?` leaves this function, which drops
    // `ready_receiver`. Then every `send` returns an error, and its thread ends.
    let (ready_sender, ready_receiver) = mpsc::sync_channel(0);
    for _ in 0..connections.get() {
        let server = Arc::clone(&server);
        let ready_sender = ready_sender.clone();
        // `thread::spawn` would panic if the thread cannot be started.
        let builder = thread::Builder::new().stack_size(STACK_SIZE);
        builder.spawn(move || {
            // All memory is allocated before the `send`, so that a server that has started does not
            // fail for lack of it.
            let mut copier = Copier::new();
            let all_have_started = ready_sender.send(()).is_ok();
            if all_have_started {
                loop {
                    server.serve_one(&mut copier);
                }
            }
        })?;
    }
    for _ in 0..connections.get() {
        ready_receiver.recv().map_err(io::Error::other)?;
    }
    Ok(())
}

/// What the threads of a server share.
struct Server<O> {
    listener: TcpListener,
    idle: Duration,
    observer: O,
}

impl<O: Fn(Event)> Server<O> {
    /// Waits for one connection, and serves it until it ends.
    fn serve_one(&self, copier: &mut Copier) {
        let observer = &self.observer;
        let (connection_socket, client) = retry_with_backoff(observer, || self.listener.accept());
        tell(
            observer,
            format_args!("the welcoming socket accepted {client}: a new connection socket"),
        );
        let result = self.answer_all(&connection_socket, client, copier);
        drop(connection_socket);
        match result {
            Ok(()) => tell(
                observer,
                format_args!("closed the connection socket of {client}"),
            ),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                tell(
                    observer,
                    format_args!("closed the connection socket of {client}: idle for too long"),
                );
            }
            Err(error) => tell(
                observer,
                format_args!("closed the connection socket of {client}: {error}"),
            ),
        }
    }

    /// Answers what `client` sends until its half-close.
    fn answer_all(
        &self,
        connection_socket: &TcpStream,
        client: SocketAddr,
        copier: &mut Copier,
    ) -> io::Result<()> {
        set_options(connection_socket, self.idle)?;
        let connection = Observed {
            socket: connection_socket,
            timeout: self.idle,
            peer: client,
            observer: &self.observer,
        };
        // It returns when a read returns 0: the half-close. `&Observed` implements `Read` and
        // `Write` (below), as `&TcpStream` does. So there is a reference to read and one to write.
        copier.copy(&connection, &connection)
    }
}

/// Sets the longest wait of a read and of a write, and turns Nagle's algorithm off. That algorithm
/// may keep a small write back until the other side has acknowledged the one before.
fn set_options(socket: &TcpStream, timeout: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.set_write_timeout(Some(timeout))
}

/// A connection that tells an observer what it receives and sends.
struct Observed<'a, O> {
    socket: &'a TcpStream,
    /// The timeout of the socket.
    timeout: Duration,
    peer: SocketAddr,
    observer: &'a O,
}

// std implements `Read` and `Write` also for `&TcpStream`, so that there can be a reader and a
// writer of one stream at a time. The same is done here for `&Observed`.
impl<O: Fn(Event)> Read for &Observed<'_, O> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // `Read` is implemented for `&TcpStream`, so its `read` needs a `&mut &TcpStream`: a
        // variable that is `mut`. The stream itself is only shared.
        let mut socket = self.socket;
        let size = call_with_timeout(self.timeout, || socket.read(buffer))?;
        if size == 0 {
            tell(
                self.observer,
                format_args!("end of the stream: {} has closed its side", self.peer),
            );
        } else {
            tell(
                self.observer,
                format_args!("received {} from {}", Bytes(size), self.peer),
            );
        }
        Ok(size)
    }
}

impl<O: Fn(Event)> Write for &Observed<'_, O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = self.socket;
        let size = call_with_timeout(self.timeout, || socket.write(bytes))?;
        tell(
            self.observer,
            format_args!("sent {} to {}", Bytes(size), self.peer),
        );
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a TcpStream has no buffer of its own
    }
}
