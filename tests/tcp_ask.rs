//! The library's TCP client: connecting, and a line with its answer.
//!
//! Promises: the client ends; answers belong to their lines.

mod common;

use common::{DEADLINE, SaysMore, fake_tcp, serve_tcp, tcp_client, tcp_client_of};
use std::io::ErrorKind::{
    self, ConnectionRefused, InvalidData, InvalidInput, NotConnected, TimedOut, UnexpectedEof,
};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Duration;
use uppercase_echo::tcp::{AskError, PipeError};

/// Why there was no proper answer.
#[track_caller]
fn no_answer(error: AskError) -> ErrorKind {
    match error {
        AskError::Answer(error) => error.kind(),
        AskError::Connect(_) => panic!("{error}"),
    }
}

mod the_client_ends {
    use super::*;

    // Windows refuses a connection for which the backlog has no room, and takes two seconds to find out that a port is closed.
    #[test]
    #[cfg(not(windows))]
    fn the_first_address_that_accepts_is_taken() {
        let (server, _) = serve_tcp("127.0.0.1", 4, DEADLINE);
        let (_kept, closed) = common::closed_tcp();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let full = listener.local_addr().unwrap();
        let _held = common::fill_backlog(&listener);
        // (addresses, the least and the most that it takes, of a second)
        #[rustfmt::skip]
        let cases: &[(&[SocketAddr], f64, f64)] = &[
            (&[server], 0.0, 0.39),
            (&[server, full], 0.0, 0.39),
            (&[closed, server], 0.0, 0.39),
            (&[full, server], 0.39, 0.79),
            (&[closed, full, server], 0.39, 0.79),
        ];
        for (addresses, least, most) in cases {
            let start = std::time::Instant::now();
            let mut client = tcp_client_of(addresses, Duration::from_millis(800));
            assert_eq!(client.ask(b"hello", |_| {}).unwrap(), b"HELLO");
            let time = start.elapsed().as_secs_f64();
            assert!((*least..*most).contains(&time), "{addresses:?}: {time} s");
        }
        #[rustfmt::skip]
        let failures: &[(&[SocketAddr], ErrorKind)] = &[
            (&[], ErrorKind::NotFound),
            (&[closed], ConnectionRefused),
            (&[full], TimedOut),
            (&[closed, full], TimedOut),
            (&[full, closed], TimedOut),
        ];
        for (addresses, expected) in failures {
            let result =
                uppercase_echo::tcp::Client::connect(addresses, Duration::from_millis(200), |_| {});
            assert_eq!(result.unwrap_err().kind(), *expected, "{addresses:?}");
        }
    }

    #[test]
    fn what_counts_as_an_answer() {
        // (line, what comes for it, whether the server then stays, the answer or an error)
        #[rustfmt::skip]
        let cases: &[(&str, &'static str, bool, Result<&str, ErrorKind>)] = &[
            ("hello", "HELLO\n", true, Ok("HELLO")),
            ("hello", "HELLO\n", false, Ok("HELLO")),
            ("", "\n", true, Ok("")),
            // Three bytes for each of the line's, of which its newline is one.
            ("ab", "123456789\n", true, Ok("123456789")),
            ("ab", "1234567890\n", true, Err(InvalidData)),
            ("ab", "1234567890", true, Err(InvalidData)),
            ("ab", "AB\nC", true, Err(InvalidData)),
            ("ab", "AB\n\n", true, Err(InvalidData)),
            ("ab", "A", false, Err(UnexpectedEof)),
            ("ab", "A", true, Err(TimedOut)),
            ("ab", "", true, Err(TimedOut)),
            ("ab", "", false, Err(UnexpectedEof)),
        ];
        for &(line, sent, stays, expected) in cases {
            let (sender, _kept) = channel();
            let port = fake_tcp(move |mut stream| {
                let mut line = Vec::new();
                while !line.ends_with(b"\n") {
                    let mut byte = [0];
                    common::retry(|| stream.read_exact(&mut byte));
                    line.push(byte[0]);
                }
                stream.write_all(sent.as_bytes()).unwrap();
                if stays {
                    sender.send(stream).unwrap();
                }
            });
            let timeout = if expected == Err(TimedOut) {
                Duration::from_millis(200)
            } else {
                DEADLINE
            };
            let mut client = tcp_client_of(&[([127, 0, 0, 1], port).into()], timeout);
            let result = client.ask(line.as_bytes(), |_| {});
            let result = result.map_err(no_answer);
            let result = result.as_deref().map_err(|kind| *kind);
            assert_eq!(
                result,
                expected.map(str::as_bytes),
                "{line:?} {sent:?} {stays}"
            );
        }
    }

    #[test]
    fn a_sentence_with_a_newline_is_not_sent() {
        let (server, _) = serve_tcp("127.0.0.1", 1, DEADLINE);
        let mut client = tcp_client(server.port());
        let result = client.ask(b"one\ntwo", |_| {}).map_err(no_answer);
        assert_eq!(result, Err(InvalidInput));
        // Neither is the connection lost.
        assert_eq!(client.ask(b"three", |_| {}).unwrap(), b"THREE");
    }

    #[test]
    fn closing_after_the_last_answer_is_no_error() {
        let (server, _) = serve_tcp("127.0.0.1", 1, DEADLINE);
        let mut client = tcp_client(server.port());
        client.ask(b"one", |_| {}).unwrap();
        client.close(|_| {}).unwrap();
    }

    #[test]
    fn a_line_is_sent_again_once_after_the_connection_has_ended() {
        let (sender, connections) = channel();
        let port = fake_tcp(move |stream| {
            let mut line = [0; 99];
            let size = common::retry(|| (&stream).read(&mut line));
            sender
                .send(String::from_utf8_lossy(&line[..size]).into_owned())
                .unwrap();
            if line.starts_with(b"answer") {
                (&stream).write_all(b"ANSWER\n").unwrap();
            }
        });
        let told = std::cell::RefCell::new(Vec::new());
        let mut client = tcp_client(port);
        assert_eq!(client.ask(b"answer", |_| {}).unwrap(), b"ANSWER");
        // The first connection has ended, and the second is answered.
        let observer = |event: uppercase_echo::Event| told.borrow_mut().push(event.to_string());
        assert_eq!(client.ask(b"answer", observer).unwrap(), b"ANSWER");
        let again = "the connection has ended: connecting again";
        assert_eq!(
            told.borrow().iter().filter(|event| *event == again).count(),
            1
        );
        // The second one has ended, and the third, too: that is the end.
        let failure = client.ask(b"hang up", |_| {}).map_err(no_answer);
        assert_eq!(failure, Err(UnexpectedEof));
        assert_eq!(
            connections.try_iter().collect::<Vec<_>>(),
            ["answer\n", "answer\n", "hang up\n"]
        );
        // But the next line may connect again.
        assert_eq!(client.ask(b"answer", |_| {}).unwrap(), b"ANSWER");
    }

    #[test]
    fn a_closed_port_when_connecting_again() {
        let (port, kept) = common::accept_once();
        let mut client = tcp_client(port);
        assert_eq!(client.ask(b"one", |_| {}).unwrap(), b"ONE");
        let _kept = kept.recv_timeout(DEADLINE).unwrap();
        // The second line fails like the first: nothing can be kept.
        for line in [b"two", b"six"] {
            let failure = client.ask(line, |_| {}).unwrap_err();
            let told = failure.to_string();
            assert!(told.starts_with("cannot connect again: "), "{told}");
            assert!(
                matches!(failure, AskError::Connect(error) if error.kind() == ConnectionRefused)
            );
        }
        let result = client.pipe(io::empty(), io::sink(), |_| {});
        assert!(matches!(result, Err(PipeError::Network(error)) if error.kind() == NotConnected));
    }

    #[test]
    fn another_address_is_tried_when_connecting_again() {
        let (first, kept) = common::accept_once();
        let (second, _) = serve_tcp("127.0.0.1", 1, DEADLINE);
        let mut client = tcp_client_of(&[([127, 0, 0, 1], first).into(), second], DEADLINE);
        assert_eq!(client.ask(b"one", |_| {}).unwrap(), b"ONE");
        let _kept = kept.recv_timeout(DEADLINE).unwrap();
        assert_eq!(client.ask(b"two", |_| {}).unwrap(), b"TWO");
    }
}

mod answers_belong_to_their_lines {
    use super::*;

    #[test]
    fn what_comes_between_two_lines_is_an_error() {
        for next_is_a_line in [true, false] {
            let server = SaysMore::start();
            let mut client = tcp_client(server.port);
            assert_eq!(client.ask(b"one", |_| {}).unwrap(), b"ONE");
            let _kept = server.say_more();
            let result = if next_is_a_line {
                client.ask(b"two", |_| {}).map(drop).map_err(no_answer)
            } else {
                client.close(|_| {}).map_err(|error| error.kind())
            };
            assert_eq!(result, Err(InvalidData));
        }
    }

    #[test]
    fn an_answer_that_comes_late_is_not_another_lines() {
        let mut first_connection = None;
        let port = fake_tcp(move |stream| {
            let line = common::retry(|| {
                let mut line = [0; 99];
                (&stream).read(&mut line).map(|size| line[..size].to_vec())
            });
            if line == b"first\n" {
                first_connection = Some(stream);
            } else {
                let mut late = first_connection.as_ref().unwrap();
                late.write_all(b"FIRST\n").unwrap();
                (&stream).write_all(b"SECOND\n").unwrap();
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut client = tcp_client_of(&[address], Duration::from_millis(500));
        let failure = client.ask(b"first", |_| {}).map_err(no_answer);
        assert_eq!(failure, Err(TimedOut));
        assert_eq!(client.ask(b"second", |_| {}).unwrap(), b"SECOND");
    }
}
