//! TCP: a stream of bytes, answered as they come, until the client's half-close.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::Event;
use crate::event::{Backoff, timed_out};
use crate::uppercase::Buffers;
use crate::{retry, try_each};

/// A thread's stack: its buffers are on the heap, and debug builds use less than a quarter of this.
const STACK: usize = 128 * 1024;

/// Starts `connections` threads that serve `listener` for ever, one connection at a time each (prethreaded: Stevens,
/// *UNIX Network Programming* 1, 30.11), and returns when all have been started.
///
/// So `connections` is the limit, and those beyond it wait in the listener's backlog. A connection is closed when its
/// client has finished sending and everything is answered, or when the client neither sends nor reads for `idle`.
/// `observer` is told of every connection's beginning and end. A failing accept is tried again after a pause of 5 ms,
/// doubled up to 1 s.
///
/// # Errors
///
/// What the system says if it cannot start all the threads. Those that it could start wait for ever and serve nobody.
pub fn serve<O>(
    listener: TcpListener,
    connections: usize,
    idle: Duration,
    observer: O,
) -> io::Result<()>
where
    O: Fn(Event) + Send + Sync + 'static,
{
    // Nobody is served before all threads are there, with all the memory that they need.
    let shared = Arc::new((listener, observer, Barrier::new(connections + 1)));
    let (passing, passed) = mpsc::channel::<()>();
    for _ in 0..connections {
        let (shared, passing) = (Arc::clone(&shared), passing.clone());
        thread::Builder::new().stack_size(STACK).spawn(move || {
            let (listener, observer, started) = &*shared;
            let mut backoff = Backoff::default();
            let mut buffers = Buffers::default();
            started.wait();
            drop(passing);
            loop {
                let Some((stream, peer)) = backoff.check(listener.accept(), observer) else {
                    continue;
                };
                observer(Event::Connected(&stream, peer));
                let (mut received, mut sent) = (0, 0);
                let result = limit(&stream, idle)
                    .and_then(|()| buffers.copy(&stream, &stream, &mut received, &mut sent));
                observer(Event::Closed(peer, received, sent, result.as_ref().err()));
            }
        })?;
    }
    shared.2.wait();
    // Nor is anything announced before all have passed and are about to accept: a burst would overflow the backlog.
    drop(passing);
    let _ = passed.recv();
    Ok(())
}

/// Limits each wait in `stream`, and turns Nagle's algorithm off: every write is a whole answer, or all there is.
fn limit(stream: &TcpStream, wait: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))
}

/// A client on one connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    peer: SocketAddr,
    timeout: Duration,
}

impl Client {
    /// Connects to the first of `addresses` that accepts; each has an equal share of what is left of `timeout`, which
    /// is also the longest wait for an answer later.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](ErrorKind::TimedOut), [`ConnectionRefused`](ErrorKind::ConnectionRefused), or what else the system
    /// says.
    pub fn connect(addresses: &[SocketAddr], timeout: Duration) -> io::Result<Self> {
        let (peer, stream) = try_each(addresses, timeout, |address, share| {
            let stream = TcpStream::connect_timeout(&address, share)?;
            // Where nothing listens, the system may give out that very port, and TCP connects it to itself.
            let is_own = stream.local_addr()? == address;
            if is_own {
                Err(ErrorKind::ConnectionRefused.into())
            } else {
                Ok(stream)
            }
        })?;
        limit(&stream, timeout)?;
        Ok(Self {
            stream,
            peer,
            timeout,
        })
    }

    /// Returns the connection.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends `line`, with its newline, and returns the answer up to its newline.
    ///
    /// A line without a newline is the last: it is followed by half-close, and its answer ends with the connection.
    /// A connection that had ended before the first byte of the answer is made anew, once: the server may have been
    /// restarted, or be one that answers once and closes.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](ErrorKind::TimedOut) if the answer is not complete in time,
    /// [`UnexpectedEof`](ErrorKind::UnexpectedEof) if the connection ended within it, or what else the system says.
    pub fn ask(&mut self, line: &[u8]) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        let result = self.exchange(line, &mut answer);
        if answer.is_empty() && result.as_ref().is_err_and(hung_up) {
            *self = Self::connect(&[self.peer], self.timeout)?;
            self.exchange(line, &mut answer)?;
        } else {
            result?;
        }
        Ok(answer)
    }

    fn exchange(&mut self, line: &[u8], answer: &mut Vec<u8>) -> io::Result<()> {
        let deadline = Instant::now() + self.timeout;
        let is_last = !line.ends_with(b"\n");
        self.stream.write_all(line)?;
        if is_last {
            self.stream.shutdown(Shutdown::Write)?;
        }
        let mut buffer = [0; 4096];
        while is_last || !answer.contains(&b'\n') {
            let read = retry(|| {
                let left = deadline.saturating_duration_since(Instant::now());
                self.stream
                    .set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
                self.stream.read(&mut buffer)
            });
            match read? {
                0 if is_last && !answer.is_empty() => break,
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => answer.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            }
            if Instant::now() >= deadline && (is_last || !answer.contains(&b'\n')) {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Sends all of `input` and writes all answers to `output`, both at once, in constant memory.
    ///
    /// The clock runs only while the network is waited for: after the end of `input`, or while the server takes nothing.
    /// Upper-casing keeps newlines one for one, so fewer or more lines than were sent are an error.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](ErrorKind::TimedOut) if the server takes and sends nothing in time,
    /// [`UnexpectedEof`](ErrorKind::UnexpectedEof) if it closes the connection before everything is answered, or the
    /// first error of `input`, `output` or the connection.
    pub fn copy(self, input: impl Read + Send + 'static, output: impl Write) -> io::Result<()> {
        // Half the reader's limit, so that whatever gets in while the reader waits is counted in time.
        self.stream
            .set_write_timeout(Some((self.timeout / 2).max(Duration::from_millis(1))))?;
        let sent = Arc::new(Sent::default());
        let (verdict, ended) = mpsc::channel();
        let (stream, shared) = (self.stream.try_clone()?, Arc::clone(&sent));
        // Never joined: a thread that waits for input cannot be interrupted.
        let sender = thread::Builder::new().spawn(move || {
            let result = send(&stream, input, &shared);
            let failed = result.is_err();
            // The receiver is gone if it has failed first, and has said why.
            let _ = verdict.send(result);
            if failed {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        // Not with the system's kind of error, which is that of a socket's time limit, too.
        sender.map_err(|_| io::Error::other("the system starts no more threads"))?;
        let result = receive(&self.stream, output, &sent).and_then(|lines| {
            // The input's end may have been overtaken by that of a server that answers once and closes.
            let grace = if lines < sent.lines.load(Ordering::Acquire) {
                Duration::ZERO
            } else {
                GRACE
            };
            match ended.recv_timeout(grace) {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) if lines >= sent.lines.load(Ordering::Acquire) => Ok(()),
                _ => Err(ErrorKind::UnexpectedEof.into()),
            }
        });
        // Wakes a sender that waits for the network; one that is not connected any more needs no waking.
        let _ = self.stream.shutdown(Shutdown::Both);
        result
    }
}

/// How long input that was answered so far may take to end after the server has hung up: enough for a busy machine.
const GRACE: Duration = Duration::from_millis(500);

/// Bytes that one read or write moves at most.
const CHUNK: usize = 128 * 1024;

/// What the sending half has done so far.
#[derive(Default)]
struct Sent {
    /// Half lines, as [`Lines`] has them, of what was read, counted before it is handed to the network.
    lines: AtomicU64,
    /// Changes with every write that got something in. Odd within a write, and at the end of input, [`ENDED`].
    progress: AtomicU64,
}

const ENDED: u64 = u64::MAX;

fn send(mut stream: &TcpStream, mut input: impl Read, sent: &Sent) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut lines = Lines::default();
    loop {
        let read = retry(|| input.read(&mut buffer))?;
        let mut rest = buffer.get(..read).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        sent.lines.store(lines.count(rest), Ordering::Release);
        sent.progress.fetch_add(1, Ordering::Release);
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    sent.progress.fetch_add(2, Ordering::Release);
                }
                // The receiving half decides whether that has lasted too long.
                Err(error) if timed_out(&error) || error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        sent.progress.fetch_add(1, Ordering::Release);
    }
    // A connection that has been reset is found out by the receiving half.
    let _ = stream.shutdown(Shutdown::Write);
    sent.progress.store(ENDED, Ordering::Release);
    Ok(())
}

/// Writes all that arrives to `output`, and returns its half lines.
fn receive(mut stream: &TcpStream, mut output: impl Write, sent: &Sent) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut lines = Lines::default();
    let mut count = 0;
    loop {
        let before = sent.progress.load(Ordering::Acquire);
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(count),
            Ok(read) => {
                let answer = buffer.get(..read).unwrap_or_default();
                count = lines.count(answer);
                if count > sent.lines.load(Ordering::Acquire) {
                    return Err(io::Error::other("it answers more lines than it was sent"));
                }
                output.write_all(answer)?;
                output.flush()?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if timed_out(&error) => {
                let waited_for_network = before % 2 == 1;
                if waited_for_network && before == sent.progress.load(Ordering::Acquire) {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Counts lines in halves: 2 for each newline, and 1 for what follows the last. So a stream that was cut counts less.
#[derive(Default)]
struct Lines {
    newlines: u64,
}

impl Lines {
    /// Adds `chunk`, which is not empty, and returns the half lines so far.
    fn count(&mut self, chunk: &[u8]) -> u64 {
        // Sums of 128 bytes fit in a byte, which makes this fast: sixteen are added at once.
        let newlines =
            |part: &[u8]| u64::from(part.iter().map(|&byte| u8::from(byte == b'\n')).sum::<u8>());
        self.newlines += chunk.chunks(128).map(newlines).sum::<u64>();
        2 * self.newlines + u64::from(!chunk.ends_with(b"\n"))
    }
}

/// Whether the other side ended the connection, in whatever way.
fn hung_up(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
    )
}
