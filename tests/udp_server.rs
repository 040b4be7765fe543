//! The library's UDP server. Whom it does not answer is in the unit tests of `src/udp/server.rs`.

mod common;

use common::fakes::{DEADLINE, ask, loopback_ips, next_events, udp, udp_server, udp_server_on};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use uppercase_echo::Event;

/// The largest datagram over IPv4. macOS sends no larger ones unless it is told to.
const LARGEST: usize = if cfg!(target_os = "macos") {
    9216
} else {
    65_507
};

#[test]
fn datagrams_of_every_size() {
    let sizes = [0, 1, 1400, 2048, 2049, 9216, LARGEST - 1, LARGEST];
    let mut sentences: Vec<_> = sizes.iter().map(|&size| "x".repeat(size)).collect();
    // The longest one that always fits: at worst, two bytes become six.
    sentences.push("\u{390}".repeat(LARGEST / 6));
    for ip in loopback_ips() {
        let (server, _) = udp_server(ip);
        let socket = udp(ip);
        for sentence in &sentences {
            let answer = ask(&socket, server, sentence.as_bytes());
            let is_whole = answer == sentence.to_uppercase().as_bytes();
            assert!(is_whole, "{} bytes to {ip}", sentence.len());
        }
    }
}

#[test]
fn an_answer_that_outgrows_a_datagram_is_not_sent() {
    let (server, events) = udp_server("127.0.0.1");
    let sentence = "\u{390}".repeat(LARGEST / 2);
    let socket = udp("127.0.0.1");
    socket.send_to(sentence.as_bytes(), server).unwrap();
    assert_eq!(ask(&socket, server, b"next"), b"NEXT");

    let client = socket.local_addr().unwrap();
    let events = next_events(&events, 5);
    let [
        Event::Received { size, .. },
        Event::Sending { .. },
        Event::NotSent { peer, .. },
        Event::Received { size: 4, .. },
        Event::Sending { size: 4, .. },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((*size, *peer), (sentence.len(), client));
}

#[test]
fn its_own_port_gets_no_answer() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let as_the_server = socket.try_clone().unwrap();
    let (server, events) = udp_server_on(socket);
    // If it answered this, it would have to answer its own answer, too, and so on.
    as_the_server.send_to(b"loop", server).unwrap();
    assert_eq!(ask(&udp("127.0.0.1"), server, b"next"), b"NEXT");
    let events = next_events(&events, 4);
    let [
        Event::Received { size: 4, .. },
        Event::Ignored { peer },
        Event::Received { size: 4, .. },
        Event::Sending { size: 4, .. },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(*peer, server);
}

#[test]
fn a_failing_receive_is_tried_again_after_growing_pauses() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // So every receive fails at once while nothing has come.
    socket.set_nonblocking(true).unwrap();
    let start = Instant::now();
    let (server, events) = udp_server_on(socket);
    for _ in 0..5 {
        let event = events.recv_timeout(DEADLINE).unwrap();
        let Event::CannotServe { error } = event else {
            panic!("{event:?}");
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    // 5, 10, 20 and 40 ms.
    assert!(start.elapsed() >= Duration::from_millis(75));
    assert_eq!(ask(&udp("127.0.0.1"), server, b"resumed"), b"RESUMED");
}
