//! `client`: sends sentences to an upper-case echo server and prints the answers.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
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
    let interactive = io::stdin().is_terminal();
    let server = Server { args, addresses };
    if server.args.udp {
        server.udp(interactive)
    } else if interactive {
        server.tcp_lines()
    } else {
        server.tcp_stream()
    }
}

/// The server as the user named it, and its addresses.
struct Server {
    args: Args,
    addresses: Vec<SocketAddr>,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Args {
            host, port, udp, ..
        } = &self.args;
        let protocol = if *udp { "udp" } else { "tcp" };
        if host.contains(':') {
            write!(f, "{protocol} [{host}]:{port}")
        } else {
            write!(f, "{protocol} {host}:{port}")
        }
    }
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
        if self.args.verbose {
            if let Some(socket) = client.socket() {
                self.report(socket.local_addr(), socket.peer_addr(), Some(time));
            }
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
            if self.args.verbose {
                self.report(
                    client.stream().local_addr(),
                    client.stream().peer_addr(),
                    Some(time),
                );
            }
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
        let client = tcp::Client::connect(&self.addresses, self.args.timeout).map_err(|error| {
            if is_timeout(&error) {
                anyhow!(
                    "cannot connect to {self} within {} s",
                    self.args.timeout.as_secs_f64()
                )
            } else {
                self.explain(error, "cannot connect to")
            }
        })?;
        if self.args.verbose {
            self.report(
                client.stream().local_addr(),
                client.stream().peer_addr(),
                None,
            );
        }
        Ok(client)
    }

    /// Says what an error of the network means to the user.
    fn explain(&self, error: io::Error, cannot: &str) -> Error {
        match error.kind() {
            ErrorKind::ConnectionRefused => {
                anyhow!("nothing is listening on {self}{}", self.start_it())
            }
            // Windows tells of a closed UDP port this way.
            ErrorKind::ConnectionReset if self.args.udp => {
                anyhow!("nothing is listening on {self}{}", self.start_it())
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                anyhow!(
                    "no answer from {self} within {} s",
                    self.args.timeout.as_secs_f64()
                )
            }
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => {
                anyhow!("{self} closed the connection before answering everything")
            }
            _ => Error::new(error).context(format!("{cannot} {self}")),
        }
    }

    /// How to start the server, where that would be on this machine.
    fn start_it(&self) -> String {
        let Args {
            host, port, udp, ..
        } = &self.args;
        if !self
            .addresses
            .iter()
            .any(|address| address.ip().is_loopback())
        {
            return String::new();
        }
        let protocol = if *udp { "--udp" } else { "--tcp" };
        // The server listens on localhost unless it is told otherwise.
        if self
            .addresses
            .iter()
            .any(|address| address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST))
        {
            format!("; start it with: server {protocol} --port {port}")
        } else {
            format!("; start it with: server {protocol} --host {host} --port {port}")
        }
    }

    fn report(
        &self,
        local: io::Result<SocketAddr>,
        peer: io::Result<SocketAddr>,
        time: Option<Duration>,
    ) {
        let protocol = if self.args.udp { "udp" } else { "tcp" };
        if let (Ok(local), Ok(peer)) = (local, peer) {
            match time {
                Some(time) => common::note(&format!(
                    "{protocol} {local} to {peer}: answered in {time:.1?}"
                )),
                None => common::note(&format!("{protocol} {local} to {peer}: connected")),
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
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
