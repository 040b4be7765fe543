//! `client`: sends sentences to an upper-case echo server and prints the answers.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Error, Result, bail};
use clap::{ArgGroup, Parser};
use uppercase_echo::tcp::{AskError, PipeError};
use uppercase_echo::{DEFAULT_PORT, Event, tcp, udp, uppercase};

use common::Protocol;
use lines::{Line, Lines, ReaderLeft};
use target::Target;

mod common;
// Beside this file, Cargo would take these two for programs of their own.
#[path = "client/lines.rs"]
mod lines;
#[path = "client/target.rs"]
mod target;

const HELP: &str = "\
Examples:
  client --udp                            Ask for sentences, print answers
  client --tcp --host ::1 <in.txt >out    Send a file, keep the answers
  echo hello | client -u -w 0.5           Give up after half a second

Exit status: 0 if every line was answered, 1 on failure, 2 for bad usage.";

// The comments of the fields are the text that `--help` prints. The attributes are clap's: see the
// documentation of its derive macros. `verbatim_doc_comment` keeps the line breaks, `value_parser`
// names what reads and checks a value, and `value_name` is the word that the help shows for it. The
// group makes exactly one of --udp and --tcp necessary. `allow_negative_numbers` makes `--port -1`
// a wrong port and not an unknown flag.
/// Upper-case echo client: sends each line of stdin and prints the answers
#[derive(Parser)]
#[command(version, allow_negative_numbers = true, after_help = HELP, group(ArgGroup::new("protocol").required(true)))]
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
    /// Longest wait for a connection
    /// or an answer
    #[arg(verbatim_doc_comment, short = 'w', long, value_name = "SECONDS", default_value = "5", value_parser = common::seconds)]
    timeout: Duration,
    /// Report each step on stderr
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(exit_code) => exit_code,
        // `is` asks for the type of the error inside.
        Err(error) if error.is::<ReaderLeft>() => ExitCode::SUCCESS,
        Err(error) => common::fail(&error),
    }
}

fn run(args: Args) -> Result<ExitCode> {
    let addresses = common::resolve(&args.host, args.port)?;
    let target = Target {
        protocol: if args.udp {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
        host: args.host,
        port: args.port,
        timeout: args.timeout,
        is_on_this_machine: addresses.iter().any(|address| {
            // `::ffff:127.0.0.1` is the IPv4 address 127.0.0.1. To connect to `0.0.0.0` or `::`
            // reaches this machine, too.
            let ip = address.ip().to_canonical();
            ip.is_loopback() || ip.is_unspecified()
        }),
    };
    let verbose = args.verbose;
    // A closure can be copied if all that it holds can be.
    let observer = move |event: Event| {
        if verbose {
            common::note(format_args!("{event}"));
        }
    };
    let is_terminal = io::stdin().is_terminal();
    match target.protocol {
        Protocol::Udp => ask_over_udp(&target, &addresses, is_terminal, observer),
        // At a terminal, the user waits for the answer before typing the next line. In a pipe
        // nobody waits: lines and answers flow at the same time.
        Protocol::Tcp if is_terminal => ask_over_tcp(&target, &addresses, observer),
        Protocol::Tcp => pipe_over_tcp(&target, &addresses, observer),
    }
}

fn ask_over_udp(
    target: &Target,
    addresses: &[SocketAddr],
    is_terminal: bool,
    observer: impl Fn(Event) + Copy,
) -> Result<ExitCode> {
    let mut client = udp::Client::new(addresses, target.timeout);
    let mut lines = Lines::new(is_terminal);
    let mut exit_code = ExitCode::SUCCESS;
    while let Some(line) = lines.next()? {
        match ask_datagram(target, &mut client, &line, observer) {
            Ok(answer) => line.print(answer)?,
            // The user sees the error, and may type another line: UDP has no connection to lose.
            Err(error) if is_terminal => exit_code = common::fail(&error),
            Err(error) => return Err(error),
        }
    }
    Ok(exit_code)
}

/// Sends a line's sentence as a datagram and returns the answer.
fn ask_datagram(
    target: &Target,
    client: &mut udp::Client,
    line: &Line,
    observer: impl Fn(Event),
) -> Result<Vec<u8>> {
    const MOST: usize = udp::MAX_DATAGRAM;
    let Line {
        number, sentence, ..
    } = line;
    if sentence.len() > MOST {
        bail!(
            "line {number} is longer than {MOST} bytes, the most a UDP datagram carries; use --tcp"
        );
    }
    if uppercase(sentence).len() > MOST {
        bail!(
            "the upper case of line {number} is longer than {MOST} bytes, \
             the most a UDP datagram carries; use --tcp"
        );
    }
    let answer = client
        .ask(sentence, observer)
        .map_err(|error| target.explain(error))?;
    if udp::is_cut(sentence, &answer) {
        let size = answer.len();
        let unit = if size == 1 { "byte" } else { "bytes" };
        bail!("the answer to line {number} was cut to {size} {unit}; use --tcp");
    }
    Ok(answer)
}

fn ask_over_tcp(
    target: &Target,
    addresses: &[SocketAddr],
    observer: impl Fn(Event) + Copy,
) -> Result<ExitCode> {
    let mut client = tcp::Client::connect(addresses, target.timeout, observer)
        .map_err(|error| target.explain_connect(error))?;
    let mut lines = Lines::new(true);
    while let Some(line) = lines.next()? {
        match client.ask(&line.sentence, observer) {
            Ok(answer) => line.print(answer)?,
            Err(AskError::Connect(error)) => return Err(target.explain_connect(error)),
            Err(AskError::Answer(error)) => return Err(target.explain(error)),
        }
    }
    client
        .close(observer)
        .map_err(|error| target.explain(error))?;
    Ok(ExitCode::SUCCESS)
}

fn pipe_over_tcp(
    target: &Target,
    addresses: &[SocketAddr],
    observer: impl Fn(Event) + Copy + Send + 'static,
) -> Result<ExitCode> {
    let client = tcp::Client::connect(addresses, target.timeout, observer)
        .map_err(|error| target.explain_connect(error))?;
    match client.pipe(io::stdin(), io::stdout(), observer) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(PipeError::Input(error)) => Err(lines::stdin_error(error)),
        Err(PipeError::Output(error)) => Err(lines::stdout_error(error)),
        Err(PipeError::Network(error)) => Err(target.explain(error)),
        Err(PipeError::Thread(error)) => Err(Error::new(error).context("cannot start a thread")),
    }
}
