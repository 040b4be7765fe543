//! The library's TCP server and client over loopback sockets.
//!
//! Promises: output is the upper case of input, however it was cut; nothing waits for a newline; nothing is lost at
//! half-close. At most N connections are served at once, the next is served when one ends, and no peer holds one for
//! long. A client's answer belongs to its line. Any amount of input goes through without deadlock.

mod common;

use common::{
    DEADLINE, Step, assert_answer, closed_tcp, connect, exchange, fake_tcp, full_tcp, loopback_ips,
    scripted_tcp,
};
use std::io::ErrorKind::{
    self, ConnectionRefused, InvalidData, NotConnected, TimedOut, UnexpectedEof,
};
use std::io::{self, Cursor, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};
use uppercase_echo::tcp::{AskError, PipeError};
use uppercase_echo::{tcp, uppercase};

/// A server for `n` connections, and its events.
fn serve(ip: &str, n: usize, idle: Duration) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, events) = channel();
    tcp::serve(listener, NonZero::new(n).unwrap(), idle, move |event| {
        let _ = sender.send(event.to_string());
    })
    .unwrap();
    (address, events)
}

#[test]
fn a_stream_is_answered_at_once_and_whole() {
    for ip in loopback_ips() {
        let (server, _) = serve(ip, 2, DEADLINE);
        let mut stream = connect(server);
        // Each part is answered before the next is sent. A cut character waits for its rest, or for the end.
        #[rustfmt::skip]
        let parts: &[(&[u8], &str)] = &[
            ("straße".as_bytes(), "STRASSE"),
            (b"more, without a newline", "MORE, WITHOUT A NEWLINE"),
            (b"a\xC3", "A"),
            (b"\xA9", "É"),
            (b"\xF0\x90\x90\xA8z\xF0\x90\x90", "𐐀Z"),
            (b"\xA8", "𐐀"),
            (b"z\xC3", "Z"),
        ];
        for (part, answer) in parts {
            stream.write_all(part).unwrap();
            assert_answer(&stream, answer);
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"\xC3");
    }
}

#[test]
fn the_limit_holds_and_the_next_is_served_when_one_ends() {
    let (server, events) = serve("127.0.0.1", 2, DEADLINE);
    let (first, second, third) = (connect(server), connect(server), connect(server));
    let [one, two, three] = [&first, &second, &third].map(|stream| stream.local_addr().unwrap());
    exchange(&first, "one");
    exchange(&second, "two");
    (&third).write_all(b"three").unwrap();
    third
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    (&third).read(&mut [0; 5]).unwrap_err();
    drop(first);
    common::limit(&third);
    assert_answer(&third, "THREE");
    let told: Vec<_> = (0..11)
        .map(|_| events.recv_timeout(DEADLINE).unwrap())
        .collect();
    // The first two may be accepted at the same moment.
    let accepted =
        |client| format!("the welcoming socket accepted {client}: a new connection socket");
    assert!(
        told[..6].contains(&accepted(one)) && told[..6].contains(&accepted(two)),
        "{told:?}"
    );
    let expected = [
        format!("end of the stream: {one} has closed its side"),
        format!("closed the connection socket of {one}"),
        accepted(three),
        format!("received 5 bytes from {three}"),
        format!("sent 5 bytes to {three}"),
    ];
    assert_eq!(told[6..], expected);
}

#[test]
fn no_peer_holds_its_thread_for_long_or_disturbs_another() {
    let (server, events) = serve("127.0.0.1", 3, Duration::from_millis(300));
    // One is silent, one never reads, and one resets: what it has not read makes its close a reset.
    let (silent, greedy, reset) = (connect(server), connect(server), connect(server));
    let addresses = [&silent, &greedy, &reset].map(|stream| stream.local_addr().unwrap());
    let writer = thread::spawn(move || {
        let chunk = vec![b'x'; 1 << 20];
        while (&greedy).write_all(&chunk).is_ok() {}
    });
    (&reset).write_all(b"answer me").unwrap();
    reset.peek(&mut [0]).unwrap();
    drop(reset);
    // All three threads are held now, or have been: this one is served all the same.
    let slow = connect(server);
    for letter in ["a", "t", "a", "t", "i", "m", "e"] {
        exchange(&slow, letter);
    }
    writer.join().unwrap();
    let connection_reset = match () {
        () if cfg!(target_os = "linux") => 104,
        () if cfg!(windows) => 10054,
        () => 54,
    };
    let connection_reset = io::Error::from_raw_os_error(connection_reset).to_string();
    let reasons = ["idle for too long", "idle for too long", &connection_reset];
    let mut expected: Vec<_> = (addresses.iter().zip(reasons))
        .map(|(client, why)| format!("closed the connection socket of {client}: {why}"))
        .collect();
    while !expected.is_empty() {
        let event = events.recv_timeout(DEADLINE).expect(&expected[0]);
        expected.retain(|expected| *expected != event);
    }
}

#[test]
fn hundreds_at_once() {
    // macOS gives a process 256 descriptors.
    let n = if cfg!(target_os = "macos") { 50 } else { 500 };
    let (server, _) = serve("127.0.0.1", n, DEADLINE);
    let barrier = Arc::new(Barrier::new(n));
    let clients: Vec<_> = (0..n)
        .map(|_| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                barrier.wait();
                exchange(&connect(server), "x");
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}

fn client(port: u16) -> tcp::Client {
    client_of(&[([127, 0, 0, 1], port).into()], DEADLINE)
}

fn client_of(addresses: &[SocketAddr], timeout: Duration) -> tcp::Client {
    tcp::Client::connect(addresses, timeout, |_| {}).unwrap()
}

#[test]
fn the_first_address_that_accepts_is_taken() {
    let (server, _) = serve("127.0.0.1", 4, DEADLINE);
    let (_kept, closed) = closed_tcp();
    let closed = SocketAddr::from(([127, 0, 0, 1], closed));
    let (_kept, full) = full_tcp();
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
        let start = Instant::now();
        let mut client = client_of(addresses, Duration::from_millis(800));
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
        if cfg!(windows) && *expected == ConnectionRefused {
            // Windows takes two seconds to find out that a port is closed, Wine no time.
            continue;
        }
        let result = tcp::Client::connect(addresses, Duration::from_millis(200), |_| {});
        assert_eq!(result.unwrap_err().kind(), *expected, "{addresses:?}");
    }
}

/// Why there was no proper answer.
#[track_caller]
fn no_answer(error: AskError) -> ErrorKind {
    match error {
        AskError::Answer(error) => error.kind(),
        AskError::Connect(_) => panic!("{error}"),
    }
}

#[test]
fn an_answer_and_its_limits() {
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
        let mut client = client_of(&[([127, 0, 0, 1], port).into()], timeout);
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
fn what_comes_between_two_lines_is_an_error() {
    for next_is_a_line in [true, false] {
        let (go_on, wait) = sync_channel(0);
        let (sender, has_sent) = channel();
        let port = fake_tcp(move |stream| {
            assert_answer(&stream, "one\n");
            (&stream).write_all(b"ONE\n").unwrap();
            wait.recv().unwrap();
            (&stream).write_all(b"MORE\n").unwrap();
            sender.send(stream).unwrap();
        });
        let mut client = client(port);
        assert_eq!(client.ask(b"one", |_| {}).unwrap(), b"ONE");
        go_on.send(()).unwrap();
        let _kept = has_sent.recv_timeout(DEADLINE).unwrap();
        let result = if next_is_a_line {
            client.ask(b"two", |_| {}).map(drop).map_err(no_answer)
        } else {
            client.close(|_| {}).map_err(|error| error.kind())
        };
        assert_eq!(result, Err(InvalidData));
    }
}

#[test]
fn closing_after_the_last_answer_is_no_error() {
    let (server, _) = serve("127.0.0.1", 1, DEADLINE);
    let mut client = client(server.port());
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
    let mut client = client(port);
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
fn connecting_again_fails() {
    let (port, kept) = common::accept_once();
    let mut client = client(port);
    assert_eq!(client.ask(b"one", |_| {}).unwrap(), b"ONE");
    let _kept = kept.recv_timeout(DEADLINE).unwrap();
    // The second line fails like the first: nothing can be kept.
    for line in [b"two", b"six"] {
        let failure = client.ask(line, |_| {}).unwrap_err();
        assert!(matches!(failure, AskError::Connect(error) if error.kind() == ConnectionRefused));
    }
    let result = client.pipe(io::empty(), io::sink(), |_| {});
    assert!(matches!(result, Err(PipeError::Network(error)) if error.kind() == NotConnected));
}

#[test]
fn random_megabytes_are_piped_whole() {
    // More than all the buffers on the way hold.
    let mut random = common::random();
    let words = [
        "hello, ", "straße", "ŉ", "\u{390}", "\n", "안녕", "x", "\n\n",
    ];
    let mut input = Vec::new();
    while input.len() < 16 << 20 {
        let drawn = random();
        input.extend_from_slice(words[drawn as usize % words.len()].as_bytes());
        if drawn >> 60 == 0 {
            input.push((drawn >> 32) as u8);
        }
    }
    input.push(b'.');
    let (server, _) = serve("127.0.0.1", 1, DEADLINE);
    let mut output = Vec::new();
    let expected = uppercase(&input);
    client(server.port())
        .pipe(Cursor::new(input), &mut output, |_| {})
        .unwrap();
    assert!(output == expected, "the output differs");
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
    let mut client = client_of(&[address], Duration::from_millis(500));
    let failure = client.ask(b"first", |_| {}).map_err(no_answer);
    assert_eq!(failure, Err(TimedOut));
    assert_eq!(client.ask(b"second", |_| {}).unwrap(), b"SECOND");
}

#[test]
fn nobody_is_served_without_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let result = tcp::serve(listener, NonZero::<usize>::MIN, Duration::ZERO, |_| {});
    assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// Gives its first text, and the second when something has been written to [`Signalling`].
struct InTwo(&'static [u8], &'static [u8], Receiver<()>);

impl Read for InTwo {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() && !self.1.is_empty() {
            self.2.recv_timeout(DEADLINE).unwrap();
            self.0 = std::mem::take(&mut self.1);
        }
        self.0.read(buffer)
    }
}

/// Calls its closure for each write.
struct Signalling<F>(F);

impl<F: FnMut()> Write for Signalling<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn more_input_after_the_servers_end_is_an_error() {
    // As the textbook's server does it: one answer, and it closes. What comes before the client sees
    // that must be so long that no upper case of it can be so short.
    for (input, more, answer) in [
        ("one\n", "two\n", "ONE\n"),
        ("hel", "lo, and much more", "HEL"),
        ("one\nhel", "lo, and much more", "ONE\nHEL"),
    ] {
        let (sender, go_on) = channel();
        let input = InTwo(input.as_bytes(), more.as_bytes(), go_on);
        let output = Signalling(|| sender.send(()).unwrap());
        let port = scripted_tcp([Step::Read, Step::Say(answer)]);
        let error = client(port).pipe(input, output, |_| {}).unwrap_err();
        assert!(matches!(error, PipeError::Network(error) if error.kind() == UnexpectedEof));
    }
}

#[test]
fn what_comes_before_the_end_of_a_pipe_is_an_error() {
    let (go_on, wait) = sync_channel(0);
    let (sender, has_sent) = channel();
    let port = fake_tcp(move |stream| {
        assert_answer(&stream, "one\n");
        (&stream).write_all(b"ONE\n").unwrap();
        wait.recv().unwrap();
        (&stream).write_all(b"MORE\n").unwrap();
        sender.send(stream).unwrap();
    });
    // The output takes the answer only when more has come.
    let mut kept = Vec::new();
    let output = Signalling(|| {
        go_on.send(()).unwrap();
        kept.push(has_sent.recv_timeout(DEADLINE).unwrap());
    });
    let error = client(port)
        .pipe(&b"one\n"[..], output, |_| {})
        .unwrap_err();
    assert!(matches!(error, PipeError::Network(error) if error.kind() == InvalidData));
}

/// Gives its text, and then an error.
struct FailingInput(&'static [u8]);

impl Read for FailingInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("unreadable")),
            size => Ok(size),
        }
    }
}

#[test]
fn an_input_error_comes_after_the_answers() {
    let (server, _) = serve("127.0.0.1", 4, DEADLINE);
    let never_closes = scripted_tcp([Step::Read, Step::Say("ONE\n"), Step::Stay]);
    let drops_the_last = scripted_tcp([Step::ReadAll, Step::Say("ONE\n")]);
    let unreadable = "cannot read the input: unreadable";
    // What is unanswered is the worse failure.
    let unanswered = "the connection failed: unexpected end of file";
    let silent = scripted_tcp([Step::ReadAll, Step::Stay]);
    #[rustfmt::skip]
    let cases = [
        (silent, "one\n", "", unreadable),
        (server.port(), "", "", unreadable),
        (server.port(), "one\n", "ONE\n", unreadable),
        (server.port(), "one\ntwo", "ONE\nTWO", unreadable),
        (never_closes, "one\n", "ONE\n", unreadable),
        (drops_the_last, "one\ntwo\n", "ONE\n", unanswered),
    ];
    for (port, input, expected, failure) in cases {
        let mut output = Vec::new();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let client = client_of(&[address], Duration::from_millis(600));
        let input = FailingInput(input.as_bytes());
        let error = client.pipe(input, &mut output, |_| {}).unwrap_err();
        assert_eq!(error.to_string(), failure);
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }
}

#[test]
fn an_output_error_ends_a_pipe() {
    struct FailingOutput(&'static str);
    impl Write for FailingOutput {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0 {
                "write" => Err(io::Error::other("full")),
                _ => Ok(bytes.len()),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::Error::other("full"))
        }
    }
    let (server, _) = serve("127.0.0.1", 2, DEADLINE);
    for call in ["write", "flush"] {
        // Its input goes on: that is not waited for.
        let input = b"one\n".chain(StaysOpen);
        let error = client(server.port())
            .pipe(input, FailingOutput(call), |_| {})
            .unwrap_err();
        assert!(matches!(error, PipeError::Output(_)), "{error:?}");
        assert_eq!(error.to_string(), "cannot write the output: full");
    }
}

/// An input that never comes.
struct StaysOpen;

impl Read for StaysOpen {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        loop {
            thread::park();
        }
    }
}

#[test]
fn an_end_with_something_unanswered_is_an_error_at_once() {
    let port = scripted_tcp([Step::Read]);
    let times = (0..5).map(|_| {
        let start = Instant::now();
        let input = b"one\n".chain(StaysOpen);
        let error = client(port).pipe(input, io::sink(), |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the connection failed: unexpected end of file"
        );
        start.elapsed()
    });
    // The half second for the end of the input is for a server that has answered. One of the five is not held up.
    assert!(times.min() < Some(Duration::from_millis(400)));
}

#[test]
fn a_pipe_that_waits_is_timed_out_on_every_system() {
    let port = scripted_tcp([Step::ReadAll, Step::Stay]);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let client = client_of(&[address], Duration::from_millis(200));
    let error = client
        .pipe(&b"hello\n"[..], io::sink(), |_| {})
        .unwrap_err();
    assert!(matches!(error, PipeError::Network(error) if error.kind() == TimedOut));
}

#[test]
fn an_interrupted_input_is_read_again() {
    struct Interrupted(bool);
    impl Read for Interrupted {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0 = !self.0;
            if self.0 {
                Err(ErrorKind::Interrupted.into())
            } else {
                Ok(0)
            }
        }
    }
    let (server, _) = serve("127.0.0.1", 1, DEADLINE);
    client(server.port())
        .pipe(Interrupted(false), io::sink(), |_| {})
        .unwrap();
}
