//! Both directions of a connection at once.
//!
//! The danger is a deadlock. Think of a client that first sends everything and then reads the
//! answers. If there is much to send, it hangs: nobody reads the server's answers, so the server
//! cannot write any more, so it stops reading, so the client cannot write any more either. Each
//! waits for the other.
//!
//! So there are two loops. [`Pipe::send_all`] has a thread of its own: it reads the input and sends
//! it. [`Pipe::receive_all`] runs in the caller's thread: it receives the answers and writes them
//! to the output. Only the receiver measures time: each of its reads waits for at most one
//! [`TICK`], and [`Silence`] adds up those that were in vain. At the end, [`Outcome::judge`]
//! decides whether all is well.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::connection::{Connection, says_connection_ended};
use crate::retry::retry_interrupted;
use outcome::{Count, Outcome, ReceivingEnd, Sent};

mod outcome;

pub use outcome::PipeError;

/// How many bytes one read or write moves at most. With more it is not faster.
const CHUNK: usize = 64 * 1024;

/// The longest wait of one read. The end of the input is seen at most this late.
const TICK: Duration = Duration::from_millis(100);

/// How many ticks the input has to end, if the receiver has ended first. The textbook's server ends
/// the stream after one answer. Half a second is enough for a busy machine.
const GRACE_TICKS: u32 = 5;

/// See [`Client::pipe`](super::Client::pipe).
pub(super) fn run(
    connection: Connection,
    timeout: Duration,
    input: impl Read + Send + 'static,
    output: impl Write,
) -> Result<(), PipeError> {
    connection.set_tick(TICK).map_err(PipeError::Network)?;
    let pipe = Arc::new(Pipe {
        connection,
        silence: Silence::default(),
    });
    let (result_sender, sending) = mpsc::channel();
    let senders_pipe = Arc::clone(&pipe);
    // Nobody joins this thread, because nothing can interrupt it while it waits for input.
    thread::Builder::new()
        .spawn(move || {
            if let Some(sent) = senders_pipe.send_all(input) {
                // This fails if the receiver has given up.
                let _ = result_sender.send(sent);
            }
        })
        .map_err(PipeError::Network)?;

    let outcome = pipe.receive_all(timeout, &sending, output);
    // If the sender waits for the network, it fails now.
    pipe.connection.shutdown();
    let mut outcome = outcome?;
    if outcome.sent.is_none() {
        outcome.sent = wait_for_sender(&sending);
    }
    outcome.judge()
}

/// What the two loops share.
struct Pipe {
    connection: Connection,
    silence: Silence,
}

impl Pipe {
    /// Sends what `input` brings until it ends, and then half-closes. Returns `None` if the
    /// connection fails: the receiver finds out why.
    fn send_all(&self, mut input: impl Read) -> Option<Sent> {
        let mut connection = &self.connection;
        let mut buffer = vec![0; CHUNK];
        let mut count = Count::default();
        let input_end = loop {
            let size = match retry_interrupted(|| input.read(&mut buffer)) {
                Ok(0) => break Ok(()),
                Ok(size) => size,
                Err(error) => break Err(error),
            };
            let chunk = &buffer[..size];
            self.silence.begin();
            if connection.write_all(chunk).is_err() {
                return None;
            }
            self.silence.suspend();
            count.add(chunk);
        };
        connection.half_close();
        // From now on, the last answers are waited for.
        self.silence.begin();
        Some(Sent { count, input_end })
    }

    /// Writes to `output` what the server sends, until there is nothing more to wait for.
    fn receive_all(
        &self,
        timeout: Duration,
        sending: &Receiver<Sent>,
        mut output: impl Write,
    ) -> Result<Outcome, PipeError> {
        let mut connection = &self.connection;
        let mut buffer = vec![0; CHUNK];
        let mut received = Count::default();
        let mut sent = None;
        let end = loop {
            // `None` while the sender goes on, or if it has failed.
            sent = sent.or_else(|| sending.try_recv().ok());
            if let Some(sent) = &sent {
                if received.completes(sent.count) {
                    break ReceivingEnd::CountedBack;
                }
            }
            match retry_interrupted(|| connection.read(&mut buffer)) {
                Ok(0) => break ReceivingEnd::Closed,
                Ok(size) => {
                    let chunk = &buffer[..size];
                    self.silence.restart();
                    received.add(chunk);
                    output.write_all(chunk).map_err(PipeError::Output)?;
                    output.flush().map_err(PipeError::Output)?;
                }
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    if self.silence.add_tick() >= timeout {
                        break ReceivingEnd::Silent;
                    }
                }
                Err(error) if says_connection_ended(&error) => break ReceivingEnd::Reset,
                Err(error) => return Err(PipeError::Network(error)),
            }
        };
        Ok(Outcome {
            sent,
            received,
            end,
        })
    }
}

/// Waits for the end of the input. Ticks are counted here, too: a clock would go on while the
/// process is stopped (Ctrl-Z).
fn wait_for_sender(sending: &Receiver<Sent>) -> Option<Sent> {
    for _ in 0..GRACE_TICKS {
        // If the sender has failed, `recv_timeout` does not wait.
        if let Ok(sent) = sending.recv_timeout(TICK) {
            return Some(sent);
        }
    }
    None
}

/// For how long the network has been waited for in vain. `None` while the sender waits for its
/// input.
#[derive(Default)]
struct Silence(Mutex<Option<Duration>>);

impl Silence {
    /// The sender waits for the network from now on.
    fn begin(&self) {
        *self.lock() = Some(Duration::ZERO);
    }

    /// The sender waits for its input from now on.
    fn suspend(&self) {
        *self.lock() = None;
    }

    /// Something has come: a silence that is counted begins anew.
    fn restart(&self) {
        if let Some(silence) = &mut *self.lock() {
            *silence = Duration::ZERO;
        }
    }

    /// Nothing has come for one more tick. Returns how long that has lasted.
    fn add_tick(&self) -> Duration {
        match &mut *self.lock() {
            Some(silence) => {
                *silence += TICK;
                *silence
            }
            None => Duration::ZERO,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Duration>> {
        match self.0.lock() {
            Ok(silence) => silence,
            // Only after a panic of a thread that held the lock, and none panics.
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}
