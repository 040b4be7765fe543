//! The client's side of TCP.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::error::{AskError, PipeError};
use super::{Observed, pipe, set_options};
use crate::retry::{LONGEST_TIMEOUT, time_left, try_each_address};
use crate::uppercase::MAX_GROWTH_FACTOR;
use crate::{Event, tell};

/// How many bytes of an answer [`Client::ask`] reads at once. It is more than a terminal's longest
/// line.
const ANSWER_CHUNK: usize = 16 * 1024;

/// A client with one connection, for lines and their answers or for a whole stream.
#[derive(Debug)]
pub struct Client {
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    /// `None` after an error of [`ask`](Self::ask): an answer that comes late must not be taken for
    /// the next line's. The next `ask` connects again.
    connection: Option<Connection>,
}

impl Client {
    /// Connects to the first of `addresses` that accepts.
    ///
    /// Each address gets an equal share of the time that is left of `timeout`. Later,
    /// `timeout` is also the longest wait for the next part of an answer.
    ///
    /// # Errors
    ///
    /// - [`ConnectionRefused`](ErrorKind::ConnectionRefused) if nothing is listening there.
    /// - [`TimedOut`](ErrorKind::TimedOut) if there was no connection in time.
    /// - Another error of the system.
    pub fn connect(
        addresses: &[SocketAddr],
        timeout: Duration,
        observer: impl Fn(Event),
    ) -> io::Result<Self> {
        let timeout = timeout.min(LONGEST_TIMEOUT);
        let connection = Connection::open(addresses, timeout, &observer)?;
        Ok(Self {
            addresses: addresses.to_vec(),
            timeout,
            connection: Some(connection),
        })
    }

    /// Sends `sentence` as a line, and returns the answer without its newline.
    ///
    /// If the connection ended before the first byte of the answer, it connects again and sends the
    /// line once more. That happens when the server was restarted, when it has closed an idle
    /// connection, or when it answers once and closes, as the textbook's does. After an error, too,
    /// the next line gets a new connection.
    ///
    /// `ask` writes the whole line and only then reads. With a line of megabytes the buffers of
    /// both sides would fill, and each side would wait for the other. Use [`pipe`](Self::pipe) for
    /// such lines.
    ///
    /// # Errors
    ///
    /// [`AskError::Connect`] if it had to connect again and that failed, with the errors of
    /// [`connect`](Self::connect). Otherwise [`AskError::Answer`], with one of these:
    ///
    /// - [`TimedOut`](ErrorKind::TimedOut) if nothing could be sent, or nothing came, for the whole
    ///   timeout.
    /// - [`InvalidData`](ErrorKind::InvalidData) if the server sent more than an answer: something
    ///   before the line, or behind the answer's newline, or more than three times the line.
    /// - [`UnexpectedEof`](ErrorKind::UnexpectedEof) if a connection ended in the middle of the
    ///   answer, or if the new connection, too, ended before the answer began.
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if `sentence` contains a newline: it would be
    ///   two sentences. Nothing is sent then.
    /// - Another error of the system.
    pub fn ask(&mut self, sentence: &[u8], observer: impl Fn(Event)) -> Result<Vec<u8>, AskError> {
        if sentence.contains(&b'\n') {
            return Err(AskError::Answer(ErrorKind::InvalidInput.into()));
        }
        // One write sends both, the sentence and its newline.
        let line = [sentence, b"\n"].concat();
        // `take` leaves `None`: after an error this connection is not used again. Its late answer
        // would look like the answer to the next line.
        if let Some(connection) = self.connection.take() {
            if let Some(answer) = self.ask_over(connection, &line, &observer)? {
                return Ok(answer);
            }
            tell(
                &observer,
                format_args!("the connection has ended: connecting again"),
            );
        }
        let connection = Connection::open(&self.addresses, self.timeout, &observer)
            .map_err(AskError::Connect)?;
        match self.ask_over(connection, &line, &observer)? {
            Some(answer) => Ok(answer),
            None => Err(AskError::Answer(ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Asks over `connection`, and keeps it for the next line if an answer has come. Returns `None`
    /// if the connection ended before the first byte of the answer.
    fn ask_over(
        &mut self,
        connection: Connection,
        line: &[u8],
        observer: &impl Fn(Event),
    ) -> Result<Option<Vec<u8>>, AskError> {
        let answer = connection
            .exchange(line, observer)
            .map_err(AskError::Answer)?;
        if answer.is_some() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    /// Sends all of `input`, and writes all answers to `output` as they arrive.
    ///
    /// Both directions run at once, so any amount of input flows, in constant memory. `output` is
    /// flushed after each write. At the end of `input` the connection is half-closed, which tells
    /// the server that no more will come.
    ///
    /// `pipe` returns when everything is answered. Upper case has exactly the newlines of its text.
    /// So:
    ///
    /// - If `input` ends with a newline, everything is answered when as many newlines have come
    ///   back as were sent. `pipe` does not wait until the server closes the connection.
    /// - If it does not, nothing in the stream shows where the last answer ends. So `pipe` waits
    ///   until the server closes the connection, and some part of that answer must have come.
    ///
    /// The timeout counts only while the network is waited for, not while `input` has nothing or
    /// `output` takes nothing. So a server that takes everything and answers nothing is not given
    /// up as long as `input` may bring more.
    ///
    /// # Errors
    ///
    /// [`PipeError`] says whether input, output or network failed. Errors of the network are:
    ///
    /// - [`TimedOut`](ErrorKind::TimedOut) if nothing could be sent and nothing came for the whole
    ///   timeout.
    /// - [`UnexpectedEof`](ErrorKind::UnexpectedEof) if the server ended the connection before
    ///   everything was answered. If all that was sent is answered and `input` has not ended yet,
    ///   `pipe` waits half a second for it to end.
    /// - [`InvalidData`](ErrorKind::InvalidData) if the server sent more than it was asked: more
    ///   newlines, or more than three times the bytes. What was read last is not written to
    ///   `output` then.
    /// - [`NotConnected`](ErrorKind::NotConnected) after an error of [`ask`](Self::ask).
    /// - Another error of the system.
    ///
    /// After an error, a thread may still wait for `input`, because nothing can interrupt that. It
    /// ends when `input` returns.
    pub fn pipe(
        self,
        input: impl Read + Send + 'static,
        output: impl Write,
        observer: impl Fn(Event) + Clone + Send + 'static,
    ) -> Result<(), PipeError> {
        let Some(connection) = self.connection else {
            return Err(PipeError::Network(ErrorKind::NotConnected.into()));
        };
        pipe::run(&connection, input, output, observer)
    }

    /// Closes the connection, after a last look at what has come.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](ErrorKind::InvalidData) if the server has sent something since the last
    /// answer.
    pub fn close(self, observer: impl Fn(Event)) -> io::Result<()> {
        let Some(connection) = self.connection else {
            return Ok(());
        };
        let result = connection.check_nothing_has_come();
        let server = connection.server;
        drop(connection);
        tell(&observer, format_args!("closed the connection to {server}"));
        result
    }
}

/// A client's side of a connection. It is closed when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    /// Kept here, because the socket cannot tell it after a reset.
    pub(super) server: SocketAddr,
    pub(super) timeout: Duration,
}

impl Connection {
    /// See [`Client::connect`].
    fn open(
        addresses: &[SocketAddr],
        timeout: Duration,
        observer: &impl Fn(Event),
    ) -> io::Result<Self> {
        let deadline = Instant::now() + timeout;
        try_each_address(addresses, deadline, |server, its_deadline| {
            let socket = TcpStream::connect_timeout(&server, time_left(its_deadline))?;
            if is_connected_to_itself(&socket)? {
                return Err(ErrorKind::ConnectionRefused.into());
            }
            set_options(&socket, timeout)?;
            let port = socket.local_addr()?.port();
            tell(
                observer,
                format_args!("connected from port {port} to {server}"),
            );
            Ok(Self {
                socket,
                server,
                timeout,
            })
        })
    }

    /// Sends `line` and returns the answer without its newline, or `None` if the connection has
    /// ended before the first byte of the answer.
    fn exchange(&self, line: &[u8], observer: &impl Fn(Event)) -> io::Result<Option<Vec<u8>>> {
        let start = Instant::now();
        let mut answer = Vec::new();
        match self.send_and_receive(line, &mut answer, observer) {
            Ok(()) => {
                tell(
                    observer,
                    format_args!("the answer took {:.1?}", start.elapsed()),
                );
                Ok(Some(answer))
            }
            // The connection has ended, with a reset or with the end of the stream.
            Err(error) if says_connection_ended(&error) => {
                if answer.is_empty() {
                    Ok(None)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Sends `line` and appends what comes to `answer`, up to the newline.
    fn send_and_receive(
        &self,
        line: &[u8],
        answer: &mut Vec<u8>,
        observer: &impl Fn(Event),
    ) -> io::Result<()> {
        // What is here already cannot be the answer to this line.
        self.check_nothing_has_come()?;
        // `mut`: see `Observed`'s own `read`.
        let mut connection = &Observed {
            socket: &self.socket,
            timeout: self.timeout,
            peer: self.server,
            observer,
        };
        connection.write_all(line)?;
        let mut buffer = vec![0; ANSWER_CHUNK];
        loop {
            let size = connection.read(&mut buffer)?;
            if size == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let newline = buffer[..size].iter().position(|&byte| byte == b'\n');
            answer.extend_from_slice(&buffer[..newline.unwrap_or(size)]);
            let is_too_long = answer.len() > MAX_GROWTH_FACTOR * line.len();
            let has_more = newline.is_some_and(|at| at + 1 < size);
            if is_too_long || has_more {
                return Err(ErrorKind::InvalidData.into());
            }
            if newline.is_some() {
                return Ok(());
            }
        }
    }

    /// Returns `InvalidData` if something has come that nobody has asked for.
    pub(super) fn check_nothing_has_come(&self) -> io::Result<()> {
        // `peek` takes nothing away, and a nonblocking socket does not wait.
        self.socket.set_nonblocking(true)?;
        let look = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false)?;
        match look {
            Ok(1) => Err(ErrorKind::InvalidData.into()),
            // Nothing has come, or the connection has ended. The next use finds the end.
            _ => Ok(()),
        }
    }
}

/// Returns whether both ends of a connection are the same socket.
///
/// Where nothing is listening, the system may give the server's port to the client. The segment
/// that asks for a connection (SYN) then arrives at the socket that sent it, and TCP permits that
/// both sides ask at the same time.
fn is_connected_to_itself(socket: &TcpStream) -> io::Result<bool> {
    // Not the address that was asked: 0.0.0.0 reaches 127.0.0.1. A peer that has left already has
    // no address any more.
    let own_address = socket.local_addr()?;
    Ok(socket.peer_addr().is_ok_and(|peer| peer == own_address))
}

/// Returns whether an error means that the other side has ended the connection.
pub(super) fn says_connection_ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof
    )
}
