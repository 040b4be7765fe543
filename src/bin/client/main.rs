//! `client`: sends sentences to an upper-case echo server and prints the answers.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Parser};
use uppercase_echo::tcp::PipeError;
use uppercase_echo::udp::MAX_DATAGRAM;
use uppercase_echo::{DEFAULT_PORT, Event, tcp, udp};

#[path = "../common/mod.rs"]
mod common;
mod lines;
mod target;

use target::Target;

const HELP: &str = "\
Examples:
  client --udp                     Ask for sentences, print answers
  client --tcp <in >out            Send a file, keep the answers
  echo hello | client -u -w 0.5    Give up after half a second

Exit status: 0 if every line was answered, 1 on failure, 2 for bad usage.";

// The comments of the fields are the text that `--help` prints. The attributes are clap's: see the
// documentation of its derive macros. The group makes exactly one of --udp and --tcp necessary.
/// Upper-case echo client: sends each line of stdin and prints the answers
#[derive(Parser)]
#[command(name = "client", version, after_help = HELP, group(ArgGroup::new("protocol").required(true)))]
struct Args {
    /// Send each line as one UDP datagram
    #[arg(short, long, group = "protocol")]
    udp: bool,
    /// Send lines over one TCP connection
    #[arg(short, long, group = "protocol")]
    tcp: bool,
    /// Server's name or address
    #[arg(long, default_value = "localhost")]
    host: String,
    /// Server's port
    #[arg(short, long, default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Longest wait for the server
    #[arg(short = 'w', long, value_name = "SECONDS", default_value = "5", value_parser = common::seconds)]
    timeout: Duration,
    /// Report each step on stderr
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = if args.udp {
        run_udp(&args)
    } else {
        run_tcp(&args)
    };
    result.unwrap_or_else(|error| common::fail(&error))
}

fn run_udp(args: &Args) -> Result<ExitCode> {
    let addresses = common::resolve(&args.host, args.port)?;
    let target = Target::new("udp", &args.host, args.port, args.timeout);
    let mut client = udp::Client::new(&addresses, args.timeout, observer(args.verbose));
    lines::ask_each(|number, sentence| {
        if sentence.len() > MAX_DATAGRAM {
            bail!(
                "line {number} is longer than {MAX_DATAGRAM} bytes, \
                 the most a UDP datagram carries; use --tcp"
            );
        }
        match client.ask(sentence) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                bail!("line {number}: {error}; use --tcp")
            }
            result => result.map_err(|error| target.explain(error)),
        }
    })
}

fn run_tcp(args: &Args) -> Result<ExitCode> {
    let addresses = common::resolve(&args.host, args.port)?;
    let target = Target::new("tcp", &args.host, args.port, args.timeout);
    let mut client = tcp::Client::connect(&addresses, args.timeout, observer(args.verbose))
        .map_err(|error| target.explain(error))?;
    // At a terminal, the user waits for the answer before typing the next line.
    if io::stdin().is_terminal() {
        return lines::ask_each(|_, sentence| {
            client.ask(sentence).map_err(|error| target.explain(error))
        });
    }
    // In a pipe nobody waits: lines and answers flow at the same time.
    match client.pipe(io::stdin(), io::stdout()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(PipeError::Input(error)) => Err(error).context(lines::STDIN_FAILED),
        Err(PipeError::Output(error)) => lines::stdout_failed(error),
        Err(PipeError::Network(error)) => Err(target.explain(error)),
    }
}

fn observer(is_verbose: bool) -> impl Fn(Event) + Send + Sync + 'static {
    move |event| {
        if is_verbose {
            common::note(event);
        }
    }
}
