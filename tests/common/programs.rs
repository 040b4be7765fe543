//! Runs of the two programs.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::fakes::DEADLINE;

pub const CLIENT: &str = env!("CARGO_BIN_EXE_client");
pub const SERVER: &str = env!("CARGO_BIN_EXE_server");

pub const PROTOCOLS: [&str; 2] = ["--udp", "--tcp"];

/// A client that asks a port of localhost, unless the flags name another host.
pub fn client(flags: &str, port: u16) -> Run {
    Run::new(CLIENT, flags).arg("--port").arg(&port.to_string())
}

pub fn server(flags: &str) -> Run {
    Run::new(SERVER, flags)
}

/// A script for the shell. The programs are `"$client"` and `"$server"` there, because their paths
/// may contain any character.
pub fn shell(script: &str) -> Run {
    Run::new("sh", "-c").arg(script)
}

/// A run of a program. First it is described, and then [`prints`](Self::prints),
/// [`fails`](Self::fails), [`ends`](Self::ends) or [`start`](Self::start) makes it.
pub struct Run {
    pub command: Command,
    input: Vec<u8>,
}

impl Run {
    pub fn new(program: &str, flags: &str) -> Self {
        let mut command = Command::new(program);
        command.args(flags.split_whitespace());
        command.env("client", CLIENT).env("server", SERVER);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = Vec::new();
        Self { command, input }
    }

    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// It ends with 0, prints this, and says nothing on stderr.
    #[track_caller]
    pub fn prints(self, stdout: impl AsRef<[u8]>) {
        self.ends(0, stdout, "");
    }

    /// It ends with 1, has printed `stdout`, and says this error.
    #[track_caller]
    pub fn fails(self, stdout: impl AsRef<[u8]>, error: &str) {
        self.ends(1, stdout, &format!("error: {error}\n"));
    }

    /// It ends with this exit status, and this is all that it writes.
    #[track_caller]
    pub fn ends(self, status: i32, stdout: impl AsRef<[u8]>, stderr: &str) {
        self.start_with_input().ends(status, stdout, stderr);
    }

    /// Starts it, and gives it its whole input.
    pub fn start_with_input(mut self) -> Program {
        let input = std::mem::take(&mut self.input);
        let mut program = self.start();
        let stdin = program.stdin.take();
        thread::spawn(move || {
            // A program that fails does not read all of it.
            stdin.map(|mut stdin| stdin.write_all(&input))
        });
        program
    }

    /// Starts it, for a test that types as it goes.
    pub fn start(mut self) -> Program {
        // Shown if the test fails.
        println!("{:?}", self.command);
        let mut child = self.command.spawn().unwrap();
        Program {
            stdin: child.stdin.take(),
            // A program that prints much waits for the test to read it.
            stdout: Output::new(child.stdout.take(), 0),
            // A program that says something on stderr does not wait.
            stderr: Output::new(child.stderr.take(), 1000),
            child,
        }
    }
}

/// A running program that does not outlive its test.
pub struct Program {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Output,
    pub stderr: Output,
}

impl Program {
    /// Types on its stdin. If it fails, the program has ended, which is checked elsewhere.
    pub fn send(&mut self, text: &str) {
        let _ = self.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Checks its exit status, and all that it still writes.
    #[track_caller]
    pub fn ends(mut self, status: i32, stdout: impl AsRef<[u8]>, stderr: &str) {
        let printed = self.stdout.rest();
        assert_eq!(String::from_utf8_lossy(&self.stderr.rest()), stderr);
        let expected = stdout.as_ref();
        assert_eq!(beginning(&printed), beginning(expected));
        assert!(printed == expected, "stdout differs behind its beginning");
        assert_eq!(self.status(), Some(status));
    }

    #[track_caller]
    fn status(&mut self) -> Option<i32> {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let stderr: Vec<u8> = self.stderr.pieces.try_iter().flatten().collect();
            eprintln!("its stderr: {}", beginning(&stderr));
        }
    }
}

/// The beginning of some bytes, for people.
fn beginning(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(500)].escape_ascii().to_string()
}

/// What a program writes. Each wait for it has a deadline.
pub struct Output {
    pieces: Receiver<Vec<u8>>,
    /// What has come behind the last line that was taken.
    unread: Vec<u8>,
}

impl Output {
    /// Reads at most `ahead` pieces before they are taken.
    fn new(pipe: Option<impl Read + Send + 'static>, ahead: usize) -> Self {
        let (sender, pieces) = sync_channel(ahead);
        thread::spawn(move || {
            let mut pipe = pipe?;
            let mut buffer = vec![0; 1 << 16];
            while let Ok(size @ 1..) = pipe.read(&mut buffer) {
                sender.send(buffer[..size].to_vec()).ok()?;
            }
            Some(())
        });
        let unread = Vec::new();
        Self { pieces, unread }
    }

    /// Closes it: the program finds that out with one of its next writes.
    pub fn close(&mut self) {
        *self = Self::new(None::<std::io::Empty>, 0);
    }

    /// The next piece, or `None` at the end.
    #[track_caller]
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        match self.pieces.recv_timeout(DEADLINE) {
            Ok(piece) => Some(piece),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("neither output nor its end"),
        }
    }

    /// The next line, without its newline.
    #[track_caller]
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            let piece = self.piece();
            self.unread.extend(piece.expect("a line before the end"));
        }
    }

    /// All that is left until the end.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.unread);
        while let Some(piece) = self.piece() {
            rest.extend(piece);
        }
        rest
    }
}

/// A server on a free port of 127.0.0.1, for at most four connections.
pub struct Server {
    pub program: Program,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(flags: &str) -> Self {
        let flags = format!("{flags} --host 127.0.0.1 --port 0 --max-connections 4");
        Self::ready(server(&flags).start())
    }

    /// Waits until a server says where it listens.
    #[track_caller]
    pub fn ready(mut program: Program) -> Self {
        let line = program.stdout.line();
        let socket = line.strip_prefix("The server is ready to receive on ");
        let (_protocol, address) = socket.and_then(|name| name.split_once(' ')).expect(&line);
        let address = address.parse().expect(&line);
        Self { program, address }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}
