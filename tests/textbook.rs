//! The textbook's four programs (Kurose & Ross, 2.7), doing on the wire exactly what they do.

mod common;

use common::{Server, check, client, fake_tcp, fake_udp, retry, run, udp};
use std::io::{Read, Write};

#[test]
fn udp_client() {
    let server = Server::start(&["--udp"]);
    let socket = udp("127.0.0.1");
    socket.send_to(b"hello, textbook", server.address).unwrap();
    let mut message = [0; 2048];
    let (size, _) = retry(|| socket.recv_from(&mut message));
    assert_eq!(&message[..size], b"HELLO, TEXTBOOK");
}

#[test]
fn udp_server() {
    let port = fake_udp(|socket, message, client| {
        let text = std::str::from_utf8(message).unwrap().to_uppercase();
        socket.send_to(text.as_bytes(), client).unwrap();
    });
    check(
        &run(&mut client(&["--udp"], port), "hello\nstraße\n"),
        0,
        b"HELLO\nSTRASSE\n",
        "",
    );
}

#[test]
fn tcp_client() {
    let server = Server::start(&["--tcp"]);
    for _ in 0..3 {
        // A bare sentence, then it waits for the answer, then it closes.
        let mut socket = server.connect();
        socket.write_all(b"hello, textbook").unwrap();
        let mut sentence = [0; 1024];
        let size = retry(|| socket.read(&mut sentence));
        assert_eq!(&sentence[..size], b"HELLO, TEXTBOOK");
    }
}

#[test]
fn tcp_server() {
    let port = fake_tcp(|mut connection| {
        let mut sentence = [0; 1024];
        let size = retry(|| connection.read(&mut sentence));
        let text = std::str::from_utf8(&sentence[..size])
            .unwrap()
            .to_uppercase();
        connection.write_all(text.as_bytes()).unwrap();
    });
    for _ in 0..20 {
        check(
            &run(&mut client(&["--tcp"], port), "hello\n"),
            0,
            b"HELLO\n",
            "",
        );
        check(
            &run(&mut client(&["--tcp"], port), "no newline"),
            0,
            b"NO NEWLINE",
            "",
        );
    }
    // It answers once: two sentences, the second after the first's answer, are one too many in a pipe.
    let mut session = common::Program::spawn(&mut client(&["--tcp"], port));
    let mut stdin = session.child.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    assert_eq!(session.line(), "ONE");
    assert_eq!(session.wait(), 1);
}
