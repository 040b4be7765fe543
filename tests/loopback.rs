//! The library over loopback sockets.

mod common;

use common::{DEADLINE, ask, connect, limit};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use uppercase_echo::{Event, tcp, udp};

/// The loopback addresses that this machine has.
fn hosts() -> Vec<&'static str> {
    let hosts = ["127.0.0.1", "::1"];
    let (there, missing): (Vec<_>, Vec<_>) = hosts
        .iter()
        .partition(|host| UdpSocket::bind((**host, 0)).is_ok());
    if !missing.is_empty() {
        println!("passed over, this machine does not have {missing:?}");
    }
    there
}

fn text(event: Event) -> String {
    event.to_string()
}

/// A UDP server, and its events.
fn serve_udp(host: &str) -> (SocketAddr, Receiver<String>) {
    let socket = UdpSocket::bind((host, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let (sender, events) = channel();
    udp::serve(socket, move |event| {
        let _ = sender.send(text(event));
    })
    .unwrap();
    (address, events)
}

/// A TCP server for `n` connections, and its events.
fn serve_tcp(host: &str, n: usize, idle: Duration) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, events) = channel();
    tcp::serve(listener, NonZero::new(n).unwrap(), idle, move |event| {
        let _ = sender.send(text(event));
    })
    .unwrap();
    (address, events)
}

#[test]
fn datagrams_of_every_size() {
    for host in hosts() {
        let (server, _) = serve_udp(host);
        let socket = common::udp(host);
        let largest = if server.is_ipv4() { 65_507 } else { 65_527 };
        for size in [0, 1, 5, 1400, 2048, 2049, 9216, 21_835, 65_506, largest] {
            assert!(
                ask(&socket, server, &vec![b'x'; size]) == vec![b'X'; size],
                "{size} bytes"
            );
        }
        // The worst growth there is, at the size up to which it always fits.
        let worst = "\u{390}".repeat(21_835 / 2);
        assert!(ask(&socket, server, worst.as_bytes()) == worst.to_uppercase().as_bytes());
    }
}

#[test]
fn an_answer_that_outgrows_a_datagram_is_not_sent() {
    let (server, events) = serve_udp("127.0.0.1");
    let socket = common::udp("127.0.0.1");
    socket
        .send_to("\u{390}".repeat(32_753).as_bytes(), server)
        .unwrap();
    assert_eq!(ask(&socket, server, b"next"), b"NEXT");
    events.recv_timeout(DEADLINE).unwrap();
    let event = events.recv_timeout(DEADLINE).unwrap();
    assert!(event.starts_with("cannot send to "), "{event}");
}

#[test]
fn no_answer_to_another_server() {
    let (server, events) = serve_udp("127.0.0.1");
    // On the server's own port number, which only a server has.
    let other = UdpSocket::bind(("127.0.0.2", server.port())).unwrap();
    other.send_to(b"ping", server).unwrap();
    let socket = common::udp("127.0.0.1");
    assert_eq!(ask(&socket, server, b"next"), b"NEXT");
    // Events come in the order of the datagrams: the first was seen, and passed over.
    events.recv_timeout(DEADLINE).unwrap();
    assert!(
        events
            .recv_timeout(DEADLINE)
            .unwrap()
            .starts_with("no answer to ")
    );
    other.set_nonblocking(true).unwrap();
    other.recv_from(&mut [0; 9]).unwrap_err();
}

#[test]
fn a_failing_receive_pauses_and_goes_on() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap();
    // Every receive without a datagram waiting fails at once.
    socket.set_nonblocking(true).unwrap();
    let (sender, events) = channel();
    udp::serve(socket, move |event| {
        let _ = sender.send(text(event));
    })
    .unwrap();
    let start = std::time::Instant::now();
    for _ in 0..5 {
        assert!(
            events
                .recv_timeout(DEADLINE)
                .unwrap()
                .starts_with("cannot serve now: ")
        );
    }
    // 5, 10, 20 and 40 ms have passed before the fifth: it does not spin.
    assert!(start.elapsed() >= Duration::from_millis(75));
    assert_eq!(
        ask(&common::udp("127.0.0.1"), server, b"still here"),
        b"STILL HERE"
    );
    assert!(
        events
            .iter()
            .any(|event| event.starts_with("sent 10 bytes to "))
    );
}

#[test]
fn streams_over_both_families() {
    for host in hosts() {
        let (server, _) = serve_tcp(host, 2, DEADLINE);
        let mut stream = connect(server);
        // Without a newline, and without the end: answered at once.
        for _ in 0..3 {
            stream.write_all("straße".as_bytes()).unwrap();
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"STRASSE");
        }
        // A character in two pieces, the second after the answer to what is before it.
        stream.write_all(b"a\xC3").unwrap();
        let mut answer = [0; 1];
        stream.read_exact(&mut answer).unwrap();
        stream.write_all(b"\xA9").unwrap();
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, "É".as_bytes());
        // What never gets its end is answered as it is.
        stream.write_all(b"z\xC3").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"Z\xC3");
    }
}

#[test]
fn half_close_after_64_mib() {
    let (server, _) = serve_tcp("127.0.0.1", 1, DEADLINE);
    let stream = connect(server);
    let sender = stream.try_clone().unwrap();
    let part = "hello, straße\n".repeat(4681);
    let size = 1024 * part.len();
    let (copy, expected) = (part.clone(), part.to_uppercase().into_bytes());
    let writer = thread::spawn(move || {
        for _ in 0..1024 {
            (&sender).write_all(copy.as_bytes()).unwrap();
        }
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = 0;
    let mut buffer = vec![0; expected.len()];
    while (&stream).read_exact(&mut buffer).is_ok() {
        assert!(buffer == expected);
        received += buffer.len();
    }
    assert_eq!(received, size);
    writer.join().unwrap();
}

#[test]
fn the_limit_holds_and_the_next_is_served_when_one_ends() {
    let (server, events) = serve_tcp("127.0.0.1", 2, DEADLINE);
    let next = || events.recv_timeout(DEADLINE).unwrap();
    let (first, _second, mut third) = (connect(server), connect(server), connect(server));
    assert!(next().contains("accepted") && next().contains("accepted"));
    third.write_all(b"third").unwrap();
    third
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    third.read(&mut [0; 5]).unwrap_err();
    drop(first);
    limit(&third);
    let mut answer = [0; 5];
    third.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"THIRD");
    // The first client's half-close: a read returned nothing.
    assert!(next().starts_with("end of the stream: "));
    assert!(next().starts_with("closed the connection socket of "));
    assert!(next().contains("accepted"));
    assert!(next().starts_with("received 5 bytes from "));
    assert!(next().starts_with("sent 5 bytes to "));
}

#[test]
fn no_peer_holds_its_thread_for_long_or_disturbs_another() {
    let idle = Duration::from_millis(300);
    let (server, events) = serve_tcp("127.0.0.1", 3, idle);
    // One is silent, one never reads, and one resets: what it has not read makes its close a reset.
    let _silent = connect(server);
    let greedy = connect(server);
    let writer = thread::spawn(move || {
        let chunk = vec![b'x'; 1 << 20];
        while (&greedy).write_all(&chunk).is_ok() {}
    });
    let reset = connect(server);
    (&reset).write_all(b"answer me").unwrap();
    reset.peek(&mut [0]).unwrap();
    drop(reset);
    // All three threads are held now, or have been: this one is served all the same.
    let mut slow = connect(server);
    for byte in b"a byte at a time" {
        slow.write_all(&[*byte]).unwrap();
        let mut answer = [0; 1];
        slow.read_exact(&mut answer).unwrap();
        assert_eq!(answer[0], byte.to_ascii_uppercase());
    }
    writer.join().unwrap();
    let ends = events
        .iter()
        .filter(|event| event.contains("idle for too long"))
        .take(2);
    assert_eq!(ends.count(), 2);
}

#[test]
fn five_hundred_at_once() {
    let (server, _) = serve_tcp("127.0.0.1", 500, DEADLINE);
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(500));
    let clients: Vec<_> = (0..500)
        .map(|_| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                barrier.wait();
                let mut stream = connect(server);
                stream.write_all(b"x").unwrap();
                let mut answer = [0; 1];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"X");
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn piping_does_not_deadlock() {
    let (server, _) = serve_tcp("127.0.0.1", 1, DEADLINE);
    let client = tcp::Client::connect(&[server], DEADLINE, |_| {}).unwrap();
    let mut output = Vec::new();
    let size = 32 << 20;
    let input = std::io::repeat(b'a').take(size);
    client.pipe(input, &mut output, |_| {}).unwrap();
    assert!(output.len() as u64 == size && output.iter().all(|&byte| byte == b'A'));
}

#[test]
fn the_first_address_swallows_everything() {
    // A socket that never answers, and a listener whose backlog is full.
    let (server, _) = serve_udp("127.0.0.1");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut client = udp::Client::new(
        &[silent.local_addr().unwrap(), server],
        Duration::from_secs(1),
    );
    for _ in 0..3 {
        assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
    }
    // Not asked again once the other one has answered: only the tries for the first line are here.
    silent.set_nonblocking(true).unwrap();
    let mut tries = 0;
    while silent.recv_from(&mut [0; 9]).is_ok() {
        tries += 1;
    }
    assert_eq!(tries, 1);

    let (server, _) = serve_tcp("127.0.0.1", 1, DEADLINE);
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))
    {
        held.push(stream);
    }
    let addresses = [address, server];
    let mut client = tcp::Client::connect(&addresses, Duration::from_secs(2), |_| {}).unwrap();
    assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
}

#[test]
fn a_dead_first_address_costs_no_time() {
    let (server, _) = serve_udp("127.0.0.1");
    let (kept, _) = common::closed_udp();
    let closed = kept.local_addr().unwrap();
    let start = std::time::Instant::now();
    let mut client = udp::Client::new(&[closed, server], DEADLINE);
    assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
    assert!(start.elapsed() < DEADLINE / 4);
}

#[test]
fn of_several_addresses_the_most_telling_failure_is_reported() {
    let ((closed, _), silent) = (common::closed_udp(), common::udp("127.0.0.1"));
    let (closed, silent) = (closed.local_addr(), silent.local_addr());
    let (closed, silent) = (closed.unwrap(), silent.unwrap());
    // No socket may be connected to the broadcast address: that fails at once, and nothing is sent.
    let unreachable = SocketAddr::from(([255, 255, 255, 255], 9));
    for (addresses, expected) in [
        (vec![closed, unreachable], ErrorKind::PermissionDenied),
        (vec![closed, silent], ErrorKind::TimedOut),
        (vec![silent, closed], ErrorKind::TimedOut),
    ] {
        let mut client = udp::Client::new(&addresses, Duration::from_millis(200));
        assert_eq!(client.ask(b"hello", |_| {}).unwrap_err().kind(), expected);
    }
}
