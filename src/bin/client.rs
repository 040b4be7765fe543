//! `client`: sends sentences to an upper-case echo server and prints the answers.

use std::fmt::{self, Display};
use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Error, Result, anyhow, bail, ensure};
use clap::{ArgGroup, Parser};
use uppercase_echo::{DEFAULT_PORT, Event, tcp, udp, uppercase};

use common::Protocol;

mod common;

const HELP: &str = "\
Examples:
  client --udp                            Ask for sentences, answer each
  client --tcp --host ::1 <in.txt >out    Send a file, keep the answers
  echo hello | client -u -w 0.5           Give up after half a second

Exit status: 0 if every line was answered, 1 on failure, 2 for bad usage.";

const TOO_LONG: &str = "longer than 65507 bytes, the most a UDP datagram carries; use --tcp";

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
        // As `head` does: it has got all it wanted.
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
        is_here: addresses
            .iter()
            .any(|a| a.ip().is_loopback() || a.ip().is_unspecified()),
        timeout: args.timeout,
    };
    let verbose = args.verbose;
    let observer = move |event: Event| {
        if verbose {
            common::note(format_args!("{event}"));
        }
    };
    match server.protocol {
        Protocol::Udp => talk_udp(&server, &addresses, observer),
        Protocol::Tcp => talk_tcp(&server, &addresses, observer),
    }
}

fn talk_udp(
    server: &Server,
    addresses: &[SocketAddr],
    observer: impl Fn(Event) + Copy,
) -> Result<ExitCode> {
    let mut client = udp::Client::new(addresses, server.timeout);
    answer_lines(server, |number, sentence| {
        let fits = |size| size <= udp::MAX_DATAGRAM;
        ensure!(fits(sentence.len()), "line {number} is {TOO_LONG}");
        // Upper case is at most three times as long.
        let upper_case_fits = fits(3 * sentence.len()) || fits(uppercase(sentence).len());
        ensure!(
            upper_case_fits,
            "the upper case of line {number} is {TOO_LONG}"
        );

        let answer = client
            .ask(sentence, observer)
            .map_err(|e| server.explain_answer(e))?;
        if udp::is_cut(sentence, answer) {
            let size = answer.len();
            let unit = if size == 1 { "byte" } else { "bytes" };
            bail!("the answer to line {number} was cut to {size} {unit}; use --tcp");
        }
        Ok(answer.to_vec())
    })
}

fn talk_tcp(
    server: &Server,
    addresses: &[SocketAddr],
    observer: impl Fn(Event) + Copy + Send + 'static,
) -> Result<ExitCode> {
    let client = tcp::Client::connect(addresses, server.timeout, observer);
    let mut client = client.map_err(|e| server.explain_connect(e))?;
    if !io::stdin().is_terminal() {
        client
            .pipe(io::stdin(), io::stdout(), observer)
            .map_err(|error| match error {
                tcp::PipeError::Input(error) => cannot_read_stdin(error),
                tcp::PipeError::Output(error) => cannot_write_stdout(error),
                tcp::PipeError::Network(error) => server.explain_answer(error),
                tcp::PipeError::Thread(error) => Error::new(error).context("cannot start a thread"),
            })?;
        return Ok(ExitCode::SUCCESS);
    }
    let exit_code = answer_lines(server, |_, sentence| {
        client.ask(sentence, observer).map_err(|error| {
            if client.is_connected() {
                server.explain_answer(error)
            } else {
                server.explain_connect(error)
            }
        })
    })?;
    client.close().map_err(|e| server.explain_answer(e))?;
    Ok(exit_code)
}

/// Reads one line after the other, and prints the answer to each before it reads the next. `ask` gets the line's number
/// and its sentence, without the line's end.
fn answer_lines(
    server: &Server,
    mut ask: impl FnMut(u64, &[u8]) -> Result<Vec<u8>>,
) -> Result<ExitCode> {
    let is_terminal = io::stdin().is_terminal();
    let mut exit_code = ExitCode::SUCCESS;
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
        match ask(number, sentence) {
            Ok(mut answer) => {
                answer.extend_from_slice(line_end);
                print(&answer)?;
            }
            // Somebody is there to read it, and to go on.
            Err(error) if is_terminal && server.protocol == Protocol::Udp => {
                exit_code = common::fail(&error);
            }
            Err(error) => return Err(error),
        }
    }
    if is_terminal {
        // The shell's prompt shall stand on a line of its own.
        common::note(format_args!(""));
    }
    Ok(exit_code)
}

/// Reads a line with its end into `line`, which is empty at the end of stdin.
fn read_line(line: &mut Vec<u8>, is_terminal: bool) -> Result<()> {
    // Of a line that is too long for a datagram, this is enough to know: one byte more, and `\r\n`. But at a terminal
    // the rest would be taken for the next line.
    let limit = if is_terminal {
        u64::MAX
    } else {
        udp::MAX_DATAGRAM as u64 + 3
    };
    line.clear();
    let mut stdin = io::stdin().lock().take(limit);
    stdin.read_until(b'\n', line).map_err(cannot_read_stdin)?;
    Ok(())
}

/// Splits a line into the sentence and its end: `\n`, `\r\n` (a Windows console's), or nothing.
fn split_line_end(line: &[u8]) -> (&[u8], &[u8]) {
    let end: &[u8] = if line.ends_with(b"\r\n") {
        b"\r\n"
    } else if line.ends_with(b"\n") {
        b"\n"
    } else {
        b""
    };
    line.split_at(line.len() - end.len())
}

fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(cannot_write_stdout)
}

fn cannot_read_stdin(error: io::Error) -> Error {
    Error::new(error).context("cannot read stdin")
}

fn cannot_write_stdout(error: io::Error) -> Error {
    match error.kind() {
        // A socket as stdout is reset if its reader leaves with something unread.
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Error::new(ReaderLeft),
        _ => Error::new(error).context("cannot write to stdout"),
    }
}

/// The reader of stdout wants no more, which is no failure.
#[derive(Debug)]
struct ReaderLeft;

impl Display for ReaderLeft {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the reader of stdout has left")
    }
}

impl std::error::Error for ReaderLeft {}

/// The server as the user typed it.
struct Server {
    protocol: Protocol,
    host: String,
    port: u16,
    /// Whether it would be on this machine.
    is_here: bool,
    timeout: Duration,
}

impl Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            protocol,
            host,
            port,
            ..
        } = self;
        if host.contains(':') {
            write!(f, "{protocol} [{host}]:{port}")
        } else {
            write!(f, "{protocol} {host}:{port}")
        }
    }
}

impl Server {
    /// What a failure to connect means.
    fn explain_connect(&self, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::ConnectionRefused => self.nothing_is_listening(),
            ErrorKind::TimedOut => {
                anyhow!(
                    "cannot connect to {self} within {} s",
                    self.timeout.as_secs_f64()
                )
            }
            _ => Error::new(error).context(format!("cannot connect to {self}")),
        }
    }

    /// What a failure to get an answer means.
    fn explain_answer(&self, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::ConnectionRefused => self.nothing_is_listening(),
            // Windows tells of a closed UDP port so.
            ErrorKind::ConnectionReset if self.protocol == Protocol::Udp => {
                self.nothing_is_listening()
            }
            ErrorKind::TimedOut => {
                anyhow!(
                    "no answer from {self} within {} s",
                    self.timeout.as_secs_f64()
                )
            }
            ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => {
                anyhow!("{self} closed the connection before answering everything")
            }
            ErrorKind::InvalidData => {
                anyhow!("{self} answers more than it was asked; is it an upper-case echo?")
            }
            _ => Error::new(error).context(format!("cannot talk to {self}")),
        }
    }

    fn nothing_is_listening(&self) -> Error {
        let Self {
            protocol,
            host,
            port,
            ..
        } = self;
        if !self.is_here {
            return anyhow!("nothing is listening on {self}");
        }
        let host_flag = match host.as_str() {
            // The server's default.
            "localhost" => String::new(),
            _ => format!(" --host {host}"),
        };
        anyhow!(
            "nothing is listening on {self}; start it with: server --{protocol}{host_flag} --port {port}"
        )
    }
}
