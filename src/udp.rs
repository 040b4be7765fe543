//! UDP: one datagram is one sentence, and gets one answer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::Event;
use crate::event::{Backoff, timed_out};
use crate::uppercase::uppercase_into;
use crate::{retry, try_each};

/// The bytes that a datagram carries at most over IPv4: 65,535 less 20 of IP's header and 8 of UDP's (RFC 768, 791).
pub const MAX_DATAGRAM: usize = 65_507;

/// Room for any datagram of either family: UDP's length field has 16 bits.
const LARGEST: usize = 65_535;

/// Answers every datagram that reaches `socket`, for ever.
///
/// `observer` is told of each datagram after its answer was sent. Not answered are sources that may be another server,
/// so that no forged datagram can make two servers answer each other for ever (CVE-1999-0103, CVE-2024-2169), and
/// datagrams whose upper case no longer fits in one. A failing send is passed over; a failing receive is
/// tried again after a pause of 5 ms, doubled up to 1 s.
pub fn serve(socket: &UdpSocket, observer: impl Fn(Event)) -> ! {
    // Port 0, which is never answered anyway, stands in for an address that the system will not tell.
    let own_port = socket.local_addr().map_or(0, |address| address.port());
    let mut backoff = Backoff::default();
    let mut datagram = vec![0; LARGEST];
    let mut answer = Vec::with_capacity(3 * LARGEST);
    loop {
        let Some((received, peer)) = backoff.check(socket.recv_from(&mut datagram), &observer)
        else {
            continue;
        };
        if !is_admissible(peer, own_port) {
            observer(Event::Ignored(peer));
            continue;
        }
        answer.clear();
        uppercase_into(datagram.get(..received).unwrap_or_default(), &mut answer);
        match retry(|| socket.send_to(&answer, peer)) {
            Ok(sent) => observer(Event::Answered(peer, received, sent)),
            Err(error) => observer(Event::Unsent(peer, &error)),
        }
    }
}

/// Whether `peer` may be answered by a server on `own_port`: it is one host, and not a server itself.
fn is_admissible(peer: SocketAddr, own_port: u16) -> bool {
    // Below 1024 are the system's services, echo, chargen and DNS among them; they answer whatever they get.
    let port = peer.port() >= 1024 && peer.port() != own_port;
    let ip = peer.ip().to_canonical();
    port && !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// The first wait for an answer while none has been timed, and the longest: TCP's own first wait (RFC 6298).
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The shortest wait: less would send again what a busy machine is only slow to answer.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// Sockets, and so ports, of earlier lines that are kept from use: few enough for any limit of descriptors.
const KEPT: usize = 64;

/// A client that sends one line at a time and waits for its answer, sending again what may be lost.
///
/// Each line has a connected socket of its own, with a port that none of the last 64 had: a stranger's datagram never
/// counts as an answer, a closed port is reported at once, and an answer that is late or doubled reaches no later line.
#[derive(Debug)]
pub struct Client {
    /// The server's addresses; only the one that answered, once one has.
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    wait: Duration,
    /// The sockets of the last lines, the newest in front: as long as they are open, no other can have their ports.
    sockets: VecDeque<UdpSocket>,
    answer: Vec<u8>,
}

impl Client {
    /// Returns a client of the server at `addresses`, tried in turn until one answers, that waits `timeout` for each
    /// answer.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>, timeout: Duration) -> Self {
        Self {
            addresses,
            timeout,
            wait: LONGEST_WAIT,
            sockets: VecDeque::new(),
            answer: vec![0; LARGEST],
        }
    }

    /// Returns the answer to `line`.
    ///
    /// Sends again after 1 s, or once an answer has been timed, after three times that round trip but at least 200 ms,
    /// and doubles each wait up to 1 s. Each address has an equal share of the time that is left.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](ErrorKind::TimedOut) if no answer came in time, [`ConnectionRefused`](ErrorKind::ConnectionRefused)
    /// if nothing listens there, or what the system says.
    pub fn ask(&mut self, line: &[u8]) -> io::Result<&[u8]> {
        let addresses = self.addresses.clone();
        let (address, size) = try_each(&addresses, self.timeout, |address, share| {
            self.exchange(address, line, share)
        })?;
        self.addresses = vec![address];
        Ok(self.answer.get(..size).unwrap_or_default())
    }

    /// Returns the socket of the last line.
    #[must_use]
    pub fn socket(&self) -> Option<&UdpSocket> {
        self.sockets.front()
    }

    fn exchange(
        &mut self,
        address: SocketAddr,
        line: &[u8],
        timeout: Duration,
    ) -> io::Result<usize> {
        let any = if address.is_ipv4() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(address)?;
        if socket.local_addr()? == address {
            // Where nothing listens, the system may give out that very port, and UDP connects it to itself.
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let result = self.converse(&socket, line, Instant::now() + timeout);
        self.sockets.truncate(KEPT - 1);
        self.sockets.push_front(socket);
        result
    }

    /// Sends `line` until an answer comes or `deadline` is over.
    fn converse(
        &mut self,
        socket: &UdpSocket,
        line: &[u8],
        deadline: Instant,
    ) -> io::Result<usize> {
        // What came between bind and connect may be a stranger's, and what came before the question is no answer to it.
        socket.set_nonblocking(true)?;
        while Instant::now() < deadline && socket.recv(&mut self.answer).is_ok() {}
        socket.set_nonblocking(false)?;
        let (mut wait, mut tries) = (self.wait, 1);
        loop {
            let sent = Instant::now();
            retry(|| socket.send(line))?;
            match receive(socket, &mut self.answer, line, deadline.min(sent + wait)) {
                Err(error) if timed_out(&error) => {
                    if Instant::now() >= deadline {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    wait = LONGEST_WAIT.min(wait * 2);
                    tries += 1;
                }
                result => {
                    // Which try an answer belongs to is certain only when there was one (Karn's algorithm).
                    if result.is_ok() && tries == 1 {
                        self.wait = (sent.elapsed() * 3).clamp(SHORTEST_WAIT, LONGEST_WAIT);
                    }
                    return result;
                }
            }
        }
    }
}

/// Receives an answer to `line`; looks for it at least once, also after `until`, since the process may have been stopped.
fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
    line: &[u8],
    until: Instant,
) -> io::Result<usize> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match socket.recv(buffer) {
            // No upper case is empty, but some balancers send this for a server that is down: wait for another answer.
            Ok(0) if !line.is_empty() && !left.is_zero() => {}
            Ok(0) if !line.is_empty() => return Err(ErrorKind::TimedOut.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_admissible;

    #[track_caller]
    fn check(expected: bool, peers: &[&str]) {
        for peer in peers {
            assert_eq!(
                is_admissible(peer.parse().unwrap(), 12000),
                expected,
                "{peer}"
            );
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
