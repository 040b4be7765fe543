//! Both directions of a connection at once.
//!
//! The danger is a deadlock. Think of a client that first sends everything and then reads the
//! answers. If there is much to send, it hangs: nobody reads the server's answers, so the server
//! cannot write any more, so it stops reading, so the client cannot write any more either. Each
//! waits for the other.
//!
//! So there are two loops. [`send_all`] has a thread of its own: it reads the input and sends it.
//! [`receive_all`] runs in the caller's thread: it receives the answers and writes them to the
//! output. Only the receiver measures time: each of its reads waits for at most one [`TICK`], and it
//! counts those that brought nothing while the sender, too, waited for the network. At the end,
//! [`Outcome::judge`] decides whether all is well.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::connection::{Connection, says_connection_ended};
use crate::retry::retry_interrupted;
use outcome::{Count, Outcome, ReceivingEnd, Sent};

mod outcome;

pub use outcome::PipeError;

/// How many bytes one read or write moves at most. Measured: with a quarter of it, a long stream
/// takes a tenth longer.
const CHUNK: usize = 256 * 1024;

/// The longest wait of one read. The end of the input is seen at most this late.
const TICK: Duration = Duration::from_millis(100);

/// How many ticks the input has to end, if the server has ended the stream first. The textbook's
/// server does so after one answer. Half a second is enough for a busy machine.
const GRACE_TICKS: u32 = 5;

/// What the sender reports to the receiver.
enum Report {
    /// It begins to send a chunk.
    WaitsForNetwork,
    /// The chunk is sent.
    WaitsForInput,
    /// The input has ended, and all of it is sent.
    HasEnded(Sent),
}

/// See [`Client::pipe`](super::Client::pipe).
pub(super) fn run(
    connection: Connection,
    timeout: Duration,
    input: impl Read + Send + 'static,
    output: impl Write,
) -> Result<(), PipeError> {
    connection.set_tick(TICK).map_err(PipeError::Network)?;
    let connection = Arc::new(connection);
    let (reporter, reports) = mpsc::channel();
    let senders_connection = Arc::clone(&connection);
    // Nobody joins this thread, because nothing can interrupt it while it waits for input.
    thread::Builder::new()
        .spawn(move || send_all(&senders_connection, input, &reporter))
        .map_err(PipeError::Network)?;

    let outcome = receive_all(&connection, timeout, &reports, output);
    // If the sender waits for the network, it fails now.
    connection.shutdown();
    let mut outcome = outcome?;
    if outcome.sent.is_none() {
        outcome.sent = wait_for_sender(&reports);
    }
    outcome.judge()
}

/// Sends what `input` brings until it ends, and then half-closes. If the connection fails, it just
/// returns: the receiver will find out why.
fn send_all(mut connection: &Connection, mut input: impl Read, reporter: &Sender<Report>) {
    // This fails if the receiver has ended. Then the connection has ended, too, and so does this loop.
    let report = |report| drop(reporter.send(report));
    let mut buffer = vec![0; CHUNK];
    let mut count = Count::default();
    let input_end = loop {
        let size = match retry_interrupted(|| input.read(&mut buffer)) {
            Ok(0) => break Ok(()),
            Ok(size) => size,
            Err(error) => break Err(error),
        };
        let chunk = &buffer[..size];
        report(Report::WaitsForNetwork);
        if connection.write_all(chunk).is_err() {
            return;
        }
        count.add(chunk);
        report(Report::WaitsForInput);
    };
    connection.half_close();
    report(Report::HasEnded(Sent { count, input_end }));
}

/// Writes to `output` what the server sends, until there is nothing more to wait for.
fn receive_all(
    mut connection: &Connection,
    timeout: Duration,
    reports: &Receiver<Report>,
    mut output: impl Write,
) -> Result<Outcome, PipeError> {
    let mut buffer = vec![0; CHUNK];
    let mut received = Count::default();
    let mut sent = None;
    // Whether the server is to do something, and for how long it has done nothing.
    let mut is_network_awaited = false;
    let mut silence = Duration::ZERO;
    let end = loop {
        for report in reports.try_iter() {
            silence = Duration::ZERO;
            is_network_awaited = !matches!(report, Report::WaitsForInput);
            if let Report::HasEnded(result) = report {
                sent = Some(result);
            }
        }
        if let Some(sent) = &sent {
            if sent.is_counted_back(received) {
                break ReceivingEnd::CountedBack;
            }
        }
        match retry_interrupted(|| connection.read(&mut buffer)) {
            Ok(0) => break ReceivingEnd::Closed,
            Ok(size) => {
                let chunk = &buffer[..size];
                silence = Duration::ZERO;
                received.add(chunk);
                output.write_all(chunk).map_err(PipeError::Output)?;
                output.flush().map_err(PipeError::Output)?;
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                if is_network_awaited {
                    silence += TICK;
                }
                if silence >= timeout {
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

/// Waits for the end of the input. Ticks are counted here, too: a clock would go on while the process
/// is stopped (Ctrl-Z).
fn wait_for_sender(reports: &Receiver<Report>) -> Option<Sent> {
    let mut ticks = 0;
    while ticks < GRACE_TICKS {
        match reports.recv_timeout(TICK) {
            Ok(Report::HasEnded(sent)) => return Some(sent),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => ticks += 1,
            // The sender has failed.
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    None
}
