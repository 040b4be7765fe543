//! Binds the sockets that the server listens on.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use anyhow::{Error, Result, anyhow};

use crate::common::Protocol;

/// All sockets that the server listens on.
#[derive(Default)]
pub(crate) struct Sockets {
    /// Each with its name, such as `udp 127.0.0.1:12000`.
    pub(crate) udp: Vec<(String, UdpSocket)>,
    pub(crate) tcp: Vec<(String, TcpListener)>,
    /// All names, in the order in which the sockets were bound.
    pub(crate) names: Vec<String>,
    /// The failures that are no reason to give up, but that the operator should know.
    pub(crate) skipped: Vec<String>,
    /// The port of all sockets. `None` while there is no socket.
    port: Option<u16>,
}

impl Sockets {
    /// Binds one more socket.
    fn add(&mut self, protocol: Protocol, address: SocketAddr) -> io::Result<()> {
        let bound_address = match protocol {
            Protocol::Udp => {
                let socket = UdpSocket::bind(address)?;
                let bound_address = socket.local_addr()?;
                self.udp.push((format!("udp {bound_address}"), socket));
                bound_address
            }
            Protocol::Tcp => {
                let listener = TcpListener::bind(address)?;
                let bound_address = listener.local_addr()?;
                self.tcp.push((format!("tcp {bound_address}"), listener));
                bound_address
            }
        };
        self.names.push(format!("{protocol} {bound_address}"));
        self.port = Some(bound_address.port());
        Ok(())
    }
}

/// Binds a socket for each protocol and each address. If the port is 0, all of them get the same
/// free port.
pub(crate) fn bind(addresses: &[SocketAddr], protocols: &[Protocol]) -> Result<Sockets> {
    // The system chooses a port that is free for the first socket. But another program may have
    // that port for the next socket. So if something fails, all is tried again, with another port.
    // A hundred tries are practically always enough.
    let wants_free_port = addresses.iter().any(|address| address.port() == 0);
    let mut tries_left = if wants_free_port { 100 } else { 1 };
    loop {
        tries_left -= 1;
        match try_bind(addresses, protocols) {
            Err(_) if tries_left > 0 => {}
            result => return result,
        }
    }
}

/// Tries once to [`bind`].
fn try_bind(addresses: &[SocketAddr], protocols: &[Protocol]) -> Result<Sockets> {
    let mut sockets = Sockets::default();
    for &protocol in protocols {
        bind_protocol(protocol, addresses, &mut sockets)?;
    }
    Ok(sockets)
}

/// Binds a socket for each address.
///
/// A port that is in use or not permitted is an error. Any other failure is not, as long as one
/// address remains.
fn bind_protocol(
    protocol: Protocol,
    addresses: &[SocketAddr],
    sockets: &mut Sockets,
) -> Result<()> {
    let mut has_socket = false;
    let mut first_failure = None;
    for address in addresses {
        let mut address = *address;
        if let Some(port) = sockets.port {
            address.set_port(port);
        }
        let error = match sockets.add(protocol, address) {
            Ok(()) => {
                has_socket = true;
                continue;
            }
            Err(error) => error,
        };
        // `failure` takes the error, so its parts are asked first.
        let kind = error.kind();
        let reason = error.to_string();
        let failure = Error::new(error).context(format!("cannot listen on {protocol} {address}"));
        if is_fatal(kind) {
            return Err(failure);
        }
        // A name may have addresses that this machine does not have. Nobody misses them.
        if kind != ErrorKind::AddrNotAvailable {
            sockets
                .skipped
                .push(format!("not listening on {protocol} {address}: {reason}"));
        }
        if first_failure.is_none() {
            first_failure = Some(failure);
        }
    }
    if has_socket {
        return Ok(());
    }
    Err(first_failure.unwrap_or_else(|| anyhow!("the host has no address")))
}

/// Returns whether the server shall not start after such a failure, even if it could listen on
/// another address.
fn is_fatal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Protocol::{Tcp, Udp};

    /// Binds these addresses, and compares the names of the sockets. `P` stands for the port, which
    /// must be the same for all.
    #[track_caller]
    fn check(addresses: &[&str], protocols: &[Protocol], expected: &[&str]) {
        let parsed: Vec<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let sockets = bind(&parsed, protocols).unwrap();
        let port = sockets.port.unwrap().to_string();
        let names: Vec<_> = sockets
            .names
            .iter()
            .map(|name| name.replace(&port, "P"))
            .collect();
        assert_eq!(names, expected);
        assert!(sockets.skipped.is_empty(), "{:?}", sockets.skipped);
    }

    #[track_caller]
    fn check_error(addresses: &[SocketAddr], expected: &str) {
        let error = bind(addresses, &[Udp, Tcp]).err().unwrap();
        assert!(format!("{error:#}").starts_with(expected), "{error:#}");
    }

    #[test]
    fn one_port_for_both_protocols() {
        check(
            &["127.0.0.1:0"],
            &[Udp, Tcp],
            &["udp 127.0.0.1:P", "tcp 127.0.0.1:P"],
        );
    }

    // Other systems have 127.0.0.2 only if it is configured.
    #[test]
    #[cfg(target_os = "linux")]
    fn one_port_for_every_address() {
        let addresses = ["127.0.0.1:0", "127.0.0.2:0"];
        check(&addresses, &[Udp], &["udp 127.0.0.1:P", "udp 127.0.0.2:P"]);
        check(&addresses, &[Tcp], &["tcp 127.0.0.1:P", "tcp 127.0.0.2:P"]);
    }

    #[test]
    fn a_port_in_use_or_not_permitted_is_fatal() {
        assert!(is_fatal(ErrorKind::AddrInUse));
        assert!(is_fatal(ErrorKind::PermissionDenied));
        assert!(!is_fatal(ErrorKind::AddrNotAvailable));
        assert!(!is_fatal(ErrorKind::OutOfMemory));
    }

    #[test]
    fn another_machines_address_is_skipped_in_silence() {
        let both = ["udp 127.0.0.1:P", "tcp 127.0.0.1:P"];
        check(&["192.0.2.1:0", "127.0.0.1:0"], &[Udp, Tcp], &both);
        let only = "192.0.2.1:12000".parse().unwrap();
        check_error(&[only], "cannot listen on udp 192.0.2.1:12000: ");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_port_in_use_is_fatal_even_if_another_address_remains() {
        let kept = UdpSocket::bind("127.0.0.2:0").unwrap();
        let taken = kept.local_addr().unwrap();
        let first = SocketAddr::from(([127, 0, 0, 1], taken.port()));
        check_error(&[first, taken], &format!("cannot listen on udp {taken}: "));
    }
}
