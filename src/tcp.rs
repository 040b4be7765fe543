//! TCP: a stream of bytes, answered as they come, until the client's half-close.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZero;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::retry::{retry_socket, retry_with_backoff, time_left, try_each_address};
use crate::uppercase::{Copier, LONGEST_GROWTH};
use crate::{Bytes, Event};

mod pipe;

pub use pipe::PipeError;

/// A server thread's stack. Its buffers are on the heap, and a debug build uses less than a quarter of this.
const STACK_SIZE: usize = 128 * 1024;

/// Bytes of an answer that a client reads at once: more than a terminal's longest line.
const CHUNK: usize = 16 * 1024;

/// Starts `connections` threads that serve `listener`, the textbook's welcoming socket, and returns when all are about
/// to accept.
///
/// A thread accepts a connection, serves it, and accepts the next (prethreaded: Stevens, *UNIX Network Programming*,
/// volume 1, 3rd edition, 30.11). So `connections` is the limit, and those beyond it wait in the listener's backlog. A
/// connection is closed when its client has finished sending and everything is answered, or when the client keeps its
/// thread waiting for `idle`: with nothing sent, or with no room for an answer. A failing accept is tried again after a
/// pause of 5 ms, doubled up to 1 s. `observer` is told of everything that happens.
///
/// # Errors
///
/// What the system says if it cannot start all the threads. Then those that it could start end, and nobody is served.
pub fn serve(
    listener: TcpListener,
    connections: NonZero<usize>,
    idle: Duration,
    observer: impl Fn(Event) + Send + Sync + 'static,
) -> io::Result<()> {
    let server = Arc::new(Server {
        listener,
        idle,
        observer,
    });
    // A channel with no room: a thread's `send` returns when `recv` below takes what it sends. That happens when all
    // threads have been started. If one could not be, `all_ready` is dropped, and the send of the others fails.
    let (ready, all_ready) = mpsc::sync_channel(0);
    for _ in 0..connections.get() {
        let server = Arc::clone(&server);
        let ready = ready.clone();
        thread::Builder::new()
            .stack_size(STACK_SIZE)
            .spawn(move || {
                let copier = Copier::new();
                let all_are_started = ready.send(()).is_ok();
                drop(ready);
                if all_are_started {
                    server.accept_and_serve(copier);
                }
            })?;
    }
    drop(ready);
    for _ in 0..connections.get() {
        // Fails if a thread has ended before it sent anything.
        all_ready.recv().map_err(io::Error::other)?;
    }
    Ok(())
}

/// What the threads of a server share.
struct Server<O> {
    /// The welcoming socket.
    listener: TcpListener,
    idle: Duration,
    observer: O,
}

impl<O: Fn(Event)> Server<O> {
    /// What each thread does until the process ends.
    fn accept_and_serve(&self, mut copier: Copier) {
        let observer = &self.observer;
        loop {
            let accept = || self.listener.accept();
            let (connection_socket, client) = retry_with_backoff(observer, accept);
            tell!(
                observer,
                "the welcoming socket accepted {client}: a new connection socket"
            );
            let result = self.serve_connection(&connection_socket, client, &mut copier);
            drop(connection_socket);
            match result {
                Ok(()) => tell!(observer, "closed the connection socket of {client}"),
                Err(error) if error.kind() == ErrorKind::TimedOut => tell!(
                    observer,
                    "closed the connection socket of {client}: idle for too long"
                ),
                Err(error) => {
                    tell!(
                        observer,
                        "closed the connection socket of {client}: {error}"
                    );
                }
            }
        }
    }

    /// Answers until the client's half-close.
    fn serve_connection(
        &self,
        socket: &TcpStream,
        client: SocketAddr,
        copier: &mut Copier,
    ) -> io::Result<()> {
        set_options(socket, self.idle)?;
        let connection = Observed {
            socket,
            peer: client,
            observer: &self.observer,
        };
        copier.copy(&connection, &connection)
    }
}

/// Limits each read and each write, and turns Nagle's algorithm off, which would keep the end of an answer back until
/// its beginning is acknowledged.
fn set_options(socket: &TcpStream, timeout: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.set_write_timeout(Some(timeout))
}

/// A connection that tells an observer what it receives and sends.
struct Observed<'a, O> {
    socket: &'a TcpStream,
    peer: SocketAddr,
    observer: &'a O,
}

// For a reference, as std has it for `&TcpStream`: one can then be the reader and another the writer.
impl<O: Fn(Event)> Read for &Observed<'_, O> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.socket;
        let size = retry_socket(|| socket.read(buffer))?;
        let peer = self.peer;
        if size == 0 {
            tell!(
                self.observer,
                "end of the stream: {peer} has closed its side"
            );
        } else {
            tell!(self.observer, "received {} from {peer}", Bytes(size));
        }
        Ok(size)
    }
}

impl<O: Fn(Event)> Write for &Observed<'_, O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = self.socket;
        let size = retry_socket(|| socket.write(bytes))?;
        tell!(self.observer, "sent {} to {}", Bytes(size), self.peer);
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client with one connection: for a line and its answer, or for a whole stream.
#[derive(Debug)]
pub struct Client {
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    /// `None` if the last one ended and connecting again has failed.
    connection: Option<Connection>,
}

impl Client {
    /// Connects to the first of `addresses` that accepts.
    ///
    /// Each has an equal share of what is left of `timeout`, which is also the longest wait for an answer later.
    ///
    /// # Errors
    ///
    /// [`ConnectionRefused`](ErrorKind::ConnectionRefused) if nothing listens there,
    /// [`TimedOut`](ErrorKind::TimedOut), or what else the system says.
    pub fn connect(
        addresses: &[SocketAddr],
        timeout: Duration,
        observer: impl Fn(Event),
    ) -> io::Result<Self> {
        let connection = connect(addresses, timeout, &observer)?;
        Ok(Self {
            addresses: addresses.to_vec(),
            timeout,
            connection: Some(connection),
        })
    }

    /// Sends `sentence`, which has no newline, as a line, and returns its answer, without the newline.
    ///
    /// If the connection ended before the first byte of the answer, it connects again and sends the line again, once:
    /// the server may have been restarted, have lost its patience, or be one that answers once and closes.
    ///
    /// It sends first and reads then. A line of megabytes would fill the buffers of both sides, and each would wait for
    /// the other: use [`pipe`](Self::pipe) for it.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](Self::connect), if it had to connect again; then [`is_connected`](Self::is_connected)
    /// is false. Otherwise:
    ///
    /// - [`TimedOut`](ErrorKind::TimedOut) if the server takes or sends nothing for the whole timeout.
    /// - [`InvalidData`](ErrorKind::InvalidData) if the server sends more than the answer: something behind its newline,
    ///   or more than three times the line.
    /// - [`NotConnected`](ErrorKind::NotConnected) if the second connection ended before the first byte of the answer,
    ///   too, and [`UnexpectedEof`](ErrorKind::UnexpectedEof) if one ended within the answer.
    /// - What else the system says.
    pub fn ask(&mut self, sentence: &[u8], observer: impl Fn(Event)) -> io::Result<Vec<u8>> {
        // In one piece: the sentence and its newline are one write.
        let line = [sentence, b"\n"].concat();
        if let Some(connection) = self.connection.take() {
            let result = connection.exchange(&line, &observer);
            let has_ended = result
                .as_ref()
                .is_err_and(|e| e.kind() == ErrorKind::NotConnected);
            if !has_ended {
                self.connection = Some(connection);
                return result;
            }
            tell!(observer, "the connection has ended: connecting again");
        }
        let connection = connect(&self.addresses, self.timeout, &observer)?;
        let result = connection.exchange(&line, &observer);
        self.connection = Some(connection);
        result
    }

    /// Whether there is a connection: after an error of [`ask`](Self::ask), false says that connecting again failed.
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Sends all of `input` and writes all answers to `output` as they arrive, in constant memory.
    ///
    /// Both directions run at once, so any amount of input flows. After each write, `output` is flushed. At the end of
    /// `input` the connection is half-closed: the server learns that no more will come. `pipe` ends when everything is
    /// answered, whether the server then closes the connection or not. Upper-casing keeps newlines one for one, so this
    /// is when as many have come back as were sent and, if `input` does not end with one, the server has ended the
    /// stream and sent something behind the last newline.
    ///
    /// The timeout runs only while the network is waited for: not while `input` has nothing or `output` takes nothing.
    ///
    /// # Errors
    ///
    /// [`PipeError`] says whether input, output or network failed. Errors of the network are:
    ///
    /// - [`TimedOut`](ErrorKind::TimedOut) if the server takes and sends nothing for the whole timeout.
    /// - [`UnexpectedEof`](ErrorKind::UnexpectedEof) if the server ends the connection before everything is answered.
    ///   If all that was sent is answered, it waits half a second for the end of `input`.
    /// - [`InvalidData`](ErrorKind::InvalidData) if the server sends more than it was asked: more newlines, or more than
    ///   three times the bytes. What was read then is not written to `output`.
    /// - What else the system says.
    ///
    /// After an error a thread may go on waiting for `input`, which nothing can interrupt.
    pub fn pipe(
        self,
        input: impl Read + Send + 'static,
        output: impl Write,
        observer: impl Fn(Event) + Clone + Send + 'static,
    ) -> Result<(), PipeError> {
        let Some(connection) = self.connection else {
            return Err(PipeError::Network(ErrorKind::NotConnected.into()));
        };
        pipe::run(&connection, self.timeout, input, output, observer)
    }

    /// Closes the connection.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](ErrorKind::InvalidData) if the server has sent something that nobody asked for.
    pub fn close(self) -> io::Result<()> {
        match self.connection {
            Some(connection) => connection.expect_nothing(),
            None => Ok(()),
        }
    }
}

/// A client's end of a connection.
#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    /// Kept, since a connection that has been reset cannot tell it any more.
    server: SocketAddr,
}

fn connect(
    addresses: &[SocketAddr],
    timeout: Duration,
    observer: &impl Fn(Event),
) -> io::Result<Connection> {
    try_each_address(addresses, Instant::now() + timeout, |server, deadline| {
        let socket = TcpStream::connect_timeout(&server, time_left(deadline))?;
        let local = socket.local_addr()?;
        // Where nothing listens, the system may give out that very port, and TCP connects it to itself. `server` would
        // not show it: 0.0.0.0 stands for this machine.
        if socket.peer_addr().is_ok_and(|peer| peer == local) {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        set_options(&socket, timeout)?;
        let port = local.port();
        tell!(observer, "connected from port {port} to {server}");
        Ok(Connection { socket, server })
    })
}

impl Connection {
    /// Sends `line` and returns the answer without its newline. `NotConnected` stands for every way in which the
    /// connection can have ended before the first byte of the answer.
    fn exchange(&self, line: &[u8], observer: &impl Fn(Event)) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        match self.try_exchange(line, &mut answer, observer) {
            Ok(()) => Ok(answer),
            Err(error) if answer.is_empty() && has_ended(&error) => {
                Err(ErrorKind::NotConnected.into())
            }
            Err(error) => Err(error),
        }
    }

    fn try_exchange(
        &self,
        line: &[u8],
        answer: &mut Vec<u8>,
        observer: &impl Fn(Event),
    ) -> io::Result<()> {
        self.expect_nothing()?;
        let mut connection = &Observed {
            socket: &self.socket,
            peer: self.server,
            observer,
        };
        connection.write_all(line)?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let size = connection.read(&mut buffer)?;
            if size == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let newline = buffer[..size].iter().position(|&byte| byte == b'\n');
            answer.extend_from_slice(&buffer[..newline.unwrap_or(size)]);
            if answer.len() > LONGEST_GROWTH * line.len() {
                return Err(ErrorKind::InvalidData.into());
            }
            match newline {
                Some(at) if at + 1 < size => return Err(ErrorKind::InvalidData.into()),
                Some(_) => return Ok(()),
                None => {}
            }
        }
    }

    /// Returns an error if something has come that nobody asked for.
    fn expect_nothing(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        let arrived = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false)?;
        match arrived {
            Ok(1) => Err(ErrorKind::InvalidData.into()),
            // Nothing, or an end of the connection, which its next use finds.
            _ => Ok(()),
        }
    }
}

/// Whether an error says that the other side has ended the connection, in the words of any system.
fn has_ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof
    )
}
