//! `client`: sends sentences to an upper-case echo server and prints the answers.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use std::{error, fmt};

use anyhow::{Context, Error, Result, bail};
use clap::{ArgGroup, Parser};
use uppercase_echo::tcp::{AskError, PipeError};
use uppercase_echo::{DEFAULT_PORT, Event, tcp, udp, uppercase};

use common::Protocol;
use server::Server;

mod common;
// Without the path, the compiler would take the other program, src/bin/server.rs, for this module.
#[path = "client/server.rs"]
mod server;

const HELP: &str = "\
Examples:
  client --udp                            Ask for sentences, answer each
  client --tcp --host ::1 <in.txt >out    Send a file, keep the answers
  echo hello | client -u -w 0.5           Give up after half a second

Exit status: 0 if every line was answered, 1 on failure, 2 for bad usage.";

// The comments of the fields are the text that `--help` prints. The attributes are clap's: see the
// documentation of its derive macros.
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
        // `is` looks at the type of the error inside. This one is no failure: `head`, for example,
        // leaves when it has got enough.
        Err(error) if error.is::<ReaderLeft>() => ExitCode::SUCCESS,
        Err(error) => common::fail(&error),
    }
}

fn run(args: Args) -> Result<ExitCode> {
    let addresses = common::resolve(&args.host, args.port)?;
    let server = Server {
        protocol: if args.udp {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
        host: args.host,
        port: args.port,
        timeout: args.timeout,
        is_on_this_machine: addresses.iter().any(|address| {
            // `::ffff:127.0.0.1` is the IPv4 address 127.0.0.1.
            let ip = address.ip().to_canonical();
            ip.is_loopback() || ip.is_unspecified()
        }),
    };
    let verbose = args.verbose;
    let observer = move |event: Event| {
        if verbose {
            common::note(format_args!("{event}"));
        }
    };
    let is_terminal = io::stdin().is_terminal();
    match server.protocol {
        Protocol::Udp => ask_over_udp(&server, &addresses, is_terminal, observer),
        // At a terminal, the user waits for the answer before typing the next line. In a pipe
        // nobody waits: lines and answers flow at the same time.
        Protocol::Tcp if is_terminal => ask_over_tcp(&server, &addresses, observer),
        Protocol::Tcp => pipe_over_tcp(&server, &addresses, observer),
    }
}

/// Reads one line after the other, and prints its answer before it reads the next. `ask` is given
/// the number of the line and its sentence, which is the line without its end. It returns the
/// answer, or `None` if there is nothing to print.
fn ask_lines(
    is_terminal: bool,
    mut ask: impl FnMut(u64, &[u8]) -> Result<Option<Vec<u8>>>,
) -> Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        if is_terminal {
            let _ = io::stderr().write_all(b"Input lowercase sentence: ");
        }
        read_line(&mut line, is_terminal)?;
        if line.is_empty() {
            break;
        }
        let (sentence, line_end) = split_line_end(&line);
        if let Some(mut answer) = ask(number, sentence)? {
            answer.extend_from_slice(line_end);
            print(&answer)?;
        }
        // Only the last line has no end.
        if line_end.is_empty() {
            break;
        }
    }
    if is_terminal {
        // Ends the line of the last prompt, so that the shell's prompt gets its own.
        common::note(format_args!(""));
    }
    Ok(())
}

fn ask_over_udp(
    server: &Server,
    addresses: &[SocketAddr],
    is_terminal: bool,
    observer: impl Fn(Event) + Copy,
) -> Result<ExitCode> {
    let mut client = udp::Client::new(addresses, server.timeout);
    let mut exit_code = ExitCode::SUCCESS;
    ask_lines(is_terminal, |number, sentence| {
        let answer = ask_datagram(server, &mut client, number, sentence, observer);
        match answer {
            // The user sees the error, and may type another line: no connection is lost.
            Err(error) if is_terminal => {
                exit_code = common::fail(&error);
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(answer) => Ok(Some(answer)),
        }
    })?;
    Ok(exit_code)
}

/// Sends one line's sentence as a datagram and returns the answer.
fn ask_datagram(
    server: &Server,
    client: &mut udp::Client,
    number: u64,
    sentence: &[u8],
    observer: impl Fn(Event),
) -> Result<Vec<u8>> {
    const MOST: usize = udp::MAX_DATAGRAM;
    if sentence.len() > MOST {
        bail!(
            "line {number} is longer than {MOST} bytes, the most a UDP datagram carries; use --tcp"
        );
    }
    // Upper case has at most three times the bytes. So a shorter sentence need not be converted
    // here.
    if 3 * sentence.len() > MOST && uppercase(sentence).len() > MOST {
        bail!(
            "the upper case of line {number} is longer than {MOST} bytes, \
             the most a UDP datagram carries; use --tcp"
        );
    }
    let answer = client
        .ask(sentence, observer)
        .map_err(|error| server.explain(error))?;
    if udp::is_cut(sentence, &answer) {
        let size = answer.len();
        let unit = if size == 1 { "byte" } else { "bytes" };
        bail!("the answer to line {number} was cut to {size} {unit}; use --tcp");
    }
    Ok(answer)
}

fn ask_over_tcp(
    server: &Server,
    addresses: &[SocketAddr],
    observer: impl Fn(Event) + Copy,
) -> Result<ExitCode> {
    let mut client = tcp::Client::connect(addresses, server.timeout, observer)
        .map_err(|error| server.explain_connect(error))?;
    ask_lines(true, |_number, sentence| {
        match client.ask(sentence, observer) {
            Ok(answer) => Ok(Some(answer)),
            Err(AskError::Connect(error)) => Err(server.explain_connect(error)),
            Err(AskError::Answer(error)) => Err(server.explain(error)),
        }
    })?;
    client
        .close(observer)
        .map_err(|error| server.explain(error))?;
    Ok(ExitCode::SUCCESS)
}

fn pipe_over_tcp(
    server: &Server,
    addresses: &[SocketAddr],
    observer: impl Fn(Event) + Copy + Send + 'static,
) -> Result<ExitCode> {
    let client = tcp::Client::connect(addresses, server.timeout, observer)
        .map_err(|error| server.explain_connect(error))?;
    match client.pipe(io::stdin(), io::stdout(), observer) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(PipeError::Input(error)) => Err(stdin_error(error)),
        Err(PipeError::Output(error)) => Err(stdout_error(error)),
        Err(PipeError::Network(error)) => Err(server.explain(error)),
        Err(PipeError::Thread(error)) => Err(error).context("cannot start a thread"),
    }
}

/// Reads a line with its end into `line`. It is empty when stdin has ended.
fn read_line(line: &mut Vec<u8>, is_terminal: bool) -> Result<()> {
    line.clear();
    let most = if is_terminal {
        // All of the line. The rest of it would be taken for the next line.
        u64::MAX
    } else {
        // A line that is too long for a datagram ends the program, and its end may never come. One
        // byte more than fits, and two for the line's end, are enough to know.
        udp::MAX_DATAGRAM as u64 + 3
    };
    let mut stdin = io::stdin().lock().take(most);
    stdin.read_until(b'\n', line).map_err(stdin_error)?;
    Ok(())
}

/// Splits a line into its sentence and its end: `\n`, or `\r\n` as a Windows console sends it, or
/// nothing.
fn split_line_end(line: &[u8]) -> (&[u8], &[u8]) {
    let end = if line.ends_with(b"\r\n") {
        "\r\n"
    } else if line.ends_with(b"\n") {
        "\n"
    } else {
        ""
    };
    line.split_at(line.len() - end.len())
}

fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).map_err(stdout_error)?;
    stdout.flush().map_err(stdout_error)
}

fn stdin_error(error: io::Error) -> Error {
    Error::new(error).context("cannot read stdin")
}

fn stdout_error(error: io::Error) -> Error {
    match error.kind() {
        // If stdout is a socket, it is reset when its reader leaves before it has read everything.
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Error::new(ReaderLeft),
        _ => Error::new(error).context("cannot write to stdout"),
    }
}

/// The reader of stdout has closed it.
#[derive(Debug)]
struct ReaderLeft;

impl fmt::Display for ReaderLeft {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the reader of stdout has left")
    }
}

impl error::Error for ReaderLeft {}
