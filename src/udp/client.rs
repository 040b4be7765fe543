//! The client's side of UDP.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::BUFFER_SIZE;
use crate::retry::{
    LONGEST_TIMEOUT, call_with_timeout, says_nobody_is_there, time_left, try_each_address,
};
use crate::{Bytes, Event, tell};

/// The first wait for an answer, before any round trip has been timed. TCP has the same (RFC 6298).
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait for an answer before the sentence is sent again.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The shortest wait for an answer. With a shorter one, a busy server would often be asked twice.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// The pause after a failed receive. Without it, a receive that always fails would keep a processor
/// busy.
const RECEIVE_PAUSE: Duration = Duration::from_millis(5);

/// How many used sockets a client keeps open. An answer hardly ever comes after 64 other sockets
/// have been used, and a process may usually have at least 256 file descriptors.
const KEPT_SOCKETS: usize = 64;

/// A client that asks one sentence at a time, and sends it again when no answer comes.
///
/// For each sentence, and each address that is asked, it opens a new connected socket. So a
/// stranger's datagram is no answer, and a closed port is reported at once. The socket's port
/// differs from the ports of the last 64 sockets, so an answer that comes late or twice does not
/// reach a later sentence. It also differs from the server's port, because [`serve`](super::serve)
/// does not answer its own port number. (What this cannot do: see the [limits](super#limits).)
#[derive(Debug)]
pub struct Client {
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    /// The address that answered the last sentence.
    last_answered: Option<SocketAddr>,
    /// How long the next sentence waits for its answer before it is sent again.
    next_wait: Duration,
    /// The sockets of the last sentences, the oldest in front. While a socket is open, no other
    /// gets its port.
    used_sockets: VecDeque<UdpSocket>,
    /// Where answers are received.
    buffer: Vec<u8>,
}

impl Client {
    /// Returns a client of the server at `addresses` that waits at most `timeout` for an answer
    /// (and at most a year).
    pub fn new(addresses: &[SocketAddr], timeout: Duration) -> Self {
        Self {
            addresses: addresses.to_vec(),
            timeout: timeout.min(LONGEST_TIMEOUT),
            last_answered: None,
            next_wait: FIRST_WAIT,
            used_sockets: VecDeque::new(),
            buffer: vec![0; BUFFER_SIZE],
        }
    }

    /// Sends `sentence` and returns the answer. [`is_cut`] tells whether the answer has lost its
    /// end.
    ///
    /// - If no answer comes, it sends again: after 1 s or, once an answer has been timed, after
    ///   three times that round trip, but at least 200 ms. Each further wait is twice as long as
    ///   the one before. None is longer than 1 s.
    /// - The address that answered the last sentence is asked alone, and may take the whole
    ///   timeout. But its port may be closed, or the last sentence had no answer. Then all
    ///   addresses are asked in turn. Each gets an equal share of the time that is left.
    /// - An empty answer to a sentence that is not empty is ignored. Some load balancers send it
    ///   for a server that is down.
    ///
    /// `observer` is told of each try and of the answer.
    ///
    /// # Errors
    ///
    /// - [`ConnectionRefused`](ErrorKind::ConnectionRefused) if nothing is listening there. Windows
    ///   says [`ConnectionReset`](ErrorKind::ConnectionReset).
    /// - [`TimedOut`](ErrorKind::TimedOut) if no answer came in time.
    /// - Another error of the system. If it says that an address cannot be reached, the next
    ///   address is asked at once. Otherwise a failed send or receive counts as one lost datagram,
    ///   and its error is returned only if no answer comes in time.
    pub fn ask(&mut self, sentence: &[u8], observer: impl Fn(Event)) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + self.timeout;
        // `take` leaves `None`. `ask_address` puts the address back if it answers. If not, the next
        // sentence goes to all addresses.
        if let Some(address) = self.last_answered.take() {
            match self.ask_address(address, sentence, deadline, &observer) {
                // The server may have moved to another of its addresses: all are asked, below.
                Err(_) if Instant::now() < deadline => {}
                result => return result,
            }
        }
        // A copy, because `ask_address` changes other parts of `self`.
        let addresses = self.addresses.clone();
        try_each_address(&addresses, deadline, |address, its_deadline| {
            self.ask_address(address, sentence, its_deadline, &observer)
        })
    }

    /// Asks at one address, from a new socket.
    fn ask_address(
        &mut self,
        address: SocketAddr,
        sentence: &[u8],
        deadline: Instant,
        observer: &impl Fn(Event),
    ) -> io::Result<Vec<u8>> {
        let socket = open_socket(address)?;
        if self.used_sockets.len() == KEPT_SOCKETS {
            self.used_sockets.pop_front();
        }
        let result = self.exchange(&socket, sentence, deadline, observer);
        self.used_sockets.push_back(socket);
        if result.is_ok() {
            self.last_answered = Some(address);
        }
        result
    }

    /// Sends `sentence` again and again until the answer comes or `deadline` has passed.
    fn exchange(
        &mut self,
        socket: &UdpSocket,
        sentence: &[u8],
        deadline: Instant,
        observer: &impl Fn(Event),
    ) -> io::Result<Vec<u8>> {
        let port = socket.local_addr()?.port();
        let server = socket.peer_addr()?;
        let start = Instant::now();
        let mut last_error = None;
        let mut wait = self.next_wait;
        let mut tries = 0;
        loop {
            tries += 1;
            let next_try = deadline.min(Instant::now() + wait);
            // A send waits while the send buffer is full.
            let timeout = time_left(next_try);
            socket.set_write_timeout(Some(timeout))?;
            match call_with_timeout(timeout, || socket.send(sentence)) {
                Ok(size) => {
                    let bytes = Bytes(size);
                    tell(
                        observer,
                        format_args!("sent {bytes} from port {port} to {server}, try {tries}"),
                    );
                }
                Err(error) => note_failure(error, &mut last_error)?,
            }
            let answer = receive_answer(
                socket,
                server,
                sentence,
                next_try,
                &mut self.buffer,
                &mut last_error,
            )?;
            if let Some(size) = answer {
                let time = start.elapsed();
                let bytes = Bytes(size);
                // `.1?` shows one decimal: 1.2ms.
                tell(
                    observer,
                    format_args!("received {bytes} from {server} after {time:.1?}"),
                );
                self.set_next_wait(time, tries);
                return Ok(self.buffer[..size].to_vec());
            }
            if Instant::now() >= deadline {
                // `into` makes an `io::Error` of this kind.
                return Err(last_error.unwrap_or_else(|| ErrorKind::TimedOut.into()));
            }
            wait = LONGEST_WAIT.min(2 * wait);
        }
    }

    /// Sets how long the next sentence waits, from the time that this answer took.
    fn set_next_wait(&mut self, time: Duration, tries: u32) {
        // After several tries nobody knows which of them was answered. So only the answer to a
        // single try is timed (Karn's algorithm, RFC 6298).
        if tries == 1 {
            self.next_wait = (3 * time).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        }
    }
}

/// Returns a new socket that is connected to `server`. Its port is free, and not the port of the
/// server.
///
/// Connecting a UDP socket sends nothing. From then on, the system discards what others send to the
/// socket, and reports when the port of the server is closed.
fn open_socket(server: SocketAddr) -> io::Result<UdpSocket> {
    let any_address = if server.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let mut socket = UdpSocket::bind((any_address, 0))?;
    if socket.local_addr()?.port() == server.port() {
        // The first socket is dropped only after the second is bound, so the ports differ.
        socket = UdpSocket::bind((any_address, 0))?;
    }
    socket.connect(server)?;
    Ok(socket)
}

/// Decides what a failed send or receive means. It returns the error if nobody is there: then the
/// exchange ends. Otherwise the exchange goes on. The error counts as one lost datagram, and is
/// kept in `last_error`. A timeout is no failure: the send buffer is full, or no answer has come
/// yet.
fn note_failure(error: io::Error, last_error: &mut Option<io::Error>) -> io::Result<()> {
    if says_nobody_is_there(&error) {
        return Err(error);
    }
    if error.kind() != ErrorKind::TimedOut {
        *last_error = Some(error);
    }
    Ok(())
}

/// Waits until `end` for the answer to `sentence`. Returns its size in `buffer`, or `None` if it
/// has not come, or an error if nobody is there. Other errors are put into `last_error`.
fn receive_answer(
    socket: &UdpSocket,
    server: SocketAddr,
    sentence: &[u8],
    end: Instant,
    buffer: &mut [u8],
    last_error: &mut Option<io::Error>,
) -> io::Result<Option<usize>> {
    loop {
        // After the end, it looks once more, for 1 ms: the process may have been stopped (Ctrl-Z),
        // and what came first may have been something else than the answer.
        let is_last_look = Instant::now() >= end;
        let timeout = time_left(end);
        socket.set_read_timeout(Some(timeout))?;
        match call_with_timeout(timeout, || socket.recv_from(buffer)) {
            Ok((size, source)) => {
                // A stranger's datagram can only have come in the moment between bind and connect.
                // An empty answer to a sentence that is not empty is ignored: see `ask`.
                let is_answer = source == server && (size > 0 || sentence.is_empty());
                if is_answer {
                    return Ok(Some(size));
                }
            }
            Err(error) => {
                note_failure(error, last_error)?;
                let until_end = end.saturating_duration_since(Instant::now());
                thread::sleep(RECEIVE_PAUSE.min(until_end));
            }
        }
        if is_last_look {
            return Ok(None);
        }
    }
}

/// Returns whether `answer` has lost its end on the way: whether it is shorter than the shortest
/// possible answer to `sentence`.
///
/// A server or a load balancer with a short buffer cuts answers. A server may know only ASCII or an
/// older Unicode, and leave a character as it is. So the shortest possible answer has, for each
/// character, the character or its upper case, whichever is shorter. Letters that grow can hide a
/// cut: if they add four bytes and three are cut, the cut is not found.
///
/// # Examples
///
/// ```
/// use uppercase_echo::udp::is_cut;
///
/// assert!(is_cut(b"hello", b"HEL"));
/// // The `ı` without a dot has two bytes, its upper case `I` has one.
/// assert!(!is_cut("kıl".as_bytes(), b"KIL"));
/// ```
pub fn is_cut(sentence: &[u8], answer: &[u8]) -> bool {
    let mut shortest = 0;
    // A chunk is valid UTF-8 followed by a few bytes that are not valid. Each of the two may be
    // empty.
    for chunk in sentence.utf8_chunks() {
        for character in chunk.valid().chars() {
            let upper: usize = character.to_uppercase().map(char::len_utf8).sum();
            shortest += upper.min(character.len_utf8());
        }
        // Bytes that are not UTF-8 stay as they are.
        shortest += chunk.invalid().len();
    }
    answer.len() < shortest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_as_a_lost_datagram() {
        // (an error, whether it ends the exchange, what is told if no answer comes)
        let cases = [
            (ErrorKind::TimedOut, false, None),
            (ErrorKind::OutOfMemory, false, Some(ErrorKind::OutOfMemory)),
            (ErrorKind::ConnectionRefused, true, None),
        ];
        for (kind, ends, told) in cases {
            let mut last_error = None;
            let result = note_failure(kind.into(), &mut last_error);
            assert_eq!(result.is_err(), ends, "{kind}");
            assert_eq!(last_error.map(|error| error.kind()), told, "{kind}");
        }
    }
}
