//! `server`: upper-cases every UDP datagram and TCP byte stream that reaches it, and sends the result back.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::panic;
use std::process::{ExitCode, exit};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use uppercase_echo::{DEFAULT_PORT, Event, tcp, udp};

mod common;

/// Upper-case echo server: answers what it receives in upper case
#[derive(Parser)]
#[command(
    version,
    allow_negative_numbers = true,
    after_help = "\
Examples:
  server                      Serve UDP and TCP on localhost, port 12000
  server --udp --host ::      Serve UDP to other machines too
  server --tcp --port 0       Take a free port and print it

Without --udp and --tcp it serves both. It ends only when it is killed.
Exit status: 1 if it cannot start, 2 for bad usage."
)]
struct Args {
    /// Serve UDP
    #[arg(short, long)]
    udp: bool,
    /// Serve TCP
    #[arg(short, long)]
    tcp: bool,
    /// Name or address
    /// to listen on
    #[arg(long, verbatim_doc_comment, default_value = "localhost")]
    host: String,
    /// Port to listen on;
    /// 0 takes a free one
    #[arg(short, long, verbatim_doc_comment, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// TCP connections served at once,
    /// per listening address
    #[arg(long, verbatim_doc_comment, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// Close a TCP connection that stays
    /// silent this long
    #[arg(verbatim_doc_comment, long, value_name = "SECONDS", default_value = "300", value_parser = common::seconds)]
    idle_timeout: Duration,
    /// Report every request on stderr
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    common::exit_code(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let addresses = (args.host.as_str(), args.port).to_socket_addrs();
    let addresses: Vec<_> = addresses
        .with_context(|| format!("cannot resolve {}", args.host))?
        .collect();
    let both = args.udp == args.tcp;
    let sockets = bind(&addresses, args.udp || both, args.tcp || both)?;
    let names: Vec<_> = sockets
        .iter()
        .map(|(name, _)| format!("The server is ready to receive on {name}\n"))
        .collect();
    // TCP first: its many threads are what may fail, and then no datagram shall have been answered.
    for (name, socket) in sockets.into_iter().rev() {
        let observer = observer(name, args.verbose);
        match socket {
            Socket::Tcp(listener) => {
                let n = args.max_connections;
                // A thread for whose signal stack there is no memory panics before it runs any code of ours.
                panic::set_hook(Box::new(move |_| cannot_start(n, name)));
                if tcp::serve(listener, n as usize, args.idle_timeout, observer).is_err() {
                    cannot_start(n, name);
                }
                drop(panic::take_hook());
            }
            Socket::Udp(socket) => {
                thread::Builder::new()
                    .spawn(move || udp::serve(&socket, observer))
                    .with_context(|| format!("cannot start a thread for {name}"))?;
            }
        }
    }
    for line in names {
        // Nobody has to read stdout: the server goes on without it.
        let _ = io::stdout()
            .write_all(line.as_bytes())
            .and_then(|()| io::stdout().flush());
    }
    loop {
        thread::park();
    }
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpListener),
}

/// A socket's protocol and address, as in `udp 127.0.0.1:12000`.
#[derive(Clone, Copy)]
struct Name(&'static str, SocketAddr);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

/// Binds a socket for each protocol and address, each once; with port 0, all to one port that is free for all.
///
/// A port in use or not permitted is an error; an address that this machine does not have is passed over as long as
/// another remains.
fn bind(addresses: &[SocketAddr], udp: bool, tcp: bool) -> Result<Vec<(Name, Socket)>> {
    // A free port of the one protocol may be taken for the other, but hardly a hundred times in a row.
    let is_free = addresses.iter().any(|address| address.port() == 0);
    for _ in 0..if is_free { 99 } else { 0 } {
        match try_bind(addresses, udp, tcp) {
            Err(error) if is_kind(&error, &[ErrorKind::AddrInUse]) => {}
            result => return result,
        }
    }
    try_bind(addresses, udp, tcp)
}

fn try_bind(addresses: &[SocketAddr], udp: bool, tcp: bool) -> Result<Vec<(Name, Socket)>> {
    let mut sockets = Vec::new();
    let mut seen: Vec<IpAddr> = Vec::new();
    let mut port = None;
    let mut failure = None;
    for protocol in [udp.then_some("udp"), tcp.then_some("tcp")]
        .into_iter()
        .flatten()
    {
        let bound = sockets.len();
        seen.clear();
        for &(mut address) in addresses {
            if seen.contains(&address.ip()) {
                continue;
            }
            seen.push(address.ip());
            address.set_port(port.unwrap_or(address.port()));
            let socket = if protocol == "udp" {
                UdpSocket::bind(address)
                    .and_then(|socket| Ok((socket.local_addr()?, Socket::Udp(socket))))
            } else {
                TcpListener::bind(address)
                    .and_then(|socket| Ok((socket.local_addr()?, Socket::Tcp(socket))))
            };
            let socket =
                socket.with_context(|| format!("cannot listen on {}", Name(protocol, address)));
            match socket {
                Ok((address, socket)) => {
                    port = Some(address.port());
                    sockets.push((Name(protocol, address), socket));
                }
                Err(error)
                    if is_kind(&error, &[ErrorKind::AddrInUse, ErrorKind::PermissionDenied]) =>
                {
                    return Err(error);
                }
                Err(error) => failure = Some(error),
            }
        }
        if sockets.len() == bound {
            return Err(failure.unwrap_or_else(|| anyhow::anyhow!("the host has no address")));
        }
    }
    Ok(sockets)
}

fn is_kind(error: &anyhow::Error, kinds: &[ErrorKind]) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| kinds.contains(&error.kind()))
}

/// Returns what tells of a socket's events: of all if `verbose`, otherwise only of trouble, when it begins.
fn observer(name: Name, verbose: bool) -> impl Fn(Event) {
    let last = Mutex::new(None::<Instant>);
    move |event| {
        let tell = match event {
            // While it lasts it is reported at least once a second: after two seconds of silence it is another.
            Event::Failing(_) => {
                let before = last
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .replace(Instant::now());
                before.is_none_or(|before| before.elapsed() > Duration::from_secs(2))
            }
            _ => verbose,
        };
        if tell {
            common::note(&format!("{name}: {event}"));
        }
    }
}

/// Ends the program; one line is enough when several threads cannot be started.
fn cannot_start(n: u32, name: Name) -> ! {
    static FIRST: Mutex<()> = Mutex::new(());
    let _first = FIRST.lock();
    common::note(&format!(
        "error: cannot start {n} threads for {name}; lower --max-connections"
    ));
    exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of what is bound for `addresses`, with the port as `P`, where it is the same for all.
    #[track_caller]
    fn check(addresses: &[&str], udp: bool, tcp: bool, expected: &[&str]) {
        let addresses: Vec<_> = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        let sockets = bind(&addresses, udp, tcp).unwrap();
        let port = sockets[0].0.1.port();
        let names: Vec<_> = sockets
            .iter()
            .map(|(name, _)| name.to_string().replace(&port.to_string(), "P"))
            .collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn every_address_once_and_one_port() {
        check(
            &["127.0.0.1:0"],
            true,
            true,
            &["udp 127.0.0.1:P", "tcp 127.0.0.1:P"],
        );
        let addresses = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"];
        check(
            &addresses,
            true,
            false,
            &["udp 127.0.0.1:P", "udp 127.0.0.2:P"],
        );
        check(
            &addresses,
            false,
            true,
            &["tcp 127.0.0.1:P", "tcp 127.0.0.2:P"],
        );
    }

    #[test]
    fn another_machines_address_is_passed_over() {
        check(
            &["192.0.2.1:0", "127.0.0.1:0"],
            true,
            true,
            &["udp 127.0.0.1:P", "tcp 127.0.0.1:P"],
        );
        let error = bind(&["192.0.2.1:12000".parse().unwrap()], true, true)
            .err()
            .unwrap();
        assert!(
            format!("{error:#}").starts_with("cannot listen on udp 192.0.2.1:12000: "),
            "{error:#}"
        );
    }

    #[test]
    fn a_port_in_use_is_fatal_even_if_another_address_remains() {
        let kept = UdpSocket::bind("127.0.0.2:0").unwrap();
        let taken = kept.local_addr().unwrap();
        let first = SocketAddr::from(([127, 0, 0, 1], taken.port()));
        let error = bind(&[first, taken], true, false).err().unwrap();
        assert!(
            format!("{error:#}").starts_with(&format!("cannot listen on udp {taken}: ")),
            "{error:#}"
        );
    }
}
