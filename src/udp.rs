//! UDP: one datagram is one sentence, and gets one answer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::retry::{retry_interrupted, retry_with_backoff, time_left, try_each_address};
use crate::uppercase::{Follow, LONGEST_GROWTH, append_uppercase};
use crate::{Bytes, Event};

/// The bytes that a datagram carries at most over IPv4: 65,535 less 20 of IP's header and 8 of UDP's (RFC 768, 791).
pub const MAX_DATAGRAM: usize = 65_507;

/// Room for any datagram of either family: UDP's length field has 16 bits.
const LARGEST: usize = 65_535;

/// Ports below it are the system's services: echo, chargen and DNS among them answer whatever they get (RFC 6335).
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// Starts a thread that answers every datagram which reaches `socket`, and returns when it is about to receive.
///
/// No answer goes to a source that may be a server itself: to port 0, a port below 1024, the server's own port, or a
/// multicast, broadcast or unspecified address. Otherwise one forged datagram could make two servers answer each other
/// without end (CVE-1999-0103, CVE-2024-2169). An answer that no longer fits in a datagram is not sent.
///
/// The thread serves until the process ends. A failing send does not stop it, nor make it wait. A failing receive is
/// tried again after a pause of 5 ms, doubled up to 1 s. `observer` is told of every datagram and what became of it.
///
/// # Errors
///
/// What the system says if it does not tell the socket's port, or cannot start the thread.
pub fn serve(socket: UdpSocket, observer: impl Fn(Event) + Send + 'static) -> io::Result<()> {
    let own_port = socket.local_addr()?.port();
    // All the memory that the thread will ever need.
    let mut datagram = vec![0; LARGEST];
    let mut answer = Vec::with_capacity(LONGEST_GROWTH * LARGEST);
    thread::Builder::new().spawn(move || {
        loop {
            // The datagram, and the source address that the system attached.
            let (size, peer) = retry_with_backoff(&observer, || socket.recv_from(&mut datagram));
            let received = Bytes(size);
            tell!(observer, "received {received} from {peer}");
            if !is_admissible(peer, own_port) {
                tell!(observer, "no answer to {peer}: it may be a server");
                continue;
            }
            answer.clear();
            append_uppercase(&datagram[..size], Follow::Nothing, &mut answer);
            match retry_interrupted(|| socket.send_to(&answer, peer)) {
                Ok(size) => tell!(observer, "sent {} to {peer}", Bytes(size)),
                // This machine's own firewall. Other failures are the peer's business: it may have provoked them.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    observer(Event::Stalled(&error));
                }
                Err(error) => tell!(observer, "cannot send to {peer}: {error}"),
            }
        }
    })?;
    Ok(())
}

/// Whether a server on `own_port` may answer `peer`: it is one host, and not a server itself.
fn is_admissible(peer: SocketAddr, own_port: u16) -> bool {
    let ip = peer.ip().to_canonical();
    let is_one_host =
        !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST);
    is_one_host && peer.port() >= FIRST_UNPRIVILEGED_PORT && peer.port() != own_port
}

/// The wait for an answer before a sentence is sent again, while no answer has been timed, and the longest wait of all:
/// TCP's own first wait (RFC 6298).
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The shortest wait: with less, a server that is only busy would be asked again.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// After a failed receive: one that failed again and again must not keep a processor busy.
const PAUSE: Duration = Duration::from_millis(5);

/// Sockets that stay open after their line: more lines than an answer is late by, and few enough for the usual limits
/// of 256 descriptors and more.
const KEPT_SOCKETS: usize = 64;

/// A client that asks one line at a time, and sends it again when its answer does not come.
///
/// Each line has a connected socket of its own, with a port that none of the last 64 lines had. So a stranger's datagram
/// is never an answer, a closed port is reported at once, and an answer that comes late or twice never reaches a later
/// line. The port is never the server's, which would get no answer from [`serve`].
#[derive(Debug)]
pub struct Client {
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    /// The one of `addresses` that answered the last line.
    answering: Option<SocketAddr>,
    /// How long the next line waits before it is sent again.
    first_wait: Duration,
    /// The sockets of the last lines, the oldest in front: while they are open, no other can have their ports.
    kept: VecDeque<UdpSocket>,
    /// Room for an answer.
    buffer: Vec<u8>,
}

impl Client {
    /// Returns a client of the server at `addresses` that waits at most `timeout` for each answer.
    pub fn new(addresses: &[SocketAddr], timeout: Duration) -> Self {
        Self {
            addresses: addresses.to_vec(),
            timeout,
            answering: None,
            first_wait: LONGEST_WAIT,
            kept: VecDeque::new(),
            buffer: vec![0; LARGEST],
        }
    }

    /// Sends `sentence` and returns the answer, which [may be cut](is_cut).
    ///
    /// Without an answer it sends again: after 1 s or, once an answer has been timed, after three times that round trip,
    /// but at least 200 ms. Each wait is twice the one before, up to 1 s, until the timeout is over. The address that
    /// answered the last line is asked alone. If there is none or it fails, all are asked in turn, each for an equal
    /// share of the time that is left. An empty answer counts only if `sentence` is empty, too: some balancers send that
    /// for a server that is down. `observer` is told of each try.
    ///
    /// # Errors
    ///
    /// [`ConnectionRefused`](ErrorKind::ConnectionRefused), on Windows [`ConnectionReset`](ErrorKind::ConnectionReset),
    /// if nothing listens there. [`TimedOut`](ErrorKind::TimedOut) if no answer came in time. Another error of the
    /// system, if one kept every answer from coming.
    pub fn ask(&mut self, sentence: &[u8], observer: impl Fn(Event)) -> io::Result<&[u8]> {
        let deadline = Instant::now() + self.timeout;
        let size = self.ask_addresses(sentence, deadline, &observer)?;
        Ok(&self.buffer[..size])
    }

    /// Returns the size of the answer, which is in `buffer`, as the functions below do.
    fn ask_addresses(
        &mut self,
        sentence: &[u8],
        deadline: Instant,
        observer: &impl Fn(Event),
    ) -> io::Result<usize> {
        if let Some(address) = self.answering.take() {
            match self.ask_address(address, sentence, deadline, observer) {
                // The server may have moved to another of its addresses.
                Err(error) if error.kind() != ErrorKind::TimedOut => {}
                result => return result,
            }
        }
        let addresses = self.addresses.clone();
        try_each_address(&addresses, deadline, |address, deadline| {
            self.ask_address(address, sentence, deadline, observer)
        })
    }

    /// Asks one address from a new socket, which stays open for the next lines.
    fn ask_address(
        &mut self,
        server: SocketAddr,
        sentence: &[u8],
        deadline: Instant,
        observer: &impl Fn(Event),
    ) -> io::Result<usize> {
        let socket = open_socket(server)?;
        if self.kept.len() == KEPT_SOCKETS {
            self.kept.pop_front();
        }
        let result = self.exchange(&socket, sentence, deadline, observer);
        self.kept.push_back(socket);
        if result.is_ok() {
            self.answering = Some(server);
        }
        result
    }

    /// Sends `sentence`, again and again, until its answer comes or `deadline` is over.
    fn exchange(
        &mut self,
        socket: &UdpSocket,
        sentence: &[u8],
        deadline: Instant,
        observer: &impl Fn(Event),
    ) -> io::Result<usize> {
        let port = socket.local_addr()?.port();
        let server = socket.peer_addr()?;
        let start = Instant::now();
        let mut wait = self.first_wait;
        let mut tries = 0;
        let mut failure = io::Error::from(ErrorKind::TimedOut);
        loop {
            tries += 1;
            let next_try = deadline.min(Instant::now() + wait);
            match retry_interrupted(|| socket.send(sentence)) {
                Ok(size) => {
                    let sent = Bytes(size);
                    tell!(
                        observer,
                        "sent {sent} from port {port} to {server}, try {tries}"
                    );
                }
                Err(error) if is_nobody_there(&error) => return Err(error),
                Err(error) => failure = error,
            }
            if let Some(size) =
                receive_answer(socket, sentence, next_try, &mut self.buffer, &mut failure)?
            {
                let received = Bytes(size);
                let time = start.elapsed();
                tell!(
                    observer,
                    "received {received} from {server} after {time:.1?}"
                );
                // Of several tries nobody knows which one was answered (Karn's algorithm, RFC 6298).
                if tries == 1 {
                    self.first_wait = (3 * time).clamp(SHORTEST_WAIT, LONGEST_WAIT);
                }
                return Ok(size);
            }
            if Instant::now() >= deadline {
                return Err(failure);
            }
            wait = LONGEST_WAIT.min(2 * wait);
        }
    }
}

/// Returns a socket that is connected to `server`, with a free port that is not the server's.
///
/// Connected means: the system drops what others send, and reports that a port is closed. Nothing is sent.
fn open_socket(server: SocketAddr) -> io::Result<UdpSocket> {
    let any_address = if server.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let mut socket = UdpSocket::bind((any_address, 0))?;
    if socket.local_addr()?.port() == server.port() {
        // The second is bound while the first still has the port, so it gets another.
        socket = UdpSocket::bind((any_address, 0))?;
    }
    socket.connect(server)?;
    Ok(socket)
}

/// Waits until `end` for the answer to `sentence`, and returns its size, or `None` if it has not come.
///
/// An error is a lost datagram, and remembered in `failure`. Only that nobody is there is returned.
fn receive_answer(
    socket: &UdpSocket,
    sentence: &[u8],
    end: Instant,
    buffer: &mut [u8],
    failure: &mut io::Error,
) -> io::Result<Option<usize>> {
    let server = socket.peer_addr()?;
    loop {
        let is_last_look = Instant::now() >= end;
        socket.set_read_timeout(Some(time_left(end)))?;
        match socket.recv_from(buffer) {
            // What a stranger sends between bind and connect arrives, too.
            Ok((size, from)) if from == server && (size > 0 || sentence.is_empty()) => {
                return Ok(Some(size));
            }
            Ok(_) => {}
            Err(error) if is_nobody_there(&error) => return Err(error),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted | ErrorKind::TimedOut | ErrorKind::WouldBlock => {}
                _ => {
                    *failure = error;
                    thread::sleep(PAUSE);
                }
            },
        }
        // The last look is after the end: the process may have been stopped while the answer came.
        if is_last_look {
            return Ok(None);
        }
    }
}

/// Whether an error says that no server is at an address. Other errors may be gone at the next try.
fn is_nobody_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}

/// Whether an answer to `sentence` has lost its end on the way, as a server or a balancer with a short buffer does it.
///
/// It has if it is shorter than any upper-casing could make it: each character as it is or as its upper case, whichever
/// is shorter. A server may leave a character as it is if it knows ASCII alone or an older Unicode. If other characters
/// grow as much as was cut, that is not seen.
///
/// # Examples
///
/// ```
/// use uppercase_echo::udp::is_cut;
///
/// assert!(is_cut(b"hello", b"HEL"));
/// assert!(!is_cut("kıl".as_bytes(), b"KIL"));
/// ```
pub fn is_cut(sentence: &[u8], answer: &[u8]) -> bool {
    if answer.len() >= sentence.len() {
        return false;
    }
    let mut shortest = 0;
    for chunk in sentence.utf8_chunks() {
        for character in chunk.valid().chars() {
            let upper: usize = character.to_uppercase().map(char::len_utf8).sum();
            shortest += upper.min(character.len_utf8());
        }
        shortest += chunk.invalid().len();
    }
    answer.len() < shortest
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test")]
mod tests {
    use super::is_admissible;

    #[track_caller]
    fn check(expected: bool, peers: &[&str]) {
        for peer in peers {
            let parsed = peer.parse().expect(peer);
            assert_eq!(is_admissible(parsed, 12000), expected, "{peer}");
        }
    }

    #[test]
    fn clients_are_answered() {
        check(
            true,
            &[
                "127.0.0.1:1024",
                "127.0.0.2:11999",
                "10.1.2.3:65535",
                "[::1]:12001",
                "[::ffff:10.0.0.1]:5000",
            ],
        );
    }

    #[test]
    fn servers_are_not_answered() {
        check(
            false,
            &[
                "127.0.0.1:0",
                "10.1.2.3:7",
                "[2001:db8::1]:1023",
                "127.0.0.2:12000",
                "[::1]:12000",
            ],
        );
    }

    #[test]
    fn groups_are_not_answered() {
        check(
            false,
            &[
                "0.0.0.0:5000",
                "[::]:5000",
                "224.0.0.1:5000",
                "[ff02::1]:5000",
                "255.255.255.255:5000",
            ],
        );
        check(
            false,
            &[
                "[::ffff:0.0.0.0]:5000",
                "[::ffff:224.0.0.1]:5000",
                "[::ffff:255.255.255.255]:5000",
            ],
        );
    }
}
