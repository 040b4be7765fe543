//! The textbook's four programs (Kurose & Ross, 2.7, in Python): fakes that do on the wire what
//! these do.

mod common;

use common::fakes::{ask, connect, exchange, fake_tcp, fake_udp, retry, udp};
use common::programs::{Server, client};
use std::io::{Read, Write};

#[test]
fn udp_client() {
    let server = Server::start("--udp");
    let answer = ask(&udp("127.0.0.1"), server.address, b"hello, textbook");
    assert_eq!(answer, b"HELLO, TEXTBOOK");
}

#[test]
fn udp_server() {
    let server = fake_udp(|socket, message, client_address| {
        let message = &message[..message.len().min(2048)];
        let modified_message = std::str::from_utf8(message).unwrap().to_uppercase();
        let answer = modified_message.as_bytes();
        socket.send_to(answer, client_address).unwrap();
    });
    let client = client("--udp", server.port()).input("hello\nstraße\n");
    client.prints("HELLO\nSTRASSE\n");
}

/// It sends a bare sentence, without a newline, and waits for the answer. Then it closes.
#[test]
fn tcp_client() {
    let server = Server::start("--tcp");
    exchange(&connect(server.address), "hello, textbook");
    exchange(&connect(server.address), "hello again");
}

/// It answers once, and closes.
#[test]
fn tcp_server() {
    let server = fake_tcp(|mut connection_socket| {
        // With a deadline, a signal may interrupt it.
        connection_socket.set_read_timeout(None).unwrap();
        let mut sentence = [0; 1024];
        let size = retry(|| connection_socket.read(&mut sentence)).unwrap();
        let sentence = std::str::from_utf8(&sentence[..size]).unwrap();
        let capitalized_sentence = sentence.to_uppercase();
        let answer = capitalized_sentence.as_bytes();
        connection_socket.write_all(answer).unwrap();
    });
    // It may close before or after the client sees the end of its input. Twenty runs meet both.
    for _ in 0..20 {
        client("--tcp", server.port())
            .input("hello\n")
            .prints("HELLO\n");
        client("--tcp", server.port())
            .input("no newline")
            .prints("NO NEWLINE");
    }
}
