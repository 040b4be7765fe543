//! The library's UDP server and client. Promises:
//!
//! - **UDP answers**: `datagrams_of_every_size`, `an_answer_that_outgrows_a_datagram_is_not_sent`.
//! - **No answers to servers**: `no_answer_to_another_server`, and the unit tests in `src/udp.rs`.
//! - **The server goes on**: `a_failing_receive_pauses_and_goes_on`.
//! - **The client ends**: all others.

mod common;

use common::{DEADLINE, ask, closed_udp, loopback_ips};
use std::io::ErrorKind::{self, ConnectionRefused, TimedOut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use uppercase_echo::udp;

/// A server, and its events.
fn serve(ip: &str) -> (SocketAddr, Receiver<String>) {
    serve_on(UdpSocket::bind((ip, 0)).unwrap())
}

fn serve_on(socket: UdpSocket) -> (SocketAddr, Receiver<String>) {
    let address = socket.local_addr().unwrap();
    let (sender, events) = channel();
    udp::serve(socket, move |event| {
        let _ = sender.send(event.to_string());
    })
    .unwrap();
    (address, events)
}

/// Asks from `socket`, and returns what the server has told until it sent the answer. (Those who call it need larger
/// datagrams, or more addresses, than macOS has unless told to.)
#[cfg(not(target_os = "macos"))]
fn events_until_next(
    socket: &UdpSocket,
    server: SocketAddr,
    events: &Receiver<String>,
) -> Vec<String> {
    assert_eq!(ask(socket, server, b"next"), b"NEXT");
    let sent = format!("sent 4 bytes to {}", socket.local_addr().unwrap());
    let mut told = Vec::new();
    while told.last() != Some(&sent) {
        told.push(events.recv_timeout(DEADLINE).unwrap());
    }
    told
}

#[test]
fn datagrams_of_every_size() {
    for ip in loopback_ips() {
        let (server, _) = serve(ip);
        let socket = common::udp(ip);
        let largest = match ip {
            // macOS sends no larger ones unless told to.
            _ if cfg!(target_os = "macos") => 9216,
            "127.0.0.1" => 65_507,
            _ => 65_527,
        };
        for size in [0, 1, 5, 1400, 2048, 2049, 9216, 21_835, 65_506, largest] {
            let datagram = vec![b'x'; size.min(largest)];
            assert!(
                ask(&socket, server, &datagram) == datagram.to_ascii_uppercase(),
                "{size} bytes"
            );
        }
        // The worst growth there is, at the size up to which it always fits.
        let worst = "\u{390}".repeat(largest / 3 / 2);
        let answer = ask(&socket, server, worst.as_bytes());
        assert!(
            answer == worst.to_uppercase().as_bytes(),
            "the worst growth"
        );
    }
}

#[test]
#[cfg(not(target_os = "macos"))]
fn an_answer_that_outgrows_a_datagram_is_not_sent() {
    let (server, events) = serve("127.0.0.1");
    let socket = common::udp("127.0.0.1");
    let client = socket.local_addr().unwrap();
    socket
        .send_to("\u{390}".repeat(32_753).as_bytes(), server)
        .unwrap();
    let too_long = socket.send_to(&vec![b'x'; 65_536], server).unwrap_err();
    let expected = [
        format!("received 65506 bytes from {client}"),
        format!("cannot send to {client}: {too_long}"),
        format!("received 4 bytes from {client}"),
        format!("sent 4 bytes to {client}"),
    ];
    assert_eq!(events_until_next(&socket, server, &events), expected);
}

#[test]
#[cfg(target_os = "linux")]
fn no_answer_to_another_server() {
    let (server, events) = serve("127.0.0.1");
    // On the server's own port number, which only a server has.
    let other = UdpSocket::bind(("127.0.0.2", server.port())).unwrap();
    other.send_to(b"?", server).unwrap();
    let socket = common::udp("127.0.0.1");
    let (other_server, client) = (other.local_addr().unwrap(), socket.local_addr().unwrap());
    let expected = [
        format!("received 1 byte from {other_server}"),
        format!("no answer to {other_server}: it may be a server"),
        format!("received 4 bytes from {client}"),
        format!("sent 4 bytes to {client}"),
    ];
    assert_eq!(events_until_next(&socket, server, &events), expected);
    other.set_nonblocking(true).unwrap();
    other.recv_from(&mut [0; 9]).unwrap_err();
}

#[test]
fn a_failing_receive_pauses_and_goes_on() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Every receive without a datagram waiting fails at once.
    socket.set_nonblocking(true).unwrap();
    let failure = socket.recv_from(&mut [0; 9]).unwrap_err();
    let start = Instant::now();
    let (server, events) = serve_on(socket);
    for _ in 0..5 {
        let event = events.recv_timeout(DEADLINE).unwrap();
        assert_eq!(event, format!("cannot serve now: {failure}"));
    }
    // 5, 10, 20 and 40 ms have passed before the fifth: it does not spin.
    assert!(start.elapsed() >= Duration::from_millis(75));
    let socket = common::udp("127.0.0.1");
    assert_eq!(ask(&socket, server, b"still here"), b"STILL HERE");
}

#[test]
fn a_cut_answer() {
    // (sentence, answer, whether it was cut)
    #[rustfmt::skip]
    let cases: &[(&[u8], &[u8], bool)] = &[
        (b"", b"", false),
        (b"hello", b"HELLO", false),
        (b"hello", b"HELL", true),
        (b"hello", b"", true),
        (b"hello", b"HELLO, AND MORE", false),
        ("ı".as_bytes(), b"I", false),
        ("ı".as_bytes(), "ı".as_bytes(), false),
        ("ıx".as_bytes(), b"I", true),
        ("straße".as_bytes(), b"STRASSE", false),
        ("straße".as_bytes(), b"STRASS", true),
        ("\u{390}".as_bytes(), b"\xCE\x90", false),
        ("\u{390}".as_bytes(), b"\xCE", true),
        (b"\xFF\xFE", b"\xFF\xFE", false),
        (b"\xFF\xFE", b"\xFF", true),
        (b"\xC4", b"", true),
        // Not seen: two letters grow by one byte each, so that there may have been eight.
        ("ŉŉ".as_bytes(), "ʼNʼ".as_bytes(), false),
    ];
    for (sentence, answer, expected) in cases {
        let told = format!("{} {}", sentence.escape_ascii(), answer.escape_ascii());
        assert_eq!(udp::is_cut(sentence, answer), *expected, "{told}");
    }
}

#[test]
fn a_dead_first_address_costs_no_time() {
    let (server, _) = serve("127.0.0.1");
    let (closed, _) = closed_udp();
    let start = Instant::now();
    let mut client = udp::Client::new(&[closed.local_addr().unwrap(), server], DEADLINE);
    assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
    assert!(start.elapsed() < DEADLINE / 4);
}

#[test]
fn silent_addresses_cost_their_shares_once() {
    let (server, _) = serve("127.0.0.1");
    let silent = [common::udp("127.0.0.1"), common::udp("127.0.0.1")];
    let [first, second] = [0, 1].map(|at| silent[at].local_addr().unwrap());
    let mut client = udp::Client::new(&[first, second, server], Duration::from_millis(900));
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
    }
    // Two thirds of the timeout.
    let expected = Duration::from_millis(590)..Duration::from_millis(890);
    assert!(expected.contains(&start.elapsed()), "{:?}", start.elapsed());
    // Only the first line has asked them.
    for silent in silent {
        silent.set_nonblocking(true).unwrap();
        assert!(silent.recv_from(&mut [0; 9]).is_ok());
        silent.recv_from(&mut [0; 9]).unwrap_err();
    }
}

#[test]
fn the_server_moves_to_another_of_its_addresses() {
    let first = common::udp("127.0.0.1");
    let first_address = first.local_addr().unwrap();
    let (second_address, _) = serve("127.0.0.1");
    let first_server = std::thread::spawn(move || {
        let (size, client) = common::retry(|| first.recv_from(&mut [0; 9]));
        first.send_to(&b"FIRST"[..size], client).unwrap();
        // It is closed to everybody but itself now, and keeps its port.
        first.connect(first_address).unwrap();
        first
    });
    let mut client = udp::Client::new(&[first_address, second_address], DEADLINE);
    assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"FIRST");
    let _kept = first_server.join().unwrap();
    let start = Instant::now();
    assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
    assert_eq!(client.ask(b"again", |_| {}).unwrap(), b"AGAIN");
    assert!(start.elapsed() < DEADLINE / 4);
}

#[test]
fn after_a_silence_all_addresses_are_asked_again() {
    // It answers once.
    let first = common::udp("127.0.0.1");
    let (second, _) = serve("127.0.0.1");
    let addresses = [first.local_addr().unwrap(), second];
    let first_server = std::thread::spawn(move || {
        let (size, client) = common::retry(|| first.recv_from(&mut [0; 9]));
        first.send_to(&b"FIRST"[..size], client).unwrap();
        first
    });
    let mut client = udp::Client::new(&addresses, Duration::from_millis(600));
    assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"FIRST");
    let _kept = first_server.join().unwrap();
    assert_eq!(client.ask(b"hello", |_| {}).unwrap_err().kind(), TimedOut);
    assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
}

#[test]
fn the_most_telling_failure_of_several_addresses() {
    let ((closed, _), silent) = (closed_udp(), common::udp("127.0.0.1"));
    let (closed, silent) = (closed.local_addr().unwrap(), silent.local_addr().unwrap());
    // No socket may be connected to the broadcast address: that fails at once, and nothing is sent.
    let forbidden = SocketAddr::from(([255, 255, 255, 255], 9));
    let refused = if cfg!(windows) {
        ErrorKind::ConnectionReset
    } else {
        ConnectionRefused
    };
    #[rustfmt::skip]
    let cases: &[(&[SocketAddr], ErrorKind)] = &[
        (&[], ErrorKind::NotFound),
        (&[silent], TimedOut),
        (&[closed], refused),
        (&[closed, forbidden], ErrorKind::PermissionDenied),
        (&[forbidden, silent], TimedOut),
        (&[forbidden, closed], ErrorKind::PermissionDenied),
        (&[closed, silent], TimedOut),
        (&[silent, closed], TimedOut),
    ];
    for (addresses, expected) in cases {
        let mut client = udp::Client::new(addresses, Duration::from_millis(100));
        let error = client.ask(b"hello", |_| {}).unwrap_err();
        assert_eq!(error.kind(), *expected, "{addresses:?}");
    }
}

#[test]
fn a_failing_send_is_a_lost_datagram() {
    // Each try fails at once, the next comes when it would have come anyway, and the cause is told at the end.
    let (server, _) = serve("127.0.0.1");
    let too_long = vec![b'x'; 65_508];
    let failure = common::udp("127.0.0.1")
        .send_to(&too_long, server)
        .unwrap_err();
    let mut client = udp::Client::new(&[server], Duration::from_millis(300));
    let start = Instant::now();
    let error = client.ask(&too_long, |_| {}).unwrap_err();
    assert_eq!(error.raw_os_error(), failure.raw_os_error());
    assert!(start.elapsed() >= Duration::from_millis(290));
    assert_eq!(client.ask(b"next", |_| {}).unwrap(), b"NEXT");
}
