//! The client's side of TCP.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::connection::{Connection, says_connection_ended};
use super::pipe::{self, PipeError};
use crate::addresses::try_each;
use crate::event::{Event, Observer};
use crate::uppercase::MAX_GROWTH_FACTOR;

/// A client with one connection, for lines and their answers or for a whole stream.
#[derive(Debug)]
pub struct Client {
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    observer: Observer,
    /// `None` after a failed line. The next line gets a new connection, so that a late answer is
    /// not taken for its answer.
    connection: Option<Connection>,
}

impl Client {
    /// Connects to the first of `addresses` that accepts. Each gets an equal share of the time that
    /// is left of `timeout`.
    ///
    /// Later, `timeout` is the longest wait for the next part of an answer. `observer` is given
    /// every [`Event`], and must not panic.
    ///
    /// # Errors
    ///
    /// - [`ConnectionRefused`](ErrorKind::ConnectionRefused) if nothing is listening there.
    /// - [`TimedOut`](ErrorKind::TimedOut) if there was no connection in time.
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if the timeout is zero.
    /// - Another error of the system.
    pub fn connect(
        addresses: &[SocketAddr],
        timeout: Duration,
        observer: impl Fn(Event) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        if timeout.is_zero() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let observer = Observer::new(observer);
        let connection = connect(addresses, timeout, &observer)?;
        Ok(Self {
            addresses: addresses.to_vec(),
            timeout,
            observer,
            connection: Some(connection),
        })
    }

    /// Sends `sentence` as a line, and returns the answer without its newline.
    ///
    /// If the connection ended before the first byte of the answer, it connects again and sends the
    /// line once more. That happens when the server was restarted, when it has closed an idle
    /// connection, or when it answers once and closes, as the textbook's does. After a failed line,
    /// too, the next one gets a new connection.
    ///
    /// `ask` writes the whole line and only then reads. With a line of megabytes each side would
    /// wait for the other. Use [`pipe`](Self::pipe) for such lines.
    ///
    /// # Errors
    ///
    /// - The errors of [`connect`](Self::connect), if it had to connect again.
    /// - [`TimedOut`](ErrorKind::TimedOut) if nothing came, or nothing could be sent, for the whole
    ///   timeout.
    /// - [`InvalidData`](ErrorKind::InvalidData) if more came than an answer: something that came
    ///   with it, behind its newline, or three times the line without a newline.
    /// - [`UnexpectedEof`](ErrorKind::UnexpectedEof) if the connection ended within the answer, or
    ///   if a new connection ended before it.
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if `sentence` contains a newline: it would be
    ///   two sentences. Nothing is sent then.
    /// - Another error of the system.
    pub fn ask(&mut self, sentence: &[u8]) -> io::Result<Vec<u8>> {
        if sentence.contains(&b'\n') {
            return Err(ErrorKind::InvalidInput.into());
        }
        // One write sends both, the sentence and its newline.
        let line = [sentence, b"\n"].concat();
        let answer = self.ask_line(&line);
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    /// Asks over the connection, or, if that has ended, over a new one.
    fn ask_line(&mut self, line: &[u8]) -> io::Result<Vec<u8>> {
        if let Some(connection) = &self.connection {
            if let Some(answer) = exchange(connection, line)? {
                return Ok(answer);
            }
        }
        let connection = connect(&self.addresses, self.timeout, &self.observer)?;
        let connection = self.connection.insert(connection);
        let answer = exchange(connection, line)?;
        answer.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// Sends all of `input`, and writes all answers to `output` as they come.
    ///
    /// Both directions run at once, so any amount of input flows, in constant memory. `output` is
    /// flushed after each write. At the end of `input` the connection is half-closed, which tells
    /// the server that no more will come.
    ///
    /// `pipe` returns when the server has ended the stream. Newlines show whether everything was
    /// answered, because upper case has exactly those of its text. If `input` is empty or ends with
    /// a newline, `pipe` returns earlier: as soon as all newlines have come back.
    ///
    /// The timeout counts only while the network is waited for, not while `input` has nothing or
    /// `output` takes nothing. `input` must not panic: that looks like an input
    /// without an end.
    ///
    /// # Errors
    ///
    /// [`PipeError`] says whether input, output or network failed. If the input fails, what was
    /// sent before is answered first. Errors of the network are:
    ///
    /// - [`TimedOut`](ErrorKind::TimedOut) if nothing moved for the whole timeout.
    /// - [`UnexpectedEof`](ErrorKind::UnexpectedEof) if the server ended the stream before
    ///   everything was sent and answered. (If `input` has not ended by then, it gets half a second
    ///   to do so.)
    /// - [`InvalidData`](ErrorKind::InvalidData) if the server sent more than it was asked.
    /// - [`NotConnected`](ErrorKind::NotConnected) after a failed line of [`ask`](Self::ask).
    /// - Another error of the system.
    ///
    /// After an error, a thread may still wait for `input`, because nothing can interrupt that.
    pub fn pipe(
        self,
        input: impl Read + Send + 'static,
        output: impl Write,
    ) -> Result<(), PipeError> {
        match self.connection {
            Some(connection) => pipe::run(connection, self.timeout, input, output),
            None => Err(PipeError::Network(ErrorKind::NotConnected.into())),
        }
    }
}

/// Connects to the first of `addresses` that accepts. See [`Client::connect`].
fn connect(
    addresses: &[SocketAddr],
    timeout: Duration,
    observer: &Observer,
) -> io::Result<Connection> {
    try_each(addresses, timeout, |peer, share| {
        let socket = TcpStream::connect_timeout(&peer, share)?;
        let own_address = socket.local_addr()?;
        // Where nothing is listening, the system may give the server's port to the client, which is
        // then connected to itself.
        let is_connected_to_itself = socket.peer_addr().is_ok_and(|other| other == own_address);
        if is_connected_to_itself {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let port = own_address.port();
        observer.report(Event::Connected { port, peer });
        Connection::new(socket, peer, timeout, observer.clone())
    })
}

/// Sends `line` and returns the answer without its newline, or `None` if the connection has ended
/// before the first byte of the answer.
fn exchange(mut connection: &Connection, line: &[u8]) -> io::Result<Option<Vec<u8>>> {
    if let Err(error) = connection.write_all(line) {
        return if says_connection_ended(&error) {
            Ok(None)
        } else {
            Err(error)
        };
    }
    let longest = MAX_GROWTH_FACTOR * line.len();
    let mut reader = BufReader::new(connection);
    let mut answer = Vec::new();
    let mut front = reader.by_ref().take(longest as u64);
    if let Err(error) = front.read_until(b'\n', &mut answer) {
        // A reset is an end like any other. What came before it is in `answer`.
        if !says_connection_ended(&error) {
            return Err(error);
        }
    }
    if answer.is_empty() {
        return Ok(None);
    }
    let is_whole = answer.ends_with(b"\n");
    let is_too_long = !is_whole && answer.len() == longest;
    // What came with the answer, behind its newline, is still in the buffer of the reader.
    let has_more = !reader.buffer().is_empty();
    if is_too_long || has_more {
        return Err(ErrorKind::InvalidData.into());
    }
    if !is_whole {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    answer.pop();
    Ok(Some(answer))
}
