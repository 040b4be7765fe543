//! The textbook's programs (Kurose & Ross, 2.7), in Python and in Java: fakes that do on the wire what these do.
//!
//! Promise: the textbook's programs.

mod common;

use common::{MORE, Server, ask, client, exchange, fake_tcp, fake_udp, retry, udp};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

mod the_textbooks_programs {
    use super::*;

    #[test]
    fn udp_clients() {
        let server = Server::start("--udp");
        let answer = ask(&udp("127.0.0.1"), server.address, b"hello, textbook");
        assert_eq!(answer, b"HELLO, TEXTBOOK");
    }

    #[test]
    fn python_udp_server() {
        let port = fake_udp(|socket, message, client| {
            let message = &message[..message.len().min(2048)];
            let modified = std::str::from_utf8(message).unwrap().to_uppercase();
            socket.send_to(modified.as_bytes(), client).unwrap();
        });
        client("--udp", port)
            .input("hello\nstraße\n")
            .prints("HELLO\nSTRASSE\n");
    }

    #[test]
    fn java_udp_server() {
        // It converts all of its buffer, whatever the datagram has filled of it.
        let port = fake_udp(|socket, message, client| {
            let mut receive_data = [0; 1024];
            let size = message.len().min(receive_data.len());
            receive_data[..size].copy_from_slice(&message[..size]);
            let capitalized = std::str::from_utf8(&receive_data).unwrap().to_uppercase();
            socket.send_to(capitalized.as_bytes(), client).unwrap();
        });
        let nuls = "\0".repeat(1024 - 5);
        client("--udp", port)
            .input("hello\n")
            .prints(format!("HELLO{nuls}\n"));
    }

    #[test]
    fn tcp_clients() {
        let server = Server::start("--tcp");
        // In Python a bare sentence, in Java a line; then each waits for the answer, and closes.
        for sentence in ["hello, textbook", "hello, textbook\n"] {
            exchange(&server.connect(), sentence);
        }
    }

    #[test]
    fn python_tcp_server() {
        // It answers once, and closes.
        let port = fake_tcp(|mut connection| {
            let mut sentence = [0; 1024];
            let size = retry(|| connection.read(&mut sentence));
            let capitalized = std::str::from_utf8(&sentence[..size])
                .unwrap()
                .to_uppercase();
            connection.write_all(capitalized.as_bytes()).unwrap();
        });
        // It may close before or after the client sees the end of its input. Twenty runs meet both.
        for _ in 0..20 {
            client("--tcp", port).input("hello\n").prints("HELLO\n");
            client("--tcp", port)
                .input("no newline")
                .prints("NO NEWLINE");
        }
    }

    /// Reads lines and ends each answer with a newline. It never closes: the stream stays in a variable.
    fn java_tcp_server(streams: &mut Vec<TcpStream>, connection: TcpStream) {
        let mut lines = BufReader::new(&connection).lines();
        let sentence = lines.next().unwrap().unwrap();
        (&connection)
            .write_all((sentence.to_uppercase() + "\n").as_bytes())
            .unwrap();
        streams.push(connection);
    }

    #[test]
    fn java_tcp_server_never_closes() {
        let mut streams = Vec::new();
        let port = fake_tcp(move |connection| java_tcp_server(&mut streams, connection));
        client("--tcp -w 86400", port)
            .input("hello\n")
            .prints("HELLO\n");
        // A newline that nobody sent is more than was asked.
        client("--tcp", port)
            .input("no newline")
            .fails_with("", MORE);
    }
}
