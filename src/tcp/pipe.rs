//! Both directions of a connection at once.
//!
//! The danger is a deadlock. A client that sends everything first and reads the answers then will hang when there is
//! much to send: the server cannot write its answers, because nobody reads them; so it stops reading, the client cannot
//! write any more, and each waits for the other. So two threads work here. The *sender* reads the input and writes to
//! the connection. The *receiver*, which is the caller's thread, reads from the connection and writes to the output.
//!
//! The receiver decides everything: when all is answered, when the server has said too much, and when it has been silent
//! for too long. It keeps the clock. Neither thread can be interrupted while it waits, so the socket has short timeouts:
//! a waiting read or write comes back every now and then, and the receiver looks at what the sender has left for it in
//! [`Sending`].

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Connection, Observed, has_ended};
use crate::retry::{retry_interrupted, retry_socket};
use crate::uppercase::LONGEST_GROWTH;
use crate::{Bytes, Event};

/// Bytes that one read or write moves at most: measured, half of it costs a tenth of the speed.
const CHUNK: usize = 256 * 1024;

/// The longest that a read waits before the receiver looks at the sender's state: too short to be noticed when the input
/// has ended and everything is answered.
const LONGEST_LOOK: Duration = Duration::from_millis(100);

/// How long the end of the input may come after the server's end of the stream. The textbook's server answers once and
/// closes, which may be faster than the input's end. Half a second is enough for a busy machine.
const GRACE: Duration = Duration::from_millis(500);

/// Which part of [`pipe`](super::Client::pipe) failed.
#[derive(Debug)]
pub enum PipeError {
    /// The input could not be read. All that was sent before is answered.
    Input(io::Error),
    /// The output could not be written.
    Output(io::Error),
    /// The connection failed, or the server did not answer as it should.
    Network(io::Error),
    /// The system did not start the thread that sends.
    Thread(io::Error),
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Input(error) => write!(f, "cannot read the input: {error}"),
            Self::Output(error) => write!(f, "cannot write the output: {error}"),
            Self::Network(error) => write!(f, "the connection failed: {error}"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl Error for PipeError {}

/// What has gone through one direction.
#[derive(Clone, Copy, Default)]
struct Count {
    bytes: u64,
    newlines: u64,
    /// Something stands behind the last newline.
    has_open_line: bool,
}

impl Count {
    /// Adds a chunk, which is not empty.
    fn add(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        // A count of up to 128 fits in a byte. Sixteen such counts are added at once, which makes this fast.
        for part in chunk.chunks(128) {
            let newlines: u8 = part.iter().map(|&byte| u8::from(byte == b'\n')).sum();
            self.newlines += u64::from(newlines);
        }
        self.has_open_line = !chunk.ends_with(b"\n");
    }

    /// Whether all of `sent` is answered, as far as a count can show it.
    fn answers(&self, sent: &Self) -> bool {
        self.newlines == sent.newlines && self.has_open_line == sent.has_open_line
    }

    /// Whether this is more than an answer to `sent` can be.
    fn is_more_than_asked(&self, sent: &Self) -> bool {
        let has_unasked_line =
            self.newlines == sent.newlines && self.has_open_line && !sent.has_open_line;
        self.newlines > sent.newlines
            || has_unasked_line
            || self.bytes > LONGEST_GROWTH as u64 * sent.bytes
    }
}

/// What the sender lets the receiver know.
#[derive(Default)]
struct Sending {
    /// All that it has sent and what it is about to send: counted first, so that no answer can come before.
    sent: Count,
    /// Since when it has waited for the network with nothing taken; `None` while it waits for input.
    waiting_since: Option<Instant>,
    /// How it ended; `None` while it goes on.
    end: Option<SendingEnd>,
}

enum SendingEnd {
    InputEnded,
    InputFailed(io::Error),
    NetworkFailed(io::Error),
}

/// [`Sending`], for both threads.
#[derive(Default)]
struct Shared {
    sending: Mutex<Sending>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Sending> {
        // A poisoned lock is one whose holder has panicked, and none can.
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Client::pipe`](super::Client::pipe).
pub(super) fn run(
    connection: &Connection,
    timeout: Duration,
    input: impl Read + Send + 'static,
    output: impl Write,
    observer: impl Fn(Event) + Clone + Send + 'static,
) -> Result<(), PipeError> {
    let socket = &connection.socket;
    // An eighth: so much later than the timeout may a silent server be given up.
    let look = timeout / 8;
    socket
        .set_write_timeout(Some(look))
        .map_err(PipeError::Network)?;
    socket
        .set_read_timeout(Some(look.min(LONGEST_LOOK)))
        .map_err(PipeError::Network)?;

    let shared = Arc::new(Shared::default());
    let sender = Sender {
        socket: socket.try_clone().map_err(PipeError::Network)?,
        server: connection.server,
        shared: Arc::clone(&shared),
        observer: observer.clone(),
    };
    // Never joined: nothing can interrupt a thread that waits for input.
    thread::Builder::new()
        .spawn(move || sender.run(input))
        .map_err(PipeError::Thread)?;
    let mut receiver = Receiver {
        shared: &shared,
        timeout,
        received: Count::default(),
        last_received: Instant::now(),
    };
    let answers = Observed {
        socket,
        peer: connection.server,
        observer: &observer,
    };
    let result = receiver.run(&answers, output);
    // Ends a sender that waits for the network. A connection that has been reset needs no shutdown and refuses it.
    let _ = socket.shutdown(Shutdown::Both);
    result
}

/// The sending half.
struct Sender<O> {
    socket: TcpStream,
    server: SocketAddr,
    shared: Arc<Shared>,
    observer: O,
}

impl<O: Fn(Event)> Sender<O> {
    /// Sends all of `input`, and half-closes.
    fn run(&self, input: impl Read) {
        let server = self.server;
        let end = self.send_all(input);
        if let SendingEnd::NetworkFailed(error) = &end {
            tell!(self.observer, "cannot send to {server}: {error}");
        } else {
            tell!(self.observer, "half-close: no more goes to {server}");
            // Fails only if the connection has ended already, which the receiver finds.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
        self.update(|sending| {
            sending.end = Some(end);
            sending.waiting_since = Some(Instant::now());
        });
    }

    fn send_all(&self, mut input: impl Read) -> SendingEnd {
        let mut buffer = vec![0; CHUNK];
        let mut sent = Count::default();
        loop {
            let size = match retry_interrupted(|| input.read(&mut buffer)) {
                Ok(0) => return SendingEnd::InputEnded,
                Ok(size) => size,
                Err(error) => return SendingEnd::InputFailed(error),
            };
            let chunk = &buffer[..size];
            sent.add(chunk);
            self.update(|sending| {
                sending.sent = sent;
                sending.waiting_since = Some(Instant::now());
            });
            if let Err(error) = self.send(chunk) {
                return SendingEnd::NetworkFailed(error);
            }
            self.update(|sending| sending.waiting_since = None);
        }
    }

    fn send(&self, chunk: &[u8]) -> io::Result<()> {
        let sending = Bytes(chunk.len());
        tell!(self.observer, "sending {sending} to {}", self.server);
        let mut rest = chunk;
        while !rest.is_empty() {
            match retry_socket(|| (&self.socket).write(rest)) {
                Ok(size) => {
                    rest = &rest[size..];
                    self.update(|sending| sending.waiting_since = Some(Instant::now()));
                }
                // The receiver decides whether that has lasted for too long.
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn update(&self, change: impl FnOnce(&mut Sending)) {
        change(&mut self.shared.lock());
        self.shared.changed.notify_one();
    }
}

/// The receiving half.
struct Receiver<'a> {
    shared: &'a Shared,
    timeout: Duration,
    received: Count,
    last_received: Instant,
}

impl Receiver<'_> {
    /// Writes what arrives to `output`, until everything is answered.
    fn run<O: Fn(Event)>(
        &mut self,
        mut connection: &Observed<O>,
        mut output: impl Write,
    ) -> Result<(), PipeError> {
        let mut buffer = vec![0; CHUNK];
        while !self.has_all_answers() {
            match connection.read(&mut buffer) {
                Ok(0) => return self.result_after_servers_end(ServersEnd::Clean),
                Ok(size) => {
                    let chunk = &buffer[..size];
                    self.received.add(chunk);
                    if self.received.is_more_than_asked(&self.shared.lock().sent) {
                        return Err(PipeError::Network(ErrorKind::InvalidData.into()));
                    }
                    output.write_all(chunk).map_err(PipeError::Output)?;
                    output.flush().map_err(PipeError::Output)?;
                    // After the output, whose slowness is not the server's.
                    self.last_received = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::TimedOut => self.check_clock()?,
                Err(error) if has_ended(&error) => {
                    return self.result_after_servers_end(ServersEnd::Reset);
                }
                Err(error) => return Err(PipeError::Network(error)),
            }
        }
        match self.shared.lock().end.take() {
            Some(SendingEnd::InputFailed(error)) => Err(PipeError::Input(error)),
            _ => Ok(()),
        }
    }

    /// Whether all input is sent and answered. An open line's answer ends only where the server ends the stream.
    fn has_all_answers(&self) -> bool {
        let sending = self.shared.lock();
        match sending.end {
            None | Some(SendingEnd::NetworkFailed(_)) => false,
            Some(SendingEnd::InputEnded | SendingEnd::InputFailed(_)) => {
                self.received.answers(&sending.sent) && !sending.sent.has_open_line
            }
        }
    }

    /// Returns an error if the network has been waited for, and silent, for the whole timeout.
    fn check_clock(&self) -> Result<(), PipeError> {
        let mut sending = self.shared.lock();
        let Some(waiting_since) = sending.waiting_since else {
            return Ok(());
        };
        if waiting_since.max(self.last_received).elapsed() < self.timeout {
            return Ok(());
        }
        match sending.end.take() {
            Some(SendingEnd::NetworkFailed(error)) => Err(PipeError::Network(error)),
            _ => Err(PipeError::Network(ErrorKind::TimedOut.into())),
        }
    }

    /// The server sends no more. All is well if what was sent is answered and the input ends now, too.
    fn result_after_servers_end(&self, servers_end: ServersEnd) -> Result<(), PipeError> {
        let (mut sending, _) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), GRACE, |sending| {
                sending.end.is_none() && self.received.answers(&sending.sent)
            })
            .unwrap_or_else(PoisonError::into_inner);
        let is_answered = self.received.answers(&sending.sent);
        // A reset may have taken the rest of an open line with it.
        let is_whole = servers_end == ServersEnd::Clean || !sending.sent.has_open_line;
        match sending.end.take() {
            Some(SendingEnd::InputEnded) if is_answered && is_whole => Ok(()),
            Some(SendingEnd::InputFailed(error)) if is_answered && is_whole => {
                Err(PipeError::Input(error))
            }
            // Also if sending failed: the server's end is the reason.
            _ => Err(PipeError::Network(ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// How the server has ended the stream.
#[derive(Clone, Copy, PartialEq)]
enum ServersEnd {
    Clean,
    Reset,
}
