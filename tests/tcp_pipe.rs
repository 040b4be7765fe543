//! The library's TCP client with a whole stream, in both directions at once.
//!
//! What an end means is in the unit tests of `src/tcp/pipe/outcome.rs`. Here, each case is one way in
//! which the two loops come to their end.

mod common;

use common::fakes::Step::{ReadAll, ReadByte, ReadOnce, Say, SaySlowly, Stay};
use common::fakes::{DEADLINE, Step, in_time, scripted_tcp, tcp_server};
use common::system::skip;
use std::io::ErrorKind::{self, InvalidData, TimedOut, UnexpectedEof};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;
use uppercase_echo::tcp::{Client, PipeError};
use uppercase_echo::uppercase;

/// The timeout of a pipe that must not need it.
const DAY: Duration = Duration::from_secs(86_400);

/// The timeout of a pipe whose server is silent.
const SHORT: Duration = Duration::from_millis(400);

/// A part of an input.
#[derive(Clone, Copy, Debug)]
enum Part {
    Text(&'static str),
    /// Nothing comes for longer than `SHORT`.
    LongPause,
    /// Nothing comes for less than the half second that an input has when the server ends first.
    ShortPause,
    /// A signal interrupts the read.
    Interrupted,
    Fails,
    NeverEnds,
}
use Part::{Fails, Interrupted, LongPause, NeverEnds, ShortPause, Text};

/// An input made of parts.
struct Input(std::slice::Iter<'static, Part>);

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.next() {
                None => return Ok(0),
                Some(Text(text)) => return text.as_bytes().read(buffer),
                Some(LongPause) => thread::sleep(SHORT * 3 / 2),
                Some(ShortPause) => thread::sleep(Duration::from_millis(200)),
                Some(Interrupted) => return Err(ErrorKind::Interrupted.into()),
                Some(Fails) => return Err(io::Error::other("unreadable")),
                Some(NeverEnds) => loop {
                    thread::park();
                },
            }
        }
    }
}

/// Pipes `input` to `server` and into `output`. Panics if that does not end.
#[track_caller]
fn pipe<O: Write + Send + 'static>(
    server: SocketAddr,
    timeout: Duration,
    input: impl Read + Send + 'static,
    mut output: O,
) -> (O, Result<(), PipeError>) {
    in_time(move || {
        let client = Client::connect(&[server], timeout, |_| {}).unwrap();
        let result = client.pipe(input, &mut output);
        (output, result)
    })
}

struct Case {
    server: &'static [Step],
    input: &'static [Part],
    output: &'static str,
    result: Result<(), ErrorKind>,
}

impl Case {
    #[track_caller]
    fn check(&self, timeout: Duration) {
        // Windows drops what has come before a reset.
        if cfg!(windows) && self.server.contains(&ReadByte) {
            return skip("resets lose data here");
        }
        let server = scripted_tcp(self.server);
        let (output, result) = pipe(server, timeout, Input(self.input.iter()), Vec::new());
        let result = result.map_err(|error| match error {
            PipeError::Network(error) => error.kind(),
            _ => panic!("{error}"),
        });
        let name = format!(
            "a server that does {:?}, given {:?}",
            self.server, self.input
        );
        assert_eq!(String::from_utf8(output).unwrap(), self.output, "{name}");
        assert_eq!(result, self.result, "{name}");
    }
}

#[test]
fn the_server_ends_last() {
    #[rustfmt::skip]
    let cases = [
        Case { server: &[ReadAll, Say("ONE\nTW")], input: &[Text("one\ntw")], output: "ONE\nTW", result: Ok(()) },
        Case { server: &[ReadAll, Say("ONE\n")], input: &[Text("one\ntwo\n")], output: "ONE\n", result: Err(UnexpectedEof) },
        Case { server: &[ReadByte, Say("ONE\n")], input: &[Text("one\n")], output: "ONE\n", result: Ok(()) },
        // A reset may have lost the end of an open line.
        Case { server: &[ReadByte, Say("ONE")], input: &[Text("one")], output: "ONE", result: Err(UnexpectedEof) },
        Case { server: &[ReadOnce, Say("ONE\nMORE\n")], input: &[Text("one\n")], output: "ONE\nMORE\n", result: Err(InvalidData) },
        Case { server: &[ReadAll, Say("ONE\n")], input: &[Text("on"), Interrupted, Text("e\n")], output: "ONE\n", result: Ok(()) },
    ];
    for case in cases {
        case.check(DAY);
    }
}

#[test]
fn the_server_never_ends() {
    #[rustfmt::skip]
    let cases = [
        Case { server: &[ReadOnce, Say("ONE\n"), Stay], input: &[Text("one\n")], output: "ONE\n", result: Ok(()) },
        Case { server: &[Stay], input: &[], output: "", result: Ok(()) },
    ];
    for case in cases {
        case.check(DAY);
    }
}

#[test]
fn the_server_ends_before_the_input() {
    // As the textbook's does: one answer, and it closes.
    const SERVER: &[Step] = &[ReadOnce, Say("ONE\n")];
    #[rustfmt::skip]
    let cases = [
        Case { server: SERVER, input: &[Text("one\n"), ShortPause], output: "ONE\n", result: Ok(()) },
        Case { server: SERVER, input: &[Text("one\n"), ShortPause, Text("two\n")], output: "ONE\n", result: Err(UnexpectedEof) },
        Case { server: SERVER, input: &[Text("one\n"), NeverEnds], output: "ONE\n", result: Err(UnexpectedEof) },
    ];
    for case in cases {
        case.check(DAY);
    }
}

#[test]
fn the_server_is_silent() {
    #[rustfmt::skip]
    let cases = [
        Case { server: &[ReadAll, Stay], input: &[Text("one\n")], output: "", result: Err(TimedOut) },
        Case { server: &[ReadOnce, Say("ON"), Stay], input: &[Text("one\n")], output: "ON", result: Err(TimedOut) },
    ];
    for case in cases {
        case.check(SHORT);
    }
}

#[test]
fn the_server_is_slow() {
    // Its answer takes longer than the timeout, but no part of it does.
    let case = Case {
        server: &[ReadOnce, SaySlowly("SLOW\n")],
        input: &[Text("slow\n")],
        output: "SLOW\n",
        result: Ok(()),
    };
    case.check(SHORT);
}

#[test]
fn the_input_is_slow() {
    let case = Case {
        server: &[ReadOnce, Say("ONE\n"), ReadOnce, Say("TWO\n")],
        input: &[LongPause, Text("one\n"), LongPause, Text("two\n")],
        output: "ONE\nTWO\n",
        result: Ok(()),
    };
    case.check(SHORT);
}

#[test]
fn the_input_fails() {
    // What it has brought is answered first, and then the failure is reported.
    let (server, _) = tcp_server("127.0.0.1", 1, DEADLINE);
    let input = Input([Text("one\ntwo"), Fails].iter());
    let (output, result) = pipe(server, DAY, input, Vec::new());
    assert_eq!(output, b"ONE\nTWO");
    assert!(matches!(result, Err(PipeError::Input(_))), "{result:?}");
}

/// An output that calls its function before each write and each flush.
struct Output<F>(F);

impl<F: FnMut() -> io::Result<()>> Write for Output<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        (self.0)()
    }
}

#[test]
fn the_output_fails() {
    let (server, _) = tcp_server("127.0.0.1", 1, DEADLINE);
    // The first call is a write, and the second a flush.
    for failing_call in [1, 2] {
        let mut calls = 0;
        let output = Output(move || {
            calls += 1;
            if calls == failing_call {
                return Err(io::Error::other("full"));
            }
            Ok(())
        });
        // The input goes on, and is not waited for.
        let input = Input([Text("one\n"), NeverEnds].iter());
        let (_, result) = pipe(server, DAY, input, output);
        assert!(matches!(result, Err(PipeError::Output(_))), "{result:?}");
    }
}

#[test]
fn much_input_flows_through() {
    // More than all the buffers on the way hold. Its lines are of odd length, so that reads and
    // writes cut them everywhere.
    let line = "The quick brown fox jumps over the lazy dog. Straße\n";
    let input = line.repeat((16 << 20) / line.len()).into_bytes();
    let expected = uppercase(&input);
    let (server, _) = tcp_server("127.0.0.1", 1, DEADLINE);
    let (output, result) = pipe(server, DAY, io::Cursor::new(input), Vec::new());
    result.unwrap();
    assert!(output == expected, "{} bytes", output.len());
}

#[test]
fn much_input_after_the_servers_last_word() {
    // Nothing comes back while the sender reports many chunks.
    let server = scripted_tcp([Say("X"), ReadAll]);
    let input = io::repeat(b'x').take(4 << 20);
    let (_, result) = pipe(server, DAY, input, Vec::new());
    result.unwrap();
}

#[test]
fn the_server_reads_nothing() {
    let server = scripted_tcp([Stay]);
    let (_, result) = pipe(server, SHORT, io::repeat(b'x'), Vec::new());
    let Err(PipeError::Network(error)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(error.kind(), TimedOut);
}

#[test]
fn the_output_is_slow() {
    // It takes nothing for longer than the timeout.
    let mut has_paused = false;
    let output = Output(move || {
        if !has_paused {
            thread::sleep(SHORT * 4);
            has_paused = true;
        }
        Ok(())
    });
    // Meanwhile the server reads nothing, so the client cannot send either.
    let server = scripted_tcp([ReadOnce, Say("X"), SaySlowly("XXXXXXXXXX"), ReadAll]);
    let input = io::repeat(b'x').take(32 << 20);
    let (_, result) = pipe(server, SHORT, input, output);
    result.unwrap();
}
