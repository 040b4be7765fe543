//! Binds the sockets that the server listens on.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use anyhow::{Result, anyhow, bail};

/// All sockets that the server listens on.
#[derive(Default)]
pub(crate) struct Sockets {
    /// Each with its name in messages, such as `udp 127.0.0.1:12000`.
    pub(crate) bound: Vec<(String, Socket)>,
    /// Which addresses of this machine could not be bound, and why.
    pub(crate) skipped: Vec<String>,
}

pub(crate) enum Socket {
    Udp(UdpSocket),
    Tcp(TcpListener),
}

impl Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(listener) => listener.local_addr(),
        }
    }
}

/// Binds a socket for each protocol and each address. If `port` is 0, all of them get the same free
/// port.
pub(crate) fn bind(addresses: &[SocketAddr], port: u16, udp: bool, tcp: bool) -> Result<Sockets> {
    // The system chooses a port that is free for the first socket. Another program may have that
    // port for the next socket. So if something fails, all are closed, and bound again to another
    // port. A hundred tries are practically always enough.
    let mut tries_left = if port == 0 { 100 } else { 1 };
    loop {
        tries_left -= 1;
        match bind_once(addresses, udp, tcp) {
            Err(_) if tries_left > 0 => {}
            result => return result,
        }
    }
}

fn bind_once(addresses: &[SocketAddr], udp: bool, tcp: bool) -> Result<Sockets> {
    let mut sockets = Sockets::default();
    if udp {
        let bind = |address| UdpSocket::bind(address).map(Socket::Udp);
        sockets.bind_each("udp", addresses, bind)?;
    }
    if tcp {
        let bind = |address| TcpListener::bind(address).map(Socket::Tcp);
        sockets.bind_each("tcp", addresses, bind)?;
    }
    Ok(sockets)
}

impl Sockets {
    /// Binds a socket for each address.
    ///
    /// A port that is in use or not permitted is an error. Another failure is not, as long as one
    /// address can be bound.
    fn bind_each(
        &mut self,
        protocol: &str,
        addresses: &[SocketAddr],
        bind: impl Fn(SocketAddr) -> io::Result<Socket>,
    ) -> Result<()> {
        let bound_before = self.bound.len();
        let mut failure = anyhow!("the host has no address");
        for address in addresses {
            let mut address = *address;
            // Before the port of the first socket is filled in.
            let hint = if address.port() == 0 {
                ""
            } else {
                "; try another --port"
            };
            if let Some((_, first)) = self.bound.first() {
                address.set_port(first.local_addr()?.port());
            }
            let error = match bind(address) {
                Ok(socket) => {
                    let bound_address = socket.local_addr()?;
                    self.bound
                        .push((format!("{protocol} {bound_address}"), socket));
                    continue;
                }
                Err(error) => error,
            };
            let name = format!("{protocol} {address}");
            match error.kind() {
                ErrorKind::AddrInUse | ErrorKind::PermissionDenied => {
                    bail!("cannot listen on {name}: {error}{hint}");
                }
                // A name may have addresses that this machine does not have. Nobody misses them.
                ErrorKind::AddrNotAvailable => {}
                _ => self
                    .skipped
                    .push(format!("not listening on {name}: {error}")),
            }
            failure = anyhow!("cannot listen on {name}: {error}");
        }
        if self.bound.len() == bound_before {
            return Err(failure);
        }
        Ok(())
    }
}
