//! UDP: one datagram is one sentence, and gets one answer.

use std::fmt::Arguments;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::Event;
use crate::retry::{nothing_yet, persist, retry, try_each};
use crate::uppercase::convert;

/// The bytes that a datagram carries at most over IPv4: 65,535 less 20 of IP's header and 8 of UDP's (RFC 768, 791).
pub const MAX_DATAGRAM: usize = 65_507;

/// Room for any datagram of either family: UDP's length field has 16 bits.
const LARGEST: usize = 65_535;

/// Answers every datagram that reaches `socket`, which is bound to the server's port, for ever.
///
/// No answer goes to a source that may be another server, so that no forged datagram can make two servers answer each
/// other for ever (CVE-1999-0103, CVE-2024-2169): to port 0, a port below 1024, the server's own port, or a multicast,
/// broadcast or unspecified address. Nor is an answer sent that no longer fits in a datagram. `observer` is told of
/// every datagram and what became of it. A failing send is passed over; a failing receive is tried again after a pause
/// of 5 ms, doubled up to 1 s.
pub fn serve(socket: &UdpSocket, observer: impl Fn(Event)) -> ! {
    // Port 0, which is never answered anyway, stands in for an address that the system will not tell.
    let own_port = socket.local_addr().map_or(0, |address| address.port());
    let (mut datagram, mut answer) = (vec![0; LARGEST], Vec::with_capacity(3 * LARGEST));
    let tell = |step: Arguments| observer(Ok(step));
    loop {
        // The datagram, and the source address that the system attached.
        let (read, peer) = persist(&observer, || socket.recv_from(&mut datagram));
        if !is_admissible(peer, own_port) {
            tell(format_args!("{peer}: ignored, it may be another server"));
            continue;
        }
        answer.clear();
        convert(&datagram[..read], true, &mut answer);
        match retry(|| socket.send_to(&answer, peer)) {
            Ok(sent) => tell(format_args!("{peer}: {read} bytes in, {sent} bytes out")),
            Err(error) => tell(format_args!("{peer}: cannot send the answer: {error}")),
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

/// A client that sends one line at a time and waits for its answer, sending again what may be lost.
///
/// Each line has a connected socket of its own, with a port that none of the last 64 sockets had: a stranger's datagram
/// never counts as an answer, a closed port is reported at once, and an answer that is late or doubled reaches no later
/// line.
#[derive(Debug)]
pub struct Client {
    /// The server's addresses; only the one that answered, once one has.
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    observer: fn(Arguments),
    /// How long the next line waits before it is sent again.
    wait: Duration,
    /// The sockets of the last lines, the newest in front: as long as they are open, no other can have their ports.
    sockets: Vec<UdpSocket>,
    answer: Vec<u8>,
}

impl Client {
    /// Returns a client of the server at `addresses`, tried in turn until one answers, that waits at most `timeout` for
    /// an answer, whatever the number of addresses. `observer` is told of each try.
    pub fn new(addresses: Vec<SocketAddr>, timeout: Duration, observer: fn(Arguments)) -> Self {
        Self {
            addresses,
            timeout,
            observer,
            wait: LONGEST_WAIT,
            sockets: Vec::new(),
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
        let (addresses, timeout) = (self.addresses.clone(), self.timeout);
        let exchange = |to, share| self.exchange(to, line, share);
        let size = try_each(&addresses, timeout, exchange)?;
        Ok(&self.answer[..size])
    }

    /// Sends `line` from a new socket until an answer comes, or `timeout` is over.
    fn exchange(&mut self, to: SocketAddr, line: &[u8], timeout: Duration) -> io::Result<usize> {
        let deadline = Instant::now() + timeout;
        let any_port = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any_port)?;
        socket.connect(to)?;
        let (local, peer) = (socket.local_addr()?, socket.peer_addr()?);
        if local == peer {
            // Where nothing listens, the system may give out that very port, and UDP connects it to itself.
            return Err(ErrorKind::ConnectionRefused.into());
        }
        // More lines than answers are late by, and few enough for the usual limits, 256 descriptors and more.
        self.sockets.truncate(63);
        self.sockets.insert(0, socket);
        let socket = &self.sockets[0];
        let (mut tries, mut sent) = (0, Instant::now());
        let (mut wait, mut next_wait) = (Duration::ZERO, self.wait);
        loop {
            if sent.elapsed() >= wait {
                (tries, sent) = (tries + 1, Instant::now());
                (wait, next_wait) = (next_wait, LONGEST_WAIT.min(next_wait * 2));
                retry(|| socket.send(line))?;
                (self.observer)(format_args!("{local} to {peer}: sent, try {tries}"));
            }
            let now = Instant::now();
            let left = deadline.min(sent + wait).saturating_duration_since(now);
            socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match socket.recv_from(&mut self.answer) {
                // A stranger's may have come between bind and connect. No upper case is empty, but some balancers send
                // that for a server that is down.
                Ok((size, from)) if from == peer && (size > 0 || line.is_empty()) => {
                    // Which try an answer belongs to is certain only when there was one (Karn's algorithm).
                    if tries == 1 {
                        self.wait = (sent.elapsed() * 3).clamp(SHORTEST_WAIT, LONGEST_WAIT);
                    }
                    self.addresses = vec![to];
                    return Ok(size);
                }
                Err(error) if !nothing_yet(&error) => return Err(error),
                // Looked for at least once after the deadline: the process may have been stopped before it.
                _ if now >= deadline => return Err(ErrorKind::TimedOut.into()),
                _ => {}
            }
        }
    }
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
