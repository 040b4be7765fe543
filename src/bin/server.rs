//! `server`: upper-cases every UDP datagram and TCP byte stream that reaches it, and sends the result back.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use uppercase_echo::{DEFAULT_PORT, Event, tcp, udp};

use common::Protocol;

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
    /// per listening address, 1 to 4096
    #[arg(long, verbatim_doc_comment, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    max_connections: u16,
    /// Close a TCP connection that stays
    /// silent this long
    #[arg(verbatim_doc_comment, long, value_name = "SECONDS", default_value = "300", value_parser = common::seconds)]
    idle_timeout: Duration,
    /// Report every request on stderr
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    match start(&Args::parse()) {
        // The threads serve until the process is killed.
        Ok(()) => loop {
            thread::park();
        },
        Err(error) => common::fail(&error),
    }
}

/// Binds all sockets, starts all threads, and then announces them.
fn start(args: &Args) -> Result<()> {
    let addresses = common::resolve(&args.host, args.port)?;
    let protocols: &[_] = match (args.udp, args.tcp) {
        (true, false) => &[Protocol::Udp],
        (false, true) => &[Protocol::Tcp],
        // Neither flag means both.
        _ => &[Protocol::Udp, Protocol::Tcp],
    };
    let sockets = bind(&addresses, protocols)?;
    for skipped in &sockets.skipped {
        common::note(format_args!("note: {skipped}"));
    }
    let names = sockets.names()?;
    let reporter = Arc::new(Reporter {
        verbose: args.verbose,
        last_trouble: Mutex::new(None),
    });
    // TCP first: of its many threads one may not start, and then no datagram shall have been answered.
    for listener in sockets.tcp {
        serve_tcp(listener, args, &reporter)?;
    }
    for socket in sockets.udp {
        serve_udp(socket, &reporter)?;
    }
    for name in names {
        // Nobody has to read stdout: the server goes on without it.
        let _ = writeln!(io::stdout(), "The server is ready to receive on {name}");
    }
    Ok(())
}

fn serve_tcp(listener: TcpListener, args: &Args, reporter: &Arc<Reporter>) -> Result<()> {
    let name = format!("tcp {}", listener.local_addr()?);
    let connections = NonZero::new(args.max_connections).context("--max-connections is 0")?;
    let observer = observer(&name, reporter);
    tcp::serve(listener, connections.into(), args.idle_timeout, observer).map_err(
        |error| match args.max_connections {
            1 => anyhow!("cannot start a thread for {name}: {error}"),
            n => anyhow!("cannot start {n} threads for {name}: {error}; lower --max-connections"),
        },
    )
}

fn serve_udp(socket: UdpSocket, reporter: &Arc<Reporter>) -> Result<()> {
    let name = format!("udp {}", socket.local_addr()?);
    let observer = observer(&name, reporter);
    udp::serve(socket, observer).with_context(|| format!("cannot start a thread for {name}"))
}

/// All sockets that the server listens on.
#[derive(Default)]
struct Sockets {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    /// The port that all have; `None` as long as there is no socket.
    port: Option<u16>,
    /// Where it could not listen, and why.
    skipped: Vec<String>,
}

impl Sockets {
    /// Binds one more.
    fn bind(&mut self, protocol: Protocol, address: SocketAddr) -> io::Result<()> {
        let bound = match protocol {
            Protocol::Udp => {
                let socket = UdpSocket::bind(address)?;
                let bound = socket.local_addr()?;
                self.udp.push(socket);
                bound
            }
            Protocol::Tcp => {
                let listener = TcpListener::bind(address)?;
                let bound = listener.local_addr()?;
                self.tcp.push(listener);
                bound
            }
        };
        self.port = Some(bound.port());
        Ok(())
    }

    /// Their names, such as `udp 127.0.0.1:12000`.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for socket in &self.udp {
            names.push(format!("udp {}", socket.local_addr()?));
        }
        for listener in &self.tcp {
            names.push(format!("tcp {}", listener.local_addr()?));
        }
        Ok(names)
    }
}

/// Binds a socket for each protocol and address. With port 0 all get the same free port.
fn bind(addresses: &[SocketAddr], protocols: &[Protocol]) -> Result<Sockets> {
    let wants_free_port = addresses.iter().any(|address| address.port() == 0);
    // The port that is free for the first socket may be taken for the next, but hardly a hundred times.
    let mut tries_left = if wants_free_port { 100 } else { 1 };
    loop {
        tries_left -= 1;
        match try_bind(addresses, protocols) {
            Err(_) if tries_left > 0 => {}
            result => return result,
        }
    }
}

/// Like [`bind`], once. A port in use or not permitted is an error. Another failure is only skipped, as long as one
/// address remains for each protocol.
fn try_bind(addresses: &[SocketAddr], protocols: &[Protocol]) -> Result<Sockets> {
    let mut sockets = Sockets::default();
    for &protocol in protocols {
        let mut failures = Vec::new();
        for &(mut address) in addresses {
            address.set_port(sockets.port.unwrap_or(address.port()));
            let Err(error) = sockets.bind(protocol, address) else {
                continue;
            };
            let kind = error.kind();
            if matches!(kind, ErrorKind::AddrInUse | ErrorKind::PermissionDenied) {
                let name = format!("{protocol} {address}");
                return Err(error).with_context(|| format!("cannot listen on {name}"));
            }
            // localhost and the names of other machines have addresses that this machine need not have.
            if kind != ErrorKind::AddrNotAvailable {
                sockets
                    .skipped
                    .push(format!("not listening on {protocol} {address}: {error}"));
            }
            failures.push((address, error));
        }
        if failures.len() == addresses.len() {
            let (address, error) = failures
                .into_iter()
                .next()
                .context("the host has no address")?;
            return Err(error).with_context(|| format!("cannot listen on {protocol} {address}"));
        }
    }
    Ok(sockets)
}

/// Trouble that was not heard of for so long has ended: while it lasts, the library tells of it about once a second.
const TROUBLE_ENDS_AFTER: Duration = Duration::from_secs(2);

/// Reports the events of all sockets on stderr: every step if `verbose`, and trouble when it begins.
struct Reporter {
    verbose: bool,
    /// When trouble was last heard of. It is locked while a report of it is written, and others go on without: so a
    /// stderr that nobody reads holds up one thread at most.
    last_trouble: Mutex<Option<Instant>>,
}

impl Reporter {
    fn report(&self, socket: &str, event: Event) {
        match event {
            Event::Step(_) if self.verbose => common::note(format_args!("{socket}: {event}")),
            Event::Step(_) => {}
            Event::Stalled(_) => self.report_trouble(socket, event),
        }
    }

    fn report_trouble(&self, socket: &str, event: Event) {
        let Ok(mut last_trouble) = self.last_trouble.try_lock() else {
            return;
        };
        let is_known = last_trouble.is_some_and(|last| last.elapsed() < TROUBLE_ENDS_AFTER);
        if !is_known {
            common::note(format_args!("{socket}: {event}"));
        }
        *last_trouble = Some(Instant::now());
    }
}

/// Returns the observer of one socket.
fn observer(socket: &str, reporter: &Arc<Reporter>) -> impl Fn(Event) + use<> {
    let socket = socket.to_owned();
    let reporter = Arc::clone(reporter);
    move |event| reporter.report(&socket, event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Protocol::{Tcp, Udp};

    /// The names of what is bound for `addresses`, with the port as `P`, where it is the same for all.
    #[track_caller]
    fn check(addresses: &[&str], protocols: &[Protocol], expected: &[&str]) {
        let parsed: Vec<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let sockets = bind(&parsed, protocols).unwrap();
        let port = sockets.port.unwrap().to_string();
        let names = sockets.names().unwrap();
        let names: Vec<_> = names.iter().map(|name| name.replace(&port, "P")).collect();
        assert_eq!(names, expected);
        assert_eq!(sockets.skipped, [""; 0]);
    }

    #[test]
    fn the_least_and_the_most_of_each_flag() {
        let flags = "server --max-connections 4096 --idle-timeout 86400";
        let args = Args::try_parse_from(flags.split(' ')).unwrap();
        assert_eq!(args.max_connections, 4096);
        assert_eq!(args.idle_timeout, Duration::from_secs(86_400));
        let flags = "server --max-connections 1 --idle-timeout 0.001";
        let args = Args::try_parse_from(flags.split(' ')).unwrap();
        assert_eq!(args.max_connections, 1);
        assert_eq!(args.idle_timeout, Duration::from_millis(1));
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

    // Elsewhere 127.0.0.2 is not there without configuring.
    #[test]
    #[cfg(target_os = "linux")]
    fn one_port_for_every_address() {
        let addresses = ["127.0.0.1:0", "127.0.0.2:0"];
        check(&addresses, &[Udp], &["udp 127.0.0.1:P", "udp 127.0.0.2:P"]);
        check(&addresses, &[Tcp], &["tcp 127.0.0.1:P", "tcp 127.0.0.2:P"]);
    }

    #[test]
    fn another_machines_address_is_skipped() {
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
