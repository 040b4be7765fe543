//! `client`: sends sentences to an upper-case echo server and prints the answers.

use std::fmt::Arguments;
use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset};
use std::io::ErrorKind::{Interrupted, NotConnected, TimedOut, UnexpectedEof, WouldBlock};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::process::exit;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow, ensure};
use clap::{ArgGroup, Parser};
use uppercase_echo::udp::{self, MAX_DATAGRAM};
use uppercase_echo::{DEFAULT_PORT, tcp, uppercase};

mod common;

/// Upper-case echo client: sends each line of stdin and prints the answers
#[derive(Parser)]
#[command(
    version,
    allow_negative_numbers = true,
    after_help = "\
Examples:
  client --udp                            Ask for sentences, answer each
  client --tcp --host ::1 <in.txt >out    Send a file, keep the answers
  echo hello | client -u -w 0.5           Give up after half a second

Exit status: 0 if every line was answered, 1 if the network or I/O failed,
2 for bad usage."
)]
#[command(group(ArgGroup::new("protocol").required(true)))]
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
    /// Report addresses and round-trip times on stderr
    #[arg(short, long)]
    verbose: bool,
}

fn main() {
    run(&Args::parse()).unwrap_or_else(|error| common::fail(error));
}

fn run(args: &Args) -> Result<()> {
    let addresses = common::resolve(&args.host, args.port)?;
    let explain = explainer(args, &addresses);
    let late = |error| explain("no answer from", error);
    let observer: fn(Arguments) = if args.verbose { common::note } else { |_| {} };
    if args.udp {
        let mut client = udp::Client::new(addresses, args.timeout, observer);
        return lines(args, |sentence, number| {
            check_size(sentence, number)?;
            Ok(client.ask(sentence).map_err(late)?.to_vec())
        });
    }
    let connect = |addresses: &[_]| {
        let stream = tcp::connect(addresses, args.timeout, observer);
        stream.map_err(|error| explain("cannot connect to", error))
    };
    let mut stream = connect(&addresses)?;
    if !io::stdin().is_terminal() {
        return tcp::pipe(&stream, Stdio, Stdio).map_err(late);
    }
    let peer = stream.peer_addr()?;
    lines(args, |sentence, _| {
        let mut answer = tcp::ask(&stream, sentence);
        if answer
            .as_ref()
            .is_err_and(|error| error.kind() == NotConnected)
        {
            stream = connect(&[peer])?;
            answer = tcp::ask(&stream, sentence);
        }
        answer.map_err(late)
    })
}

/// Returns what says what an error of the network means to the user; `late` begins the sentence for a time-out.
fn explainer(args: &Args, addresses: &[SocketAddr]) -> impl Fn(&str, io::Error) -> Error + use<> {
    let (udp, seconds) = (args.udp, args.timeout.as_secs_f64());
    let protocol = if udp { "udp" } else { "tcp" };
    let (host, port) = (&args.host, args.port);
    let mut server = format!("{protocol} {host}:{port}");
    if host.contains(':') {
        server = format!("{protocol} [{host}]:{port}");
    }
    let mut start = String::new();
    if addresses.iter().any(|address| address.ip().is_loopback()) {
        start = format!("; start it with: server --{protocol} --host {host} --port {port}");
        // Which is the default.
        start = start.replace(" --host localhost", "");
    }
    move |late, error| match error.kind() {
        // Windows tells of a closed UDP port as a reset.
        kind if kind == ConnectionRefused || udp && kind == ConnectionReset => {
            anyhow!("nothing is listening on {server}{start}")
        }
        TimedOut | WouldBlock => anyhow!("{late} {server} within {seconds} s"),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => {
            anyhow!("{server} closed the connection before answering everything")
        }
        _ => Error::new(error).context(format!("cannot talk to {server}")),
    }
}

/// Asks for one line after the other, and prints the answer to each before it reads the next.
fn lines(args: &Args, mut ask: impl FnMut(&[u8], u64) -> Result<Vec<u8>>) -> Result<()> {
    let is_terminal = io::stdin().is_terminal();
    let (mut line, mut failed) = (Vec::new(), false);
    for number in 1.. {
        if is_terminal {
            let _ = io::stderr().write_all(b"Input lowercase sentence: ");
        }
        line.clear();
        // Of a line that is too long for a datagram, one byte more than fits is enough to know.
        let mut stdin = io::stdin().lock().take(MAX_DATAGRAM as u64 + 2);
        local("read stdin", stdin.read_until(b'\n', &mut line))?;
        if line.is_empty() {
            break;
        }
        let (sentence, start) = (line.strip_suffix(b"\n").unwrap_or(&line), Instant::now());
        match ask(sentence, number) {
            Ok(answer) => {
                let time = start.elapsed();
                Stdio.write_all(&[&answer, &line[sentence.len()..]].concat())?;
                Stdio.flush()?;
                if args.verbose {
                    common::note(format_args!("line {number}: answered in {time:.1?}"));
                }
            }
            // Somebody is there to read it, and to go on.
            Err(error) if args.udp && is_terminal => {
                common::note(format_args!("error: {error:#}"));
                failed = true;
            }
            Err(error) => return Err(error),
        }
    }
    if is_terminal {
        common::note(format_args!(""));
    }
    if failed { exit(1) } else { Ok(()) }
}

/// Whether `sentence` and its answer fit in a datagram.
fn check_size(sentence: &[u8], number: u64) -> Result<()> {
    const TOO_LONG: &str = "longer than 65507 bytes, the most a UDP datagram carries; use --tcp";
    let size = sentence.len();
    ensure!(size <= MAX_DATAGRAM, "line {number} is {TOO_LONG}");
    // Upper case is at most three times as long.
    let fits = size <= MAX_DATAGRAM / 3 || uppercase(sentence).len() <= MAX_DATAGRAM;
    ensure!(fits, "the upper case of line {number} is {TOO_LONG}");
    Ok(())
}

/// Standard input and output.
struct Stdio;

impl Read for Stdio {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        local("read stdin", io::stdin().read(buffer))
    }
}

impl Write for Stdio {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        local("write to stdout", io::stdout().write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        local("write to stdout", io::stdout().flush())
    }
}

/// Ends the program where stdin or stdout fails, which is not the network's fault: quietly if stdout's reader has left.
fn local<T>(what: &str, result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == BrokenPipe => exit(0),
        Err(error) if error.kind() != Interrupted => {
            common::fail(format!("cannot {what}: {error}"))
        }
        result => result,
    }
}
