//! `server`: upper-cases every UDP datagram and TCP byte stream that reaches it, and sends the
//! result back.

use std::io::{self, Write};
use std::net::TcpListener;
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
// Beside this file, Cargo would take sockets.rs for a third program.
#[path = "server/sockets.rs"]
mod sockets;

const HELP: &str = "\
Examples:
  server --udp --host ::      Serve UDP to other machines too
  server --tcp --port 0       Take a free port and print it

Without --udp and --tcp it serves both. It ends only when it is killed.
Exit status: 1 if it cannot start, 2 for bad usage.";

// The comments of the fields are the text that `--help` prints. The attributes are clap's: see the
// documentation of its derive macros. `verbatim_doc_comment` keeps the line breaks, `value_parser`
// names what reads and checks a value, `value_name` is the word that the help shows for it, and
// `allow_negative_numbers` makes `--port -1` a wrong port and not an unknown flag.
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
    if let Err(error) = start(&Args::parse()) {
        return common::fail(&error);
    }
    // The threads serve until the process is killed. `park` may return without a reason, hence the
    // loop.
    loop {
        thread::park();
    }
}

/// Binds all sockets, starts all threads, and then announces the sockets.
fn start(args: &Args) -> Result<()> {
    let addresses = common::resolve(&args.host, args.port)?;
    let protocols: &[Protocol] = match (args.udp, args.tcp) {
        (true, false) => &[Protocol::Udp],
        (false, true) => &[Protocol::Tcp],
        (true, true) | (false, false) => &[Protocol::Udp, Protocol::Tcp],
    };
    let bound = sockets::bind(&addresses, protocols)?;

    let reporter = Arc::new(Reporter {
        verbose: args.verbose,
        last_trouble: Mutex::new(None),
    });
    // TCP comes first, because it needs many threads. If they cannot be started, the server ends,
    // and it should not have answered any datagram before.
    for (name, listener) in bound.tcp {
        serve_tcp(&name, listener, args, &reporter)?;
    }
    for (name, socket) in bound.udp {
        let observer = observer_of(name.clone(), Arc::clone(&reporter));
        udp::serve(socket, observer)
            .with_context(|| format!("cannot start a thread for {name}"))?;
    }

    for name in bound.names {
        // Nobody has to read stdout. The server serves all the same. (`Stdout` is flushed at each
        // newline.)
        let _ = writeln!(io::stdout(), "The server is ready to receive on {name}");
    }
    // Last, because a stderr that nobody reads may stop this thread.
    for skipped in bound.skipped {
        common::note(format_args!("note: {skipped}"));
    }
    Ok(())
}

fn serve_tcp(
    name: &str,
    listener: TcpListener,
    args: &Args,
    reporter: &Arc<Reporter>,
) -> Result<()> {
    let observer = observer_of(name.to_owned(), Arc::clone(reporter));
    let connections = usize::from(args.max_connections);
    // clap has checked it. For `None`, `context` returns an error.
    let threads = NonZero::new(connections).context("--max-connections must be at least 1")?;
    tcp::serve(listener, threads, args.idle_timeout, observer).map_err(|error| {
        if connections == 1 {
            anyhow!("cannot start a thread for {name}: {error}")
        } else {
            anyhow!(
                "cannot start {connections} threads for {name}: {error}; lower --max-connections"
            )
        }
    })
}

/// Returns the observer of one socket. It reports the socket's events.
fn observer_of(socket_name: String, reporter: Arc<Reporter>) -> impl Fn(Event) + Send + Sync {
    move |event| reporter.report(&socket_name, event)
}

/// When no socket has had trouble for so long, the trouble is over. A failing accept or receive is
/// tried again, and so seen again, within a second. (An answer that may not be sent is seen only
/// when a client asks.)
const TROUBLE_IS_OVER_AFTER: Duration = Duration::from_secs(2);

/// Writes the events of all sockets to stderr: every step if `verbose`, and trouble when it begins.
/// While one socket has trouble, the trouble of other sockets is not written.
struct Reporter {
    verbose: bool,
    /// When a socket last had trouble, whether it was written or not.
    last_trouble: Mutex<Option<Instant>>,
}

impl Reporter {
    fn report(&self, socket_name: &str, event: Event) {
        match event {
            Event::Step(_) if self.verbose => common::note(format_args!("{socket_name}: {event}")),
            Event::Step(_) => {}
            Event::Stalled(_) => self.report_trouble(socket_name, event),
        }
    }

    fn report_trouble(&self, socket_name: &str, event: Event) {
        // If another thread holds the lock, it is reporting trouble just now, and this thread does
        // not report its own. So if nobody reads stderr, at most one thread waits. With `lock`, all
        // would wait behind it.
        let Ok(mut last_trouble) = self.last_trouble.try_lock() else {
            return;
        };
        let now = Instant::now();
        if is_new_trouble(*last_trouble, now) {
            common::note(format_args!("{socket_name}: {event}"));
        }
        *last_trouble = Some(now);
    }
}

/// Returns whether trouble begins now, if the last trouble was at `last`.
fn is_new_trouble(last: Option<Instant>, now: Instant) -> bool {
    match last {
        None => true,
        Some(last) => now.duration_since(last) >= TROUBLE_IS_OVER_AFTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_when_it_begins() {
        let last = Instant::now();
        assert!(is_new_trouble(None, last));
        assert!(!is_new_trouble(Some(last), last));
        assert!(!is_new_trouble(Some(last), last + Duration::from_secs(1)));
        assert!(is_new_trouble(Some(last), last + Duration::from_secs(2)));
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
}
