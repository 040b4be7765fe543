//! The client against fake servers and networks that drop, delay, double, stall, reset or hang up.

mod common;

use common::{DEADLINE, Program, check, client, fake_tcp, fake_udp, run, signal_to};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

fn closed(port: u16) -> String {
    format!("error: tcp localhost:{port} closed the connection before answering everything\n")
}

fn silent(protocol: &str, port: u16, seconds: &str) -> String {
    format!("error: no answer from {protocol} localhost:{port} within {seconds} s\n")
}

fn lines(count: u32) -> String {
    (0..count)
        .map(|line| format!("line {line}\n"))
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn every_third_datagram_is_lost_and_every_answer_doubled() {
    let (mut requests, mut answers) = (0, 0);
    let port = fake_udp(move |socket, message, peer| {
        requests += 1;
        answers += u32::from(requests % 3 != 0);
        if requests % 3 != 0 && answers % 3 != 0 {
            for _ in 0..2 {
                socket.send_to(&message.to_ascii_uppercase(), peer).unwrap();
            }
        }
    });
    let input = lines(50);
    check(
        &run(&mut client(&["--udp", "-w", "20"], port), input.clone()),
        0,
        input.to_uppercase().as_bytes(),
        "",
    );
}

#[test]
fn late_and_doubled_answers_are_not_another_lines() {
    // The answer to each line comes twice, and once more just before the next line's.
    let mut last: Option<(Vec<u8>, SocketAddr)> = None;
    let port = fake_udp(move |socket, message, peer| {
        let answer = message.to_ascii_uppercase();
        if let Some((late, peer)) = last.replace((answer.clone(), peer)) {
            let _ = socket.send_to(&late, peer);
        }
        for _ in 0..2 {
            socket.send_to(&answer, peer).unwrap();
        }
    });
    let input = lines(200);
    check(
        &run(&mut client(&["--udp"], port), input.clone()),
        0,
        input.to_uppercase().as_bytes(),
        "",
    );
}

#[test]
fn an_answer_after_the_second_try_counts() {
    // Answers only when it has been asked twice, and then the first try.
    let mut tries = 0;
    let port = fake_udp(move |socket, message, peer| {
        tries += 1;
        if tries == 2 {
            socket.send_to(&message.to_ascii_uppercase(), peer).unwrap();
        }
    });
    check(&run(&mut client(&["--udp"], port), "late"), 0, b"LATE", "");
}

#[test]
fn sends_again_from_the_same_socket_with_doubled_waits() {
    // Answers the first line only; the second is asked for until the timeout.
    let (sender, tries) = channel();
    let port = fake_udp(move |socket, message, peer| {
        if message == b"one" {
            socket.send_to(b"ONE", peer).unwrap();
        } else {
            sender.send((Instant::now(), peer)).unwrap();
        }
    });
    let output = run(&mut client(&["--udp", "-w", "3"], port), "one\ntwo\n");
    check(&output, 1, b"ONE\n", &silent("udp", port, "3"));
    let tries: Vec<_> = tries.try_iter().collect();
    assert!((4..=5).contains(&tries.len()), "{tries:?}");
    for (pair, wait) in tries.windows(2).zip([200, 400, 800, 1000]) {
        assert_eq!(pair[0].1, pair[1].1);
        // A system's clock ticks in steps of up to 10 ms.
        assert!(
            pair[1].0 - pair[0].0 > Duration::from_millis(wait - 20),
            "{tries:?}"
        );
    }
}

#[test]
fn no_port_is_used_again_for_64_lines() {
    let mut ports = Vec::new();
    let (sender, again) = channel();
    let port = fake_udp(move |socket, message, peer| {
        if ports.iter().rev().take(63).any(|port| *port == peer.port()) {
            sender.send(peer).unwrap();
        }
        ports.push(peer.port());
        socket.send_to(&message.to_ascii_uppercase(), peer).unwrap();
    });
    // Of 28,000 ports, a few of 5,000 would be drawn again so soon.
    let input = lines(5000);
    let output = run(&mut client(&["--udp"], port), input.clone());
    check(&output, 0, input.to_uppercase().as_bytes(), "");
    assert_eq!(again.try_iter().count(), 0);
}

#[test]
fn a_strangers_datagram_is_not_printed() {
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = fake_udp(move |socket, message, peer| {
        stranger.send_to(b"FORGED", peer).unwrap();
        socket.send_to(&message.to_ascii_uppercase(), peer).unwrap();
    });
    check(
        &run(&mut client(&["--udp"], port), "a\nb\n"),
        0,
        b"A\nB\n",
        "",
    );
}

#[test]
fn an_empty_datagram_answers_only_an_empty_line() {
    let port = fake_udp(move |socket, message, peer| {
        socket.send_to(b"", peer).unwrap();
        socket.send_to(&message.to_ascii_uppercase(), peer).unwrap();
    });
    check(
        &run(&mut client(&["--udp"], port), "a\n\nb\n"),
        0,
        b"A\n\nB\n",
        "",
    );
}

#[test]
fn silence() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = fake_tcp(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
        // Neither an answer nor an end.
        std::mem::forget(stream);
    });
    for (protocol, port) in [("udp", udp.local_addr().unwrap().port()), ("tcp", tcp)] {
        let start = Instant::now();
        let mut client = client(&[&format!("--{protocol}"), "--timeout", "4"], port);
        let output = run(&mut client, "hello\n");
        check(&output, 1, b"", &silent(protocol, port, "4"));
        // Not twice the timeout either, as a clock would take that starts anew when the input ends.
        let seconds = start.elapsed().as_secs();
        assert!((4..7).contains(&seconds), "given up after {seconds} s");
    }
}

#[test]
fn closes_at_once() {
    let port = fake_tcp(drop);
    for input in ["hello\n", "no newline"] {
        check(
            &run(&mut client(&["--tcp"], port), input),
            1,
            b"",
            &closed(port),
        );
    }
}

#[test]
fn closes_without_an_answer() {
    let port = fake_tcp(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for input in ["hello\n", "no newline"] {
        check(
            &run(&mut client(&["--tcp"], port), input),
            1,
            b"",
            &closed(port),
        );
    }
}

#[test]
fn closes_within_an_answer() {
    let port = fake_tcp(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
        stream.write_all(b"HEL").unwrap();
    });
    check(
        &run(&mut client(&["--tcp"], port), "hello\n"),
        1,
        b"HEL",
        &closed(port),
    );
}

#[test]
fn drops_the_last_line() {
    let port = fake_tcp(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
        stream.write_all(b"ONE\n").unwrap();
    });
    for input in ["one\ntwo\n", "one\ntwo"] {
        check(
            &run(&mut client(&["--tcp"], port), input),
            1,
            b"ONE\n",
            &closed(port),
        );
    }
}

#[test]
fn answers_more_than_it_was_sent() {
    for more in ["MORE\n", "without an end"] {
        let port = fake_tcp(move |mut stream| {
            let _ = stream.read(&mut [0; 99]);
            while stream.write_all(more.repeat(9).as_bytes()).is_ok() {}
        });
        let output = run(&mut client(&["--tcp"], port), "more\n");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            format!(
                "error: tcp localhost:{port} answers more than it was asked; is it an upper-case echo?\n"
            )
        );
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn resets() {
    // What it has not read makes its close a reset.
    let port = fake_tcp(|stream| {
        let _ = stream.peek(&mut [0]);
    });
    check(
        &run(&mut client(&["--tcp"], port), "hello\n"),
        1,
        b"",
        &closed(port),
    );
}

#[test]
fn hangs_up_before_input_ends() {
    let port = fake_tcp(|mut stream| {
        let _ = stream.read(&mut [0; 99]);
        stream.write_all(b"ONE\n").unwrap();
    });
    let mut session = Program::spawn(&mut client(&["--tcp"], port));
    session
        .child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"one\n")
        .unwrap();
    assert_eq!(session.line(), "ONE");
    // Its stdin stays open, and it ends all the same.
    assert_eq!(
        session.stderr.recv_timeout(DEADLINE).unwrap() + "\n",
        closed(port)
    );
    assert_eq!(session.child.wait().unwrap().code(), Some(1));
}

#[test]
fn stops_reading() {
    let (sender, _kept) = channel();
    let port = fake_tcp(move |stream| sender.send(stream).unwrap());
    let start = Instant::now();
    let output = run(
        &mut client(&["--tcp", "--timeout", "0.3"], port),
        vec![b'x'; 100 << 20],
    );
    check(&output, 1, b"", &silent("tcp", port, "0.3"));
    assert!(start.elapsed() < DEADLINE / 2);
}

#[test]
fn a_slow_reader_of_stdout_is_no_error() {
    let server = common::Server::start(&["--tcp"]);
    let size: usize = 64 << 20;
    let mut child = spawn_with_zeros(
        &mut client(&["--tcp", "--timeout", "0.1"], server.address.port()),
        size,
    );
    let mut stdout = child.stdout.take().unwrap();
    let mut total = stdout.read(&mut [0; 10]).unwrap();
    // Three times the timeout: this delay is the fake reader's own.
    std::thread::sleep(Duration::from_millis(300));
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = stdout.read(&mut buffer) {
        total += read;
    }
    assert_eq!(total, size);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Starts a client, and sends it `size` zeros.
fn spawn_with_zeros(command: &mut Command, size: usize) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::repeat(0).take(size as u64), &mut stdin)
    });
    child
}

#[test]
#[cfg(target_os = "linux")]
fn a_gibibyte_in_constant_memory() {
    let server = common::Server::start(&["--tcp"]);
    let mut child = spawn_with_zeros(&mut client(&["--tcp"], server.address.port()), 1 << 30);
    let mut stdout = child.stdout.take().unwrap();
    let (mut total, mut peak) = (0, String::new());
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = stdout.read(&mut buffer) {
        total += read;
        if total > 1_000_000_000 && peak.is_empty() {
            peak = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        }
    }
    assert_eq!((total, child.wait().unwrap().code()), (1 << 30, Some(0)));
    let peak = peak
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap()
        .trim();
    let kilobytes: u32 = peak.split(' ').next().unwrap().parse().unwrap();
    assert!(kilobytes < 16 * 1024, "a peak of {peak}");
}

#[test]
#[cfg(unix)]
fn stopped_and_continued() {
    let server = common::Server::start(&[]);
    for protocol in ["--udp", "--tcp"] {
        let mut session =
            Program::spawn(&mut client(&[protocol, "-w", "20"], server.address.port()));
        for line in 0..20 {
            signal_to(session.child.id(), "-STOP");
            server.kill("-STOP");
            session
                .child
                .stdin
                .as_mut()
                .unwrap()
                .write_all(format!("line {line}\n").as_bytes())
                .unwrap();
            signal_to(session.child.id(), "-CONT");
            server.kill("-CONT");
            assert_eq!(session.line(), format!("LINE {line}"));
        }
        assert_eq!(session.wait(), 0);
    }
}

#[test]
fn cannot_connect() {
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        held.push(stream);
    }
    let port = address.port();
    let output = run(&mut client(&["--tcp", "--timeout", "0.5"], port), "x");
    check(
        &output,
        1,
        b"",
        &format!("error: cannot connect to tcp localhost:{port} within 0.5 s\n"),
    );
}
