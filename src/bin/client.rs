//! `client`: sends sentences to an upper-case echo server and prints the answers.

use std::fmt::Arguments;
use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset};
use std::io::ErrorKind::{NotConnected, TimedOut, UnexpectedEof, WouldBlock};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::exit;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, ensure};
use clap::{ArgGroup, Parser};
use uppercase_echo::{DEFAULT_PORT, tcp, udp, uppercase};

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
    /// Report addresses and round-trip times on stderr
    #[arg(short, long)]
    verbose: bool,
}

fn main() {
    run(&Args::parse()).unwrap_or_else(|error| common::fail(error));
}

fn run(args: &Args) -> Result<()> {
    let addresses = common::resolve(&args.host, args.port)?;
    let explain = explainer(args, addresses.iter().any(|a| a.ip().is_loopback()));
    let explained = |error| explain("no answer from", error);
    let observer: fn(Arguments) = if args.verbose { common::note } else { |_| {} };
    if args.udp {
        let mut client = udp::Client::new(addresses, args.timeout, observer);
        return lines(args, |sentence, number| {
            let fits = |size| size <= udp::MAX_DATAGRAM;
            ensure!(fits(sentence.len()), "line {number} is {TOO_LONG}");
            // Upper case is at most three times as long.
            let upper_fits = fits(3 * sentence.len()) || fits(uppercase(sentence).len());
            ensure!(upper_fits, "the upper case of line {number} is {TOO_LONG}");
            Ok(client.ask(sentence).map_err(explained)?.to_vec())
        });
    }
    let stream = tcp::connect(&addresses, args.timeout);
    let mut stream = stream.map_err(|error| explain("cannot connect to", error))?;
    observer(format_args!("connected, {stream:?}"));
    if !io::stdin().is_terminal() {
        return tcp::pipe(&stream, io::stdin(), print).map_err(explained);
    }
    // Only the address that answered, which a connection that has been reset cannot tell any more.
    let addresses = stream.peer_addr().map_or(addresses, |peer| vec![peer]);
    lines(args, |sentence, _| {
        let answer = tcp::ask(&stream, sentence).or_else(|error| {
            if error.kind() != NotConnected {
                return Err(error);
            }
            stream = tcp::connect(&addresses, args.timeout)?;
            observer(format_args!("connected again, {stream:?}"));
            tcp::ask(&stream, sentence)
        });
        answer.map_err(explained)
    })
}

/// Returns a closure that tells the user what a network error means; `late` begins the sentence for a time-out.
fn explainer(args: &Args, is_here: bool) -> impl Fn(&str, io::Error) -> Error {
    let (udp, host, port, timeout) = (args.udp, &args.host, args.port, args.timeout);
    let protocol = if udp { "udp" } else { "tcp" };
    let bracket = |it| if host.contains(':') { it } else { "" };
    let server = format!("{protocol} {}{host}{}:{port}", bracket("["), bracket("]"));
    let start = format!("; start it with: server --{protocol} --host {host} --port {port}");
    // That is the default.
    let start = start.replace(" --host localhost ", " ");
    let start = if is_here { start } else { String::new() };
    move |late, error| match error.kind() {
        // Windows tells of a closed UDP port as a reset.
        kind if kind == ConnectionRefused || udp && kind == ConnectionReset => {
            anyhow!("nothing is listening on {server}{start}")
        }
        TimedOut | WouldBlock => anyhow!("{late} {server} within {} s", timeout.as_secs_f64()),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => {
            anyhow!("{server} closed the connection before answering everything")
        }
        _ => Error::new(error).context(format!("cannot talk to {server}")),
    }
}

/// Asks for one line after the other, and prints the answer to each before it reads the next.
fn lines(args: &Args, mut ask: impl FnMut(&[u8], u64) -> Result<Vec<u8>>) -> Result<()> {
    let is_terminal = io::stdin().is_terminal();
    // Of a line that is too long for a datagram, one byte more than fits is enough to know.
    let too_long = udp::MAX_DATAGRAM as u64 + 1;
    let limit = if args.udp { too_long } else { u64::MAX };
    let (mut line, mut failed) = (Vec::new(), false);
    for number in 1.. {
        if is_terminal {
            let _ = io::stderr().write_all(b"Input lowercase sentence: ");
        }
        line.clear();
        let mut stdin = io::stdin().lock().take(limit);
        let read = stdin.read_until(b'\n', &mut line);
        if read.context("cannot read stdin")? == 0 {
            break;
        }
        let (sentence, start) = (line.strip_suffix(b"\n").unwrap_or(&line), Instant::now());
        match ask(sentence, number) {
            Ok(answer) => {
                if args.verbose {
                    common::note(format_args!("line {number} took {:.1?}", start.elapsed()));
                }
                print(&[&answer, &line[sentence.len()..]].concat())?;
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

/// Writes through to stdout. Its errors end the program here: quietly if its reader has left.
fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == BrokenPipe => exit(0),
        Err(error) => common::fail(format!("cannot write to stdout: {error}")),
        result => result,
    }
}
