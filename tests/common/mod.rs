//! What the tests share: runs of the two programs, fake servers, and sockets with a deadline.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "every test file takes what it needs"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

mod fakes;
mod library;
mod system;

pub use fakes::*;
pub use library::*;
pub use system::*;

pub const CLIENT: &str = env!("CARGO_BIN_EXE_client");
pub const SERVER: &str = env!("CARGO_BIN_EXE_server");

/// The client's flag for each protocol.
pub const PROTOCOLS: [&str; 2] = ["--udp", "--tcp"];

/// Far more than anything here should take: what waits longer is broken.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The locale of all that the tests start. Every machine has it. If the user's own is not installed, bash complains about
/// that on stderr.
pub const LOCALE: &str = "C";

// What the client says. `error_line` puts names in for the words in capitals.
pub const CLOSED: &str = "SERVER closed the connection before answering everything";
pub const MORE: &str = "SERVER answers more than it was asked; is it an upper-case echo?";
pub const NOBODY: &str =
    "nothing is listening on SERVER; start it with: server --PROTOCOL --port PORT";
pub const TOO_LONG: &str = "is longer than 65507 bytes, the most a UDP datagram carries; use --tcp";

/// What the client says on stderr: `message` with the names in.
pub fn error_line(message: &str, protocol: &str, host: &str, port: u16) -> String {
    let message = message
        .replace("SERVER", &format!("{protocol} {host}:{port}"))
        .replace("PROTOCOL", protocol)
        .replace("PORT", &port.to_string());
    format!("error: {message}")
}

/// A client that asks a server on this machine. `flags` begin with the protocol: `"--tcp -w 0.5"`.
pub fn client(flags: &str, port: u16) -> Client {
    let mut command = Command::new(CLIENT);
    command.args(flags.split_whitespace());
    command.args(["--port", &port.to_string()]);
    let words: Vec<_> = flags.split_whitespace().collect();
    let host = words.iter().position(|word| *word == "--host");
    Client {
        protocol: words[0].trim_start_matches('-').to_owned(),
        host: host.map_or("localhost", |at| words[at + 1]).to_owned(),
        port,
        command,
        input: Some(Vec::new()),
        output: None,
    }
}

/// A run of the client that is described first, and then made by `prints`, `fails_with` or `spawn`.
pub struct Client {
    protocol: String,
    host: String,
    port: u16,
    command: Command,
    /// `None` if stdin is a file.
    input: Option<Vec<u8>>,
    /// Where stdout goes, if not to the test.
    output: Option<File>,
}

impl Client {
    pub fn input(mut self, input: impl AsRef<[u8]>) -> Self {
        self.input = Some(input.as_ref().to_vec());
        self
    }

    pub fn input_from(mut self, file: File) -> Self {
        self.input = None;
        self.command.stdin(file);
        self
    }

    pub fn output_to(mut self, file: File) -> Self {
        self.output = Some(file);
        self
    }

    /// It ends with 0, says nothing on stderr, and its stdout is this. Returns how long it took.
    #[track_caller]
    pub fn prints(self, stdout: impl AsRef<[u8]>) -> Duration {
        self.ends(0, stdout.as_ref(), "")
    }

    /// It ends with 1, says `error: ..` and nothing else on stderr, and has printed `stdout` before. Returns how long it
    /// took.
    #[track_caller]
    pub fn fails_with(self, stdout: impl AsRef<[u8]>, error: &str) -> Duration {
        let stderr = error_line(error, &self.protocol, &self.host, self.port) + "\n";
        self.ends(1, stdout.as_ref(), &stderr)
    }

    #[track_caller]
    fn ends(mut self, status: i32, stdout: &[u8], stderr: &str) -> Duration {
        // Shown if the test fails.
        let input = self.input.as_deref().map(shown);
        println!("{:?}, input: {input:?}", self.command);
        let start = Instant::now();
        let output = run_with(&mut self.command, self.input, self.output);
        let time = start.elapsed();
        assert_ends(&output, status, stdout, stderr);
        time
    }

    /// Starts it, for a test that types as it goes.
    pub fn spawn(mut self) -> Program {
        Program::spawn(&mut self.command)
    }
}

/// Runs a program without any input to its end.
pub fn run(command: &mut Command) -> Output {
    run_with(command, Some(Vec::new()), None)
}

fn run_with(command: &mut Command, input: Option<Vec<u8>>, output: Option<File>) -> Output {
    command.env("LC_ALL", LOCALE);
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    command.stdout(output.map_or_else(Stdio::piped, Stdio::from));
    command.stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take();
    let writer = thread::spawn(move || {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A program that fails does not read all of it.
            let _ = stdin.write_all(&input);
        }
    });
    let stdout = child.stdout.take().map(read_all);
    let stderr = read_all(child.stderr.take().unwrap());
    let status = wait(&mut child);
    let _ = writer.join();
    let stdout = stdout.map_or_else(Vec::new, |all| all.recv_timeout(DEADLINE).unwrap());
    let stderr = stderr.recv_timeout(DEADLINE).unwrap();
    Output {
        status: status.unwrap_or_else(|| panic!("still running; stderr: {}", shown(&stderr))),
        stdout,
        stderr,
    }
}

/// The beginning of some bytes, for people.
fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(500)].escape_ascii().to_string()
}

/// Checks a program's whole stdout and stderr, and its exit status.
#[track_caller]
pub fn assert_ends(output: &Output, status: i32, stdout: &[u8], stderr: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
    assert_eq!(shown(&output.stdout), shown(stdout));
    assert!(
        output.stdout == stdout,
        "stdout differs behind the first 500 bytes"
    );
    assert_eq!(output.status.code(), Some(status));
}

/// Waits for the end of a program. Kills it, and returns `None`, if that does not come.
pub fn wait(child: &mut Child) -> Option<ExitStatus> {
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    None
}

/// All that a program writes, when it is all there.
fn read_all(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// A running program that does not outlive its test.
pub struct Program {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Program {
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_with(command, Stdio::piped(), Stdio::piped()).with_lines()
    }

    /// Takes its piped stdout apart into lines.
    pub fn with_lines(mut self) -> Self {
        self.stdout = lines(self.child.stdout.take().unwrap());
        self
    }

    /// Starts it, and leaves its stdout to the test. (If it is piped, it is in `child`.)
    pub fn spawn_with(command: &mut Command, stdout: Stdio, stderr: Stdio) -> Self {
        command.env("LC_ALL", LOCALE).stdin(Stdio::piped());
        let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: channel().1,
            stderr: child.stderr.take().map_or_else(|| channel().1, lines),
            child,
        }
    }

    /// Types on its stdin. An error is the program's end, which is checked elsewhere.
    pub fn send(&mut self, text: &str) {
        let _ = self.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// Types the same again and again, until it has closed its stdin.
    pub fn flood(&mut self, text: &'static str) {
        let mut stdin = self.stdin.take().unwrap();
        thread::spawn(move || while stdin.write_all(text.as_bytes()).is_ok() {});
    }

    /// Closes its stdout when the next line comes.
    pub fn close_stdout(&mut self) {
        self.stdout = channel().1;
    }

    /// The next line of stdout, without its newline.
    #[track_caller]
    pub fn line(&self) -> String {
        self.stdout
            .recv_timeout(DEADLINE)
            .expect("a line of stdout")
    }

    /// The next line of stderr, without its newline.
    #[track_caller]
    pub fn error_line(&self) -> String {
        self.stderr
            .recv_timeout(DEADLINE)
            .expect("a line of stderr")
    }

    /// Everything else that it says on stderr until it ends.
    pub fn other_error_lines(&self) -> Vec<String> {
        self.stderr.iter().collect()
    }

    /// Kills it, and returns everything else that it has said on stderr.
    pub fn killed(mut self) -> Vec<String> {
        let _ = self.child.kill();
        self.other_error_lines()
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Its exit status, with stdin open if it was.
    #[track_caller]
    pub fn status(&mut self) -> Option<i32> {
        wait(&mut self.child).expect("an end").code()
    }

    /// Its exit status after the end of stdin.
    #[track_caller]
    pub fn close_stdin_and_wait(&mut self) -> Option<i32> {
        self.close_stdin();
        self.status()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let stderr: Vec<_> = self.stderr.try_iter().collect();
            eprintln!("its stderr: {stderr:?}");
        }
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A server, as `flags` say: `"--tcp --max-connections 2"`.
pub fn server(flags: &str, host: &str, port: u16) -> Command {
    let mut command = Command::new(SERVER);
    command.args(flags.split_whitespace());
    command.args(["--host", host, "--port", &port.to_string()]);
    command
}

/// A server on a free port of 127.0.0.1, and its address.
pub struct Server {
    pub program: Program,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(flags: &str) -> Self {
        Self::spawn(&mut server(flags, "127.0.0.1", 0))
    }

    /// Starts a server, perhaps behind a wrapper.
    pub fn spawn(command: &mut Command) -> Self {
        Self::ready(Program::spawn(command))
    }

    /// Waits until it says where it listens.
    pub fn ready(program: Program) -> Self {
        let line = program.line();
        let address = line
            .strip_prefix("The server is ready to receive on ")
            .and_then(|socket| socket.split(' ').next_back()?.parse().ok())
            .expect(&line);
        Self { program, address }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }
}

/// Gives a connection the deadline. `connect` does so itself.
pub fn set_deadline(stream: &TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    set_deadline(&stream);
    stream
}

/// Sends a sentence over TCP and checks its answer, which is as long.
#[track_caller]
pub fn exchange(mut stream: &TcpStream, sentence: &str) {
    stream.write_all(sentence.as_bytes()).unwrap();
    assert_answer(stream, &sentence.to_uppercase());
}

/// Reads as much as `expected` is long.
#[track_caller]
pub fn assert_answer(mut stream: &TcpStream, expected: &str) {
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}

/// A UDP socket on a free port of `ip`, with a deadline.
pub fn udp(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// Does `call` again when a signal has interrupted it, as happens to sockets with a deadline.
#[track_caller]
pub fn retry<T>(mut call: impl FnMut() -> std::io::Result<T>) -> T {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result.unwrap(),
        }
    }
}

/// Sends one datagram and returns the answer.
#[track_caller]
pub fn ask(socket: &UdpSocket, server: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    socket.send_to(datagram, server).unwrap();
    let mut answer = vec![0; 65536];
    let (size, from) = retry(|| socket.recv_from(&mut answer));
    assert_eq!(from, server);
    answer.truncate(size);
    answer
}

/// Random numbers, the same in each run: xorshift64.
pub fn random() -> impl FnMut() -> u64 {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}
