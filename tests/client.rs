//! The client against servers and networks that drop, delay, double, cut, stall, reset, hang up or say too much.
//!
//! Promises: the client ends; answers belong to their lines.

mod common;

use common::Step::{self, Flood, ReadAll, ReadByte, ReadOnce, Say, SaySlowly, Stay};
use common::{
    CLOSED, DEADLINE, MORE, NOBODY, assert_answer, client, error_line, fake_tcp, fake_udp,
    scripted_tcp,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

mod the_client_ends {
    use super::*;

    const SILENT: &str = "no answer from SERVER within 0.4 s";

    /// What the server does, its steps, the client's flags, input, stdout, error (`""` if everything was answered).
    type TcpServer = (
        &'static str,
        &'static [Step],
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    );

    #[rustfmt::skip]
    const TCP_SERVERS: &[TcpServer] = &[
        ("closes at once", &[], "--tcp", "hello\n", "", CLOSED),
        ("closes at once", &[], "--tcp", "no newline", "", CLOSED),
        ("closes without an answer", &[ReadAll], "--tcp", "hello\n", "", CLOSED),
        ("closes without an answer", &[ReadAll], "--tcp", "no newline", "", CLOSED),
        ("closes within an answer", &[ReadAll, Say("HEL")], "--tcp", "hello\n", "HEL", CLOSED),
        ("drops the last line", &[ReadAll, Say("ONE\n")], "--tcp", "one\ntwo\n", "ONE\n", CLOSED),
        ("drops the last line", &[ReadAll, Say("ONE\n")], "--tcp", "one\ntwo", "ONE\n", CLOSED),
        ("drops a newline", &[ReadAll, Say("ONE")], "--tcp", "one\n", "ONE", CLOSED),
        ("cuts more than can shrink", &[ReadAll, Say("HELLO")], "--tcp", "hello, world", "HELLO", CLOSED),
        ("shrinks rightly", &[ReadAll, Say("II")], "--tcp", "ıı", "II", ""),
        ("resets", &[ReadByte], "--tcp", "hello\n", "", CLOSED),
        ("resets within an answer", &[ReadByte, Say("HEL")], "--tcp", "hello\n", "HEL", CLOSED),
        ("resets a line without an end", &[ReadByte, Say("HEL")], "--tcp", "hello", "HEL", CLOSED),
        ("resets after the last answer", &[ReadByte, Say("HELLO\n")], "--tcp", "hello\n", "HELLO\n", ""),
        ("says nothing", &[ReadAll, Stay], "--tcp -w 0.4", "hello\n", "", SILENT),
        ("stops within an answer", &[ReadAll, Say("HEL"), Stay], "--tcp -w 0.4", "hello\n", "HEL", SILENT),
        ("does not end a line without an end", &[ReadAll, Say("HELLO"), Stay], "--tcp -w 0.4", "hello", "HELLO", SILENT),
        ("speaks HTTP", &[ReadOnce, Say("HTTP/1.1 400 Bad Request\r\n\r\n")], "--tcp", "hello\n", "", MORE),
        ("adds a line", &[ReadOnce, Say("HELLO\nMORE\n")], "--tcp", "hello\n", "", MORE),
        ("adds a line without an end", &[ReadOnce, Say("HELLO\nM")], "--tcp", "hello\n", "", MORE),
        ("adds a newline", &[ReadOnce, Say("HELLO\n")], "--tcp", "hello", "", MORE),
        ("answers up to 3 bytes for 1", &[ReadAll, Say("123456789")], "--tcp", "123", "123456789", ""),
        ("answers 10 bytes for 3", &[ReadAll, Say("123456789+")], "--tcp", "123", "", MORE),
        ("never ends", &[ReadOnce, Flood("an answer without an end, ")], "--tcp", "hello\n", "", MORE),
        ("answers nothing to nothing", &[ReadAll], "--tcp", "", "", ""),
        ("never closes, asked nothing", &[Stay], "--tcp", "", "", ""),
        ("waits for a newline in vain", &[ReadOnce, Stay], "--tcp -w 0.4", "hello", "", SILENT),
        ("is slow, but never silent for long", &[ReadOnce, SaySlowly("SLOWLY\n")], "--tcp -w 0.8", "slowly\n", "SLOWLY\n", ""),
    ];

    #[test]
    fn tcp_servers() {
        // All at once, since some only wait.
        thread::scope(|scope| {
            for &(case, steps, flags, input, stdout, error) in TCP_SERVERS {
                // Windows drops what it has received when a reset comes.
                if cfg!(windows) && steps.contains(&ReadByte) {
                    continue;
                }
                let client = client(flags, scripted_tcp(steps)).input(input);
                let check = move || match error {
                    "" => client.prints(stdout),
                    _ => client.fails_with(stdout, error),
                };
                // A failure tells its thread's name.
                let name = format!("a server that {case}");
                thread::Builder::new()
                    .name(name)
                    .spawn_scoped(scope, check)
                    .unwrap();
            }
        });
    }

    #[test]
    fn a_server_that_never_closes_costs_no_time() {
        let port = scripted_tcp([ReadOnce, Say("HELLO\n"), Stay]);
        let client = client("--tcp -w 86400", port).input("hello\n");
        assert!(client.prints("HELLO\n") < DEADLINE / 4);
    }

    /// A server's answer to a datagram.
    type Answer = fn(&[u8]) -> Vec<u8>;

    #[test]
    fn udp_servers() {
        let honest: Answer = |message| message.to_ascii_uppercase();
        let textbook: Answer = |message| message[..message.len().min(2048)].to_ascii_uppercase();
        let miserly: Answer = |message| message[..message.len().min(1)].to_ascii_uppercase();
        let unicode: Answer =
            |message| String::from_utf8_lossy(message).to_uppercase().into_bytes();
        let brackets: Answer = |message| [b"[", message, b"]"].concat();
        let cut_to = |bytes| format!("the answer to line 2 was cut to {bytes}; use --tcp");
        let long = &*"x".repeat(5000);
        // (server, the second of three lines, its answer or an error)
        #[rustfmt::skip]
        let cases = [
            ("cuts", textbook, long, Err(cut_to("2048 bytes"))),
            ("cuts", miserly, "hi", Err(cut_to("1 byte"))),
            ("cuts a letter that shrinks", miserly, "ıı", Err(cut_to("1 byte"))),
            ("shrinks rightly", unicode, "ıſ", Ok("IS")),
            ("grows rightly", unicode, "straße", Ok("STRASSE")),
            ("knows ASCII alone", honest, "ıſß", Ok("ıſß")),
            ("gets the sentence alone", brackets, "lf", Ok("[lf]")),
            ("gets the sentence alone", brackets, "cr\r", Ok("[cr]\r")),
            ("gets the sentence alone", brackets, "\r", Ok("[]\r")),
            ("gets the sentence alone", brackets, "\r\r", Ok("[\r]\r")),
        ];
        for (case, server, line, expected) in cases {
            println!("a server that {case}, asked {line:?}");
            let port = fake_udp(move |socket, message, peer| {
                socket.send_to(&server(message), peer).unwrap();
            });
            let client = client("--udp -w 5", port).input(format!("a\n{line}\nb"));
            let [a, b] = ["a", "b"].map(|line| String::from_utf8(server(line.as_bytes())).unwrap());
            match expected {
                Ok(answer) => client.prints(format!("{a}\n{answer}\n{b}")),
                Err(error) => client.fails_with(format!("{a}\n"), &error),
            };
        }
    }

    #[test]
    fn nobody_listens() {
        let ((_socket, udp), (_sockets, tcp)) = (common::closed_udp(), common::closed_tcp());
        let elsewhere = "nothing is listening on SERVER; start it with: server --PROTOCOL --host 127.0.0.1 --port PORT";
        for (protocol, port) in [("--udp", udp.port()), ("--tcp", tcp.port())] {
            client(protocol, port).input("x").fails_with("", NOBODY);
            let by_address = client(&format!("{protocol} --host 127.0.0.1"), port).input("x");
            by_address.fails_with("", elsewhere);
        }
    }

    #[test]
    fn nobody_answers() {
        let udp = fake_udp(|_, _, _| {});
        let tcp = scripted_tcp([ReadAll, Stay]);
        thread::scope(|scope| {
            for (protocol, port) in [("--udp", udp), ("--tcp", tcp)] {
                scope.spawn(move || {
                    let client = client(&format!("{protocol} --timeout 1"), port).input("hello\n");
                    let time = client.fails_with("", "no answer from SERVER within 1 s");
                    // A clock that started anew at the end of the input would take twice as long.
                    let expected = Duration::from_millis(990)..Duration::from_millis(1900);
                    assert!(expected.contains(&time), "{protocol}: {time:?}");
                });
            }
        });
    }

    #[test]
    #[cfg(not(windows))]
    fn nobody_accepts() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _kept = common::fill_backlog(&listener);
        let port = listener.local_addr().unwrap().port();
        let client = client("--tcp --timeout 0.5", port).input("x");
        client.fails_with("", "cannot connect to SERVER within 0.5 s");
    }

    #[test]
    fn nobody_reads() {
        // More than all buffers on the way hold.
        let client = client("--tcp -w 0.4", scripted_tcp([Stay])).input(vec![b'x'; 16 << 20]);
        let time = client.fails_with("", SILENT);
        assert!(time < DEADLINE / 4, "{time:?}");
    }

    #[test]
    fn a_server_that_ends_before_the_input() {
        /// What comes on stdin when the first line is answered.
        enum Then {
            End,
            Line,
            Nothing,
        }
        // A reset says as little about what was answered before as an end does.
        let (closes, resets) = ([ReadOnce, Say("ONE\n")], [ReadByte, Say("ONE\n")]);
        #[rustfmt::skip]
        let cases = [
            (closes, Then::End, None),
            (closes, Then::Line, Some(CLOSED)),
            (closes, Then::Nothing, Some(CLOSED)),
            (resets, Then::End, None),
            (resets, Then::Line, Some(CLOSED)),
        ];
        for (steps, then, error) in cases {
            if cfg!(windows) && matches!(steps[0], ReadByte) {
                continue;
            }
            let port = scripted_tcp(steps);
            let mut client = client("--tcp", port).spawn();
            client.send("one\n");
            assert_eq!(client.line(), "ONE");
            match then {
                Then::End => client.close_stdin(),
                Then::Line => client.send("two\n"),
                Then::Nothing => {}
            }
            let error = error.map(|error| error_line(error, "tcp", "localhost", port));
            let start = Instant::now();
            assert_eq!(client.status(), Some(i32::from(error.is_some())));
            if matches!(then, Then::Nothing) {
                // It has waited half a second for the end of the input.
                let expected = Duration::from_millis(400)..DEADLINE / 6;
                assert!(expected.contains(&start.elapsed()));
            }
            assert_eq!(client.other_error_lines(), Vec::from_iter(error));
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_stopped_client_waits_as_long_for_the_end_of_its_input() {
        let mut client = client("--tcp", scripted_tcp([ReadOnce, Say("ONE\n")])).spawn();
        client.send("one\n");
        assert_eq!(client.line(), "ONE");
        // It is stopped (Ctrl-Z) for longer than the half second, and meanwhile its input ends.
        common::signal(&client.child, "-STOP");
        client.close_stdin();
        thread::sleep(Duration::from_millis(700));
        common::signal(&client.child, "-CONT");
        assert_eq!(client.status(), Some(0));
    }

    #[test]
    fn a_slow_producer_is_no_error() {
        let port = fake_tcp(|stream| {
            for (line, answer) in [("one\n", "ONE\n"), ("two\n", "TWO\n")] {
                assert_answer(&stream, line);
                (&stream).write_all(answer.as_bytes()).unwrap();
            }
            let _ = (&stream).read_to_end(&mut Vec::new());
        });
        let mut client = client("--tcp --timeout 0.2", port).spawn();
        for (line, answer) in [("one\n", "ONE"), ("two\n", "TWO")] {
            // More than the timeout: this delay is the fake producer's own.
            thread::sleep(Duration::from_millis(300));
            client.send(line);
            assert_eq!(client.line(), answer);
        }
        assert_eq!(client.close_stdin_and_wait(), Some(0));
    }

    #[test]
    fn an_empty_datagram_answers_only_an_empty_line() {
        let (sender, asked) = channel();
        let port = fake_udp(move |socket, message, peer| {
            sender.send(message.to_vec()).unwrap();
            socket.send_to(b"", peer).unwrap();
            socket.send_to(&message.to_ascii_uppercase(), peer).unwrap();
        });
        client("--udp", port).input("a\n").prints("A\n");
        // It has waited on, and not asked again.
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), [b"a"]);
        client("--udp", port).input("\na\n").prints("\nA\n");
    }

    #[test]
    fn an_answer_after_the_second_try_counts() {
        // Answers only when it has been asked twice, and then the first try.
        let mut tries = 0;
        let port = fake_udp(move |socket, message, peer| {
            tries += 1;
            if tries == 2 {
                socket.send_to(&message.to_ascii_uppercase(), peer).unwrap();
            }
        });
        let time = client("--udp", port).input("late").prints("LATE");
        // The first wait is TCP's, since no answer has been timed.
        assert!(time > Duration::from_millis(990), "{time:?}");
    }
}

mod answers_belong_to_their_lines {
    use super::*;

    fn numbered_lines(count: u32) -> String {
        let lines: Vec<_> = (0..count).map(|line| format!("line {line}\n")).collect();
        lines.concat()
    }

    #[test]
    fn every_third_datagram_is_lost_and_every_answer_doubled() {
        let (mut requests, mut answers) = (0, 0);
        let port = fake_udp(move |socket, message, peer| {
            requests += 1;
            answers += u32::from(requests % 3 != 0);
            if requests % 3 != 0 && answers % 3 != 0 {
                for _ in 0..2 {
                    socket.send_to(&message.to_ascii_uppercase(), peer).unwrap();
                }
            }
        });
        // The first answer is timed, so that each loss costs 200 ms, and not a second.
        let input = numbered_lines(6);
        client("--udp -w 20", port)
            .input(&input)
            .prints(input.to_uppercase());
    }

    #[test]
    fn late_and_doubled_answers_are_not_another_lines() {
        // The answer to each line comes twice, and once more just before the next line's.
        let mut last: Option<(Vec<u8>, SocketAddr)> = None;
        let port = fake_udp(move |socket, message, peer| {
            let answer = message.to_ascii_uppercase();
            if let Some((late, peer)) = last.replace((answer.clone(), peer)) {
                let _ = socket.send_to(&late, peer);
            }
            for _ in 0..2 {
                socket.send_to(&answer, peer).unwrap();
            }
        });
        let input = numbered_lines(200);
        client("--udp", port)
            .input(&input)
            .prints(input.to_uppercase());
    }

    #[test]
    fn a_strangers_datagram_is_not_printed() {
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = fake_udp(move |socket, message, peer| {
            stranger.send_to(b"FORGED", peer).unwrap();
            socket.send_to(&message.to_ascii_uppercase(), peer).unwrap();
        });
        client("--udp", port).input("a\nb\n").prints("A\nB\n");
    }
}
