//! `client`: sends sentences to an upper-case echo server and prints the answers.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::process::{ExitCode, exit};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use clap::{ArgGroup, Parser};
use uppercase_echo::{DEFAULT_PORT, tcp, udp, uppercase};

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

fn main() -> ExitCode {
    common::exit_code(run(Args::parse()))
}

fn run(args: Args) -> Result<()> {
    let addresses = (args.host.as_str(), args.port).to_socket_addrs();
    let addresses: Vec<_> = addresses
        .with_context(|| format!("cannot resolve {}", args.host))?
        .collect();
    let protocol = if args.udp { "udp" } else { "tcp" };
    let host = if args.host.contains(':') {
        format!("[{}]", args.host)
    } else {
        args.host.clone()
    };
    let name = format!("{protocol} {host}:{}", args.port);
    let server = Server {
        args,
        protocol,
        name,
        addresses,
    };
    let interactive = io::stdin().is_terminal();
    match (protocol, interactive) {
        ("udp", _) => server.udp(interactive),
        (_, true) => server.tcp_lines(),
        _ => server.tcp_stream(),
    }
}

/// The server, with its protocol and address as the user gave them.
struct Server {
    args: Args,
    protocol: &'static str,
    name: String,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Each line is a datagram.
    fn udp(&self, interactive: bool) -> Result<()> {
        let mut client = udp::Client::new(self.addresses.clone(), self.args.timeout);
        let mut failed = false;
        let mut line = Vec::new();
        for number in 1_u64.. {
            // Of a line that is too long, one byte more than fits is enough to know.
            if !read_line(&mut line, interactive, udp::MAX_DATAGRAM as u64 + 2)? {
                break;
            }
            match self.udp_line(&mut client, &line, number) {
                Err(error) if interactive => {
                    common::note(&format!("error: {error:#}"));
                    failed = true;
                    skip_line(&line)?;
                }
                result => result?,
            }
        }
        // What failed has been told.
        if failed { exit(1) } else { Ok(()) }
    }

    fn udp_line(&self, client: &mut udp::Client, line: &[u8], number: u64) -> Result<()> {
        const TOO_LONG: &str =
            "longer than 65507 bytes, the most a UDP datagram carries; use --tcp";
        let sentence = line.strip_suffix(b"\n").unwrap_or(line);
        ensure!(
            sentence.len() <= udp::MAX_DATAGRAM,
            "line {number} is {TOO_LONG}"
        );
        // Upper case is at most three times as long.
        if sentence.len() > udp::MAX_DATAGRAM / 3 && uppercase(sentence).len() > udp::MAX_DATAGRAM {
            bail!("the upper case of line {number} is {TOO_LONG}");
        }
        let start = Instant::now();
        let answer = client
            .ask(sentence)
            .map_err(|error| self.explain(error, "cannot reach"))?;
        let (sent, time) = (sentence.len(), start.elapsed());
        let mut output = answer.to_vec();
        output.extend_from_slice(line.get(sent..).unwrap_or_default());
        Stdout.write_all(&output)?;
        if let Some(socket) = client.socket() {
            self.report(
                socket.local_addr(),
                socket.peer_addr(),
                &format!("answered in {time:.1?}"),
            );
        }
        Ok(())
    }

    /// A line, its answer, and the next line: for a person at a terminal.
    fn tcp_lines(&self) -> Result<()> {
        let mut client = self.connect()?;
        let mut line = Vec::new();
        while read_line(&mut line, true, u64::MAX)? {
            let start = Instant::now();
            let answer = client
                .ask(&line)
                .map_err(|error| self.explain(error, "cannot talk to"))?;
            let time = start.elapsed();
            Stdout.write_all(&answer)?;
            let (stream, what) = (client.stream(), format!("answered in {time:.1?}"));
            self.report(stream.local_addr(), stream.peer_addr(), &what);
        }
        Ok(())
    }

    /// All lines at once, as fast as they come and go.
    fn tcp_stream(&self) -> Result<()> {
        self.connect()?
            .copy(Stdin, Stdout)
            .map_err(|error| self.explain(error, "cannot talk to"))
    }

    fn connect(&self) -> Result<tcp::Client> {
        let Self {
            name,
            args,
            addresses,
            ..
        } = self;
        let client =
            tcp::Client::connect(addresses, args.timeout).map_err(|error| match error.kind() {
                ErrorKind::TimedOut => anyhow!(
                    "cannot connect to {name} within {} s",
                    args.timeout.as_secs_f64()
                ),
                _ => self.explain(error, "cannot connect to"),
            })?;
        self.report(
            client.stream().local_addr(),
            client.stream().peer_addr(),
            "connected",
        );
        Ok(client)
    }

    /// Says what an error of the network means to the user.
    fn explain(&self, error: io::Error, cannot: &str) -> Error {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset};
        use ErrorKind::{TimedOut, UnexpectedEof, WouldBlock};
        let Self { name, args, .. } = self;
        match error.kind() {
            ConnectionRefused => anyhow!("nothing is listening on {name}{}", self.start_it()),
            // Windows tells of a closed UDP port this way.
            ConnectionReset if args.udp => {
                anyhow!("nothing is listening on {name}{}", self.start_it())
            }
            TimedOut | WouldBlock => anyhow!(
                "no answer from {name} within {} s",
                args.timeout.as_secs_f64()
            ),
            UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => {
                anyhow!("{name} closed the connection before answering everything")
            }
            _ => Error::new(error).context(format!("{cannot} {name}")),
        }
    }

    /// How to start the server, where that would be on this machine.
    fn start_it(&self) -> String {
        let Self {
            args,
            protocol,
            addresses,
            ..
        } = self;
        if !addresses.iter().any(|address| address.ip().is_loopback()) {
            return String::new();
        }
        // The server listens on localhost unless it is told otherwise.
        let is_default = addresses
            .iter()
            .any(|address| address.ip() == Ipv4Addr::LOCALHOST);
        let host = if is_default {
            String::new()
        } else {
            format!(" --host {}", args.host)
        };
        format!(
            "; start it with: server --{protocol}{host} --port {}",
            args.port
        )
    }

    fn report(&self, local: io::Result<SocketAddr>, peer: io::Result<SocketAddr>, what: &str) {
        if let (true, Ok(local), Ok(peer)) = (self.args.verbose, local, peer) {
            common::note(&format!("{} {local} to {peer}: {what}", self.protocol));
        }
    }
}

/// Reads a line of at most `limit` bytes into `line`, with its newline; false at the end of input.
fn read_line(line: &mut Vec<u8>, prompt: bool, limit: u64) -> Result<bool> {
    if prompt {
        let _ = io::stderr().write_all(b"Input lowercase sentence: ");
    }
    line.clear();
    let read = io::stdin()
        .lock()
        .take(limit)
        .read_until(b'\n', line)
        .context("cannot read stdin")?;
    if read == 0 && prompt {
        common::note("");
    }
    Ok(read > 0)
}

/// Reads on to the end of a line that was too long to be read whole.
fn skip_line(line: &[u8]) -> Result<()> {
    if line.len() > udp::MAX_DATAGRAM && !line.ends_with(b"\n") {
        io::stdin()
            .lock()
            .skip_until(b'\n')
            .context("cannot read stdin")?;
    }
    Ok(())
}

/// Standard input, whose errors are not the network's: they end the program here.
struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match io::stdin().lock().read(buffer) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                common::note(&format!("error: cannot read stdin: {error}"));
                exit(1);
            }
            result => result,
        }
    }
}

/// Standard output, written through at once. Its errors end the program here: quietly if its reader has left.
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(buffer).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(buffer.len()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(0),
            Err(error) => {
                common::note(&format!("error: cannot write to stdout: {error}"));
                exit(1);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
