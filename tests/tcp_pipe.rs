//! The library's TCP client: a whole stream in both directions.
//!
//! Promises: any amount of input; the client ends.

mod common;

use common::{DEADLINE, SaysMore, Step, scripted_tcp, serve_tcp, tcp_client, tcp_client_of};
use std::io::ErrorKind::{self, InvalidData, UnexpectedEof};
use std::io::{self, Cursor, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use uppercase_echo::tcp::PipeError;
use uppercase_echo::uppercase;

/// How the network failed.
#[track_caller]
fn network(error: PipeError) -> ErrorKind {
    match error {
        PipeError::Network(error) => error.kind(),
        _ => panic!("{error}"),
    }
}

mod any_amount_of_input {
    use super::*;

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
        let (server, _) = serve_tcp("127.0.0.1", 1, DEADLINE);
        let mut output = Vec::new();
        let expected = uppercase(&input);
        tcp_client(server.port())
            .pipe(Cursor::new(input), &mut output, |_| {})
            .unwrap();
        assert!(output == expected, "the output differs");
    }
}

mod the_client_ends {
    use super::*;

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
        // As the textbook's server does it: one answer, and it closes. The second input is so long that the short answer
        // cannot be its answer, too.
        for (input, more, answer) in [
            ("one\n", "two\n", "ONE\n"),
            ("hel", "lo, and much more", "HEL"),
            ("one\nhel", "lo, and much more", "ONE\nHEL"),
        ] {
            let (sender, go_on) = channel();
            let input = InTwo(input.as_bytes(), more.as_bytes(), go_on);
            let output = Signalling(|| sender.send(()).unwrap());
            let port = scripted_tcp([Step::ReadOnce, Step::Say(answer)]);
            let error = tcp_client(port).pipe(input, output, |_| {}).unwrap_err();
            assert_eq!(network(error), UnexpectedEof);
        }
    }

    #[test]
    fn what_comes_before_the_end_of_a_pipe_is_an_error() {
        let server = SaysMore::start();
        // The output takes the answer only when more has come.
        let mut kept = Vec::new();
        let output = Signalling(|| kept.push(server.say_more()));
        let client = tcp_client(server.port);
        let error = client.pipe(&b"one\n"[..], output, |_| {}).unwrap_err();
        assert_eq!(network(error), InvalidData);
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
        let (server, _) = serve_tcp("127.0.0.1", 4, DEADLINE);
        let never_closes = scripted_tcp([Step::ReadOnce, Step::Say("ONE\n"), Step::Stay]);
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
            let client = tcp_client_of(&[address], Duration::from_millis(600));
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
        let (server, _) = serve_tcp("127.0.0.1", 2, DEADLINE);
        for call in ["write", "flush"] {
            // Its input goes on: that is not waited for.
            let input = b"one\n".chain(StaysOpen);
            let error = tcp_client(server.port())
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
        let port = scripted_tcp([Step::ReadOnce]);
        let times = (0..5).map(|_| {
            let start = Instant::now();
            let input = b"one\n".chain(StaysOpen);
            let error = tcp_client(port)
                .pipe(input, io::sink(), |_| {})
                .unwrap_err();
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
    fn a_server_that_ends_last_is_not_waited_for() {
        // Its end shows that the answer to the last line is whole.
        let port = scripted_tcp([Step::ReadAll, Step::Say("HELLO")]);
        let times = (0..5).map(|_| {
            let start = Instant::now();
            let input = Cursor::new("hello");
            tcp_client(port).pipe(input, io::sink(), |_| {}).unwrap();
            start.elapsed()
        });
        // The half second is for an input that has not ended. One of the five is not held up.
        assert!(times.min() < Some(Duration::from_millis(400)));
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
        let (server, _) = serve_tcp("127.0.0.1", 1, DEADLINE);
        tcp_client(server.port())
            .pipe(Interrupted(false), io::sink(), |_| {})
            .unwrap();
    }

    // Windows does not say how much a send has sent that timed out.
    #[test]
    #[cfg(not(windows))]
    fn a_server_that_takes_a_little_is_not_given_up() {
        const SIZE: usize = 16 << 20;
        let port = common::fake_tcp(|mut stream| {
            // A quarter of the client's chunk at a time: the whole chunk takes longer than the timeout.
            let mut piece = vec![0; 64 << 10];
            for _ in 0..6 {
                thread::sleep(Duration::from_millis(250));
                stream.read_exact(&mut piece).unwrap();
            }
            let mut left = SIZE - 6 * piece.len();
            stream.write_all(&vec![b'X'; SIZE - left]).unwrap();
            while left > 0 {
                let size = stream.read(&mut piece).unwrap();
                stream.write_all(&vec![b'X'; size]).unwrap();
                left -= size;
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let client = tcp_client_of(&[address], Duration::from_millis(600));
        let input = Cursor::new(vec![b'x'; SIZE]);
        client.pipe(input, io::sink(), |_| {}).unwrap();
    }
}
