//! What the end of a pipe means. Nothing here reads, writes or waits.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// All that is known when a pipe ends.
pub(super) struct Outcome {
    /// `None` if the input has not ended, or could not be sent.
    pub(super) sent: Option<Sent>,
    pub(super) received: Count,
    pub(super) end: ReceivingEnd,
}

impl Outcome {
    /// Returns an error of the network if not all was sent, or if less or more came back than was
    /// sent; otherwise the error of the input, if it failed.
    pub(super) fn judge(self) -> Result<(), PipeError> {
        let incomplete = match self.end {
            ReceivingEnd::Silent => ErrorKind::TimedOut,
            _ => ErrorKind::UnexpectedEof,
        };
        let Some(sent) = self.sent else {
            return Err(PipeError::Network(incomplete.into()));
        };
        if self.received > sent.count {
            return Err(PipeError::Network(ErrorKind::InvalidData.into()));
        }
        // Only the end of the stream shows that no more of an open line's answer comes.
        let may_be_cut = sent.count.has_open_line && self.end != ReceivingEnd::Closed;
        if self.received < sent.count || may_be_cut {
            return Err(PipeError::Network(incomplete.into()));
        }
        sent.input_end.map_err(PipeError::Input)
    }
}

/// Why the receiver has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ReceivingEnd {
    /// See [`Count::completes`].
    CountedBack,
    /// The server has ended the stream.
    Closed,
    /// The connection was reset. What the server sent last may be lost.
    Reset,
    /// Nothing has moved for the whole timeout.
    Silent,
}

/// All that was sent, when the input has ended.
pub(super) struct Sent {
    pub(super) count: Count,
    /// An error if the input could not be read to its end.
    pub(super) input_end: io::Result<()>,
}

/// How many newlines have gone in one direction, and whether an open line follows: one without its
/// newline. Upper case has exactly the newlines of its text.
///
/// Of two counts, the one with more newlines is greater. If they are equal, it is the one with an
/// open line. (`PartialOrd` compares the fields in their order.)
#[derive(Clone, Copy, Default, PartialEq, PartialOrd)]
pub(super) struct Count {
    newlines: u64,
    has_open_line: bool,
}

impl Count {
    /// Whether `self`, what was received, has all newlines of `sent`. If `sent` ends with an open
    /// line, only the end of the stream shows that all has come.
    pub(super) fn completes(self, sent: Self) -> bool {
        !sent.has_open_line && self.newlines >= sent.newlines
    }

    /// Adds a chunk, which is not empty.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        // Of 128 bytes, at most 128 are newlines: a `u8` can count them. The compiler adds several
        // `u8` in one vector instruction, which is much faster than counting in a `u64`.
        for part in chunk.chunks(128) {
            let newlines: u8 = part.iter().map(|&byte| u8::from(byte == b'\n')).sum();
            self.newlines += u64::from(newlines);
        }
        self.has_open_line = !chunk.ends_with(b"\n");
    }
}

/// What failed in [`Client::pipe`](crate::tcp::Client::pipe).
#[derive(Debug)]
pub enum PipeError {
    /// The input could not be read. What was sent before is answered, and written to the output.
    Input(io::Error),
    /// The output could not be written.
    Output(io::Error),
    /// The connection failed, or the server did not answer as it should. (Or the system did not
    /// start a thread.)
    Network(io::Error),
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Input(error) => write!(f, "cannot read the input: {error}"),
            Self::Output(error) => write!(f, "cannot write the output: {error}"),
            Self::Network(error) => write!(f, "the connection failed: {error}"),
        }
    }
}

impl Error for PipeError {}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorKind::{InvalidData, TimedOut, UnexpectedEof};
    use ReceivingEnd::{Closed, CountedBack, Reset, Silent};

    /// How the input of a case ends, after what was sent.
    #[derive(Clone, Copy, Debug)]
    enum Input {
        Ends,
        Fails,
        GoesOn,
    }
    use Input::{Ends, Fails, GoesOn};

    fn count(text: &str) -> Count {
        let mut count = Count::default();
        if !text.is_empty() {
            count.add(text.as_bytes());
        }
        count
    }

    /// Judges, and returns the kind of a network error. An input that fails has the kind `Other`.
    fn judge(sent: Option<Sent>, received: &str, end: ReceivingEnd) -> Result<(), ErrorKind> {
        let outcome = Outcome {
            sent,
            received: count(received),
            end,
        };
        outcome.judge().map_err(|error| match error {
            PipeError::Input(error) | PipeError::Network(error) => error.kind(),
            PipeError::Output(_) => unreachable!("the outcome has no output"),
        })
    }

    #[test]
    fn what_an_end_means() {
        // What was sent, how the input ended, what was received, how that ended, and the result.
        #[rustfmt::skip]
        let cases = [
            ("one\n", Ends, "ONE\n", CountedBack, Ok(())),
            ("one\n", Ends, "ONE\n", Closed, Ok(())),
            ("one\n", Ends, "ONE\n", Reset, Ok(())),
            ("one\n", Ends, "ONE\n", Silent, Ok(())),
            ("", Ends, "", CountedBack, Ok(())),
            ("", Ends, "", Closed, Ok(())),
            // Something is missing.
            ("one\ntwo\n", Ends, "ONE\n", Closed, Err(UnexpectedEof)),
            ("one\ntwo\n", Ends, "ONE\n", Reset, Err(UnexpectedEof)),
            ("one\ntwo\n", Ends, "ONE\n", Silent, Err(TimedOut)),
            ("one\n", Ends, "ON", Closed, Err(UnexpectedEof)),
            // An open line needs the end of the stream.
            ("on", Ends, "ON", Closed, Ok(())),
            ("on", Ends, "O", Closed, Ok(())),
            ("on", Ends, "", Closed, Err(UnexpectedEof)),
            ("on", Ends, "ON", Reset, Err(UnexpectedEof)),
            ("on", Ends, "ON", Silent, Err(TimedOut)),
            ("one\ntw", Ends, "ONE\n", Closed, Err(UnexpectedEof)),
            // Too much has come.
            ("one\n", Ends, "ONE\nMORE\n", CountedBack, Err(InvalidData)),
            ("one\n", Ends, "ONE\nMO", Closed, Err(InvalidData)),
            ("on", Ends, "ON\n", Closed, Err(InvalidData)),
            ("on", Ends, "ON\n", Silent, Err(InvalidData)),
            ("", Ends, "hello", Closed, Err(InvalidData)),
            // A failed input is reported if what was sent before is answered.
            ("one\n", Fails, "ONE\n", CountedBack, Err(ErrorKind::Other)),
            ("on", Fails, "ON", Closed, Err(ErrorKind::Other)),
            ("one\n", Fails, "", Silent, Err(TimedOut)),
            // The server has ended first.
            ("one\n", GoesOn, "ONE\n", Closed, Err(UnexpectedEof)),
            ("one\n", GoesOn, "ONE\n", Reset, Err(UnexpectedEof)),
            ("one\n", GoesOn, "", Silent, Err(TimedOut)),
        ];
        for (text, input, received, end, expected) in cases {
            let input_end = match input {
                Ends => Some(Ok(())),
                Fails => Some(Err(io::Error::other("?"))),
                GoesOn => None,
            };
            let count = count(text);
            let sent = input_end.map(|input_end| Sent { count, input_end });
            let result = judge(sent, received, end);
            assert_eq!(result, expected, "{text:?} {input:?} {received:?} {end:?}");
        }
    }

    #[test]
    fn all_has_come_back() {
        #[track_caller]
        fn check(sent: &str, received: &str, expected: bool) {
            assert_eq!(count(received).completes(count(sent)), expected);
        }
        check("", "", true);
        check("one\n", "ONE\n", true);
        check("one\n", "ONE\nMORE\n", true);
        check("one\n", "ONE", false);
        check("one\nt", "ONE\nT", false);
    }

    #[test]
    fn newlines_are_counted() {
        let mut count = Count::default();
        count.add("\n".repeat(1000).as_bytes());
        count.add("x\nx".as_bytes());
        assert_eq!(count.newlines, 1001);
        assert!(count.has_open_line);
    }
}
