//! `server`: upper-cases every UDP datagram and TCP byte stream that reaches it, and sends the result back.

use std::io::ErrorKind::{AddrInUse, PermissionDenied};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{panic, thread};

use anyhow::{Error, Result, anyhow};
use clap::Parser;
use uppercase_echo::{DEFAULT_PORT, Event, tcp, udp, uppercase};

mod common;

const HELP: &str = "\
Examples:
  server --udp --host ::      Serve UDP to other machines too
  server --tcp --port 0       Take a free port and print it

Without --udp and --tcp it serves both. It ends only when it is killed.
Exit status: 1 if it cannot start, 2 for bad usage.";

/// Upper-case echo server: answers what it receives in upper case
#[derive(Parser)]
#[command(version, allow_negative_numbers = true, after_help = HELP)]
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

fn main() {
    run(&Args::parse()).unwrap_or_else(|error| common::fail(error));
}

fn run(args: &Args) -> Result<()> {
    let addresses = common::resolve(&args.host, args.port)?;
    let protocols: &[_] = match (args.udp, args.tcp) {
        (true, false) => &["udp"],
        (false, true) => &["tcp"],
        _ => &["udp", "tcp"],
    };
    let sockets = bind(&addresses, protocols)?;
    let ready = |(name, _): &(String, _)| format!("The server is ready to receive on {name}\n");
    let announcement: String = sockets.iter().map(ready).collect();
    // The table of upper case, of which all threads have a part, is built before anybody is served.
    drop(uppercase(b""));
    // TCP first: its many threads are what may fail, and then no datagram shall have been answered.
    for (name, socket) in sockets.into_iter().rev() {
        let (n, idle) = (args.max_connections, args.idle_timeout);
        let cannot = format!("cannot start {n} threads for {name}; lower --max-connections").leak();
        // A thread for whose signal stack there is no memory panics before it runs any code of ours.
        panic::set_hook(Box::new(|_| common::fail(&*cannot)));
        let (tell, thread) = (observer(name, args.verbose), thread::Builder::new());
        let started = match socket {
            Socket::Tcp(listener) => tcp::serve(listener, n as usize, idle, tell),
            Socket::Udp(socket) => thread.spawn(move || udp::serve(&socket, tell)).map(drop),
        };
        started.unwrap_or_else(|_| common::fail(&*cannot));
    }
    drop(panic::take_hook());
    // Nobody has to read stdout: the server goes on without it.
    let _ = io::stdout().write_all(announcement.as_bytes());
    loop {
        thread::park();
    }
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpListener),
}

/// Binds a socket for each protocol and address, each once, and names it, as in `udp 127.0.0.1:12000`; with port 0, all
/// to one port.
///
/// A port in use or not permitted is an error; an address that this machine does not have is passed over as long as
/// another remains.
fn bind(addresses: &[SocketAddr], protocols: &[&str]) -> Result<Vec<(String, Socket)>> {
    // A free port of the one protocol may be taken for the other, but hardly for the hundredth time.
    let is_free = addresses.iter().any(|address| address.port() == 0);
    let mut tries = (0..if is_free { 99 } else { 0 }).map(|_| try_bind(addresses, protocols));
    let bound = tries.find(Result::is_ok);
    bound.unwrap_or_else(|| try_bind(addresses, protocols))
}

fn try_bind(addresses: &[SocketAddr], protocols: &[&str]) -> Result<Vec<(String, Socket)>> {
    let (mut sockets, mut port) = (Vec::new(), 0);
    for &protocol in protocols {
        let (bound, mut failure) = (sockets.len(), anyhow!("the host has no address"));
        for &(mut address) in addresses {
            address.set_port(address.port().max(port));
            let name = format!("{protocol} {address}");
            if sockets.iter().any(|(other, _)| *other == name) {
                continue;
            }
            let cannot = |error| Error::new(error).context(format!("cannot listen on {name}"));
            match bind_one(protocol, address) {
                Ok((address, socket)) => {
                    port = address.port();
                    sockets.push((format!("{protocol} {address}"), socket));
                }
                Err(error) if [AddrInUse, PermissionDenied].contains(&error.kind()) => {
                    return Err(cannot(error));
                }
                Err(error) => failure = cannot(error),
            }
        }
        if sockets.len() == bound {
            return Err(failure);
        }
    }
    Ok(sockets)
}

fn bind_one(protocol: &str, address: SocketAddr) -> io::Result<(SocketAddr, Socket)> {
    if protocol == "udp" {
        let socket = UdpSocket::bind(address)?;
        return Ok((socket.local_addr()?, Socket::Udp(socket)));
    }
    let listener = TcpListener::bind(address)?;
    Ok((listener.local_addr()?, Socket::Tcp(listener)))
}

/// Returns what tells of a socket's events: of every step if `verbose`, and of trouble when it begins.
fn observer(name: String, verbose: bool) -> impl Fn(Event) {
    let (start, last) = (Instant::now(), AtomicU64::new(0));
    let now = move || start.elapsed().as_secs() + 3;
    move |event| match event {
        Ok(step) if verbose => common::note(format_args!("{name}: {step}")),
        // It is heard of at least once a second while it lasts: after two seconds of silence it is another.
        Err(error) if last.swap(now(), Relaxed) + 2 < now() => {
            common::note(format_args!("{name}: cannot serve now: {error}"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of what is bound for `addresses`, with the port as `P`, where it is the same for all.
    #[track_caller]
    fn check(addresses: &[&str], protocols: &[&str], expected: &[&str]) {
        let parsed: Vec<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let sockets = bind(&parsed, protocols).unwrap();
        let (_, port) = sockets[0].0.rsplit_once(':').unwrap();
        let names: Vec<_> = sockets.iter().map(|(n, _)| n.replace(port, "P")).collect();
        assert_eq!(names, expected);
    }

    #[track_caller]
    fn check_error(addresses: &[SocketAddr], expected: &str) {
        let error = bind(addresses, &["udp", "tcp"]).err().unwrap();
        assert!(format!("{error:#}").starts_with(expected), "{error:#}");
    }

    #[test]
    fn every_address_once_and_one_port() {
        let both = ["udp 127.0.0.1:P", "tcp 127.0.0.1:P"];
        check(&["127.0.0.1:0"], &["udp", "tcp"], &both);
        let addresses = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"];
        let udp = ["udp 127.0.0.1:P", "udp 127.0.0.2:P"];
        check(&addresses, &["udp"], &udp);
        let tcp = ["tcp 127.0.0.1:P", "tcp 127.0.0.2:P"];
        check(&addresses, &["tcp"], &tcp);
    }

    #[test]
    fn another_machines_address_is_passed_over() {
        let both = ["udp 127.0.0.1:P", "tcp 127.0.0.1:P"];
        check(&["192.0.2.1:0", "127.0.0.1:0"], &["udp", "tcp"], &both);
        let only = "192.0.2.1:12000".parse().unwrap();
        check_error(&[only], "cannot listen on udp 192.0.2.1:12000: ");
    }

    #[test]
    fn a_port_in_use_is_fatal_even_if_another_address_remains() {
        let kept = UdpSocket::bind("127.0.0.2:0").unwrap();
        let taken = kept.local_addr().unwrap();
        let first = SocketAddr::from(([127, 0, 0, 1], taken.port()));
        check_error(&[first, taken], &format!("cannot listen on udp {taken}: "));
    }
}
