//! Both directions of a connection at once.
//!
//! The danger is a deadlock. Think of a client that first sends everything and then reads the
//! answers. If there is much to send, it hangs: nobody reads the server's answers, so the server
//! cannot write any more, so it stops reading, so the client cannot write any more either. Each
//! waits for the other.
//!
//! So there are two threads. The [`Sender`] reads the input and writes to the connection. The
//! [`Receiver`] reads from the connection and writes to the output; it runs in the caller's thread.
//!
//! The receiver decides everything: when all is answered, when the server has sent too much, and
//! when the server has been silent for too long. For this it looks at [`SenderState`], where the
//! sender writes down what it does. While a thread waits for the network, it cannot look at
//! anything. So the socket has short timeouts, after which a read or a write returns even if
//! nothing has happened.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Observed;
use super::client::{Connection, says_connection_ended};
use super::count::Count;
use super::error::PipeError;
use super::sender_state::{SenderEnd, SenderState, SharedSenderState};
use crate::retry::{call_with_timeout, retry_interrupted};
use crate::{Bytes, Event, tell};

/// How many bytes one read or write moves at most. Measured: with half of it, `pipe` is a tenth
/// slower.
const CHUNK: usize = 256 * 1024;

/// How long a read of the receiver waits at most before it looks at [`SenderState`]. So it sees the
/// end of the input at most this late, which nobody notices.
const LONGEST_READ: Duration = Duration::from_millis(100);

/// How long the receiver waits for the end of the input, if the server has ended the stream first.
/// The textbook's server answers once and closes, and that may happen before the client has seen
/// the end of its input. Half a second is enough for a busy machine.
const GRACE: Duration = Duration::from_millis(500);

/// See [`Client::pipe`](super::Client::pipe).
pub(super) fn run(
    connection: &Connection,
    input: impl Read + Send + 'static,
    output: impl Write,
    observer: impl Fn(Event) + Clone + Send + 'static,
) -> Result<(), PipeError> {
    let socket = &connection.socket;
    // A write of a large chunk waits until the send buffer has taken all of it. Only a timeout
    // makes it return earlier, and say how much was taken. So the timeout of a write is an eighth
    // of the client's timeout: progress is noted with at most this delay.
    let longest_write = connection.timeout / 8;
    let longest_read = longest_write.min(LONGEST_READ);
    set_timeouts(socket, longest_read, longest_write).map_err(PipeError::Network)?;

    let shared = Arc::new(SharedSenderState::default());
    let sender = Sender {
        // The same socket, with the same timeouts.
        socket: socket.try_clone().map_err(PipeError::Network)?,
        server: connection.server,
        longest_write,
        shared: Arc::clone(&shared),
        observer: observer.clone(),
    };
    // Nobody joins this thread, because nothing can interrupt it while it waits for input.
    thread::Builder::new()
        .spawn(move || sender.run(input))
        .map_err(PipeError::Thread)?;
    let mut receiver = Receiver {
        connection: &Observed {
            socket,
            timeout: longest_read,
            peer: connection.server,
            observer: &observer,
        },
        // The sender notes the progress of a write up to `longest_write` late.
        patience: connection.timeout + longest_write,
        shared: &shared,
        received: Count::default(),
        last_received: Instant::now(),
    };
    let mut result = receiver.run(output);
    if result.is_ok() {
        // For this, the socket is nonblocking for a moment. The sender, which has the same socket,
        // does not notice: it has ended.
        let look = connection.check_nothing_has_come();
        result = look.map_err(PipeError::Network);
    }
    // The sender may still have the socket. So the connection is closed with a shutdown, which also
    // ends a write that waits. This shutdown fails if the connection has been reset. Then there is
    // nothing to close.
    let _ = socket.shutdown(Shutdown::Both);
    tell(
        &observer,
        format_args!("closed the connection to {}", connection.server),
    );
    result
}

fn set_timeouts(
    socket: &TcpStream,
    longest_read: Duration,
    longest_write: Duration,
) -> io::Result<()> {
    socket.set_read_timeout(Some(longest_read))?;
    socket.set_write_timeout(Some(longest_write))
}

/// Reads the input and sends it.
struct Sender<O> {
    socket: TcpStream,
    server: SocketAddr,
    /// The timeout of a write.
    longest_write: Duration,
    shared: Arc<SharedSenderState>,
    observer: O,
}

impl<O: Fn(Event)> Sender<O> {
    fn run(&self, input: impl Read) {
        let end = self.send_all(input);
        match &end {
            SenderEnd::NetworkFailed(error) => {
                tell(
                    &self.observer,
                    format_args!("cannot send to {}: {error}", self.server),
                );
            }
            SenderEnd::InputEnded | SenderEnd::InputFailed(_) => {
                tell(
                    &self.observer,
                    format_args!("half-close: no more goes to {}", self.server),
                );
                // It fails if the connection has already ended. The receiver will see that.
                let _ = self.socket.shutdown(Shutdown::Write);
            }
        }
        // Last: from now on, only the receiver uses the socket, and the last answers are awaited.
        self.shared.update(|state| {
            state.end = Some(end);
            state.last_progress = Some(Instant::now());
        });
    }

    /// Sends what `input` brings until it ends, or until something fails.
    fn send_all(&self, mut input: impl Read) -> SenderEnd {
        let mut buffer = vec![0; CHUNK];
        let mut sent = Count::default();
        loop {
            let size = match retry_interrupted(|| input.read(&mut buffer)) {
                Ok(0) => return SenderEnd::InputEnded,
                Ok(size) => size,
                Err(error) => return SenderEnd::InputFailed(error),
            };
            let chunk = &buffer[..size];
            // Told before the write: otherwise the answer could be told first. And told before the
            // clock runs: nobody may be reading what the observer writes.
            tell(
                &self.observer,
                format_args!("sending {} to {}", Bytes(chunk.len()), self.server),
            );
            // Counted before it is sent: see `SenderState::sent`.
            sent.add(chunk);
            self.shared.update(|state| {
                state.sent = sent;
                state.last_progress = Some(Instant::now());
            });
            if let Err(error) = self.send(chunk) {
                return SenderEnd::NetworkFailed(error);
            }
            // `None`: while it waits for input, the timeout does not count.
            self.shared.update(|state| state.last_progress = None);
        }
    }

    /// Sends a chunk, and notes each progress.
    fn send(&self, chunk: &[u8]) -> io::Result<()> {
        let mut socket = &self.socket;
        let mut rest = chunk;
        while !rest.is_empty() {
            match call_with_timeout(self.longest_write, || socket.write(rest)) {
                Ok(size) => {
                    rest = &rest[size..];
                    self.shared
                        .update(|state| state.last_progress = Some(Instant::now()));
                }
                // The receiver decides whether the server has taken nothing for too long.
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Receives the answers and writes them to the output.
struct Receiver<'a, O> {
    connection: &'a Observed<'a, O>,
    /// After this long without progress, the server is given up.
    patience: Duration,
    shared: &'a SharedSenderState,
    received: Count,
    /// When the last chunk had been completely written to the output. (Not when it came: a slow
    /// output is not the server's fault.)
    last_received: Instant,
}

impl<O: Fn(Event)> Receiver<'_, O> {
    /// Receives until everything is answered.
    fn run(&mut self, mut output: impl Write) -> Result<(), PipeError> {
        let mut buffer = vec![0; CHUNK];
        while !self.is_complete_by_counts() {
            match self.connection.read(&mut buffer) {
                Ok(0) => return self.finish_after_server(ServerEnd::Closed),
                Ok(size) => {
                    let chunk = &buffer[..size];
                    self.received.add(chunk);
                    let sent = self.shared.lock().sent;
                    if self.received.is_more_than_answer_to(&sent) {
                        return Err(PipeError::Network(ErrorKind::InvalidData.into()));
                    }
                    output.write_all(chunk).map_err(PipeError::Output)?;
                    output.flush().map_err(PipeError::Output)?;
                    self.last_received = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::TimedOut => self.check_progress()?,
                Err(error) if says_connection_ended(&error) => {
                    return self.finish_after_server(ServerEnd::Reset);
                }
                Err(error) => return Err(PipeError::Network(error)),
            }
        }
        // Taken out, because an error cannot be copied.
        match self.shared.lock().end.take() {
            Some(SenderEnd::InputFailed(error)) => Err(PipeError::Input(error)),
            Some(SenderEnd::InputEnded | SenderEnd::NetworkFailed(_)) | None => Ok(()),
        }
    }

    /// Whether the counts show that all input has been sent and answered. Without a newline at the
    /// end, they cannot: only the server's end of the stream shows that the last answer is
    /// complete.
    fn is_complete_by_counts(&self) -> bool {
        let state = self.shared.lock();
        let has_sent_all = match state.end {
            Some(SenderEnd::InputEnded | SenderEnd::InputFailed(_)) => true,
            Some(SenderEnd::NetworkFailed(_)) | None => false,
        };
        has_sent_all && !state.sent.has_open_line && self.received.is_answer_to(&state.sent)
    }

    /// Returns an error if there was no progress for too long while a thread waited for the
    /// network, or if sending has failed.
    fn check_progress(&self) -> Result<(), PipeError> {
        let mut state = self.shared.lock();
        // If the server has ended the connection, the sender fails, but that decides nothing yet:
        // answers may still be on their way, and a later read finds the end.
        let has_failed = match &state.end {
            Some(SenderEnd::NetworkFailed(error)) => !says_connection_ended(error),
            _ => false,
        };
        let is_silent = match state.last_progress {
            // The sender waits for input.
            None => false,
            Some(last_progress) => {
                let last_move = last_progress.max(self.last_received); // the later of the two
                last_move.elapsed() >= self.patience
            }
        };
        if has_failed || is_silent {
            return Err(reason_to_give_up(&mut state));
        }
        Ok(())
    }

    /// The server will send no more. Returns what that means:
    ///
    /// - Something that was sent is not answered: an error.
    /// - Everything is answered, and the input has ended or ends soon: all is well.
    /// - The input goes on: an error.
    fn finish_after_server(&self, server_end: ServerEnd) -> Result<(), PipeError> {
        let ended_too_early = PipeError::Network(ErrorKind::UnexpectedEof.into());
        let sent_by_now = self.shared.lock().sent;
        // A reset may have taken away the end of the last answer. If that had a newline, it would
        // be missed.
        let may_be_cut = server_end == ServerEnd::Reset && sent_by_now.has_open_line;
        if may_be_cut || !self.received.is_answer_to(&sent_by_now) {
            return Err(ended_too_early);
        }
        let mut state = self.shared.wait_for_news(sent_by_now, GRACE);
        if state.sent != sent_by_now {
            return Err(ended_too_early);
        }
        match state.end.take() {
            Some(SenderEnd::InputEnded) => Ok(()),
            Some(SenderEnd::InputFailed(error)) => Err(PipeError::Input(error)),
            Some(SenderEnd::NetworkFailed(_)) | None => Err(ended_too_early),
        }
    }
}

/// Returns why the server is given up: what failed in the sender, since that came first, or else
/// the server's silence.
fn reason_to_give_up(state: &mut SenderState) -> PipeError {
    match state.end.take() {
        Some(SenderEnd::NetworkFailed(error)) => PipeError::Network(error),
        Some(SenderEnd::InputFailed(error)) => PipeError::Input(error),
        Some(SenderEnd::InputEnded) | None => PipeError::Network(ErrorKind::TimedOut.into()),
    }
}

/// How the server has ended the stream.
#[derive(Clone, Copy, PartialEq)]
enum ServerEnd {
    Closed,
    Reset,
}

#[cfg(test)]
mod tests;
