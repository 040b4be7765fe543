//! The library's UDP client, on networks that lose, delay, double and cut datagrams.
//!
//! Which answers are too short, and which failure of several addresses is reported, is in the unit
//! tests of `src/udp/client.rs` and `src/addresses.rs`.

mod common;

use common::fakes::{
    DEADLINE, closed_udp, fake_udp, in_time, observer, reports_closed_udp, udp, udp_server,
};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use uppercase_echo::Event;
use uppercase_echo::udp::{Client, MAX_DATAGRAM};

/// A client that waits for long, and its events.
fn client(addresses: &[SocketAddr]) -> (Client, Receiver<Event>) {
    client_with_timeout(addresses, DEADLINE)
}

fn client_with_timeout(addresses: &[SocketAddr], timeout: Duration) -> (Client, Receiver<Event>) {
    let (observer, events) = observer();
    (Client::new(addresses, timeout, observer), events)
}

/// Where the client has connected its sockets, one after the other.
fn connected_peers(events: &Receiver<Event>) -> Vec<SocketAddr> {
    let peer = |event| match event {
        Event::Connected { peer, .. } => Some(peer),
        _ => None,
    };
    events.try_iter().filter_map(peer).collect()
}

#[test]
fn a_too_long_sentence_or_no_time_is_refused() {
    let (mut hasty, _) = client_with_timeout(&[], Duration::ZERO);
    let (mut patient, _) = client(&[]);
    for result in [hasty.ask(b"x"), patient.ask(&vec![b'x'; MAX_DATAGRAM + 1])] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_cut_answer_is_an_error() {
    let server = fake_udp(|socket, _, peer| {
        socket.send_to(b"STRAS", peer).unwrap();
    });
    let error = client(&[server]).0.ask("straße".as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "the answer was cut to 5 bytes");
}

#[test]
fn an_empty_answer_is_ignored() {
    let server = fake_udp(|socket, sentence, peer| {
        socket.send_to(b"", peer).unwrap();
        if sentence == b"answer me" {
            socket.send_to(b"ANSWER ME", peer).unwrap();
        }
    });
    assert_eq!(client(&[server]).0.ask(b"answer me").unwrap(), b"ANSWER ME");
    // If nothing else comes, it sends again at the usual time: after 0.2 s, and then after 0.4 s.
    let (mut client, events) = client_with_timeout(&[server], Duration::from_millis(500));
    let error = in_time(move || client.ask(b"nothing")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let is_sent = |event: &Event| matches!(event, Event::Sending { .. });
    assert_eq!(events.try_iter().filter(is_sent).count(), 2);
}

#[test]
fn a_lost_sentence_is_sent_again_after_200_400_800_ms_and_then_every_second() {
    let (sender, tries) = channel();
    let server = fake_udp(move |_, _, peer| sender.send((peer, Instant::now())).unwrap());
    let timeout = Duration::from_millis(2800);
    let (mut client, _) = client_with_timeout(&[server], timeout);
    let start = Instant::now();
    let error = in_time(move || client.ask(b"hello")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // It ends in time, although the next wait would be longer.
    assert!((timeout..timeout * 5 / 4).contains(&start.elapsed()));

    let (peers, times): (Vec<_>, Vec<_>) = tries.try_iter().unzip();
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let expected = [200, 400, 800, 1000].map(Duration::from_millis);
    assert_eq!(waits.len(), expected.len(), "{waits:?}");
    // A busy machine may notice a datagram late, and the next one not.
    let tolerance = Duration::from_millis(100);
    for (wait, expected) in waits.iter().zip(expected) {
        assert!(*wait + tolerance >= expected, "{waits:?}");
    }
    // All come from one socket: an answer to any of them counts.
    assert_eq!(peers, vec![peers[0]; peers.len()]);
}

#[test]
fn lost_doubled_and_late_datagrams() {
    let mut count = 0;
    let mut last: Option<(Vec<u8>, SocketAddr)> = None;
    let server = fake_udp(move |socket, sentence, peer| {
        // Every second datagram is lost.
        count += 1;
        if count % 2 == 1 {
            return;
        }
        // The last answer comes once more, just before this one, which comes twice.
        if let Some((late_answer, peer)) = &last {
            socket.send_to(late_answer, peer).unwrap();
        }
        let answer = sentence.to_ascii_uppercase();
        socket.send_to(&answer, peer).unwrap();
        socket.send_to(&answer, peer).unwrap();
        last = Some((answer, peer));
    });
    let (mut client, _) = client(&[server]);
    in_time(move || {
        for (sentence, answer) in [("one", "ONE"), ("two", "TWO"), ("six", "SIX")] {
            let result = client.ask(sentence.as_bytes());
            assert_eq!(result.unwrap(), answer.as_bytes());
        }
    });
}

#[test]
fn the_last_64_ports_are_kept() {
    let server = fake_udp(|socket, sentence, peer| {
        if sentence == b"hello" {
            socket.send_to(b"HELLO", peer).unwrap();
        }
    });
    let (mut client, events) = client_with_timeout(&[server], Duration::from_secs(1));
    for _ in 0..99 {
        client.ask(b"hello").unwrap();
    }
    // The port of a sentence without an answer, too: that may still come.
    client.ask(b"silence").unwrap_err();
    let port = |event| match event {
        Event::Connected { port, .. } => Some(port),
        _ => None,
    };
    let ports: Vec<_> = events.try_iter().filter_map(port).collect();
    let is_free = |port: &u16| UdpSocket::bind(("0.0.0.0", *port)).is_ok();
    let (older, kept) = ports.split_at(100 - 64);
    assert!(!kept.iter().any(is_free));
    // Somebody else may have got one of these meanwhile, but not all.
    assert!(older.iter().any(is_free));
}

#[test]
fn a_strangers_datagram_is_not_an_answer() {
    let stranger = udp("127.0.0.1");
    let server = fake_udp(move |socket, sentence, peer| {
        stranger.send_to(b"FORGED", peer).unwrap();
        socket
            .send_to(&sentence.to_ascii_uppercase(), peer)
            .unwrap();
    });
    let (mut client, _) = client(&[server]);
    assert_eq!(client.ask(b"honest").unwrap(), b"HONEST");
}

#[test]
fn a_closed_port_is_reported_at_once() {
    if !reports_closed_udp() {
        return;
    }
    let (_kept, closed) = closed_udp();
    let start = Instant::now();
    let error = client(&[closed]).0.ask(b"hello").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // The next address gets its turn at once, too.
    let (server, _) = udp_server("127.0.0.1");
    let (mut client, events) = client(&[closed, server]);
    assert_eq!(client.ask(b"hello").unwrap(), b"HELLO");
    assert_eq!(connected_peers(&events), [closed, server]);
    assert!(start.elapsed() < DEADLINE / 4);
}

#[test]
fn a_silent_address_costs_its_share_and_only_once() {
    let (server, _) = udp_server("127.0.0.1");
    let silent = fake_udp(|_, _, _| {});
    let timeout = Duration::from_millis(1500);
    let (mut client, events) = client_with_timeout(&[silent, server], timeout);
    let start = Instant::now();
    in_time(move || {
        for _ in 0..3 {
            assert_eq!(client.ask(b"hello").unwrap(), b"HELLO");
        }
    });
    let share = timeout / 2;
    assert!((share..timeout).contains(&start.elapsed()));
    assert_eq!(connected_peers(&events), [silent, server, server, server]);
}

#[test]
fn when_the_address_that_answered_is_silent_all_are_asked_again() {
    let mut has_answered = false;
    let first = fake_udp(move |socket, _, peer| {
        if !has_answered {
            socket.send_to(b"FIRST", peer).unwrap();
            has_answered = true;
        }
    });
    let (second, _) = udp_server("127.0.0.1");
    let (mut client, _) = client_with_timeout(&[first, second], Duration::from_millis(500));
    in_time(move || {
        assert_eq!(client.ask(b"hello").unwrap(), b"FIRST");
        // Only the first one is asked.
        assert_eq!(
            client.ask(b"hello").unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        assert_eq!(client.ask(b"hello").unwrap(), b"HELLO");
    });
}
