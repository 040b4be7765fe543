//! TCP: a stream of bytes, answered as they come, until the client's half-close.

use std::fmt::Arguments;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::retry::{nothing_yet, persist, retry, try_each};
use crate::{Event, uppercase};

/// Starts `connections` threads, at least 1, that serve `listener`, the textbook's welcoming socket, for ever, and
/// returns when all have been started (prethreaded: Stevens, *UNIX Network Programming* 1, 30.11).
///
/// A thread has one connection at a time. So `connections` is the limit, and those beyond it wait in the listener's
/// backlog. A connection is closed when its client has finished sending and everything is answered, or when the client
/// keeps its thread waiting for `idle`, which is not zero: with nothing sent, or with no room for an answer. `observer`
/// is told of every connection's beginning and end and of each read between. A failing accept is tried again after a
/// pause of 5 ms, doubled up to 1 s.
///
/// # Errors
///
/// What the system says if it cannot start all the threads. Those that it could start end again, and serve nobody.
pub fn serve(
    listener: TcpListener,
    connections: usize,
    idle: Duration,
    observer: impl Fn(Event) + Send + Sync + 'static,
) -> io::Result<()> {
    let shared = Arc::new((listener, observer));
    let (ready, all_ready) = mpsc::sync_channel(0);
    for _ in 0..connections {
        let (shared, ready) = (Arc::clone(&shared), ready.clone());
        // Its buffers are on the heap, and debug builds use less than a quarter of this.
        let thread = thread::Builder::new().stack_size(128 * 1024);
        thread.spawn(move || {
            let (listener, observer) = &*shared;
            let tell = |step: Arguments| observer(Ok(step));
            let mut buffers = uppercase::buffers();
            // Nobody is served before all threads are there.
            let Ok(()) = ready.send(()) else { return };
            drop(ready);
            loop {
                // The connection socket, beside the welcoming one.
                let (stream, peer) = persist(observer, || listener.accept());
                tell(format_args!("{peer}: accepted, {stream:?}"));
                let report = |read, sent| tell(format_args!("{peer}: {read} bytes in, {sent} out"));
                // Reads and writes until the client's half-close.
                let result = limit(&stream, idle)
                    .and_then(|()| uppercase::copy(&stream, &stream, &mut buffers, report));
                match result.map_err(|error| (nothing_yet(&error), error)) {
                    Ok(()) => tell(format_args!("{peer}: closed")),
                    Err((true, _)) => tell(format_args!("{peer}: closed, idle for too long")),
                    Err((_, error)) => tell(format_args!("{peer}: closed, {error}")),
                }
            }
        })?;
    }
    // Nor is anything announced before all are about to accept: a burst would overflow the backlog.
    drop(ready);
    all_ready.iter().for_each(drop);
    Ok(())
}

/// Limits each wait in `stream`, and turns Nagle's algorithm off: every write is a whole answer, or all there is.
fn limit(stream: &TcpStream, wait: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))
}

/// Connects to the first of `addresses` that accepts; each has an equal share of what is left of `timeout`, which is
/// also the longest wait for an answer later.
///
/// # Errors
///
/// [`TimedOut`](ErrorKind::TimedOut), [`ConnectionRefused`](ErrorKind::ConnectionRefused), or what else the system
/// says.
pub fn connect(addresses: &[SocketAddr], timeout: Duration) -> io::Result<TcpStream> {
    try_each(addresses, timeout, |address, share| {
        let stream = TcpStream::connect_timeout(&address, share)?;
        if stream.local_addr()? == address {
            // Where nothing listens, the system may give out that very port, and TCP connects it to itself.
            return Err(ErrorKind::ConnectionRefused.into());
        }
        limit(&stream, timeout).map(|()| stream)
    })
}

/// Sends `sentence`, which has no newline, and returns the answer: both go over the wire as a line.
///
/// # Errors
///
/// [`NotConnected`](ErrorKind::NotConnected) if the connection ended before the first byte of the answer: the server
/// may have been restarted, or be one that answers once and closes. [`UnexpectedEof`](ErrorKind::UnexpectedEof) if it
/// ended within the answer, or that is longer than an upper case can be. A time-out
/// ([`WouldBlock`](ErrorKind::WouldBlock) or [`TimedOut`](ErrorKind::TimedOut)) if the server sends nothing for so
/// long.
pub fn ask(mut stream: &TcpStream, sentence: &[u8]) -> io::Result<Vec<u8>> {
    let (line, mut answer) = ([sentence, b"\n"].concat(), Vec::new());
    // No answer is longer than this.
    let mut reader = BufReader::new(stream.take(3 * line.len() as u64));
    let sent = stream.write_all(&line);
    match sent.and_then(|()| reader.read_until(b'\n', &mut answer)) {
        Err(error) if nothing_yet(&error) => Err(error),
        _ if answer.is_empty() => Err(ErrorKind::NotConnected.into()),
        _ if answer.pop() != Some(b'\n') => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}

/// Sends all of `input` and hands all answers to `output`, as they arrive, both at once, in constant memory.
///
/// `stream` is one that [`connect`] returned, with its longest wait. That clock runs only while the network is waited
/// for: after the end of `input`, or while the server takes nothing. Upper-casing keeps newlines one for one, so fewer
/// than were sent are an error.
///
/// # Errors
///
/// A time-out ([`WouldBlock`](ErrorKind::WouldBlock) or [`TimedOut`](ErrorKind::TimedOut)) if the server takes and
/// sends nothing for so long, [`UnexpectedEof`](ErrorKind::UnexpectedEof) if it closes the connection before everything
/// is answered, or the first error of `input`, `output` or the connection.
pub fn pipe(
    stream: &TcpStream,
    input: impl Read + Send + 'static,
    output: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    // Each half looks up eight times in the longest wait: what got in is counted, and the clock is never far behind.
    limit(stream, stream.read_timeout()?.unwrap_or_default() / 8)?;
    let progress = Arc::new(AtomicU64::new(0));
    let (end, ended) = mpsc::channel();
    let (writer, shared) = (stream.try_clone()?, Arc::clone(&progress));
    // Never joined: a thread that waits for input cannot be interrupted.
    let sender = thread::Builder::new().spawn(move || {
        let sent = send(&writer, input, &shared);
        // The half-close. What fails here or there is found out by the receiving half.
        shared.fetch_or(1, Relaxed);
        let _ = writer.shutdown(Shutdown::Write);
        let _ = end.send(sent);
    });
    // Of another kind than the system's, which would be taken for a time-out.
    sender.map_err(|_| io::Error::other("the system starts no more threads"))?;
    let received = receive(stream, output, &progress);
    // Wakes a sender that waits for the network; one that is not connected any more needs no waking.
    let _ = stream.shutdown(Shutdown::Both);
    // A server that answers once and closes may overtake the end of the input: half a second is enough for a busy
    // machine.
    match (received?, ended.recv_timeout(Duration::from_millis(500))) {
        (_, Ok(Err(error))) => Err(error),
        (received, Ok(Ok(sent))) if received >= sent => Ok(()),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Bytes that one read or write moves at most: measured, half of it costs a tenth of the speed.
const CHUNK: usize = 256 * 1024;

/// Newlines, and whether something follows the last: an answer that was cut has less.
type Lines = (u64, bool);

/// Adds `chunk`, which is not empty.
fn count(lines: &mut Lines, chunk: &[u8]) {
    // Sums of 128 bytes fit in a byte, which makes this fast: sixteen are added at once.
    for part in chunk.chunks(128) {
        let newlines: u8 = part.iter().map(|&byte| u8::from(byte == b'\n')).sum();
        lines.0 += u64::from(newlines);
    }
    lines.1 = !chunk.ends_with(b"\n");
}

/// Sends all of `input`. `progress` is twice the bytes that got in, and one more while the network is waited for.
fn send(mut stream: &TcpStream, mut input: impl Read, progress: &AtomicU64) -> io::Result<Lines> {
    let (mut buffer, mut lines) = (vec![0; CHUNK], Lines::default());
    loop {
        // Of another kind than the system's, which may be taken for a time-out.
        let cannot = |error| io::Error::other(format!("cannot read the input: {error}"));
        let read = retry(|| input.read(&mut buffer)).map_err(cannot)?;
        let mut rest = &buffer[..read];
        if rest.is_empty() {
            return Ok(lines);
        }
        count(&mut lines, rest);
        progress.fetch_add(1, Relaxed);
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(written) => {
                    rest = &rest[written..];
                    progress.fetch_add(2 * written as u64, Relaxed);
                }
                // The receiving half decides whether that has lasted too long.
                Err(error) if nothing_yet(&error) => {}
                Err(error) => return Err(error),
            }
        }
        progress.fetch_sub(1, Relaxed);
    }
}

/// Hands all that arrives to `output`.
fn receive(
    mut stream: &TcpStream,
    mut output: impl FnMut(&[u8]) -> io::Result<()>,
    progress: &AtomicU64,
) -> io::Result<Lines> {
    let (mut buffer, mut lines) = (vec![0; CHUNK], Lines::default());
    let (mut received, mut silent) = (0, 0);
    loop {
        let before = progress.load(Relaxed);
        match retry(|| stream.read(&mut buffer)) {
            Ok(0) => return Ok(lines),
            Ok(read) => {
                count(&mut lines, &buffer[..read]);
                output(&buffer[..read])?;
                (received, silent) = (received + read as u64, 0);
                // Upper case is at most three times as long; what is on its way has not been counted yet.
                if received > 3 * (progress.load(Relaxed) / 2 + CHUNK as u64) {
                    return Err(io::Error::other("it answers more than it was sent"));
                }
            }
            Err(error) if !nothing_yet(&error) => return Err(error),
            // It was not the network that was waited for all the while, or something got in.
            Err(_) if before % 2 == 0 || before != progress.load(Relaxed) => silent = 0,
            Err(error) if silent == 7 => return Err(error),
            Err(_) => silent += 1,
        }
    }
}
