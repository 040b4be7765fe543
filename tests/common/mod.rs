//! What the tests share: the two programs as real processes, and sockets with a deadline.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file takes what it needs"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything here should take: what waits longer is broken.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A running program that does not outlive its test.
pub struct Program {
    pub child: Child,
    pub stdout: Receiver<String>,
    pub stderr: Receiver<String>,
}

impl Program {
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// A line of stdout, without its newline.
    #[track_caller]
    pub fn line(&self) -> String {
        self.stdout
            .recv_timeout(DEADLINE)
            .expect("a line on stdout")
    }

    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        drop(self.child.stdin.take());
        // It has ended, or is about to, when its stdout is closed.
        let end = Instant::now() + DEADLINE;
        while let Ok(line) = self
            .stdout
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            println!("{line}");
        }
        assert!(Instant::now() < end, "still running");
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("its stderr: {:?}", self.stderr.iter().collect::<Vec<_>>());
        }
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                break;
            }
        }
    });
    receiver
}

/// A server on a free port of 127.0.0.1, and its address.
pub struct Server {
    pub program: Program,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        Self::spawn(command.args(flags))
    }

    /// `command` is a server, perhaps behind a wrapper; it gets a host and a port.
    pub fn spawn(command: &mut Command) -> Self {
        let program = Program::spawn(command.args(["--host", "127.0.0.1", "--port", "0"]));
        let line = program.line();
        let address = line
            .strip_prefix("The server is ready to receive on ")
            .expect(&line);
        let address = address.rsplit(' ').next().unwrap().parse().unwrap();
        Self { program, address }
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    pub fn kill(&self, signal: &str) {
        signal_to(self.program.child.id(), signal);
    }
}

pub fn signal_to(id: u32, signal: &str) {
    // The shell's own: not every machine has the program.
    let kill = format!("kill {signal} {id}");
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    limit(&stream);
    stream
}

pub fn limit(stream: &TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
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
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
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

pub fn client(flags: &[&str], port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    command.args(flags).args(["--port", &port.to_string()]);
    command
}

/// Runs a client to its end.
pub fn run(command: &mut Command, input: impl Into<Vec<u8>>) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.into());
    // A client that fails does not read all of it.
    let writer = thread::spawn(move || stdin.write_all(&input).is_ok());
    let (sender, receiver) = channel();
    let id = child.id();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(DEADLINE) else {
        signal_to(id, "-KILL");
        panic!("{command:?} has not ended");
    };
    let _ = writer.join();
    output.unwrap()
}

/// Checks a client's whole stdout and stderr, and its exit status.
#[track_caller]
pub fn check(output: &Output, status: i32, stdout: &[u8], stderr: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(stdout)
    );
    assert!(
        output.stdout == stdout,
        "the same but for bytes that are not UTF-8"
    );
    assert_eq!(output.status.code(), Some(status));
}

/// A listener on a free port of 127.0.0.1 that serves one connection after another in its own thread.
pub fn fake_tcp(mut serve: impl FnMut(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            limit(&stream);
            serve(stream);
        }
    });
    port
}

/// A UDP socket on a free port of 127.0.0.1 that hands each datagram to `serve`.
pub fn fake_udp(mut serve: impl FnMut(&UdpSocket, &[u8], SocketAddr) + Send + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((size, peer)) = socket.recv_from(&mut buffer) {
            serve(&socket, &buffer[..size], peer);
        }
    });
    port
}

/// A UDP port of 127.0.0.1 on which nothing answers as long as the socket is kept: it is connected to itself.
pub fn closed_udp() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    socket.connect(address).unwrap();
    (socket, address.port())
}

/// A TCP port of 127.0.0.1 on which nothing listens as long as the two sockets are kept: it is a client's own.
pub fn closed_tcp() -> ((TcpListener, TcpStream), u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = connect(listener.local_addr().unwrap());
    let port = stream.local_addr().unwrap().port();
    ((listener, stream), port)
}
