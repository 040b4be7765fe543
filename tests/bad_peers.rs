//! The server program under what its peers, its operator and the system may do to it.

mod common;

use common::{DEADLINE, Program, Server, ask, connect, limit, udp};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};

fn exchange(stream: &mut TcpStream) {
    stream.write_all(b"ping").unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"PING");
}

#[cfg(target_os = "linux")]
fn status(server: &Server, field: &str) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.program.child.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    line.trim_start_matches(':')
        .trim()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_hundred_thousand_random_datagrams() {
    let server = Server::start(&["--udp"]);
    let socket = udp("127.0.0.1");
    assert_eq!(
        ask(&socket, server.address, &vec![b'x'; 65507]).len(),
        65507
    );
    let before = status(&server, "VmRSS");
    let mut state: u64 = 1;
    let mut datagram = [0; 2048];
    for count in 0..100_000 {
        for byte in &mut datagram[..64] {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        let size = (state >> 33) as usize % datagram.len();
        if count % 64 == 0 {
            ask(&socket, server.address, &datagram[..size]);
        } else {
            // From a socket that reads no answers.
            let other = std::net::UdpSocket::bind("127.0.0.1:0");
            other
                .unwrap()
                .send_to(&datagram[..size], server.address)
                .unwrap();
        }
    }
    assert_eq!(ask(&socket, server.address, b"still here"), b"STILL HERE");
    assert!(
        status(&server, "VmRSS") < before + 1024,
        "its memory has grown"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn out_of_descriptors() {
    // 64 threads, each wanting a descriptor, and 24 for all of the process.
    let program = env!("CARGO_BIN_EXE_server");
    let limited = format!("ulimit -n 24; exec {program} \"$@\"");
    let server = Server::spawn(Command::new("bash").args([
        "-c",
        &limited,
        "server",
        "--max-connections",
        "64",
    ]));
    assert!(
        server
            .program
            .stderr
            .recv_timeout(DEADLINE)
            .unwrap()
            .contains("cannot serve now")
    );
    let mut held: Vec<_> = (0..10).map(|_| server.connect()).collect();
    held.iter_mut().for_each(exchange);
    // All its descriptors are taken; UDP goes on.
    let waiting: Vec<_> = (0..30).map(|_| server.connect()).collect();
    assert_eq!(ask(&udp("127.0.0.1"), server.address, b"udp"), b"UDP");
    drop(waiting);
    drop(held);
    for _ in 0..100 {
        exchange(&mut server.connect());
    }
    // It was said once, since the trouble has not ended.
    server.program.stderr.try_recv().unwrap_err();
}

#[test]
#[cfg(target_os = "linux")]
fn threads_that_cannot_be_started() {
    // A limit on the processes of a user does not hold for root: a stranger's id, where the test may take it.
    let program = env!("CARGO_BIN_EXE_server");
    let shell = format!(
        "ulimit -u 40; exec {program} --host 127.0.0.1 --port 0 --tcp --max-connections 1000"
    );
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let output = if is_root {
        if Command::new("setpriv").arg("--version").output().is_err() {
            println!("passed over: there is no `setpriv` here");
            return;
        }
        // Where a stranger may read it.
        let copy = std::env::temp_dir().join(format!("uppercase-echo-{}", std::process::id()));
        std::fs::copy(program, &copy).unwrap();
        let shell = shell.replace(program, copy.to_str().unwrap());
        let user = ["--reuid=54321", "--clear-groups", "bash", "-c", &shell];
        let output = common::run(Command::new("setpriv").args(user), "");
        std::fs::remove_file(copy).unwrap();
        output
    } else {
        common::run(Command::new("bash").args(["-c", &shell]), "")
    };
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with("error: cannot start 1000 threads for tcp 127.0.0.1:"),
        "{stderr}"
    );
    assert!(stderr.ends_with("; lower --max-connections\n"), "{stderr}");
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(1), &b""[..])
    );
}

#[test]
#[cfg(unix)]
fn nobody_reads_stdout_and_stderr() {
    for redirection in [">&- 2>&-", ">/dev/full 2>/dev/full"] {
        // Its port is known from its own listening socket: it has nowhere to print it.
        let probe = Server::start(&[]);
        let port = probe.address.port();
        drop(probe);
        let program = env!("CARGO_BIN_EXE_server");
        let shell =
            format!("exec {program} --verbose --host 127.0.0.1 --port {port} {redirection}");
        let mut child = Command::new("bash")
            .args(["-c", &shell])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let end = std::time::Instant::now() + DEADLINE;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let mut stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) => assert!(std::time::Instant::now() < end, "{error}"),
            }
        };
        limit(&stream);
        for _ in 0..3 {
            exchange(&mut stream);
            exchange(&mut connect(address));
            assert_eq!(ask(&udp("127.0.0.1"), address, b"udp"), b"UDP");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn restart_on_the_same_port() {
    let server = Server::start(&["--tcp"]);
    let port = server.address.port();
    let mut stream = server.connect();
    exchange(&mut stream);
    // The server closes first, so its port lingers in TIME-WAIT.
    drop(server);
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    let mut again = Command::new(env!("CARGO_BIN_EXE_server"));
    let again =
        Program::spawn(again.args(["--tcp", "--host", "127.0.0.1", "--port", &port.to_string()]));
    assert_eq!(
        again.line(),
        format!("The server is ready to receive on tcp 127.0.0.1:{port}")
    );
}

#[test]
#[cfg(unix)]
fn stopped_and_continued() {
    let server = Server::start(&["--tcp"]);
    let mut stream = server.connect();
    for _ in 0..20 {
        exchange(&mut stream);
        server.kill("-STOP");
        stream.write_all(b"within").unwrap();
        server.kill("-CONT");
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"WITHIN");
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(common::retry(|| stream.read(&mut [0; 1])), 0);
}

#[test]
fn idle_timeout() {
    let server = Server::start(&["--tcp", "--idle-timeout", "0.2", "--max-connections", "1"]);
    let mut silent = server.connect();
    let mut next = server.connect();
    exchange(&mut next);
    assert_eq!(common::retry(|| silent.read(&mut [0; 1])), 0);
}
