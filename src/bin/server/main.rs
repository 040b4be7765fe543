//! `server`: upper-cases every UDP datagram and TCP byte stream that reaches it, and sends the
//! result back.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Parser;
use uppercase_echo::{DEFAULT_PORT, Event, tcp, udp};

#[path = "../common/mod.rs"]
mod common;
mod sockets;

use sockets::Socket;

const HELP: &str = "\
Examples:
  server --udp --host 0.0.0.0   Serve UDP to other machines, too
  server --tcp --port 0         Take a free port and print it

Without --udp and --tcp it serves both. It runs until it is stopped (Ctrl-C).
Exit status: 1 if it cannot start, 2 for bad usage.";

// The comments of the fields are the text that `--help` prints. The attributes are clap's: see the
// documentation of its derive macros.
/// Upper-case echo server: answers what it receives in upper case
#[derive(Parser)]
#[command(name = "server", version, after_help = HELP)]
struct Args {
    /// Serve UDP
    #[arg(short, long)]
    udp: bool,
    /// Serve TCP
    #[arg(short, long)]
    tcp: bool,
    /// Address to listen on
    #[arg(long, default_value = "localhost")]
    host: String,
    /// Port; 0 takes a free one
    #[arg(short, long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// TCP connections per address
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    max_connections: u16,
    /// Longest silence of a connection
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = common::seconds)]
    idle_timeout: Duration,
    /// Report every request on stderr
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    if let Err(error) = start(&Args::parse()) {
        return common::fail(&error);
    }
    // The threads serve until the process is stopped. `park` may return without a reason.
    loop {
        thread::park();
    }
}

/// Binds all sockets, starts all threads, and then announces the sockets.
fn start(args: &Args) -> Result<()> {
    let addresses = common::resolve(&args.host, args.port)?;
    let both = !args.udp && !args.tcp;
    let sockets = sockets::bind(&addresses, args.port, args.udp || both, args.tcp || both)?;

    let mut names = Vec::new();
    for (name, socket) in sockets.bound {
        let observer = observer(&name, args.verbose);
        match socket {
            Socket::Udp(socket) => udp::serve(socket, observer)
                .map_err(|error| anyhow!("cannot start a thread for {name}: {error}"))?,
            Socket::Tcp(listener) => {
                let n = usize::from(args.max_connections);
                tcp::serve(listener, n, args.idle_timeout, observer).map_err(|error| {
                    anyhow!("cannot start {n} threads for {name}: {error}; lower --max-connections")
                })?;
            }
        }
        names.push(name);
    }

    for name in names {
        // Nobody has to read stdout. (`Stdout` is flushed at each newline.)
        let _ = writeln!(io::stdout(), "The server is ready to receive on {name}");
    }
    // Last, because a stderr that nobody reads may block this thread.
    for skipped in sockets.skipped {
        common::note(format_args!("note: {skipped}"));
    }
    Ok(())
}

/// Returns the observer of one socket. Without `--verbose` it reports only what the operator must
/// know.
fn observer(socket_name: &str, is_verbose: bool) -> impl Fn(Event) + Send + Sync + 'static {
    let socket_name = socket_name.to_owned();
    move |event| {
        if is_verbose || matches!(event, Event::CannotServe { .. }) {
            common::note(format_args!("{socket_name}: {event}"));
        }
    }
}
