//! The library's TCP server.

mod common;

use common::fakes::{
    DEADLINE, assert_answer, connect, exchange, loopback_ips, set_deadline, tcp_server,
    tcp_server_on,
};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;
use std::time::{Duration, Instant};
use uppercase_echo::{Event, tcp};

#[test]
fn a_stream_is_answered_at_once_and_whole() {
    // Each part is answered before the next is sent. A cut character waits for its rest.
    let parts: [(&[u8], &str); 7] = [
        ("straße".as_bytes(), "STRASSE"),
        (b"more, without a newline", "MORE, WITHOUT A NEWLINE"),
        (b"a\xC3", "A"),
        (b"\xA9", "É"),
        (b"\xF0\x90\x90\xA8z\xF0\x90\x90", "𐐀Z"),
        (b"\xA8", "𐐀"),
        (b"z\xC3", "Z"),
    ];
    for ip in loopback_ips() {
        let (server, _) = tcp_server(ip, 1, DEADLINE);
        let mut stream = connect(server);
        for (part, answer) in parts {
            stream.write_all(part).unwrap();
            assert_answer(&stream, answer);
        }
        // After the half-close there is no rest to wait for.
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"\xC3");
    }
}

#[test]
fn at_most_n_connections_and_the_next_is_served_when_one_ends() {
    let (server, events) = tcp_server("127.0.0.1", 2, DEADLINE);
    let [first, second, mut third] = [connect(server), connect(server), connect(server)];
    let [closed_client, _, waiting_client] =
        [&first, &second, &third].map(|stream| stream.local_addr().unwrap());
    exchange(&first, "one");
    exchange(&second, "two");
    third.write_all(b"three").unwrap();
    let a_while = Duration::from_millis(100);
    third.set_read_timeout(Some(a_while)).unwrap();
    third.read(&mut [0]).unwrap_err();

    drop(first);
    set_deadline(&third);
    assert_answer(&third, "THREE");
    // A close, and only then the third accept.
    let order: Vec<_> = events
        .try_iter()
        .filter_map(|event| match event {
            Event::Accepted { peer } => Some(("accepted", peer)),
            Event::Closed { peer, .. } => Some(("closed", peer)),
            _ => None,
        })
        .collect();
    let expected = [("closed", closed_client), ("accepted", waiting_client)];
    assert_eq!(order[2..], expected);
}

#[test]
fn a_silent_a_greedy_and_a_resetting_peer_hold_no_thread_for_long() {
    let (server, events) = tcp_server("127.0.0.1", 3, Duration::from_millis(300));
    let [silent, greedy, mut resetting] = [connect(server), connect(server), connect(server)];
    let expected = HashMap::from([
        (silent.local_addr().unwrap(), ErrorKind::TimedOut),
        (greedy.local_addr().unwrap(), ErrorKind::TimedOut),
        (resetting.local_addr().unwrap(), ErrorKind::ConnectionReset),
    ]);
    // It writes and never reads.
    let writer = thread::spawn(move || {
        let chunk = vec![b'x'; 1 << 20];
        while (&greedy).write_all(&chunk).is_ok() {}
    });
    // It has not read its answer when it closes, so its system resets the connection.
    resetting.write_all(b"answer me").unwrap();
    resetting.peek(&mut [0]).unwrap();
    drop(resetting);

    let mut failures = HashMap::new();
    while failures.len() < expected.len() {
        let event = events.recv_timeout(DEADLINE).unwrap();
        if let Event::Closed { peer, error } = event {
            failures.insert(peer, error.expect("a failure").kind());
        }
    }
    assert_eq!(failures, expected);
    writer.join().unwrap();
    // All three threads are free.
    let mut kept = Vec::new();
    for _ in 0..3 {
        let next = connect(server);
        exchange(&next, "served");
        kept.push(next);
    }
}

#[test]
fn a_failing_accept_is_tried_again_by_one_thread_after_growing_pauses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // So every accept fails at once while nobody has connected.
    listener.set_nonblocking(true).unwrap();
    let start = Instant::now();
    let (server, events) = tcp_server_on(listener, 3, DEADLINE);
    for _ in 0..5 {
        let event = events.recv_timeout(DEADLINE).unwrap();
        let Event::CannotServe { error } = event else {
            panic!("{event:?}");
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    // 5, 10, 20 and 40 ms. If all three threads tried, five failures would not take so long.
    assert!(start.elapsed() >= Duration::from_millis(75));

    let stream = connect(server);
    let client = stream.local_addr().unwrap();
    let accepted = loop {
        if let Event::Accepted { peer } = events.recv_timeout(DEADLINE).unwrap() {
            break peer;
        }
    };
    assert_eq!(accepted, client);
}

#[test]
fn no_connections_or_no_time_is_refused() {
    for (connections, idle) in [(0, DEADLINE), (1, Duration::ZERO)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = tcp::serve(listener, connections, idle, |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
