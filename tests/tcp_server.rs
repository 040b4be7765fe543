//! The library's TCP server.
//!
//! Promises: TCP answers; it is bounded.

mod common;

use common::{DEADLINE, assert_answer, connect, exchange, loopback_ips, serve_tcp};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::num::NonZero;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use uppercase_echo::tcp;

mod tcp_answers {
    use super::*;

    #[test]
    fn a_stream_is_answered_at_once_and_whole() {
        for ip in loopback_ips() {
            let (server, _) = serve_tcp(ip, 2, DEADLINE);
            let mut stream = connect(server);
            // Each part is answered before the next is sent. A cut character waits for its rest, or for the end.
            #[rustfmt::skip]
            let parts: &[(&[u8], &str)] = &[
                ("straße".as_bytes(), "STRASSE"),
                (b"more, without a newline", "MORE, WITHOUT A NEWLINE"),
                (b"a\xC3", "A"),
                (b"\xA9", "É"),
                (b"\xF0\x90\x90\xA8z\xF0\x90\x90", "𐐀Z"),
                (b"\xA8", "𐐀"),
                (b"z\xC3", "Z"),
            ];
            for (part, answer) in parts {
                stream.write_all(part).unwrap();
                assert_answer(&stream, answer);
            }
            stream.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, b"\xC3");
        }
    }
}

mod it_is_bounded {
    use super::*;

    #[test]
    fn the_limit_holds_and_the_next_is_served_when_one_ends() {
        let (server, events) = serve_tcp("127.0.0.1", 2, DEADLINE);
        let (first, second, third) = (connect(server), connect(server), connect(server));
        let [one, two, three] =
            [&first, &second, &third].map(|stream| stream.local_addr().unwrap());
        exchange(&first, "one");
        exchange(&second, "two");
        (&third).write_all(b"three").unwrap();
        third
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        (&third).read(&mut [0; 5]).unwrap_err();
        drop(first);
        common::set_deadline(&third);
        assert_answer(&third, "THREE");
        let mut told: Vec<_> = (0..11)
            .map(|_| events.recv_timeout(DEADLINE).unwrap())
            .collect();
        let accepted =
            |client| format!("the welcoming socket accepted {client}: a new connection socket");
        // The first two may be accepted at the same moment.
        told[..6].sort();
        let mut expected = [
            accepted(one),
            format!("received 3 bytes from {one}"),
            format!("sent 3 bytes to {one}"),
            accepted(two),
            format!("received 3 bytes from {two}"),
            format!("sent 3 bytes to {two}"),
        ];
        expected.sort();
        assert_eq!(told[..6], expected);
        let expected = [
            format!("end of the stream: {one} has closed its side"),
            format!("closed the connection socket of {one}"),
            accepted(three),
            format!("received 5 bytes from {three}"),
            format!("sent 5 bytes to {three}"),
        ];
        assert_eq!(told[6..], expected);
    }

    #[test]
    fn no_peer_holds_its_thread_for_long_or_disturbs_another() {
        let (server, events) = serve_tcp("127.0.0.1", 3, Duration::from_millis(300));
        // One is silent, one never reads, and one resets: what it has not read makes its close a reset.
        let (silent, greedy, reset) = (connect(server), connect(server), connect(server));
        let addresses = [&silent, &greedy, &reset].map(|stream| stream.local_addr().unwrap());
        let writer = thread::spawn(move || {
            let chunk = vec![b'x'; 1 << 20];
            while (&greedy).write_all(&chunk).is_ok() {}
        });
        (&reset).write_all(b"answer me").unwrap();
        reset.peek(&mut [0]).unwrap();
        drop(reset);
        // All three threads are held now, or have been: this one is served all the same.
        let next = connect(server);
        for letter in ["a", "t", "a", "t", "i", "m", "e"] {
            exchange(&next, letter);
        }
        writer.join().unwrap();
        let connection_reset = match () {
            () if cfg!(target_os = "linux") => 104,
            () if cfg!(windows) => 10054,
            () => 54,
        };
        let connection_reset = io::Error::from_raw_os_error(connection_reset).to_string();
        let reasons = ["idle for too long", "idle for too long", &connection_reset];
        let mut expected: Vec<_> = (addresses.iter().zip(reasons))
            .map(|(client, why)| format!("closed the connection socket of {client}: {why}"))
            .collect();
        while !expected.is_empty() {
            let event = events.recv_timeout(DEADLINE).expect(&expected[0]);
            expected.retain(|expected| *expected != event);
        }
    }

    #[test]
    fn as_many_clients_as_the_limit_at_once() {
        // macOS gives a process 256 descriptors.
        let n = if cfg!(target_os = "macos") { 50 } else { 500 };
        let (server, _) = serve_tcp("127.0.0.1", n, DEADLINE);
        let barrier = Arc::new(Barrier::new(n));
        let clients: Vec<_> = (0..n)
            .map(|_| {
                let barrier = barrier.clone();
                thread::spawn(move || {
                    barrier.wait();
                    exchange(&connect(server), "x");
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
    }

    #[test]
    fn an_idle_timeout_of_zero_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let result = tcp::serve(listener, NonZero::<usize>::MIN, Duration::ZERO, |_| {});
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
