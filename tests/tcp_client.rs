//! The library's TCP client: connecting, and one line with its answer. (`tcp_pipe.rs` has whole
//! streams.)
//!
//! Which failure of several addresses is reported is in the unit tests of `src/addresses.rs`.

mod common;

use common::fakes::Step::{ReadByte, ReadOnce, Say, Stay};
use common::fakes::{
    DEADLINE, Step, closed_tcp, fake_tcp, fill_backlog, in_time, observer, retry, scripted_tcp,
    tcp_server,
};
use common::system::skip;
use std::io::ErrorKind::{
    self, ConnectionRefused, InvalidData, InvalidInput, NotConnected, TimedOut, UnexpectedEof,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};
use uppercase_echo::Event;
use uppercase_echo::tcp::{Client, PipeError};

/// A client that waits for long, and its events.
fn client(addresses: &[SocketAddr]) -> (Client, Receiver<Event>) {
    client_with_timeout(addresses, DEADLINE)
}

#[track_caller]
fn client_with_timeout(addresses: &[SocketAddr], timeout: Duration) -> (Client, Receiver<Event>) {
    let (observer, events) = observer();
    let client = Client::connect(addresses, timeout, observer).unwrap();
    (client, events)
}

/// How often the client has connected.
fn count_connections(events: &Receiver<Event>) -> usize {
    let is_connected = |event: &Event| matches!(event, Event::Connected { .. });
    events.try_iter().filter(is_connected).count()
}

#[test]
fn the_events_of_a_line() {
    let (server, _) = tcp_server("127.0.0.1", 1, DEADLINE);
    let (mut client, events) = client(&[server]);
    assert_eq!(client.ask(b"hello").unwrap(), b"HELLO");
    let events: Vec<_> = events.try_iter().collect();
    // The line and its newline are one write.
    let [
        Event::Connected { peer, .. },
        Event::Sending { size: 6, .. },
        Event::Received { size: 6, .. },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(*peer, server);
}

#[test]
fn a_closed_port_is_left_at_once() {
    let (_kept, closed) = closed_tcp();
    let (server, _) = tcp_server("127.0.0.1", 1, DEADLINE);
    let start = Instant::now();
    let error = Client::connect(&[closed], DEADLINE, |_| {}).unwrap_err();
    assert_eq!(error.kind(), ConnectionRefused);
    let (mut client, _) = client(&[closed, server]);
    assert_eq!(client.ask(b"hello").unwrap(), b"HELLO");
    assert!(start.elapsed() < DEADLINE / 4);
}

#[test]
fn an_address_that_accepts_nobody_costs_its_share() {
    if cfg!(windows) {
        return skip("Windows refuses a connection for which the backlog has no room");
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _kept = fill_backlog(&listener);
    let full = listener.local_addr().unwrap();
    let (server, _) = tcp_server("127.0.0.1", 1, DEADLINE);
    let timeout = Duration::from_millis(1500);
    let start = Instant::now();
    let (mut client, _) = client_with_timeout(&[full, server], timeout);
    let share = timeout / 2;
    assert!((share..timeout).contains(&start.elapsed()));
    assert_eq!(client.ask(b"hello").unwrap(), b"HELLO");

    let result = Client::connect(&[full], Duration::from_millis(200), |_| {});
    assert_eq!(result.unwrap_err().kind(), TimedOut);
}

#[test]
fn no_time_is_refused() {
    let error = Client::connect(&[], Duration::ZERO, |_| {}).unwrap_err();
    assert_eq!(error.kind(), InvalidInput);
}

#[test]
fn a_line_is_not_two() {
    let (server, _) = tcp_server("127.0.0.1", 1, DEADLINE);
    let (mut client, _) = client(&[server]);
    assert_eq!(client.ask(b"one\ntwo").unwrap_err().kind(), InvalidInput);
    // Nothing was sent, so the connection is still good.
    assert_eq!(client.ask(b"three").unwrap(), b"THREE");
}

#[test]
fn what_counts_as_an_answer() {
    struct Case {
        /// What the server does with the line.
        server: &'static [Step],
        line: &'static str,
        expected: Result<&'static str, ErrorKind>,
    }
    #[rustfmt::skip]
    let cases = [
        Case { server: &[ReadOnce, Say("AB\n"), Stay], line: "ab", expected: Ok("AB") },
        Case { server: &[ReadOnce, Say("AB\n")], line: "ab", expected: Ok("AB") },
        Case { server: &[ReadOnce, Say("\n"), Stay], line: "", expected: Ok("") },
        // At most three bytes for each byte of the line, newlines included.
        Case { server: &[ReadOnce, Say("12345678\n"), Stay], line: "ab", expected: Ok("12345678") },
        Case { server: &[ReadOnce, Say("123456789"), Stay], line: "ab", expected: Err(InvalidData) },
        // More than the answer.
        Case { server: &[ReadOnce, Say("AB\nC"), Stay], line: "ab", expected: Err(InvalidData) },
        Case { server: &[ReadOnce, Say("AB\n\n"), Stay], line: "ab", expected: Err(InvalidData) },
        // Less. The client connects twice if nothing came.
        Case { server: &[ReadOnce, Say("A")], line: "ab", expected: Err(UnexpectedEof) },
        Case { server: &[ReadOnce], line: "ab", expected: Err(UnexpectedEof) },
        Case { server: &[ReadByte], line: "ab", expected: Err(UnexpectedEof) },
        Case { server: &[ReadOnce, Say("A"), Stay], line: "ab", expected: Err(TimedOut) },
        Case { server: &[ReadOnce, Stay], line: "ab", expected: Err(TimedOut) },
    ];
    for case in cases {
        let timeout = match case.expected {
            Err(TimedOut) => Duration::from_millis(200),
            _ => DEADLINE,
        };
        let (mut client, _) = client_with_timeout(&[scripted_tcp(case.server)], timeout);
        let answer = in_time(move || client.ask(case.line.as_bytes()));
        let answer = answer.map_err(|error| error.kind());
        let expected = case.expected.map(|answer| answer.as_bytes().to_vec());
        assert_eq!(answer, expected, "{:?}, asked {:?}", case.server, case.line);
    }
}

#[test]
fn a_line_is_sent_again_once_if_the_connection_has_ended() {
    // It answers once and closes, as the textbook's does.
    let (mut client_of_textbook, events) = client(&[scripted_tcp([ReadOnce, Say("ONE\n")])]);
    for _ in 0..3 {
        assert_eq!(client_of_textbook.ask(b"one").unwrap(), b"ONE");
    }
    assert_eq!(count_connections(&events), 3);

    let (mut client, events) = client(&[scripted_tcp([ReadOnce])]);
    client.ask(b"one").unwrap_err();
    assert_eq!(count_connections(&events), 2);
}

#[test]
fn a_line_is_sent_again_if_the_connection_was_reset() {
    if cfg!(windows) {
        return skip("a reset takes away what has come before it");
    }
    // It leaves most of each line unread, so its close is a reset.
    let (mut client, events) = client(&[scripted_tcp([ReadByte, Say("ONE\n")])]);
    for _ in 0..5 {
        assert_eq!(client.ask(b"one").unwrap(), b"ONE");
        // Some of the next lines come after the reset, and some before it.
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(count_connections(&events), 5);
}

#[test]
fn after_a_failed_line_the_next_gets_a_new_connection() {
    // The first connection gets its answer only when the second asks.
    let mut first = None;
    let server = fake_tcp(move |mut connection| {
        let size = retry(|| connection.read(&mut [0; 9])).unwrap();
        assert_eq!(size, 6);
        let Some(late) = &mut first else {
            first = Some(connection);
            return;
        };
        late.write_all(b"FIRST\n").unwrap();
        connection.write_all(b"OTHER\n").unwrap();
    });
    let (mut client, _) = client_with_timeout(&[server], Duration::from_millis(500));
    in_time(move || {
        assert_eq!(client.ask(b"first").unwrap_err().kind(), TimedOut);
        assert_eq!(client.ask(b"other").unwrap(), b"OTHER");
    });
}

/// A server that ends after its first answer, and listens no more.
fn ends_after_one_answer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        drop(listener);
        let _ = retry(|| connection.read(&mut [0; 9]));
        connection.write_all(b"ONE\n").unwrap();
    });
    address
}

#[test]
fn connecting_again_fails() {
    let (mut client, _) = client(&[ends_after_one_answer()]);
    assert_eq!(client.ask(b"one").unwrap(), b"ONE");
    assert_eq!(client.ask(b"two").unwrap_err().kind(), ConnectionRefused);
    // Now there is no connection for a pipe.
    let Err(PipeError::Network(error)) = client.pipe(io::empty(), io::sink()) else {
        panic!("a pipe without a connection");
    };
    assert_eq!(error.kind(), NotConnected);
}

#[test]
fn connecting_again_to_another_address() {
    let (second, _) = tcp_server("127.0.0.1", 1, DEADLINE);
    let (mut client, _) = client(&[ends_after_one_answer(), second]);
    assert_eq!(client.ask(b"one").unwrap(), b"ONE");
    assert_eq!(client.ask(b"two").unwrap(), b"TWO");
}
