//! The server's side of UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

use crate::event::{Event, Observer};
use crate::retry::retry_with_backoff;
use crate::uppercase::uppercase;

/// The size of a buffer in which every datagram fits: the length field of UDP has 16 bits.
pub(super) const BUFFER_SIZE: usize = 65_535;

/// The ports below this one belong to the system's services. Some of them, such as echo, chargen
/// and DNS, answer whatever they receive.
const FIRST_CLIENT_PORT: u16 = 1024;

/// Starts a thread that answers every client whose datagram `socket` receives, until the process
/// ends.
///
/// Some sources are no clients. Ports below 1024, and the port number of `socket` itself, may
/// belong to a server, and two servers could answer each other without end after one forged
/// datagram (CVE-1999-0103, CVE-2024-2169). Port 0, multicast addresses, `255.255.255.255`,
/// `0.0.0.0` and `::` do not belong to one client. An answer that is too long for a datagram is not
/// sent.
///
/// When a send fails, the thread goes on. When a receive fails, it tries again, with back-off.
///
/// `socket` must be blocking. `observer` is given every [`Event`], and must not panic.
///
/// # Errors
///
/// An error of the system if it cannot say the port of `socket`, or cannot start the thread.
pub fn serve(
    socket: UdpSocket,
    observer: impl Fn(Event) + Send + Sync + 'static,
) -> io::Result<()> {
    let own_port = socket.local_addr()?.port();
    let observer = Observer::new(observer);
    // `thread::spawn` would panic if the thread cannot be started.
    thread::Builder::new().spawn(move || {
        let mut datagram = vec![0; BUFFER_SIZE];
        loop {
            // The system gives the source address with the datagram: whom to answer.
            let (size, peer) = retry_with_backoff(&observer, || socket.recv_from(&mut datagram));
            observer.report(Event::Received { size, peer });
            if !is_client(peer, own_port) {
                observer.report(Event::Ignored { peer });
                continue;
            }
            let answer = uppercase(&datagram[..size]);
            let size = answer.len();
            observer.report(Event::Sending { size, peer });
            if let Err(error) = socket.send_to(&answer, peer) {
                observer.report(Event::NotSent { peer, error });
            }
        }
    })?;
    Ok(())
}

/// Whether a server on `own_port` may answer `peer`. See [`serve`].
fn is_client(peer: SocketAddr, own_port: u16) -> bool {
    // An IPv4 address in the form `::ffff:192.0.2.1` becomes `192.0.2.1`.
    let ip = peer.ip().to_canonical();
    let is_single_host =
        !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST);
    let is_client_port = peer.port() >= FIRST_CLIENT_PORT && peer.port() != own_port;
    is_single_host && is_client_port
}

#[cfg(test)]
mod tests {
    use super::is_client;

    #[track_caller]
    fn check(peer: &str, expected: bool) {
        let address = peer.parse().expect(peer);
        assert_eq!(is_client(address, 12000), expected, "{peer}");
    }

    #[test]
    fn only_clients_are_answered() {
        check("127.0.0.1:1024", true);
        check("127.0.0.2:11999", true);
        check("10.1.2.3:65535", true);
        check("[::1]:12001", true);
        check("[::ffff:10.0.0.1]:5000", true);
        // Ports of servers, and port 0.
        check("127.0.0.1:0", false);
        check("10.1.2.3:7", false);
        check("[2001:db8::1]:1023", false);
        check("127.0.0.2:12000", false);
        check("[::1]:12000", false);
        // Addresses that are not one host's.
        check("0.0.0.0:5000", false);
        check("[::]:5000", false);
        check("224.0.0.1:5000", false);
        check("[ff02::1]:5000", false);
        check("255.255.255.255:5000", false);
        check("[::ffff:0.0.0.0]:5000", false);
        check("[::ffff:224.0.0.1]:5000", false);
        check("[::ffff:255.255.255.255]:5000", false);
    }
}
