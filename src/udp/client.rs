//! The client's side of UDP.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::answer::shortest_answer;
use super::server::BUFFER_SIZE;
use crate::addresses::{says_nobody_is_there, try_each};
use crate::event::{Event, Observer, bytes};
use crate::retry::retry_interrupted;

/// The most bytes that a datagram carries over IPv4: the length field's 65,535, without IP's header
/// of 20 bytes and UDP's of 8 (RFC 791, RFC 768).
pub const MAX_DATAGRAM: usize = 65_535 - 20 - 8;

/// How long the first try waits for the answer. A server that needs longer is asked more often,
/// which does no harm.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Each wait is twice the one before, but not longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How many used sockets a client keeps open, so that their ports are not used again. An answer
/// hardly ever comes more than 64 sockets later, and a process may usually have at least 256
/// descriptors.
const KEPT_SOCKETS: usize = 64;

/// A client that asks one sentence at a time, and sends it again when no answer comes.
///
/// Each sentence has a connected socket of its own. So a stranger's datagram is no answer, and a
/// closed port is reported at once. The last 64 sockets stay open, so an answer that comes late or
/// twice does not reach a later sentence.
#[derive(Debug)]
pub struct Client {
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    observer: Observer,
    /// The address that answered the last sentence.
    answering: Option<SocketAddr>,
    /// The sockets of the last sentences, the oldest in front. While a socket is open, no other
    /// gets its port.
    used_sockets: VecDeque<UdpSocket>,
}

impl Client {
    /// Returns a client of the server at `addresses` that waits at most `timeout` for an answer.
    ///
    /// `observer` is given every [`Event`], and must not panic.
    pub fn new(
        addresses: &[SocketAddr],
        timeout: Duration,
        observer: impl Fn(Event) + Send + Sync + 'static,
    ) -> Self {
        Self {
            addresses: addresses.to_vec(),
            timeout,
            observer: Observer::new(observer),
            answering: None,
            used_sockets: VecDeque::new(),
        }
    }

    /// Sends `sentence` and returns the answer.
    ///
    /// If no answer comes, it retransmits: it waits 0.2 s, then 0.4 s, 0.8 s, and then 1 s each
    /// time. All addresses are asked in turn, each for an equal share of the time that is left.
    /// Once one has answered, only that one is asked, until it fails; then the next sentence goes
    /// to all. An empty answer to a sentence that is not empty is ignored.
    ///
    /// # Errors
    ///
    /// - [`ConnectionRefused`](ErrorKind::ConnectionRefused) if nothing is listening there.
    /// - [`TimedOut`](ErrorKind::TimedOut) if no answer came in time.
    /// - [`InvalidData`](ErrorKind::InvalidData) if the answer is shorter than any upper-casing
    ///   could make it: somebody's buffer was too short, and has cut it.
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if the sentence is longer than [`MAX_DATAGRAM`],
    ///   or the timeout is zero. Nothing is sent then.
    /// - Another error of the system: at once if it says that the server cannot be reached. Any
    ///   other failed send or receive counts as a lost datagram, and its error is returned if no
    ///   answer comes.
    pub fn ask(&mut self, sentence: &[u8]) -> io::Result<Vec<u8>> {
        if sentence.len() > MAX_DATAGRAM || self.timeout.is_zero() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let answer = self.ask_server(sentence)?;
        if answer.len() < shortest_answer(sentence) {
            let text = format!("the answer was cut to {}", bytes(answer.len()));
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        Ok(answer)
    }

    /// Asks the address that answered last, or else all.
    fn ask_server(&mut self, sentence: &[u8]) -> io::Result<Vec<u8>> {
        // `take` leaves `None`: if that address fails, the next sentence goes to all.
        let addresses = match self.answering.take() {
            Some(address) => vec![address],
            None => self.addresses.clone(),
        };
        try_each(&addresses, self.timeout, |address, share| {
            let answer = self.ask_address(address, sentence, share)?;
            self.answering = Some(address);
            Ok(answer)
        })
    }

    /// Asks at one address, from a new socket.
    fn ask_address(
        &mut self,
        address: SocketAddr,
        sentence: &[u8],
        timeout: Duration,
    ) -> io::Result<Vec<u8>> {
        let socket = open_socket(address)?;
        let port = socket.local_addr()?.port();
        // Not `address`: the system connects `0.0.0.0` to `127.0.0.1`.
        let peer = socket.peer_addr()?;
        self.observer.report(Event::Connected { port, peer });
        let answer = self.exchange(&socket, peer, sentence, timeout);
        self.used_sockets.push_back(socket);
        if self.used_sockets.len() > KEPT_SOCKETS {
            self.used_sockets.pop_front();
        }
        answer
    }

    /// Sends `sentence` again and again until the answer comes, nobody is there, or `timeout` is
    /// over.
    fn exchange(
        &self,
        socket: &UdpSocket,
        peer: SocketAddr,
        sentence: &[u8],
        timeout: Duration,
    ) -> io::Result<Vec<u8>> {
        let start = Instant::now();
        let mut failure = io::Error::from(ErrorKind::TimedOut);
        let mut wait = FIRST_WAIT;
        loop {
            let time_left = timeout.saturating_sub(start.elapsed());
            if time_left.is_zero() {
                return Err(failure);
            }
            wait = wait.min(time_left);
            let next_try = Instant::now() + wait;
            match self.try_once(socket, peer, sentence, wait) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                // How Windows reports a closed port.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Err(ErrorKind::ConnectionRefused.into());
                }
                Err(error) if says_nobody_is_there(&error) => return Err(error),
                // It counts as a lost datagram.
                Err(error) => failure = error,
            }
            // If `try_once` returned early, the next try still comes at its usual time.
            thread::sleep(next_try.saturating_duration_since(Instant::now()));
            wait = LONGEST_WAIT.min(2 * wait);
        }
    }

    /// Sends `sentence` once, and waits for the answer. Returns `None` if it has not come.
    fn try_once(
        &self,
        socket: &UdpSocket,
        peer: SocketAddr,
        sentence: &[u8],
        wait: Duration,
    ) -> io::Result<Option<Vec<u8>>> {
        let size = sentence.len();
        self.observer.report(Event::Sending { size, peer });
        socket.send(sentence)?;
        socket.set_read_timeout(Some(wait))?;
        let mut answer = vec![0; BUFFER_SIZE];
        let (size, source) = match retry_interrupted(|| socket.recv_from(&mut answer)) {
            Ok(received) => received,
            Err(error) if is_timeout(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A stranger's datagram can only have come between bind and connect. An empty one is what
        // some load balancers send for a server that is down.
        if source != peer || (size == 0 && !sentence.is_empty()) {
            return Ok(None);
        }
        self.observer.report(Event::Received { size, peer });
        answer.truncate(size);
        Ok(Some(answer))
    }
}

/// Whether the timeout of a socket is over. Unix and Windows have different words for that.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Returns a new socket that is connected to `server`. Its port is not the server's, because
/// [`serve`](super::serve) answers nobody who has the server's own port number.
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
        // The first socket is still open while the second is bound, so the ports differ.
        socket = UdpSocket::bind((any_address, 0))?;
    }
    socket.connect(server)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_failed_send_counts_as_a_lost_datagram() {
        let (sender, events) = channel();
        let observer = move |event| drop(sender.send(event));
        let client = Client::new(&[], Duration::ZERO, observer);
        // It is not connected, so each send fails at once.
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let timeout = Duration::from_millis(300);
        let start = Instant::now();
        let error = client.exchange(&socket, peer, b"x", timeout).unwrap_err();
        let cause = socket.send(b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), cause.raw_os_error());
        assert!(start.elapsed() >= timeout);
        // At the beginning, and at the usual time: after 0.2 s.
        assert_eq!(events.try_iter().count(), 2);
    }
}
