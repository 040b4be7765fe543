//! The library's UDP server and client.
//!
//! Promises: UDP answers; no answers to servers (and the unit tests in `src/udp.rs`); the server goes on; the client ends.

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

/// Asks from `socket`, and returns what the server has told until it sent the answer.
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

mod udp_answers {
    use super::*;

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
}

mod no_answers_to_servers {
    use super::*;

    #[test]
    fn no_answer_to_its_own_port() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Only a server has the server's port number.
        let as_the_server = socket.try_clone().unwrap();
        let (server, events) = serve_on(socket);
        as_the_server.send_to(b"?", server).unwrap();
        let socket = common::udp("127.0.0.1");
        let client = socket.local_addr().unwrap();
        let expected = [
            format!("received 1 byte from {server}"),
            format!("no answer to {server}: it may be a server"),
            format!("received 4 bytes from {client}"),
            format!("sent 4 bytes to {client}"),
        ];
        assert_eq!(events_until_next(&socket, server, &events), expected);
    }
}

mod the_server_goes_on {
    use super::*;

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
}

mod the_client_ends {
    use super::*;

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
        let (_kept, closed) = closed_udp();
        let start = Instant::now();
        let mut client = udp::Client::new(&[closed, server], DEADLINE);
        assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
        assert!(start.elapsed() < DEADLINE / 4);
    }

    #[test]
    fn silent_addresses_cost_their_shares_once() {
        let (server, _) = serve("127.0.0.1");
        let silent = [common::udp("127.0.0.1"), common::udp("127.0.0.1")];
        let [first, second] = [0, 1].map(|at| silent[at].local_addr().unwrap());
        let mut client = udp::Client::new(&[first, second, server], Duration::from_millis(1500));
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
        }
        // Two thirds of the timeout.
        let expected = Duration::from_millis(990)..Duration::from_millis(1490);
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
        let mut client = udp::Client::new(&addresses, Duration::from_millis(400));
        assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"FIRST");
        let _kept = first_server.join().unwrap();
        assert_eq!(client.ask(b"hello", |_| {}).unwrap_err().kind(), TimedOut);
        assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
    }

    #[test]
    fn a_failure_of_all_addresses() {
        let (_kept, closed) = closed_udp();
        let silent = common::udp("127.0.0.1");
        let silent = silent.local_addr().unwrap();
        let refused = if cfg!(windows) {
            ErrorKind::ConnectionReset
        } else {
            ConnectionRefused
        };
        // Which failure of several is the most telling: see the unit tests in src/retry.rs.
        #[rustfmt::skip]
        let cases: &[(&[SocketAddr], ErrorKind)] = &[
            (&[silent], TimedOut),
            (&[closed], refused),
            (&[closed, silent], TimedOut),
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

    #[test]
    fn each_wait_is_twice_the_one_before() {
        // (how long the answer to "one" takes, whether the first try of "two" is lost, the least waits of "three", to which no
        // answer comes), in milliseconds. After two tries nobody knows which was answered: "two" is not timed then.
        let cases: [(u64, bool, &[u64]); 3] = [
            (0, false, &[200, 400]),
            (0, true, &[200, 400]),
            (100, false, &[300, 600, 1000]),
        ];
        std::thread::scope(|scope| {
            for (round_trip, is_first_try_lost, least) in cases {
                scope.spawn(move || {
                    let (sender, clients) = channel();
                    let mut is_lost = is_first_try_lost;
                    let port = common::fake_udp(move |socket, sentence, client| match sentence {
                        b"one" => {
                            std::thread::sleep(Duration::from_millis(round_trip));
                            socket.send_to(b"ONE", client).unwrap();
                        }
                        b"two" if is_lost => is_lost = false,
                        b"two" => drop(socket.send_to(b"TWO", client)),
                        _ => sender.send(client).unwrap(),
                    });
                    let timeout = Duration::from_millis(least.iter().sum::<u64>() + 600);
                    let mut client = udp::Client::new(&[([127, 0, 0, 1], port).into()], timeout);
                    // A busy machine may take longer, and then the waits are longer, too.
                    let longest = Duration::from_millis(round_trip + 50);
                    let mut time = DEADLINE;
                    while time > longest {
                        let start = Instant::now();
                        client.ask(b"one", |_| {}).unwrap();
                        time = start.elapsed();
                    }
                    if is_first_try_lost {
                        client.ask(b"two", |_| {}).unwrap();
                    }
                    let tries = std::cell::RefCell::new(Vec::new());
                    let observer =
                        |_: uppercase_echo::Event| tries.borrow_mut().push(Instant::now());
                    let error = client.ask(b"three", observer).unwrap_err();
                    assert_eq!(error.kind(), TimedOut);
                    let tries = tries.into_inner();
                    let waits: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
                    assert_eq!(waits.len(), least.len(), "{waits:?}");
                    for (wait, least) in waits.iter().zip(least) {
                        assert!(*wait >= Duration::from_millis(least - 20), "{waits:?}");
                    }
                    // All tries come from the same socket.
                    let clients: Vec<_> = clients.try_iter().collect();
                    assert_eq!(clients, vec![clients[0]; tries.len()]);
                });
            }
        });
    }
}
